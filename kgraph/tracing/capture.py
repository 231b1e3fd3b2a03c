"""What a function does with symbols, as a graph of its own: the body of a loop or of a branch.

Whatever the function reads and does not compute from its own arguments is computed outside, once: weights, symbols of
the model around it, and what follows from these alone. Each becomes an input of the body after the arguments. Where the
body may not run at all, what an index may stop is computed inside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kgraph.errors import GraphError
from kgraph.graph.ir import Graph, Node
from kgraph.graph.loop import can_refuse
from kgraph.tracing.trace import Symbol, Trace, active, insert, needed, symbol_input

BROUGHT = ("input", "param", "ref")  # values that nothing computes


def capture(
    outputs: Sequence[Symbol], given: Sequence[Symbol] = (), since: int | None = None, lookups_since: int | None = None
) -> tuple[Graph, list[Symbol]]:
    """The graph of `outputs` with the inputs `given` and, after them, those that stand for the symbols returned.

    since: a serial number; all that was made later is computed inside, though it does not depend on the arguments.
    lookups_since: the same, of what is refused where an index points outside.
    """
    order = needed(outputs)
    marked = {one.serial for one in order if since is not None and one.serial > since and one.op not in BROUGHT}
    if lookups_since is not None:
        marked |= {one.serial for one in order if one.serial > lookups_since and can_refuse(one.op, one.attrs)}
    inside = _inside(order, given, marked)
    captured: dict[int, Symbol] = {}
    for symbol in order:
        if symbol.serial in inside:
            captured.update((one.serial, one) for one in symbol.inputs if one.serial not in inside)
    captured.update((one.serial, one) for one in outputs if one.serial not in inside)
    body = Graph()
    names: dict[int, str] = {}
    brought: dict[str, Symbol] = {}  # references to a node are one value
    for one in (*given, *captured.values()):
        same = brought.setdefault(one.stem, one) if one.op == "ref" else one
        if same is one:
            names[one.serial] = body.add(Node(body.fresh(one.stem or one.op), "input", one.type, {}, one.origin))
        else:
            names[one.serial] = names[same.serial]
    for symbol in order:
        if symbol.serial in inside and symbol.serial not in names:
            insert(body, symbol, names)
    body.outputs = [names[one.serial] for one in outputs]
    return body, [one for one in captured.values() if brought.get(one.stem, one) is one or one.op != "ref"]


def _inside(order: Sequence[Symbol], given: Sequence[Symbol], marked: set[int]) -> set[int]:
    """What is marked or computed from the arguments, what follows, and the numbers that kernels write in their text."""
    own = {one.serial for one in given}
    numbers: set[int] = set()
    for symbol in order:
        if symbol.serial in marked or any(one.serial in own for one in symbol.inputs):
            own.add(symbol.serial)
        elif _is_scalar(symbol) and all(one.serial in numbers for one in symbol.inputs):
            numbers.add(symbol.serial)
    return own | numbers


def _is_scalar(symbol: Symbol) -> bool:
    return not isinstance(symbol.type, tuple) and symbol.type.shape == () and symbol.op not in (*BROUGHT, "item")


class Watched:
    """A function called on symbols, again and again if need be, and the variables that it assigns to.

    A variable that the function assigns is state of the loop: the function is called once more with a symbol in the
    place of the variable's value, and what it assigns is a result.
    """

    def __init__(self, call: Callable[..., Any], what: str) -> None:
        self.call, self.what = call, what
        self.state: list[Any] = []  # the variables that are assigned
        self.before: list[Symbol] = []  # what they are when the loop begins

    def run(self, *arguments: Any) -> tuple[Any, list[Symbol], list[Symbol]]:
        """The function's result, the symbols that stand for its state, and the new values of that."""
        trace = active()
        assert trace is not None
        known, losses = dict(trace.updates), len(trace.losses)
        try:
            result = self.call(*arguments)
            self.state = [one for one, value in trace.updates.items() if known.get(one) is not value]
            if len(trace.losses) != losses:
                raise GraphError(f"{self.what} adds a loss; a loss is added once in a call, not in each step of a loop")
            if not self.state:
                return result, [], []
            trace.updates = dict(known)
            self.before = [one.current() for one in self.state]
            return (*self._again(trace, arguments),)
        finally:
            trace.updates = known

    def _again(self, trace: Trace, arguments: tuple[Any, ...]) -> tuple[Any, list[Symbol], list[Symbol]]:
        held = [symbol_input(one.path, one.type) for one in self.state]
        trace.updates.update(zip(self.state, held, strict=True))
        result = self.call(*arguments)
        return result, held, [trace.updates[one] for one in self.state]
