"""Models that are one layer after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kgraph import tree
from kgraph.errors import ArgumentError, CallIndexError, GraphError, SavingError
from kgraph.graph.types import standard_dtype
from kgraph.layers import naming
from kgraph.layers.arguments import is_tensor
from kgraph.layers.history import call_at, inputs_of, outputs_of
from kgraph.layers.input import InputLayer
from kgraph.layers.layer import Layer, is_shape
from kgraph.models.functional import Functional
from kgraph.models.model import Model
from kgraph.registry import CustomObjectScope
from kgraph.saving.objects import made, serialize_keras_object
from kgraph.tracing.trace import Symbol, suspended


class Sequential(Model):
    """A stack of layers, each on the output of the one before.

    The model is built when its input is known: from an Input or a layer with input_shape= at the bottom, or at the
    first call. A layer that is added twice shares its weights.
    """

    _stack: list[Layer]
    _bottom: InputLayer | None
    _values: list[Any]  # the symbols after each layer, once the input is known
    _functional: Functional | None
    _input_dtype: str | None
    _locks = False
    builds_in_call = False
    is_stack = True

    def __init__(self, layers: Any = None, trainable: bool = True, name: str | None = None) -> None:
        super().__init__(trainable=trainable, name=name)
        self.takes_any_positional = True
        self.autocast = False
        keep = object.__setattr__
        keep(self, "_stack", [])
        keep(self, "_bottom", None)
        keep(self, "_values", [])
        keep(self, "_functional", None)
        keep(self, "_input_dtype", None)
        if isinstance(layers, Layer):
            raise ArgumentError(f"a Sequential model is given a list of layers, and not {layers!r:.80} itself")
        for layer in layers or ():
            self.add(layer)

    @property
    def layers(self) -> list[Layer]:
        """The layers as they were added, without the input."""
        return list(self._stack)

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Put a layer on top. ArgumentError for what is no layer, GraphError for a second layer of one name."""
        if isinstance(layer, Symbol) and layer.op == "input" and layer.call is not None:
            layer = layer.call.layer
        if not isinstance(layer, Layer):
            raise ArgumentError(f"only layers can be added to model {self.name!r}, and {layer!r:.80} is none")
        if any(layer.name == other.name and layer is not other for other in [*self._stack, self._bottom] if other):
            raise GraphError(f"model {self.name!r} already has a layer called {layer.name!r}; give it another name")
        if isinstance(layer, InputLayer):
            if self._bottom is not None or self._stack:
                raise GraphError(f"model {self.name!r} already has its input or layers: the Input comes first and once")
            self._start(layer)
            return
        if not self._stack and self._bottom is None:
            shape = layer._batch_shape_argument or bottom_shape(layer)
            if shape is not None:
                self._start(InputLayer(batch_shape=shape, dtype=bottom_dtype(layer)))
        self._stack.append(layer)
        self._track(layer)
        self._forget_steps()
        if self._bottom is not None:
            self._extend(layer)

    def pop(self, rebuild: bool = True) -> Layer:
        """Take the top layer off and return it."""
        if not self._stack:
            raise GraphError(f"model {self.name!r} has no layers to take off")
        layer = self._stack.pop()
        self._forget_steps()
        object.__setattr__(self, "_sublayers", unique(self._stack))
        if self._values:
            self._values.pop()
            self._renew()
        return layer

    def build(self, input_shape: Any = None) -> None:
        """Make the weights of all layers, for inputs of this shape, the batch included."""
        if not self._stack:
            raise GraphError(f"model {self.name!r} has no layers; add some before it is built")
        if self._bottom is not None or not is_shape(input_shape):
            return
        dtype = self._input_dtype or bottom_dtype(self._stack[0])
        self._start(InputLayer(batch_shape=(None, *input_shape[1:]), dtype=dtype))
        for layer in self._stack:
            self._extend(layer)

    def _start(self, bottom: InputLayer) -> None:
        object.__setattr__(self, "_bottom", bottom)
        object.__setattr__(self, "_values", [])

    def _extend(self, layer: Layer) -> None:
        assert self._bottom is not None
        below = self._values[-1] if self._values else self._bottom.output
        with suspended(), naming.name_scope(self.name, self):
            self._values.append(layer(below))
        self._renew()

    def _renew(self) -> None:
        made = None
        if self._values and all(isinstance(leaf, Symbol) for leaf in tree.flatten(self._values[-1])):
            assert self._bottom is not None
            made = Functional(self._bottom.output, self._values[-1], name=self.name)
        object.__setattr__(self, "_functional", made)
        self.built = made is not None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if args and not self.built and is_tensor(args[0]):
            dtype = standard_dtype(args[0].dtype)
            object.__setattr__(self, "_input_dtype", dtype if dtype.startswith(("int", "uint", "bool")) else None)
        return super().__call__(*args, **kwargs)

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """The layers one after the other."""
        if self._functional is not None:
            return self._functional.call(inputs)
        for layer in self._stack:
            inputs = layer(inputs)
        return inputs

    def check_input(self, inputs: Any) -> None:
        """Raise ShapeError unless the inputs fit."""
        if self._functional is not None:
            self._functional.check_input(inputs)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Masks are found by making the calls."""
        return None

    def _entries(self, inputs: Any) -> Any:
        if inputs is None and self._functional is not None:
            return self._functional._entries(None)
        return super()._entries(inputs)

    def _known(self, what: str) -> Any:
        if self._functional is None:
            raise CallIndexError(f"model {self.name!r} has no defined {what} before it is built or called")
        return getattr(self._functional, what)

    @property
    def inputs(self) -> list[Symbol]:
        """The input symbol, in a list."""
        return self._known("inputs")

    @property
    def outputs(self) -> list[Symbol]:
        """The output symbols, in a list."""
        return self._known("outputs")

    @property
    def input(self) -> Any:
        """What its first call was on, as in Keras; before one, its own input symbol."""
        return inputs_of(call_at(self, 0, "input")) if self.inbound_nodes else self._known("input")

    @property
    def output(self) -> Any:
        """What its first call gave, as in Keras; before one, its own output symbol, or a nest of them."""
        return outputs_of(call_at(self, 0, "output")) if self.inbound_nodes else self._known("output")

    @property
    def input_shape(self) -> Any:
        """The input's shape, batch first."""
        return self._known("input_shape")

    @property
    def output_shape(self) -> Any:
        """The output's shape, batch first."""
        return self._known("output_shape")

    @property
    def input_names(self) -> list[str]:
        """The input's name, in a list."""
        return self._known("input_names")

    @property
    def output_names(self) -> list[str]:
        """The name of the last layer, in a list."""
        return self._known("output_names")

    def get_config(self) -> dict[str, Any]:
        layers = [*([self._bottom] if self._bottom else []), *self._stack]
        config = {"name": self.name, "trainable": self.trainable, "layers": list(map(serialize_keras_object, layers))}
        return config if self._bottom is None else {**config, "build_input_shape": list(self._bottom.batch_shape)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        """The model that `get_config` described. SavingError for a description that is none."""
        layers, shape = config.get("layers"), config.get("build_input_shape")
        if not isinstance(layers, list) or "name" not in config:
            raise SavingError(f"a Sequential model is described by its name and its layers, not by {config!r:.100}")
        model = cls(name=config["name"])
        with CustomObjectScope(custom_objects):
            for layer in layers:
                model.add(layer if isinstance(layer, Layer) else made(layer))
        if is_shape(shape) and not model.built:
            model.build(shape)
        object.__setattr__(model, "_trainable", config.get("trainable") is not False)
        return model


def unique(layers: list[Layer]) -> list[Layer]:
    """Each layer once, in order."""
    return list({id(layer): layer for layer in layers}.values())


def bottom_shape(layer: Layer) -> Any:
    """The input shape of a model at the bottom of the stack; None for a layer, which is built by what it is given."""
    if not isinstance(layer, Model):
        return None
    try:
        shape = layer.input_shape
    except CallIndexError:
        return None
    return shape if is_shape(shape) else None


def bottom_dtype(layer: Layer) -> str:
    """The dtype of the input that a bottom layer wants."""
    if isinstance(layer, Model) and bottom_shape(layer) is not None:
        return layer.inputs[0].dtype  # type: ignore[attr-defined]
    return getattr(layer, "index_dtype", None) or layer.compute_dtype
