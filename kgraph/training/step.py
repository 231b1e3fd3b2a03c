"""A step of training, testing or predicting as compiled code: one graph with all that it reads and changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kgraph import tree
from kgraph.executable.direct import executable
from kgraph.executable.executable import Definition, Executable, Options
from kgraph.graph.sizes import N, Size
from kgraph.graph.types import TensorType, type_of
from kgraph.layers import naming
from kgraph.tracing.trace import Symbol, as_symbol, collect, symbol_input, tracing

Kinds = tuple[TensorType | None, ...]


class CompiledStep:
    """A step for data of one structure and type; any batch size goes."""

    def __init__(self, step: Callable[[Any], Any], data: Any, kinds: Kinds, training: bool) -> None:
        """step: `train_step` or its like. data: a nest like that it will be given. kinds: the types of its leaves.

        As in Keras, layers that the step calls without `training=` do what the default of their own `call` says.
        """
        names = _names(data)
        symbols = [None if kind is None else symbol_input(name, kind) for name, kind in zip(names, kinds, strict=True)]
        inputs = [symbol for symbol in symbols if symbol is not None]
        with naming.outermost(), tracing() as found:
            self.structure = step(tree.pack_sequence_as(data, symbols))
            flat = [as_symbol(leaf) for leaf in tree.flatten(self.structure) if leaf is not None]
        graph = collect(flat, inputs, found.updates)
        self.structure = tree.map_structure(lambda leaf: None if leaf is None else 0, self.structure)
        options = Options(training=training)
        nest = [0] * len(flat) if tree.is_nested(self.structure) else 0
        self.executable: Executable = executable(Definition(graph, nest, [], len(flat)), options)
        self.inputs = len(inputs)

    def __call__(self, data: Any) -> Any:
        """Take the step on a batch of arrays; what it returns, in the nest that the step's function gave."""
        return self.packed(self.executable(*(leaf for leaf in tree.flatten(data) if leaf is not None)))

    def packed(self, outputs: Any) -> Any:
        """The outputs of the program in the nest of the step's function."""
        if not tree.is_nested(self.structure):
            return outputs
        rest = iter(outputs)
        return tree.map_structure(lambda leaf: None if leaf is None else next(rest), self.structure)


class Steps:
    """The compiled steps of one kind, made when data of a new type comes."""

    def __init__(
        self,
        step: Callable[[Any], Any],
        training: bool,
        inputs: Callable[[], Sequence[Symbol] | None],
        eager: bool = False,
    ) -> None:
        """inputs: the symbols of the model's inputs, where they are known: axes that these leave open stay open.

        eager: compute the step by numpy, one op after the other.
        """
        self.step, self.training, self.inputs, self.eager = step, training, inputs, eager
        self._made: dict[Any, CompiledStep] = {}

    def find(self, data: Any) -> Callable[[Any], Any]:
        """The step for data of this type: a function of a batch."""
        return self.step if self.eager else self.compiled(data)

    def compiled(self, data: Any) -> CompiledStep:
        """The compiled step for data of this type."""
        leaves = tree.flatten(data)
        kinds = self._kinds(data, leaves)
        key = tree.signature(data), kinds
        if key not in self._made:
            self._made[key] = CompiledStep(self.step, data, kinds, self.training)
        return self._made[key]

    def _kinds(self, data: Any, leaves: Sequence[Any]) -> Kinds:
        """The types of the leaves: the batch open, and what the model's inputs leave open, wherever it shows."""
        symbols = self.inputs() or ()
        x = data[0] if isinstance(data, tuple) else data
        count = len(tree.flatten(x))
        known = [symbol.type.shape for symbol in symbols] if len(symbols) == count and not isinstance(x, dict) else []
        open_sizes: dict[tuple[int, int], Size] = {}  # (axis, its size now) -> its name
        for shape, leaf in zip(known, leaves, strict=False):
            for axis, size in enumerate(shape):
                if axis and isinstance(size, Size) and leaf is not None and axis < leaf.ndim:
                    open_sizes.setdefault((axis, leaf.shape[axis]), size)
        return tuple(None if leaf is None else _kind(leaf, open_sizes) for leaf in leaves)


def _kind(leaf: np.ndarray, open_sizes: dict[tuple[int, int], Size]) -> TensorType:
    rest = [open_sizes.get((axis, size), size) for axis, size in enumerate(leaf.shape)][1:]
    return TensorType((N, *rest) if leaf.ndim else (), type_of(leaf).dtype)


def _names(data: Any) -> list[str]:
    """What the inputs of a step's graph are called: x, y, sample_weight, numbered where there are several."""
    parts = data if isinstance(data, tuple) else (data,)
    names = []
    for stem, part in zip(("x", "y", "sample_weight"), parts, strict=False):
        count = len(tree.flatten(part))
        names += [stem] if count == 1 else [f"{stem}_{number}" for number in range(count)]
    return names
