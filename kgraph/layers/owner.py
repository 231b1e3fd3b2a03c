"""What a layer or model owns: variables and sublayers, found by attribute assignment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from kgraph.errors import ArgumentError, GraphError, ShapeError
from kgraph.layers.tracking import watched
from kgraph.missing import LAYER_METHODS
from kgraph.tracing.trace import Symbol
from kgraph.tracing.variable import Variable

INTERNAL = frozenset(
    ("_trainable_own", "_other_own", "_sublayers", "_seeds", "_metrics", "inbound_nodes", "_losses", "_given")
)

_changes = [0]


def changes() -> int:
    """How often anything about any layer has changed: an attribute, what it owns. Numbers of weights do not count."""
    return _changes[0]


def note_change() -> None:
    """Count a change."""
    _changes[0] += 1


class Owner:
    """Finds the variables, layers, metrics and seed generators among its attributes, in lists and dicts too.

    Their order is that of assignment, as in Keras: it is the order of `get_weights`.
    """

    _name: str
    _trainable_own: list[Variable]
    _other_own: list[Variable]
    _sublayers: list[Any]
    _seeds: list[Any]
    _metrics: list[Any]
    _locks = True  # no new weights after `build`
    _building = False
    _locked = False

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        owner = super().__new__(cls, *args, **kwargs)  # to the class that stands after this one
        for name in ("_trainable_own", "_other_own", "_sublayers", "_seeds", "_metrics"):
            object.__setattr__(owner, name, [])
        return owner

    def lock_state(self) -> None:
        """From now on new weights and sublayers are an error: each trace would make its own."""
        object.__setattr__(self, "_locked", self._locks)

    def unlock_state(self) -> None:
        """Let new weights be made once more, until `lock_state`."""
        object.__setattr__(self, "_locked", False)

    def __setattr__(self, name: str, value: Any) -> None:
        inherited = getattr(type(self), name, None)
        if name not in INTERNAL:
            note_change()
        if name not in INTERNAL and not isinstance(inherited, property):
            value = watched(value, self._track)
        super().__setattr__(name, value)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Of what Keras's layers have, say what does it; of one not built, say so: `kernel` is there when it is."""
            if name in LAYER_METHODS:
                raise AttributeError(f"kgraph.layers.Layer has no {name!r}: {LAYER_METHODS[name]}")
            if name.startswith("_") or hasattr(type(self), name) or self.__dict__.get("built", True):
                return self.__getattribute__(name)
            raise AttributeError(
                f"{type(self).__name__} {self.__dict__.get('_name')!r} has no attribute {name!r}, and no weights yet: "
                "it is built by its first call, or by layer.build(shape)"
            )

    def __delattr__(self, name: str) -> None:
        note_change()
        super().__delattr__(name)

    def _track(self, value: Any) -> None:
        note_change()
        if isinstance(value, Variable):
            owned = self._trainable_own if value.trainable else self._other_own
            self._own(value, [*self._trainable_own, *self._other_own], owned)
            value.trainable = value.trainable and self.__dict__.get("_trainable", True)
        elif isinstance(value, Owner):
            self._own(value, self._sublayers, self._sublayers)
        elif hasattr(value, "update_state") and hasattr(value, "reset_state"):
            self._own(value, self._metrics, self._metrics)
        elif not isinstance(value, Symbol) and isinstance(getattr(value, "state", None), Variable):
            value.state.trainable = False
            value.state.path = f"{self.__dict__.get('_name', type(self).__name__)}/{value.state.name}"
            self._own(value, self._seeds, self._seeds)

    def _own(self, value: Any, known: Iterable[Any], place: list[Any]) -> None:
        if any(value is one for one in known):
            return
        if self._locked and not self._building:
            raise GraphError(
                f"{type(self).__name__} {self.__dict__.get('_name')!r} is built already, so it cannot take on "
                f"{value!r}; make weights and sublayers in __init__ or build"
            )
        place.append(value)

    @property
    def weights(self) -> list[Variable]:
        """All weights: the layer's own trainable ones, its others, then those of its sublayers."""
        own = [*self._trainable_own, *self._other_own]
        return unique([*own, *(weight for layer in self._sublayers for weight in layer.weights)])

    @property
    def variables(self) -> list[Variable]:
        """The weights, and the states of seed generators."""
        own = [*self._trainable_own, *self._other_own, *(seed.state for seed in self._seeds)]
        return unique([*own, *(variable for layer in self._sublayers for variable in layer.variables)])

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that training changes. A layer may set its own list in `build`."""
        return [weight for weight in self.weights if weight.trainable] if self.trainable else []

    @trainable_weights.setter
    def trainable_weights(self, weights: list[Variable]) -> None:
        object.__setattr__(self, "_trainable_own", list(weights))
        object.__setattr__(self, "_other_own", [one for one in self._other_own if not contains(weights, one)])

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that training leaves alone. A layer may set its own list in `build`."""
        return [weight for weight in self.weights if not (self.trainable and weight.trainable)]

    @non_trainable_weights.setter
    def non_trainable_weights(self, weights: list[Variable]) -> None:
        for weight in weights:
            weight.trainable = False
        object.__setattr__(self, "_other_own", list(weights))
        object.__setattr__(self, "_trainable_own", [one for one in self._trainable_own if not contains(weights, one)])

    @property
    def trainable_variables(self) -> list[Variable]:
        """The trainable weights, in the order of gradients."""
        return [variable for variable in self.variables if variable.trainable] if self.trainable else []

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """All state that training does not change by gradients, seeds included."""
        return [variable for variable in self.variables if not (self.trainable and variable.trainable)]

    @property
    def trainable(self) -> bool:
        """Whether training changes the layer; setting it sets it for all sublayers too."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for variable in self._trainable_own:
            variable.trainable = bool(value)
        for layer in self._sublayers:
            layer.trainable = value

    @property
    def metrics(self) -> list[Any]:
        """Metrics that the layer or its sublayers hold."""
        return unique([*self._metrics, *(metric for layer in self._sublayers for metric in layer.metrics)])

    @property
    def metrics_variables(self) -> list[Variable]:
        """The state of the metrics."""
        return [variable for metric in self.metrics for variable in metric.variables]

    def get_weights(self) -> list[np.ndarray]:
        """Copies of the weights' values, in the order of `weights`."""
        return [weight.numpy() for weight in self.weights]

    def set_weights(self, weights: Iterable[Any]) -> None:
        """Take these values, in the order of `weights`. ShapeError before anything is written if they do not fit."""
        if not isinstance(weights, Iterable):
            raise ArgumentError(f"layer {self._name!r}: set_weights wants a list of arrays, not {weights!r:.60}")
        values, own = [np.asarray(value) for value in weights], self.weights
        if len(values) != len(own):
            raise ShapeError(f"layer {self._name!r} has {len(own)} weights and was given {len(values)} values")
        for weight, value in zip(own, values, strict=True):
            if value.shape != weight.shape:
                raise ShapeError(
                    f"layer {self._name!r}: weight {weight.path} has shape {weight.shape}, not {value.shape}"
                )
        for weight, value in zip(own, values, strict=True):
            weight.assign(value)

    def save_own_variables(self, store: Any) -> None:
        """Put into `store`, by a name each, what a file is to hold of this layer without its sublayers."""
        for number, variable in enumerate([*self._trainable_own, *self._other_own]):
            store[str(number)] = variable

    def load_own_variables(self, store: Any) -> None:
        """Take the values that `save_own_variables` put into `store`. ShapeError unless they fit."""
        own = [*self._trainable_own, *self._other_own]
        if len(store.keys()) != len(own):
            raise ShapeError(
                f"layer {self._name!r} has {len(own)} variables of its own, and {len(store.keys())} are there for it"
            )
        for number, variable in enumerate(own):
            variable.assign(store[str(number)])


def unique(values: Iterable[Any]) -> list[Any]:
    """Each object once, in order."""
    return list({id(value): value for value in values}.values())


def contains(values: Iterable[Any], value: Any) -> bool:
    """Whether this very object is among them; `in` would compare arrays."""
    return any(value is one for one in values)
