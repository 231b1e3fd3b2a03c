"""Calls of layers on arrays: what was traced for arrays of these shapes is computed again, and not traced again.

That is done where it cannot be told from tracing: `call` is kgraph's own, nothing that it reads has changed since, and
nobody records what is computed. All else is done by `calls.call_layer`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from kgraph import config, tree
from kgraph.graph.prepared import Prepared
from kgraph.layers import calls
from kgraph.layers.calls import Body
from kgraph.layers.masks import carrying
from kgraph.layers.owner import Owner, changes
from kgraph.tracing.scope import active, stands
from kgraph.tracing.trace import Symbol, keeping
from kgraph.tracing.variable import Variable

MOST = 64  # shapes that one layer remembers
UNREAD = frozenset(
    ("_given", "_build_shapes", "inbound_nodes", "_first_weights", "_remembered", "_first_shapes")
)  # by no `call`
SIMPLE = (str, int, float, bool, type(None), np.generic, np.dtype, Variable, Owner)


class Remembered:
    """What a layer's calls have been, and what is known of the layer: good until something changes."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.changes = changes()
        self.programs: dict[Any, Program] = {}

    @cached_property
    def layers(self) -> list[Any]:
        """The layer, and those inside of it."""
        return [self.layer, *self.layer.flat_layers()]

    @cached_property
    def is_safe(self) -> bool:
        """Whether tracing a call again gives the same."""
        return all(map(is_own, self.layers))

    def keep(self, key: Any, body: Body, count: int) -> None:
        """Remember a call on so many arrays, unless a constant or somebody else's variable has a part in it."""
        is_whole = all(leaf is not None for leaf in tree.flatten(body.outputs))
        if self.changes != changes() or len(body.sources) != count or not is_whole:
            return
        made = Program(body, self.layers)
        known = {id(variable) for variable in self.layer.variables}
        if made.prepared.has_constant_results or any(id(one) not in known for one in made.prepared.reads):
            return
        if len(self.programs) >= MOST:
            self.programs.clear()
        self.programs[key] = made


class Program:
    """A traced call, ready to be computed."""

    def __init__(self, body: Body, layers: Sequence[Any]) -> None:
        self.layers, self.updates, self.losses = layers, body.updates, body.losses
        self.prepared = Prepared(body.graph, [np.shape(source) for source in body.sources])
        self.is_single = not tree.is_nested(body.outputs)
        self.masks = body.masks  # of inputs without masks: none, or a position among the results
        self.is_plain = self.is_single and not body.updates and not body.losses and body.masks == [None]
        self.structure = tree.map_structure(lambda _: 0, body.outputs)

    def __call__(self, arrays: Sequence[np.ndarray]) -> Any:
        with np.errstate(all="ignore"):
            found = self.prepared(arrays)
        for layer in self.layers:
            layer._losses.clear()
        if self.is_plain:
            return found[0]
        rest = iter(found)
        flat = [carrying(next(rest), None if mask is None else found[mask]) for mask in self.masks]
        for variable, value in zip(self.updates, rest, strict=False):
            variable.write(value)
        self.layers[0]._losses.extend(next(rest) for _ in range(self.losses))
        return flat[0] if self.is_single else tree.pack_sequence_as(self.structure, flat)


def call(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a layer: from memory, if this call has been made before and can be remembered."""
    arrays = args[0] if len(args) == 1 else None
    if type(arrays) is np.ndarray:
        inputs, structure = [arrays], None
    elif isinstance(arrays, (list, tuple, dict)):
        inputs, structure = tree.flatten(arrays), tree.signature(arrays)
    else:
        return calls.call_layer(layer, args, kwargs)
    key = key_of(inputs, structure, kwargs)
    if key is None or active() is not None or keeping.get() is not None or stands() is not None:
        return calls.call_layer(layer, args, kwargs)
    known = layer.__dict__.get("_remembered")
    if known is None or known.changes != changes():
        outputs = calls.call_layer(layer, args, kwargs)
        object.__setattr__(layer, "_remembered", Remembered(layer))  # the layers are there now, and will stay
        return outputs
    found = known.programs.get(key)
    if found is not None:
        return found(inputs)
    if not known.is_safe:
        return calls.call_layer(layer, args, kwargs)
    return calls.call_layer(layer, args, kwargs, lambda body: known.keep(key, body, len(inputs)))


def key_of(inputs: Sequence[Any], structure: Any, kwargs: Mapping[str, Any]) -> Any:
    """What a call has in common with those that are traced alike; None for a call that is always traced."""
    training = None
    if kwargs:
        training = kwargs.get("training")
        if len(kwargs) > 1 or "training" not in kwargs or not (training is None or isinstance(training, bool)):
            return None
    for one in inputs:
        if type(one) is not np.ndarray:
            return None
    return training, config.settings(), structure, *[(one.shape, one.dtype) for one in inputs]


def is_own(layer: Any) -> bool:
    """Whether a call of the layer does what kgraph's code says, and reads nothing that changes without notice."""
    cls, own = type(layer), vars(layer)
    if not (is_of_kgraph(cls) and is_of_kgraph(cls.call)) or "call" in own:
        return False
    if hasattr(layer, "_stack") or hasattr(layer, "_steps"):  # Sequential and Functional: `call` calls layers
        given = [step.symbol.call for step in getattr(layer, "_steps", ()) if step.symbol.call is not None]
        return all(is_fixed(leaf) for one in given for leaf in tree.flatten([one.args, one.kwargs]))
    return layer.activity_regularizer is None and all(is_fixed(own[name]) for name in own.keys() - UNREAD)


def is_fixed(value: Any) -> bool:
    """Whether it is a number or the like, something that gives notice of its changes, or kgraph's own code."""
    if isinstance(value, (list, tuple)):
        return all(map(is_fixed, value))
    if isinstance(value, dict):
        return all(map(is_fixed, value.values()))
    if isinstance(value, (*SIMPLE, Symbol)):
        return True
    return is_of_kgraph(value if hasattr(value, "__qualname__") else type(value))


def is_of_kgraph(value: Any) -> bool:
    """Whether a class or function is kgraph's own."""
    return str(getattr(value, "__module__", "")).startswith("kgraph.")
