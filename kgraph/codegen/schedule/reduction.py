"""Kernels that reduce: sums, softmax, normalisation, their gradients. The reductions of one kernel share their axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kgraph.codegen.schedule.kernel import (
    GREATEST,
    Accumulator,
    Block,
    Columns,
    Find,
    Fold,
    Kernel,
    Lines,
    Nest,
    Rows,
    Sweep,
)
from kgraph.codegen.schedule.source import strips
from kgraph.codegen.schedule.task import CHUNK, Task, estimate, kept, loops_over, mergeable, renamed_loops, spread
from kgraph.codegen.schedule.values import Place, Values, constructor
from kgraph.graph.index import Index, Loop
from kgraph.graph.ir import Graph, Node
from kgraph.graph.op import CURVE, OPS
from kgraph.graph.sizes import product
from kgraph.graph.types import FLOATS, HALF, TensorType, numpy_dtype

FETCHED = range(128, 8193)  # elements of a row that is fetched ahead
MOST_FETCHED = 4  # rows at a time: more would leave no room in the first cache for those at hand
SPREADING = frozenset(
    ("add", "subtract", "multiply", "divide", "negative", "reciprocal", "log")
)  # NaN, element by element


@dataclass(frozen=True)
class Frame:
    """The tensor that is reduced, the axes along which, the loops over the others and over these."""

    kind: TensorType
    axes: tuple[int, ...]
    outer: tuple[Loop, ...]
    inner: tuple[Loop, ...]
    at: tuple[Index, ...]

    @property
    def row(self) -> list[Index]:
        """The index of the element with 0 along the reduced axes."""
        return [Index() if axis in self.axes else one for axis, one in enumerate(self.at)]

    def row_of(self, kind: TensorType) -> list[Index]:
        """The index of a row's result, whether it kept the reduced axes or not."""
        if kind.rank == self.kind.rank:
            return self.row
        return [one for axis, one in enumerate(self.at) if axis not in self.axes]

    def is_row(self, kind: TensorType) -> bool:
        """Whether a value of this type has one element for each row."""
        if kind.rank != self.kind.rank:
            return kind.rank == self.kind.rank - len(self.axes)
        return all(kind.shape[axis] == 1 for axis in self.axes)

    def place_of_row(self, kind: TensorType) -> list[Index] | None:
        """Where a value of this type lies, if it has one element for each row."""
        return self.row_of(kind) if self.is_row(kind) else None

    def place_of_element(self, kind: TensorType) -> Sequence[Index] | None:
        """Where a value of this type lies, if it has one for each element of the frame."""
        return None if self.is_row(kind) else self.at


@dataclass
class Groups:
    """The axes of a frame, in groups that one loop runs over."""

    kind: TensorType
    axes: tuple[int, ...]
    outer: list[list[int]]
    inner: list[list[int]]

    def frame(self) -> Frame:
        """The frame with a loop for each group."""
        outer = loops_over(self.outer, self.kind.shape)
        inner = loops_over(self.inner, self.kind.shape, len(outer))
        at = spread([*outer, *inner], [*self.outer, *self.inner], self.kind.shape)
        return Frame(self.kind, self.axes, tuple(outer), tuple(inner), tuple(at))

    def merge(self, values: Values, names: dict[str, str]) -> bool:
        """Make one group of two where every address allows it; False when none is left to merge."""
        frame = self.frame()
        for groups, loops in ((self.outer, frame.outer), (self.inner, frame.inner)):
            pair = mergeable(loops, values, names)
            if pair is not None:
                groups[pair : pair + 2] = [groups[pair] + groups[pair + 1]]
                return True
        return False


def reductions(task: Task) -> list[Node]:
    """The reductions of a body, in dataflow order."""
    return [node for node in task.body if node.op in OPS and OPS[node.op].kind == "reduce"]


def reducing(task: Task) -> Kernel:
    """The kernel of a body with reductions."""
    found = reductions(task)
    kind = task.body[task.body.arguments(found[0].name)[0]].tensor
    axes = tuple(found[0].attrs["axes"])
    others = [axis for axis in range(kind.rank) if axis not in axes]
    groups = Groups(kind, axes, kept(kind.shape, others), kept(kind.shape, axes))
    if OPS[found[0].op].combine is None:
        return _finding(task, found[0], groups)
    ends_in_kept = bool(groups.outer and groups.inner) and groups.outer[-1] > groups.inner[-1]
    return _columns(task, found, groups) if ends_in_kept else _rows(task, found, groups)


def _rows(task: Task, found: Sequence[Node], groups: Groups) -> Kernel:
    """Each row by itself."""
    while True:
        values, frame = task.values(), groups.frame()
        blocks = row_blocks(task, values, frame, found)
        if not groups.merge(values, task.names):
            break
    inner, extent = (product(loop.extent for loop in loops) for loops in (frame.inner, frame.outer))
    nest = Nest(tuple(renamed_loops(frame.outer, task)), tuple(blocks), _memory(task, frame, blocks))
    return task.kernel(nest, extent, CHUNK // estimate(inner), values.stems)


def _memory(task: Task, frame: Frame, blocks: Sequence[Block]) -> Rows | None:
    """The rows in memory, if each is walked through more than once: they can be fetched ahead."""
    rank, length = frame.kind.rank, product(frame.kind.shape[axis] for axis in frame.axes)
    trailing = frame.axes == tuple(range(rank - len(frame.axes), rank))
    if not trailing or not isinstance(length, int) or length not in FETCHED or task.placed:
        return None
    if sum(isinstance(block, (Fold, Sweep)) for block in blocks) < 2:
        return None
    nodes = [*(task.body[name] for name in task.body.inputs), *task.roots]
    found = [
        (one.name, numpy_dtype(one.dtype).itemsize) if node.tensor.shape == frame.kind.shape else None
        for one, node in zip(task.parameters, nodes, strict=True)
    ]
    inputs = len(task.inputs)
    read, written = (tuple(one for one in some if one) for some in (found[:inputs], found[inputs:]))
    if any(line.startswith("out") for block in blocks if isinstance(block, Fold) for line in block.lines):
        return None  # what is costly to compute leaves the memory time enough
    return Rows(length, read, written) if 0 < len(read) + len(written) <= MOST_FETCHED else None


def row_blocks(task: Task, values: Values, frame: Frame, found: Sequence[Node]) -> list[Block]:
    """What is done with one row: a loop for each round of reductions, then one that stores."""
    blocks: list[Block] = []
    rounds = levels(task, found)
    for level in rounds:
        blocks.append(_fold(task, frame, values, level, level is rounds[-1]))
        blocks += _row_lines(task, frame, values)
    return [*blocks, *_last(task, frame, values)]


def levels(task: Task, found: Sequence[Node]) -> list[list[Node]]:
    """The reductions in rounds: each round needs only the results of those before."""
    depth: dict[str, int] = {}
    for node in task.body:
        before = max((depth[name] for name in task.body.arguments(node.name)), default=0)
        depth[node.name] = before + (node in found)
    rounds: dict[int, list[Node]] = {}
    for node in found:
        rounds.setdefault(depth[node.name], []).append(node)
    return [rounds[number] for number in sorted(rounds)]


def accumulators(task: Task, values: Values, frame: Frame, level: Sequence[Node]) -> tuple[Accumulator, ...]:
    """What one round adds up, elements of the frame being known."""
    made = []
    for node in level:
        op, source = OPS[node.op], task.body.arguments(node.name)[0]
        text = values.element(source, frame.at)
        kind = constructor(node.tensor.dtype)
        value = op.scalar.format(text, T=kind) if op.scalar else text
        assert op.initial is not None and op.combine is not None
        combine = GREATEST if takes_any(task, node) else op.combine
        name = f"a{len(values.stems)}"
        values.stems[name] = node.name
        made.append(Accumulator(name, node.tensor.dtype, op.initial.format(T=kind), combine, value))
    return tuple(made)


def takes_any(task: Task, node: Node) -> bool:
    """Whether a maximum may be anything where an element is NaN, as that of a softmax.

    All that is stored is NaN then whatever it is, since it depends on the sum of exponentials that are NaN where the
    elements are.
    """
    body = task.body
    if node.op != "max" or node.tensor.dtype not in FLOATS:
        return False
    source = body.arguments(node.name)
    below = [one.name for one in body if one.op == "subtract" and body.arguments(one.name) == [*source, node.name]]
    powers = [one.name for one in body if one.op == "exp" and set(body.arguments(one.name)) & set(below)]
    sums = {one.name for one in body if one.op == "sum" and set(body.arguments(one.name)) & set(powers)}
    axes = {one.attrs["axes"] for one in body if one.name in sums}
    return axes == {node.attrs["axes"]} and all(_is_nan_with(body, root.name, sums) for root in task.roots)


def _is_nan_with(body: Graph, name: str, sums: set[str]) -> bool:
    """Whether a value is NaN where one of these sums is."""
    spread = body[name].op in SPREADING and any(_is_nan_with(body, one, sums) for one in body.arguments(name))
    return name in sums or spread


def _fold(task: Task, frame: Frame, values: Values, level: Sequence[Node], last: bool) -> Fold:
    before = dict(values.known)
    made = accumulators(task, values, frame, level)
    stash = _stashed(task, frame, values) if last else {}
    lines = tuple(values.taken())
    values.known = {**before, **stash}
    _know(values, frame, level, made)
    return Fold(tuple(renamed_loops(frame.inner, task)), lines, made)


def _stashed(task: Task, frame: Frame, values: Values) -> dict[Place, str]:
    """Costly elements that the last loop needs again wait for it in outputs: softmax computes each exp once."""
    costly = {
        name: held
        for (name, at), held in values.known.items()
        if _is_curve(task.body[name].op)
        and at == tuple(frame.at)
        and not frame.is_row(task.body[name].tensor)
        and task.body[name].tensor.dtype not in HALF
    }
    outs = {root.name: out.name for root, out in zip(task.roots, task.outs, strict=True)}
    own = {name: outs[name] for name in costly if name in outs}
    free = [(out, task.body[name].tensor) for name, out in outs.items() if name not in own]
    found: dict[Place, str] = {}
    for name, held in costly.items():
        kind = task.body[name].tensor
        out = own.get(name) or next((out for out, other in free if other == kind), None)
        if out is not None:
            place = found[(name, tuple(frame.at))] = f"{out}[{task.address(values, out, frame.at)}]"
            values.lets.append(f"{place} = {held}")
            free = [one for one in free if one[0] != out]
    return found


def _is_curve(name: str) -> bool:
    return name in OPS and OPS[name].cost >= CURVE


def _know(values: Values, frame: Frame, level: Sequence[Node], made: Sequence[Accumulator]) -> None:
    for node, accumulator in zip(level, made, strict=True):
        values.known[(node.name, tuple(frame.row_of(node.tensor)))] = accumulator.name


def _row_lines(task: Task, frame: Frame, values: Values) -> list[Block]:
    """What follows from a row's results alone is computed once a row: the mean from the sum."""
    for node in task.body:
        if node.op not in OPS or OPS[node.op].kind != "map" or node is task.root or not frame.is_row(node.tensor):
            continue
        place = (node.name, tuple(frame.row_of(node.tensor)))
        sources = [task.body[name] for name in task.body.arguments(node.name)]
        if place in values.known or not any(_is_known(values, frame, source) for source in sources):
            continue
        if all(_is_known(values, frame, source) or source.op in ("input", "const", "size") for source in sources):
            values.known[place] = values.let(node.name, values.expression(node, list(place[1])))
    lines = values.taken()
    return [Lines(tuple(lines))] if lines else []


def _is_known(values: Values, frame: Frame, node: Node) -> bool:
    return frame.is_row(node.tensor) and (node.name, tuple(frame.row_of(node.tensor))) in values.known


def _last(task: Task, frame: Frame, values: Values) -> list[Block]:
    """The stores: of what a row has one of, then of what it has many of."""
    blocks: list[Block] = []
    stores = task.stores(values, [frame.place_of_row(root.tensor) for root in task.roots])
    if stores:
        blocks.append(Lines(tuple(values.taken()), stores))
    places = [
        _place_to_store(task, frame, values, root, out.name) for root, out in zip(task.roots, task.outs, strict=True)
    ]
    if any(place is not None for place in places):
        for place, held in values.known.items():
            if held.startswith("out"):  # where another value may be stored
                values.known[place] = values.let(place[0], held)
        stores = task.stores(values, places)
        blocks.append(Sweep(tuple(renamed_loops(frame.inner, task)), tuple(values.taken()), stores))
    return blocks


def _place_to_store(task: Task, frame: Frame, values: Values, root: Node, out: str) -> Sequence[Index] | None:
    """Where an element of a root is yet to be stored; None if it has been, or if a row has but one."""
    place = frame.place_of_element(root.tensor)
    if place is None:
        return None
    is_there = values.known.get((root.name, tuple(place))) == f"{out}[{task.address(values, out, place)}]"
    return None if is_there else place


def _columns(task: Task, found: Sequence[Node], groups: Groups) -> Kernel:
    """Rows are read in the order of memory and added up into a strip of columns."""
    assert len(levels(task, found)) == 1, "columns take one round of reductions"
    while True:
        values, frame = task.values(), groups.frame()
        made = accumulators(task, values, frame, found)
        inside = task.stores(values, [frame.place_of_element(root.tensor) for root in task.roots])
        lines = tuple(values.taken())
        values.known = {}
        _know(values, frame, found, made)
        stores = task.stores(values, [frame.place_of_row(root.tensor) for root in task.roots])
        after = tuple(values.taken())
        if not groups.merge(values, task.names):
            break
    *outer, column = renamed_loops(frame.outer, task)
    inner = tuple(renamed_loops(frame.inner, task))
    schedule = Columns(tuple(outer), column, inner, lines, made, after, stores, inside)
    *rest, width = [loop.extent for loop in frame.outer]
    work = min(schedule.strip, estimate(width)) * estimate(product(loop.extent for loop in frame.inner))
    return task.kernel(schedule, product(rest) * strips(width, schedule.strip), CHUNK // work, values.stems)


def _finding(task: Task, node: Node, groups: Groups) -> Kernel:
    """argmax and argmin: the position of the first extreme element, a NaN counting as one."""
    values, frame = task.values(), groups.frame()
    text = values.element(task.body.arguments(node.name)[0], frame.at)
    sign = ">" if node.op == "argmax" else "<"
    better = f"{{1}} {sign} {{0}} or ({{1}} != {{1}} and {{0}} == {{0}})"
    (loop,) = renamed_loops(frame.inner, task) or [Loop("z", 1)]
    find = Find(loop, tuple(values.taken()), text, better, "found")
    values.known[(node.name, tuple(frame.row_of(node.tensor)))] = f"{constructor(node.tensor.dtype)}(found)"
    nest = Nest(tuple(renamed_loops(frame.outer, task)), (find, *_last(task, frame, values)))
    extent = product(one.extent for one in frame.outer)
    return task.kernel(nest, extent, CHUNK // estimate(loop.extent), values.stems)
