"""Put neighbours into one kernel. Runs last: a fused node has no gradient and no numpy row.

A node joins the kernel of its readers when it has no other, so values in between never reach memory:
  - elementwise ops and moves join any kernel that reads them element by element;
  - reductions join what follows from their rows (softmax, normalisation), and take what comes before in;
  - a contraction takes in the bias, activation, residual, ... that follow it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from kgraph.ir import LEAVES, Graph, Node
from kgraph.op import OPS
from kgraph.sizes import Dim, Shape
from kgraph.types import TensorType

MOST_MEMBERS = 64
MOST_INPUTS = 32
WIDEST_ROW = 1024  # columns of a product that a thread keeps for a reduction along them
FLOATING = ("float32", "float64")
BY_ELEMENT = ("map", "move", "reduce")  # kinds of ops that take their arguments element by element
MOST_PLACES = 4  # elements of one value that one element of a kernel's result may be made of
INDICES = {"take": 1, "take_along_axis": 1, "scatter_add": 1, "scatter_set": 1}  # arguments looked at before a kernel
CHOOSING = ("pad", "concatenate")  # moves that read an operand only where they take it

Place = tuple[object, ...]


@dataclass
class Group:
    """Nodes that become one kernel; root is the one whose value is stored."""

    root: Node
    members: set[str] = field(default_factory=set)
    direct: set[str] = field(default_factory=set)  # members that reach the root elementwise, or through reductions
    places: dict[str, set[Place]] = field(default_factory=dict)  # of a member: where an element of the root reads it
    chosen: set[str] = field(default_factory=set)  # members that are read only sometimes, so that no line holds them
    linear: set[str] = field(default_factory=set)  # members that reach it elementwise, or through axes of size 1
    contraction: str = ""
    frame: TensorType | None = None  # what the reductions reduce
    axes: tuple[int, ...] = ()


def fuse(graph: Graph) -> Graph:
    """The graph with one node for each kernel."""
    home, copied = groups(graph), everywhere(graph)
    made = Graph()
    made.updates, made.assumed = dict(graph.updates), list(graph.assumed)
    for node in graph:
        if node.op in LEAVES:
            made.add(node, *graph.arguments(node.name))
        elif node.name in home and home[node.name].root is node:
            _add_kernel(made, graph, home[node.name], copied)
    made.outputs = list(graph.outputs)
    return made.prune()


def groups(graph: Graph) -> dict[str, Group]:
    """The group of every node that computes something."""
    home: dict[str, Group] = {}
    results, copied = set(graph.results), everywhere(graph)
    for node in reversed(list(graph)):
        if node.op in LEAVES or node.name in copied:
            continue
        readers = graph.readers(node.name)
        around = {id(home[reader]): home[reader] for reader in readers}
        group = next(iter(around.values())) if len(around) == 1 and node.name not in results else None
        if group is None or not joins(graph, node, readers, group):
            group = Group(node)
            if OPS[node.op].kind != "move":  # what a move reads, it reads at other places
                group.direct.add(node.name)
            if OPS[node.op].kind != "move" or node.op == "reshape":
                group.linear.add(node.name)
        home[node.name] = group
        _note(graph, node, group)
    return home


def everywhere(graph: Graph) -> set[str]:
    """Numbers that follow from sizes and constants, like the count behind a mean: each kernel has its own."""
    found: set[str] = set()
    results = set(graph.results)
    for node in graph:
        if node.op in LEAVES or OPS[node.op].kind != "map" or node.tensor.shape != () or node.name in results:
            continue
        free = all(name in found or _is_number(graph[name]) for name in graph.arguments(node.name))
        if free and all(reads_elements(graph, reader, node.name) for reader in graph.readers(node.name)):
            found.add(node.name)
    return found


def _is_number(node: Node) -> bool:
    return node.op == "const" and node.tensor.shape == ()


def is_embedded(graph: Graph, node: Node, readers: Iterable[str]) -> bool:
    """Whether these readers have a node in their code: a number, but not an index that may point outside."""
    return _is_number(node) and not any(
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


def joins(graph: Graph, node: Node, readers: list[str], group: Group) -> bool:
    """Whether a node, all of whose readers are in the group, may be computed inside it."""
    if len(group.members) >= MOST_MEMBERS or len(_inputs(graph, group)) >= MOST_INPUTS or _is_view(graph, group.root):
        return False
    if any(not reads_elements(graph, reader, node.name) for reader in readers):
        return False
    if graph.arguments(node.name) and len(_places(graph, node, group)) > MOST_PLACES:
        return False
    kind = OPS[node.op].kind
    if kind == "map" or (kind == "move" and not _is_view(graph, node)):
        if kind == "map" and all(reader in group.direct for reader in readers) and _plain(graph, node, readers):
            group.direct.add(node.name)
        if (kind == "map" or node.op == "reshape") and all(reader in group.linear for reader in readers):
            group.linear.add(node.name)
        return True
    if kind == "reduce":
        return _reduction_joins(graph, node, readers, group)
    return kind == "contract" and _contraction_joins(graph, node, readers, group)


def _places(graph: Graph, node: Node, group: Group) -> set[Place]:
    """The places at which one element of the root reads a value: each of them is computed by itself.

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


def reads_elements(graph: Graph, reader: str, name: str) -> bool:
    """Whether the reader takes elements of the value as they come, not the value as a whole."""
    op = OPS[graph[reader].op]
    if op.kind in ("contract", "scatter", "cumulate"):
        return False
    index_slot = INDICES.get(op.name)
    return index_slot is None or graph.arguments(reader)[index_slot] != name


def _is_view(graph: Graph, node: Node) -> bool:
    """A reshape is free as a view, and costs divisions inside a kernel, unless it only adds or drops axes of size 1."""
    if node.op != "reshape":
        return False
    return _long(graph[graph.arguments(node.name)[0]].tensor.shape) != _long(node.tensor.shape)


def _plain(graph: Graph, node: Node, readers: list[str]) -> bool:
    """Whether the readers are elementwise, or reduce this very value."""
    return all(OPS[graph[reader].op].kind in ("map", "reduce") for reader in readers)


def _reduction_joins(graph: Graph, node: Node, readers: list[str], group: Group) -> bool:
    if OPS[node.op].combine is None or group.contraction or not all(reader in group.direct for reader in readers):
        return False
    if OPS[group.root.op].kind == "reduce" and OPS[group.root.op].combine is None:
        return False  # argmax looks for one element, and adds nothing up
    frame, axes = graph[graph.arguments(node.name)[0]].tensor, tuple(node.attrs["axes"])
    if group.frame is not None and (group.frame.shape, group.axes) != (frame.shape, axes):
        return False
    depends = any(OPS[graph[name].op].kind == "reduce" for name in group.members)
    trailing = axes == tuple(range(frame.rank - len(axes), frame.rank))
    if group.root.tensor.shape == node.tensor.shape and not depends:
        same = all(graph[name].tensor.shape == node.tensor.shape for name in _between(graph, node.name, group))
        if same:
            group.direct.add(node.name)
            return True
    if not trailing or not node.attrs["keepdims"] or not _fits_rows(graph, group, frame, node.tensor):
        return False
    group.direct.add(node.name)
    return True


def _fits_rows(graph: Graph, group: Group, frame: TensorType, row: TensorType) -> bool:
    """Whether each elementwise member has the frame's shape or one element a row, so that rows can be done alone."""
    shapes = (frame.shape, row.shape)
    root = group.root.tensor.shape
    squeezed = tuple(size for axis, size in enumerate(row.shape) if axis < frame.rank and size == row.shape[axis])
    allowed = {*shapes, squeezed}
    if root not in allowed:
        return False
    return all(
        graph[name].tensor.shape in allowed or graph[name].tensor.size == 1 or name not in group.direct
        for name in group.members
    )


def _contraction_joins(graph: Graph, node: Node, readers: list[str], group: Group) -> bool:
    if group.contraction:
        return False
    if group.frame is not None:
        whole = node.tensor.shape == group.root.tensor.shape and all(reader in group.direct for reader in readers)
        return whole and _rows_of_product(node, group)
    between = [graph[name].tensor.shape for name in _between(graph, node.name, group)]
    same = all(_long(one) == _long(node.tensor.shape) for one in [*between, group.root.tensor.shape])
    return same and all(reader in group.linear for reader in readers)


def _long(shape: Shape) -> list[Dim]:
    """The sizes other than 1."""
    return [size for size in shape if size != 1]


def _rows_of_product(node: Node, group: Group) -> bool:
    """Whether what reduces along rows of the product may be done while a row is in the cache: Dense with softmax."""
    kind, frame = node.tensor, group.frame
    assert frame is not None
    terms, result = node.attrs["spec"].split("->")
    if frame.shape != kind.shape or group.axes != (kind.rank - 1,) or not result or kind.dtype not in FLOATING:
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


def _inputs(graph: Graph, group: Group) -> set[str]:
    return {source for name in group.members for source in graph.arguments(name)} - group.members


def _add_kernel(made: Graph, graph: Graph, group: Group, copied: set[str]) -> None:
    """One node for the group: the op itself where it is alone, else a fused node with the group as its body."""
    root = group.root
    members = _with_copies(graph, group.members, copied)
    if len(members) == 1:
        made.add(root, *graph.arguments(root.name))
        return
    body, sources = Graph(), []
    for node in graph:
        if node.name in members:
            for source in graph.arguments(node.name):
                if source not in body:
                    inside = [reader for reader in graph.readers(source) if reader in members]
                    number = is_embedded(graph, graph[source], inside)
                    body.add(graph[source] if number else Node(source, "input", graph[source].type))
                    if not number:
                        sources.append(source)
            body.add(node, *graph.arguments(node.name))
    body.outputs = [root.name]
    made.add(Node(root.name, "fused", root.type, {"body": body}, root.origin), *sources)


def _with_copies(graph: Graph, members: set[str], copied: set[str]) -> set[str]:
    """The members, and those they read that every kernel has its own of."""
    found, waiting = set(members), list(members)
    while waiting:
        more = [name for name in graph.arguments(waiting.pop()) if name in copied and name not in found]
        found.update(more)
        waiting += more
    return found
