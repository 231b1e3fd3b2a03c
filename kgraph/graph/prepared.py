"""A graph made ready to be evaluated again and again, for inputs of one shape; `evaluate` says what it means.

Bodies of calls are opened, sizes are numbers, and what depends on no input is computed once. What is left is a list of
numpy functions and the places of their operands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kgraph.graph.evaluate import EXPAND, bind_sizes
from kgraph.graph.ir import GRADIENTS, Graph, Node
from kgraph.graph.op import OPS
from kgraph.graph.sizes import resolve
from kgraph.graph.types import HALF, numpy_dtype

Places = tuple[int, ...]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Work:
    """One op: where its operands are, what is computed, and where the result goes."""

    place: int
    function: Callable[..., Any]
    operands: Places
    attrs: Mapping[str, Any]
    dtype: np.dtype


@dataclass(frozen=True)
class Region:
    """A loop or a branch: its results come together."""

    places: Places
    function: Callable[[list[Any]], Sequence[Any]]
    operands: Places


class Prepared:
    """The outputs, and then the new values of `updates`, of a graph for inputs of these shapes.

    sizes: of the axes that a graph around this one has named. ShapeError for shapes that do not fit the graph.
    """

    def __init__(self, graph: Graph, shapes: Sequence[Shape], sizes: Mapping[str, int] | None = None) -> None:
        self._values: list[Any] = []  # constants and variables' memory in their places
        self._known: set[int] = set()  # places of what depends on no input and no variable
        self._read: dict[Any, int] = {}  # variables by the places of their values
        self._works: list[Work | Region] = []
        self._count = len(graph.inputs)
        given = tuple(self._new() for _ in range(self._count))
        self._results = self._open(graph, shapes, given, (), sizes)
        self._copied = [(place, variable) for variable, place in self._read.items() if variable.dtype in HALF]

    @property
    def has_constant_results(self) -> bool:
        """Whether a result depends on no input and no variable: then it is one array for all calls."""
        return any(place in self._known for place in self._results)

    @property
    def reads(self) -> list[Any]:
        """The variables that it reads."""
        return list(self._read)

    def __call__(self, arguments: Sequence[Any]) -> list[Any]:
        """Compute. Who calls it lets numpy be quiet about NaN and infinity, as where ops are computed one by one."""
        values = self._values.copy()
        values[: self._count] = arguments
        for place, variable in self._copied:
            values[place] = variable.numbers
        for work in self._works:
            if type(work) is Work:
                made = work.function(*[values[one] for one in work.operands], **work.attrs)
                if type(made) is not np.ndarray:
                    made = np.asarray(made)
                values[work.place] = made if made.dtype is work.dtype else made.astype(work.dtype, copy=False)
            else:
                results = work.function([values[one] for one in work.operands])
                for place, value in zip(work.places, results, strict=True):  # type: ignore[union-attr]
                    values[place] = value
        return [values[place] for place in self._results]

    # -- making the list

    def _new(self, value: Any = None, known: bool = False) -> int:
        self._values.append(value)
        if known:
            self._known.add(len(self._values) - 1)
        return len(self._values) - 1

    def _open(
        self,
        graph: Graph,
        shapes: Sequence[Shape],
        inputs: Places,
        params: Places,
        known: Mapping[str, int] | None,
    ) -> Places:
        """Add what a graph computes; gives the places of its outputs, and of the new values of its updates."""
        sizes = bind_sizes(graph, shapes, known)
        places: dict[str, Places] = {name: (place,) for name, place in zip(graph.inputs, inputs, strict=True)}
        if params:
            places.update({node.name: (at,) for node, at in zip(graph.params(), params, strict=True)})
        if any(graph[name].op == GRADIENTS for name in graph.nodes):
            graph = EXPAND[0](graph)
        for node in graph:
            if node.name not in places:
                sources = graph.arguments(node.name)
                places[node.name] = self._add(graph, node, sources, [places[name] for name in sources], sizes)
        return tuple(places[name][0] for name in [*graph.outputs, *graph.updates.values()])

    def _add(
        self, graph: Graph, node: Node, sources: Sequence[str], operands: list[Places], sizes: dict[str, int]
    ) -> Places:
        if node.op == "param":
            return (self._variable(node.attrs["variable"]),)
        if node.op == "const":
            return (self._new(node.attrs["value"], known=True),)
        if node.op == "item":
            return (operands[0][node.attrs["index"]],)
        flat = tuple(places[0] for places in operands)
        if node.body is None:
            return (self._op(node, flat, sizes),)
        shapes = [resolve(graph[name].tensor.shape, sizes) for name in sources]
        if node.op in ("loop", "cond"):
            made = looped(node, shapes, sizes) if node.op == "loop" else chosen(node, shapes[1:], sizes)
            kinds = node.type if isinstance(node.type, tuple) else (node.type,)
            places = tuple(self._new() for _ in kinds)
            self._works.append(Region(places, made, flat))
            return places
        body, count = node.body, len(node.body.inputs)
        return self._open(body, shapes[:count], flat[:count], flat[count:], sizes)

    def _variable(self, variable: Any) -> int:
        if variable not in self._read:
            self._read[variable] = self._new(variable.numbers)  # its memory stays where it is
        return self._read[variable]

    def _op(self, node: Node, operands: Places, sizes: dict[str, int]) -> int:
        attrs = {key: resolve(value, sizes) for key, value in node.attrs.items()}
        dtype = numpy_dtype(node.tensor.dtype)
        if all(place in self._known for place in operands):
            with np.errstate(all="ignore"):
                made = np.asarray(OPS[node.op].numpy(*[self._values[place] for place in operands], **attrs))
            return self._new(made.astype(dtype, copy=False), known=True)
        place = self._new()
        self._works.append(Work(place, OPS[node.op].numpy, operands, attrs, dtype))
        return place


def looped(node: Node, shapes: Sequence[Shape], sizes: dict[str, int]) -> Callable[[list[Any]], list[Any]]:
    """What a loop does: all its results for its operands. See `evaluate`, and ops/loops.py."""
    body, attrs = node.body, node.attrs
    assert body is not None
    carried, scanned = attrs["carried"], attrs["scanned"]
    inner = [shape[1:] if carried <= n < carried + scanned else shape for n, shape in enumerate(shapes)]
    step, count = Prepared(body, inner, sizes=sizes), resolve(attrs["length"], sizes)
    made = [body[name].tensor for name in body.outputs[carried:]]
    stacked = [((count, *resolve(one.shape, sizes)), numpy_dtype(one.dtype)) for one in made]

    def run(arguments: list[Any]) -> list[Any]:
        state, rest = arguments[:carried], arguments[carried + scanned :]
        cut = arguments[carried : carried + scanned]
        stacks = [np.zeros(*one) for one in stacked]
        for number in reversed(range(count)) if attrs["reverse"] else range(count):
            if attrs["guarded"] and not state[0]:
                break
            values = step([*state, *(x[number] for x in cut), *rest])
            state = values[:carried]
            for stack, value in zip(stacks, values[carried:], strict=True):
                stack[number] = value
        return [*state, *stacks]

    return run


def chosen(node: Node, shapes: Sequence[Shape], sizes: dict[str, int]) -> Callable[[list[Any]], list[Any]]:
    """What a branch does: the results of one of two bodies, by its first operand."""
    yes, no = (Prepared(node.attrs[which], shapes, sizes=sizes) for which in ("body", "other"))

    def run(arguments: list[Any]) -> list[Any]:
        return (yes if arguments[0] else no)(arguments[1:])

    return run
