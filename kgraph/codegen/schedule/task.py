"""One node on its way to a kernel: what it is given, what its values are called, which loops may be one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import prod

from kgraph.codegen.schedule.kernel import LOOP_NAMES, Kernel, Parameter, Schedule, Store
from kgraph.codegen.schedule.values import Values, stored
from kgraph.graph.index import Index, Loop, flatten, index, unflatten
from kgraph.graph.ir import Graph, Node
from kgraph.graph.op import OPS
from kgraph.graph.sizes import Dim, Shape, axes_of, axis, product, rename_axes, substitute
from kgraph.passes.group import is_embedded

CHUNK = 16384  # elements that are worth handing to a thread
UNKNOWN = 64  # what a size known only at the call is taken for, in estimates


@dataclass(frozen=True)
class Placed:
    """Where a result lies that is a part of another tensor: rows `pitch` apart, over which the leading axes run."""

    leading: int
    pitch: Dim
    offset: Dim


@dataclass
class Task:
    """One node on its way to a kernel: its body, and the canonical names of what the kernel is given."""

    body: Graph
    root: Node
    parameters: list[Parameter]
    axes: list[str]  # the graph's names of the sizes, in the order of the kernel's n0, n1, ...
    fixed: dict[str, Dim] = field(default_factory=dict)  # what some of these stand for: see `generic`
    placed: dict[str, Placed] = field(default_factory=dict)  # by parameter: results that are parts of other tensors
    threads: int = 1  # that share the work

    @property
    def names(self) -> dict[str, str]:
        return {axis: f"n{number}" for number, axis in enumerate(self.axes)}

    @property
    def sizes(self) -> tuple[Dim, ...]:
        """What the kernel is given for n0, n1, ..., in the graph's sizes."""
        return tuple(self.fixed.get(name, axis(name)) for name in self.axes)

    def known(self, size: Dim) -> Dim:
        """A size with the numbers it stands for, where they are known."""
        return substitute(size, self.fixed)

    def values(self) -> Values:
        return Values(self.body, dict(zip(self.body.inputs, self.inputs, strict=True)), self.names)

    @property
    def roots(self) -> list[Node]:
        """The nodes whose values are stored."""
        return [self.root, *(self.body[name] for name in self.body.outputs if name != self.root.name)]

    @property
    def contraction(self) -> Node:
        """The first einsum of the body, which has one."""
        return next(node for node in self.body if node.op == "einsum")

    @property
    def inputs(self) -> list[str]:
        return [parameter.name for parameter in self.parameters[: -len(self.roots)]]

    @property
    def outs(self) -> list[Parameter]:
        """Where they are stored."""
        return self.parameters[-len(self.roots) :]

    def stores(self, values: Values, places: Iterable[Sequence[Index] | None]) -> tuple[Store, ...]:
        """The stores of the roots' elements at these places, one for each root; None for those that are not due."""
        made = []
        for root, out, place in zip(self.roots, self.outs, places, strict=True):
            if place is not None:
                text = values.element(root.name, place)
                made.append(Store(out.name, self.address(values, out.name, place), stored(text, root.tensor.dtype)))
        return tuple(made)

    def address(self, values: Values, out: str, place: Sequence[Index]) -> str:
        """Where in memory an element of a root is written; `out` is the parameter for the root."""
        root = next(root for root, one in zip(self.roots, self.outs, strict=True) if one.name == out)
        shape, own = root.tensor.shape, self.placed.get(out)
        if own is None:
            return values.address(root.tensor, place)
        rows = flatten(place[: own.leading], shape[: own.leading])
        return values.position(rows * own.pitch + flatten(place[own.leading :], shape[own.leading :]) + own.offset)

    def kernel(self, schedule: Schedule, extent: Dim, grain: Dim, stems: dict[str, str]) -> Kernel:
        """The finished kernel."""
        outs = {out.name: root.name for out, root in zip(self.outs, self.roots, strict=True)}
        shown = {**dict(zip(self.inputs, self.body.inputs, strict=True)), **outs, **stems}
        dtypes = [self.body[name].tensor.dtype for name in self.body.nodes] + [self.root.tensor.dtype]
        wide = "float64" if "float64" in dtypes else "float32"
        sizes = tuple(self.names.values())
        extent, grain = rename_axes(extent, self.names), rename_axes(grain, self.names)
        grain = max(1, grain) if isinstance(grain, int) else grain
        return Kernel(tuple(self.parameters), sizes, schedule, extent, grain, wide, tuple(shown.items()))


def task_of(graph: Graph, node: Node) -> tuple[Task, list[str]]:
    """The task of one node, and the names of the values it is given."""
    body, sources = body_of(graph, node)
    root = body[body.outputs[0]]
    parameters = [Parameter(f"in{slot}", body[name].tensor.dtype) for slot, name in enumerate(body.inputs)]
    mentioned = [(part.tensor.shape, tuple(part.attrs.values())) for part in body]
    axes = sorted(axes_of(mentioned), key=str)
    outs = [Parameter(f"out{number or ''}", body[name].tensor.dtype) for number, name in enumerate(body.outputs)]
    return Task(body, root, [*parameters, *outs], axes), sources


def generic(task: Task) -> Task:
    """The same contraction with a name for the size of each letter: one kernel serves operands of any size.

    Left as it is where ops move elements, whose attributes depend on sizes.
    """
    if any(OPS[node.op].kind not in ("map", "contract") for node in task.body if node.op in OPS):
        return task
    einsum = task.contraction
    terms, result = einsum.attrs["spec"].split("->")
    operands = task.body.arguments(einsum.name)
    fixed: dict[str, Dim] = {}
    for term, name in zip(terms.split(","), operands, strict=True):
        for letter, size in zip(term, task.body[name].tensor.shape, strict=True):
            if size != 1:
                fixed.setdefault(f"size_{letter}", size)
    letters = {name: term for term, name in zip(terms.split(","), operands, strict=True)}
    body = task.body.copy()
    for node in task.body:
        shape = node.tensor.shape
        run = letters.get(node.name) or result.rjust(len(shape))[-len(shape) :] if shape else ""
        named = (size if size == 1 else axis(f"size_{letter}") for letter, size in zip(run, shape, strict=True))
        body.set(node.name, type=replace(node.tensor, shape=tuple(named)))
    mentioned = sorted(axes_of([tuple(node.attrs.values()) for node in body]), key=str)
    return Task(body, body[task.root.name], task.parameters, [*mentioned, *fixed], fixed)


def body_of(graph: Graph, node: Node) -> tuple[Graph, list[str]]:
    """What a node does inside, and what it is given; a node that is not fused is a body of one op."""
    if node.body is not None:
        return node.body, graph.arguments(node.name)
    body, names, sources = Graph(), [], []
    for source in graph.arguments(node.name):
        if source not in body:
            given = graph[source]
            if is_embedded(graph, given, [node.name]):
                body.add(given)
            else:
                body.add(Node(source, "input", given.type))
                sources.append(source)
        names.append(source)
    body.outputs = [body.add(node, *names)]
    return body, sources


def spread(loops: Sequence[Loop], groups: Sequence[Sequence[int]], shape: Sequence[Dim]) -> list[Index]:
    """The index of each axis, where one loop runs over each group of neighbouring axes."""
    indices = [Index()] * len(shape)
    for loop, group in zip(loops, groups, strict=True):
        for place, one in zip(group, unflatten(index(loop), tuple(shape[a] for a in group)), strict=True):
            indices[place] = one
    return indices


def mergeable(loops: Sequence[Loop], values: Values, names: dict[str, str]) -> int | None:
    """The first two neighbouring loops that every address walks through as if they were one."""
    for position, (outer, inner) in enumerate(pairwise(loops)):
        if outer.name in values.opaque or inner.name in values.opaque:
            continue
        extent = rename_axes(inner.extent, names)
        factors = [
            {atom.name: factor for atom, factor in load.terms if isinstance(atom, Loop)} for load in values.loads
        ]
        inside = [
            name for load in values.loads for atom, _ in load.terms if isinstance(atom, Loop) for name in [atom.name]
        ]
        if any(re.search(rf"\b[{outer.name}{inner.name}]\b", name) for name in inside if len(name) > 1):
            continue  # used inside an index that is read from memory
        if all(one.get(outer.name, 0) == one.get(inner.name, 0) * extent for one in factors):
            return position
    return None


def renamed_loops(loops: Sequence[Loop], task: Task) -> list[Loop]:
    return [Loop(loop.name, rename_axes(loop.extent, task.names)) for loop in loops]


def estimate(size: Dim) -> int:
    if isinstance(size, int):
        return max(1, size)
    return max(1, sum(factor * prod(UNKNOWN for _ in atoms) for atoms, factor in size.terms))


def kept(shape: Shape, axes: Sequence[int]) -> list[list[int]]:
    """These axes as groups of one, those of size 1 left out: the loops to start merging from."""
    return [[axis] for axis in axes if shape[axis] != 1]


def loops_over(groups: Sequence[Sequence[int]], shape: Shape, first: int = 0) -> list[Loop]:
    """One loop for each group of axes, named from the `first` letter on."""
    sizes = (product(shape[axis] for axis in group) for group in groups)
    return [Loop(LOOP_NAMES[first + number], size) for number, size in enumerate(sizes)]
