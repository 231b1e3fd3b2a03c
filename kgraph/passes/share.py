"""What becomes of a value that several kernels read, and which kernels may be one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kgraph.graph.ir import Graph, Node
from kgraph.graph.op import OPS
from kgraph.passes.group import MOST_INPUTS, MOST_MEMBERS, Group, inputs_of, is_direct, is_row, joins, reads_elements

MOST_ROOTS = 8
MOST_WORK = 8  # for a value that is computed again in each kernel, in additions
IN_ORDER = ("broadcast_to", "iota", "reshape", "slice")  # moves that read elements as they lie


class Grouping(Protocol):
    """What is known while groups are made."""

    graph: Graph
    results: set[str]
    home: dict[str, list[Group]]

    def readers(self, node: Node, group: Group) -> list[str]: ...
    def around(self, node: Node) -> list[Group]: ...
    @property
    def groups(self) -> list[Group]: ...
    def reaches(self, start: Group, goal: Group) -> bool: ...
    def beyond(self, node: Node) -> list[Group]: ...


def repeated(grouping: Grouping) -> set[str]:
    """What to compute again in each kernel that reads it, rather than keep in memory between kernels.

    That pays for values that follow by a little arithmetic from others that are in memory anyway, where memory is
    walked through less often than if they were stored: x - mean from x. Returns them, and what leads to them.
    """
    found: set[str] = set()
    for group in grouping.groups:
        bases: dict[str, list[set[str]]] = {}
        for root in group.roots:
            if not _may_repeat(grouping, root):
                continue
            steps: set[str] = set()
            read: set[str] = set()
            work, kernels = _work(grouping, root, group, steps, read), len(grouping.around(root))
            if work <= MOST_WORK and len(read) * kernels <= len(read) + 1 + kernels:
                found |= steps
            base, steps = _base(grouping, root, group)
            bases.setdefault(base, []).append(steps)
        bases.pop("", None)
        found.update(name for several in bases.values() if len(several) > 1 for steps in several for name in steps)
    return found


def _may_repeat(grouping: Grouping, root: Node) -> bool:
    """Whether a value is stored only for kernels that want its elements one by one."""
    graph = grouping.graph
    if root.name in grouping.results or OPS[root.op].kind not in ("map", "move") or len(grouping.around(root)) < 2:
        return False
    return all(reads_elements(graph, reader, root.name) for reader in graph.readers(root.name))


def _base(grouping: Grouping, root: Node, group: Group) -> tuple[str, set[str]]:
    """A value of this kernel from which cheap steps lead to a root, and the steps; one that leads to several may be
    stored in their place: 0.5 * x and 0.7 * x. Empty where there is none."""
    graph, name, steps = grouping.graph, root.name, {root.name}
    while len(steps) < MOST_WORK:
        sources = {one for one in graph.arguments(name) if graph[one].tensor.shape == root.tensor.shape}
        if _cost(graph[name]) > MOST_WORK or len(sources) != 1 or not sources <= group.members:
            break
        (name,) = sources
        if len(grouping.readers(graph[name], group)) > 1:
            return name, steps
        steps.add(name)
    return "", set()


def _work(grouping: Grouping, node: Node, group: Group, steps: set[str], read: set[str]) -> int:
    """What computing a value takes, in additions: the steps to it, and the values as long as it that these read."""
    graph, work = grouping.graph, _cost(node)
    steps.add(node.name)
    for name in graph.arguments(node.name):
        source = graph[name]
        if node.op not in ("slice", "reshape") and source.tensor.shape != node.tensor.shape:
            continue  # it is smaller
        if name not in group.members or source in group.roots:
            read.add(name)
        elif work <= MOST_WORK:
            work += _work(grouping, source, group, steps, read)
    return work


def _cost(node: Node) -> int:
    """What one element takes, in additions; more than is done twice where it reads from elsewhere."""
    op = OPS.get(node.op)
    return op.cost if op is not None and (op.kind == "map" or op.name in IN_ORDER) else MOST_WORK + 1


def may_be_one(grouping: Grouping, node: Node, around: Sequence[Group]) -> bool:
    """Whether the kernels that read a value may become one that also computes it."""
    graph, first = grouping.graph, around[0]
    if OPS[node.op].kind not in ("map", "reduce") or node.tensor.rank == 0:
        return False
    for group in around:
        alike = all(root.tensor.shape == first.root.tensor.shape for root in group.roots)
        if group.frame is None and (not alike or node.tensor.shape != first.root.tensor.shape):
            return False
        if group.contraction or _is_taken(grouping, {*group.members, node.name}, group):
            return False
    pairs = [(a, b) for number, a in enumerate(around) for b in around[number + 1 :]]
    if not all(_alike(grouping, a, b) for a, b in pairs):
        return False
    return all(joins(graph, node, grouping.readers(node, group), group) for group in around)


def shares_rows(grouping: Grouping, source: Node, one: Group, other: Group) -> bool:
    """Whether two kernels that reduce rows, and read a value in memory, may be one that reads it once."""
    frame = one.frame
    if frame is None or source.tensor.shape != frame.shape or one is other:
        return False
    large = [root for group in (one, other) for root in group.roots if not is_row(one, root)]
    return len(large) <= 1 and not (one.contraction or other.contraction) and _alike(grouping, one, other)


def _alike(grouping: Grouping, one: Group, other: Group) -> bool:
    """Whether two kernels run over the same loops, and neither needs the other."""
    frames = [(group.frame.shape, group.axes) if group.frame else None for group in (one, other)]
    members = one.members | other.members
    if frames[0] != frames[1] or len(one.roots) + len(other.roots) > MOST_ROOTS or len(members) > MOST_MEMBERS:
        return False
    if any(OPS[group.root.op].kind not in ("map", "reduce") or _finds(group) for group in (one, other)):
        return False
    shapes = {root.tensor.shape for group in (one, other) for root in group.roots}
    if one.frame is not None and not all(
        is_row(one, root) or root.tensor.shape == one.frame.shape for group in (one, other) for root in group.roots
    ):
        return False
    if one.frame is None and len(shapes) > 1:
        return False
    if len(inputs_of(grouping.graph, members)) > MOST_INPUTS:
        return False
    return not grouping.reaches(one, other) and not grouping.reaches(other, one)


def _finds(group: Group) -> bool:
    """Whether it looks for the position of an element, as argmax does."""
    return OPS[group.root.op].kind == "reduce" and OPS[group.root.op].combine is None


def united(one: Group, other: Group) -> None:
    """Make one group of two: all that the other has is put into the first."""
    one.roots += [root for root in other.roots if root not in one.roots]
    one.members |= other.members
    one.direct |= other.direct
    one.linear |= other.linear
    one.chosen |= other.chosen
    for name, places in other.places.items():
        one.places[name] = one.places.get(name, set()) | places


def host_of(grouping: Grouping, node: Node, fitting: Sequence[Group], around: Sequence[Group]) -> Group | None:
    """The kernel that stores a value which others, or the caller, read too."""
    beyond = grouping.beyond(node)
    for group in fitting:
        others = [other for other in around if other is not group] + beyond
        if group in beyond:
            continue  # it needs a loop that needs the value
        if _may_store(grouping, node, group) and not any(grouping.reaches(other, group) for other in others):
            return group
    return None


def _may_store(grouping: Grouping, node: Node, group: Group) -> bool:
    """Whether a kernel comes by each element of the value once, and whether it is the best one to store it."""
    graph, shape = grouping.graph, node.tensor.shape
    readers = grouping.readers(node, group)
    if len(group.roots) >= MOST_ROOTS or node.name in group.chosen or _finds(group):
        return False
    if any(reader in group.chosen for reader in readers):
        return False
    if group.contraction or not is_direct(graph, node, readers, group):
        return False
    if OPS[node.op].kind == "reduce" or is_row(group, node):
        return True
    if shape != (group.frame or group.root.tensor).shape or OPS[group.root.op].kind not in ("map", "reduce"):
        return False
    beside = len(group.roots) > 1 and node.name in grouping.results  # no contraction joins what stores several values
    alone = group.frame is not None or beside
    return not _is_taken(grouping, {node.name} if alone else {*group.members, node.name}, group)


def _is_taken(grouping: Grouping, names: set[str], group: Group) -> bool:
    """Whether these end the kernel of a contraction, or of a reduction of other rows, unless this group takes them.

    A contraction that is reached through another result would have to store that one too, and does not.
    """
    graph = grouping.graph
    cone, waiting = set(names), list(names)
    while waiting:
        for name in graph.arguments(waiting.pop()):
            node = graph[name]
            kind = OPS[node.op].kind if node.op in OPS else ""
            if name in cone or kind not in ("map", "reduce", "contract") or not cone.issuperset(graph.readers(name)):
                continue
            if name in grouping.results:
                continue
            if kind == "contract" or (kind == "reduce" and group.frame and group.axes != tuple(node.attrs["axes"])):
                return True
            cone.add(name)
            waiting.append(name)
    return False
