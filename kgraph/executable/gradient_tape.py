"""`GradientTape`: gradients asked for where a model or a training step is written.

Inside something that is traced, a gradient is a node of the graph, (value, *sources, *held) -> a gradient for each
source, and `autodiff.expand` puts the ops in its place that compute it. What is held was computed before the tape
began, and counts as constant: weights that another tape's gradients have changed, for one.

Elsewhere what is computed on arrays is recorded, and the graph of what was recorded is evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self

import numpy as np

from kgraph import ops, tree
from kgraph.errors import ArgumentError, DTypeError, GraphError
from kgraph.graph.evaluate import evaluate
from kgraph.graph.ir import GRADIENTS
from kgraph.graph.types import is_float
from kgraph.tracing.origin import user_line
from kgraph.tracing.recording import Recorder, recorded, recorder
from kgraph.tracing.trace import Symbol, active, as_symbol, collect, filled, keeping, needed
from kgraph.tracing.variable import Variable

UNCONNECTED = ("none", "zero")


class GradientTape:
    """What is computed under a tape has gradients.

        with GradientTape() as tape:
            loss = loss_of(model(x, training=True), y)
        gradients = tape.gradient(loss, model.trainable_variables)

    persistent: whether `gradient` may be asked more than once. Tapes nest: the gradient that an inner one gives has
    gradients on an outer one. Every variable and tensor counts as watched; what was computed from them before the tape
    began, and what variables were assigned before, counts as constant.

    Source of the interface: tf.GradientTape.
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        self.persistent, self.watches_variables = persistent, watch_accessed_variables
        self._asked = False
        self._before: dict[Any, Symbol] = {}  # the values of variables that were assigned before the tape began
        self._since = 0  # the serial of symbols made under the tape is greater
        self._recorder: Recorder | None = None
        self._recording = ExitStack()

    def __enter__(self) -> Self:
        trace, self._since = active(), Symbol("mark").serial
        if trace is not None:
            self._before = dict(trace.updates)
        else:
            self._recorder = recorder() or Recorder()
            self._recording.enter_context(self._recorder.on())
        return self

    def __exit__(self, *_: Any) -> None:
        self._recording.close()

    def watch(self, tensor: Any) -> None:
        """Let there be gradients with respect to arrays; variables, symbols and what is computed have them anyway."""
        if self._recorder is not None:
            for one in tree.flatten(tensor):
                self._recorder.watch(one)

    @contextmanager
    def stop_recording(self) -> Iterator[None]:
        """Inside the block, what is computed counts as constant. In a trace it does nothing."""
        token = keeping.set(None)
        try:
            yield
        finally:
            keeping.reset(token)

    def reset(self) -> None:
        """Let a gradient be asked for again."""
        self._asked = False

    def gradient(
        self, target: Any, sources: Any, output_gradients: Any = None, unconnected_gradients: str = "none"
    ) -> Any:
        """d target / d source for each of a nest of variables and symbols, in the same nest.

        target: a tensor, or a nest whose elements are added up. output_gradients: what each element of the target is
        weighed with, default 1. unconnected_gradients: what a source gets that the target does not depend on, "none"
        or "zero". GraphError: asked twice of a tape that is not persistent. DTypeError: the target is no float.
        """
        if unconnected_gradients not in UNCONNECTED:
            raise ArgumentError(f"unconnected_gradients must be one of {UNCONNECTED}, not {unconnected_gradients!r}")
        if self._asked and not self.persistent:
            raise GraphError("a tape gives gradients once, unless it is made with GradientTape(persistent=True)")
        self._asked = True
        for one in tree.flatten(target):
            if type(one) is np.ndarray:
                raise GraphError(
                    "the target was not computed under the tape from what it watches, or by numpy: use kgraph.ops on "
                    "variables, layers' outputs, and arrays given to tape.watch"
                )
        value = total(tree.map_structure(self._symbol, target), output_gradients)
        wanted = [self._symbol(source) for source in tree.flatten(sources)]
        order = needed([value])
        reached = {symbol.serial for symbol in order}
        there = [symbol for symbol in wanted if origin_of(symbol).serial in reached]
        held = computed_before(self._since, order, there)
        found = dict(zip([one.serial for one in there], gradients_of(value, there, held), strict=True))
        zero = unconnected_gradients == "zero"
        parts = [found.get(one.serial, filled(0.0, one.type) if zero else None) for one in wanted]
        return tree.pack_sequence_as(sources, parts if self._recorder is None else computed(parts))

    def _symbol(self, value: Any) -> Symbol:
        if isinstance(value, Variable):
            return self._before[value] if value in self._before else value.as_param()
        if isinstance(value, Symbol):
            return value
        if self._recorder is None or not isinstance(value, np.ndarray):
            raise DTypeError(f"gradients are taken of and with respect to variables and tensors, not {value!r:.60}")
        return self._recorder.symbol(value)


def origin_of(symbol: Symbol) -> Symbol:
    """The symbol, or the call it is a result of: other results of that call may depend on it."""
    return symbol.inputs[0] if symbol.op == "item" else symbol


def computed_before(since: int, order: list[Symbol], sources: list[Symbol]) -> list[Symbol]:
    """What was computed from the sources before `since`, and is read by what was made later."""
    depends = {symbol.serial for symbol in sources}
    early: set[int] = set()
    held: dict[int, Symbol] = {}
    for symbol in order:
        if symbol.serial < since or (symbol.op == "item" and symbol.inputs[0].serial in early):
            early.add(symbol.serial)
        known = [one for one in symbol.inputs if one.serial in depends]
        if known:
            depends.add(symbol.serial)
        if symbol.serial not in early:
            held.update((one.serial, one) for one in known if one.serial in early)
    return [symbol for serial, symbol in held.items() if serial not in {one.serial for one in sources}]


def computed(symbols: list[Symbol | None]) -> list[Any]:
    """The values of what was recorded, as arrays; recorded themselves while another tape runs."""
    there = [symbol for symbol in symbols if symbol is not None]
    values, _ = evaluate(collect(there), [])
    keep = recorder()
    arrays = [np.asarray(value) for value in values]
    made = iter(arrays if keep is None else map(recorded, arrays, there))
    return [None if symbol is None else next(made) for symbol in symbols]


def total(target: Any, weights: Any = None) -> Symbol:
    """The sum of all elements of a nest of tensors, each times its weight."""
    parts = [as_symbol(part) for part in tree.flatten(target)]
    if weights is not None:
        given = [as_symbol(ops.stop_gradient(one)) for one in tree.flatten(weights)]
        parts = [ops.sum(part * one) for part, one in zip(parts, given, strict=True)]
    for part in parts:
        if not is_float(part.type.dtype):
            raise DTypeError(f"{part.name} is {part.type}; only a floating value has gradients")
    return parts[0] if len(parts) == 1 else sum(map(ops.sum, parts[1:]), ops.sum(parts[0]))


def gradients_of(value: Symbol, wrt: list[Symbol], held: list[Symbol]) -> list[Symbol]:
    """The gradients of the sum of a value's elements, as symbols; what is held counts as constant."""
    if not wrt:
        return []
    kinds = tuple(symbol.type for symbol in wrt)
    origin = user_line()
    node = Symbol(GRADIENTS, (value, *wrt, *held), {}, kinds, "gradients", origin)
    return [Symbol("item", (node,), {"index": k}, kind, f"gradients.{k}", origin) for k, kind in enumerate(kinds)]
