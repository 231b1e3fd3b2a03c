"""Groups of nodes that become one kernel each, and which nodes may join them.

A node joins the kernel of its readers, so that values in between never reach memory:
  - elementwise ops and moves join any kernel that reads them element by element;
  - reductions join what follows from their rows (softmax, normalisation), and take what comes before in;
  - a contraction takes in the bias, activation, residual, ... that follow it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import prod

from kgraph.graph.ir import Graph, Node
from kgraph.graph.op import INDICES, OPS
from kgraph.graph.sizes import Dim, Shape
from kgraph.graph.types import FLOATS, TensorType

MOST_MEMBERS = 64
MOST_INPUTS = 32
WIDEST_ROW = 1024  # columns of a product that a thread keeps for a reduction along them
MOST_PLACES = 4  # elements of one value that one element of a kernel's result may be made of
MOST_STEPS = 8  # ops on the way to a value that is computed more often than it has elements
CHOOSING = ("pad", "concatenate")  # moves that read an operand only where they take it
MOST_CHOICES = 8  # operands of a concatenation that each element of what follows is looked for in

Place = tuple[object, ...]


@dataclass(eq=False)
class Group:
    """Nodes that become one kernel; the values of the roots are stored."""

    roots: list[Node]  # the first decides the loops; others have as many elements, or one for each row it reduces
    members: set[str] = field(default_factory=set)
    direct: set[str] = field(default_factory=set)  # members that reach a root elementwise, or through reductions
    places: dict[str, set[Place]] = field(default_factory=dict)  # of a member: where an element of a root reads it
    chosen: set[str] = field(default_factory=set)  # members that are read only sometimes, so that no line holds them
    linear: set[str] = field(default_factory=set)  # members that reach a root elementwise, or through axes of size 1
    contraction: str = ""
    frame: TensorType | None = None  # what the reductions reduce
    axes: tuple[int, ...] = ()

    @property
    def root(self) -> Node:
        """The first root."""
        return self.roots[0]


def is_number(node: Node) -> bool:
    """Whether a node is a constant without axes."""
    return node.op == "const" and node.tensor.shape == ()


def is_embedded(graph: Graph, node: Node, readers: Iterable[str]) -> bool:
    """Whether these readers have a node in their code: a number, but not an index that may point outside."""
    return is_number(node) and not any(
        slot is not None and graph.arguments(reader)[slot] == node.name and not points_inside(graph, reader, node)
        for reader in readers
        for slot in [INDICES.get(graph[reader].op)]
    )


def points_inside(graph: Graph, reader: str, indices: Node) -> bool:
    """Whether a gather or scatter is known to have only indices inside its table, before any call."""
    size = graph[graph.arguments(reader)[0]].tensor.shape[graph[reader].attrs["axis"]]
    if indices.op != "const" or not isinstance(size, int):
        return False
    value = indices.attrs["value"]
    return value.size == 0 or bool(-size <= value.min() and value.max() < size)


def reads_elements(graph: Graph, reader: str, name: str) -> bool:
    """Whether the reader takes elements of the value as they come, not the value as a whole."""
    op = OPS[graph[reader].op]
    if op.kind in ("contract", "scatter", "cumulate", "sort", "loop"):
        return False
    index_slot = INDICES.get(op.name)
    return index_slot is None or graph.arguments(reader)[index_slot] != name


def begin(graph: Graph, node: Node) -> Group:
    """A group whose root is this node."""
    group = Group([node])
    if OPS[node.op].kind != "move":  # what a move reads, it reads at other places
        group.direct.add(node.name)
    if OPS[node.op].kind != "move" or node.op == "reshape":
        group.linear.add(node.name)
    _note(graph, node, group)
    return group


def enter(graph: Graph, node: Node, readers: Sequence[str], group: Group) -> None:
    """Put a node that `joins` into the group of these readers."""
    if is_direct(graph, node, readers, group):
        group.direct.add(node.name)
    if (OPS[node.op].kind == "map" or node.op == "reshape") and all(reader in group.linear for reader in readers):
        group.linear.add(node.name)
    _note(graph, node, group)


def _note(graph: Graph, node: Node, group: Group) -> None:
    group.members.add(node.name)
    group.places[node.name] = _places(graph, node, group) or {()}
    readers = [reader for reader in graph.readers(node.name) if reader in group.members]
    if any(graph[reader].op in CHOOSING or reader in group.chosen for reader in readers):
        group.chosen.add(node.name)
    kind = OPS[node.op].kind
    if kind == "contract":
        group.contraction = node.name
    if kind == "reduce" and group.frame is None:
        group.frame = graph[graph.arguments(node.name)[0]].tensor
        group.axes = tuple(node.attrs["axes"])


def is_direct(graph: Graph, node: Node, readers: Sequence[str], group: Group) -> bool:
    """Whether a node that joins its readers reaches a root elementwise, or through reductions."""
    kind = OPS[node.op].kind
    plain = all(reader in group.direct and OPS[graph[reader].op].kind in ("map", "reduce") for reader in readers)
    return kind == "reduce" or (kind == "map" and plain)


def joins(graph: Graph, node: Node, readers: Sequence[str], group: Group) -> bool:
    """Whether a node may be computed inside the group in which it has these readers."""
    if len(group.members) >= MOST_MEMBERS or len(inputs_of(graph, group.members)) >= MOST_INPUTS:
        return False
    if _is_view(graph, group.root) or group.root.op == "concatenate":
        return False  # operands of a concatenation are written to their parts of it by kernels of their own
    if node.op == "concatenate" and not _is_chosen_from(graph, node):
        return False
    if is_view_of_product(graph, node):
        return readers == [group.contraction]
    if is_fill_of_scatter(graph, node):
        return True
    if any(is_view_of_product(graph, graph[one]) or not reads_elements(graph, one, node.name) for one in readers):
        return False
    if graph.arguments(node.name) and not _is_cheap_at(_places(graph, node, group), graph, node, group):
        return False
    kind = OPS[node.op].kind
    if kind == "map" or (kind == "move" and not _is_view(graph, node)):
        return True
    if kind == "reduce":
        return _reduction_joins(graph, node, readers, group)
    return kind == "contract" and _contraction_joins(graph, node, readers, group)


def is_fill_of_scatter(graph: Graph, node: Node) -> bool:
    """Whether a node is one number everywhere, to which scatters add: they need it nowhere in memory."""
    if node.op != "broadcast_to" or not is_number(graph[graph.arguments(node.name)[0]]):
        return False
    readers = [(graph[name].op, graph.arguments(name)) for name in graph.readers(node.name)]
    return all(op in ("scatter_add", "scatter_set") and node.name not in rest for op, (_, *rest) in readers)


def _is_chosen_from(graph: Graph, node: Node) -> bool:
    """Whether what follows a concatenation may read its operands: they are few, and none is made by a kernel anyway."""
    names = graph.arguments(node.name)
    return len(names) <= MOST_CHOICES and not any(_is_stored(graph, name, node.name) for name in names)


def _is_stored(graph: Graph, name: str, reader: str) -> bool:
    """Whether a value that only this reader wants comes from a product or a reduction."""
    while graph.readers(name) == [reader] and graph[name].op in OPS:
        kind, longest = OPS[graph[name].op].kind, [n for n in graph.arguments(name) if graph[n].tensor.rank]
        if kind in ("contract", "reduce", "cumulate"):
            return True
        if kind not in ("map", "move") or not longest:
            return False
        name, reader = max(longest, key=lambda one: _length(graph, one)), name
    return False


def _length(graph: Graph, name: str) -> int:
    """How long a value is, the axes known only at the call aside."""
    return prod(size for size in graph[name].tensor.shape if isinstance(size, int))


def is_view_of_product(graph: Graph, node: Node) -> bool:
    """Whether a node is windows that products alone read: they read them where they lie.

    A product of integers, or of more than two operands, is done in another way, and reads windows that are in memory.
    """
    if node.op != "windows" or node.tensor.dtype not in FLOATS:
        return False
    readers = [graph[name] for name in graph.readers(node.name)]
    operands = [graph.arguments(reader.name) for reader in readers]
    return all(one.op == "einsum" for one in readers) and all(len(set(one)) == len(one) == 2 for one in operands)


def _places(graph: Graph, node: Node, group: Group) -> set[Place]:
    """The places at which one element of a root reads a value: each of them is computed by itself.

    Elementwise readers share a place, which a line of the kernel then holds; where that line might read what is not
    there, in a branch of a pad, each reading counts.
    """
    found: set[Place] = set()
    for reader in graph.readers(node.name):
        apart = OPS[graph[reader].op].kind == "move" or reader in group.chosen
        for slot, name in enumerate(graph.arguments(reader)):
            if name == node.name and reader in group.places:
                found.update((reader, slot, place) if apart else place for place in group.places[reader])
    return found


def _is_cheap_at(places: set[Place], graph: Graph, node: Node, group: Group) -> bool:
    """Whether computing a value for each place is worth it: windows side by side want each element once, others more
    often, which is too much where many ops lead to it."""
    if len(places) < 2 or len(places) * _length(graph, group.root.name) <= _length(graph, node.name):
        return len(places) <= MOST_PLACES
    above, waiting = {node.name}, [node.name]
    while waiting and len(above) <= MOST_STEPS:
        for name in graph.arguments(waiting.pop()):
            if name not in above and graph[name].op in OPS and above.issuperset(graph.readers(name)):
                above.add(name)
                waiting.append(name)
    return len(places) <= MOST_PLACES and len(above) <= MOST_STEPS


def _is_view(graph: Graph, node: Node) -> bool:
    """A reshape is free as a view, and costs divisions inside a kernel, unless it only adds or drops axes of size 1."""
    if node.op != "reshape":
        return False
    return long(graph[graph.arguments(node.name)[0]].tensor.shape) != long(node.tensor.shape)


def _reduction_joins(graph: Graph, node: Node, readers: Sequence[str], group: Group) -> bool:
    if OPS[node.op].combine is None or group.contraction or not all(reader in group.direct for reader in readers):
        return False
    if OPS[group.root.op].kind == "reduce" and OPS[group.root.op].combine is None:
        return False  # argmax looks for one element, and adds nothing up
    frame, axes = graph[graph.arguments(node.name)[0]].tensor, tuple(node.attrs["axes"])
    if group.frame is not None and (group.frame.shape, group.axes) != (frame.shape, axes):
        return False
    between = _between(graph, node.name, group)
    depends = any(OPS[graph[name].op].kind == "reduce" for name in between)
    trailing = axes == tuple(range(frame.rank - len(axes), frame.rank))
    same = all(one.tensor.shape == node.tensor.shape for one in [group.root, *(graph[name] for name in between)])
    rows = trailing and node.attrs["keepdims"] and _fits_rows(graph, group, frame, node.tensor)
    return rows or (same and not depends)


def _fits_rows(graph: Graph, group: Group, frame: TensorType, row: TensorType) -> bool:
    """Whether each elementwise member has the frame's shape or one element a row, so that rows can be done alone."""
    squeezed = tuple(size for axis, size in enumerate(row.shape) if axis < frame.rank and size == row.shape[axis])
    allowed = {frame.shape, row.shape, squeezed}
    if any(root.tensor.shape not in allowed for root in group.roots):
        return False
    return all(
        graph[name].tensor.shape in allowed or graph[name].tensor.size == 1 or name not in group.direct
        for name in group.members
    )


def _contraction_joins(graph: Graph, node: Node, readers: Sequence[str], group: Group) -> bool:
    if group.contraction:
        return False
    if group.frame is not None:
        whole = node.tensor.shape == group.root.tensor.shape and all(is_row(group, one) for one in group.roots[1:])
        return whole and all(reader in group.direct for reader in readers) and _rows_of_product(node, group)
    if len(group.roots) > 1:
        return False  # its tiles are narrow: several results written so wait for memory longer than another kernel
    between = [graph[name] for name in _between(graph, node.name, group)]
    same = all(long(one.tensor.shape) == long(node.tensor.shape) for one in [*between, group.root])
    return same and all(reader in group.linear for reader in readers)


def is_row(group: Group, node: Node) -> bool:
    """Whether a value has one element for each row that the group reduces, whether the reduced axes are kept or not."""
    if group.frame is None:
        return False
    kept = tuple(1 if axis in group.axes else size for axis, size in enumerate(group.frame.shape))
    return node.tensor.shape in (kept, tuple(size for axis, size in enumerate(kept) if axis not in group.axes))


def long(shape: Shape) -> list[Dim]:
    """The sizes other than 1."""
    return [size for size in shape if size != 1]


def _rows_of_product(node: Node, group: Group) -> bool:
    """Whether what reduces along rows of the product may be done while a row is in the cache: Dense with softmax."""
    kind, frame = node.tensor, group.frame
    assert frame is not None
    terms, result = node.attrs["spec"].split("->")
    if frame.shape != kind.shape or group.axes != (kind.rank - 1,) or not result or kind.dtype not in FLOATS:
        return False
    width, owners = kind.shape[-1], [term for term in terms.split(",") if result[-1] in term]
    if not isinstance(width, int) or not 1 < width <= WIDEST_ROW or len(owners) != 1 or terms.count(",") != 1:
        return False
    other = next(term for term in terms.split(",") if term is not owners[0])
    return [letter for letter in result if letter in owners[0] and letter not in other] == [result[-1]]


def _between(graph: Graph, name: str, group: Group) -> set[str]:
    """The members that a value reaches."""
    found: set[str] = set()
    waiting = [reader for reader in graph.readers(name) if reader in group.members]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += [reader for reader in graph.readers(one) if reader in group.members]
    return found


def inputs_of(graph: Graph, members: set[str]) -> set[str]:
    """What these nodes read of others."""
    return {source for name in members for source in graph.arguments(name)} - members
