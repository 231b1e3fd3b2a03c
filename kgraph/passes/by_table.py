"""Products of what is looked up, and their gradients, by the whole table, where a call looks up more than it has rows.

    einsum(take(table, words), kernel)             ->   take(einsum(table, kernel), words)
    einsum(take(table, words), g)                  ->   einsum(table, scatter_add(0, words, g))
    scatter_add(0, words, einsum(g, kernel))       ->   einsum(scatter_add(0, words, g), kernel)

The first is the projection behind an Embedding, as in `tables.py`; g is its gradient, and the others give those of the
kernel and of the table. Mostly only a call knows how many rows it looks up: then both ways are there, and each call
takes one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from string import ascii_letters

from kgraph.graph.ir import Graph, Node
from kgraph.graph.op import OPS
from kgraph.graph.sizes import product
from kgraph.graph.types import TensorType
from kgraph.ops.arithmetic import add, where
from kgraph.ops.compare import greater, greater_equal
from kgraph.ops.contract import parts_of
from kgraph.ops.gather import zeros_of
from kgraph.ops.loops import cond
from kgraph.ops.move import broadcast_to, reshape, transpose
from kgraph.ops.scattering import scatter_add, scatter_set
from kgraph.passes.einsum import Operand, pair
from kgraph.passes.loops import put_in
from kgraph.passes.rewrite import stand_in
from kgraph.passes.tables import WEIGHTS, RowsProduct, is_projection, is_worth, looked_up, rows_product
from kgraph.tracing.trace import Symbol, as_symbol, reference

MANY = 2  # times as many rows as the table has must a call look up
WIDEST = 16  # times as wide as the table may the gradient be, which is added up in the place of the table's own


@dataclass(frozen=True)
class Sums:
    """A gradient of what was looked up, added up for each row of the table."""

    indices: str
    order: tuple[int, ...]  # of the axes of the indices, as the gradient begins with them
    gradient: str
    rows: int  # of the table

    def symbol(self, graph: Graph) -> Symbol:
        """The sums as an expression."""
        indices, gradient = reference(graph, self.indices), reference(graph, self.gradient)
        if self.order != tuple(range(len(self.order))):
            indices = transpose(indices, axes=self.order)
        kind = TensorType((self.rows, *gradient.type.shape[len(self.order) :]), gradient.type.dtype)
        return scatter_add(zeros_of(kind), indices, gradient, axis=0)


Made = Callable[[Symbol], Symbol]  # what is made of the sums


def by_whole_table(graph: Graph) -> Graph:
    """The graph with these products made of the whole table, in calls that look up many rows."""
    graph = graph.copy()
    for node in list(graph):
        looked = rows_product(graph, node)
        if looked is not None and is_projection(graph, looked):
            _project(graph, looked)
    found: dict[Sums, list[tuple[str, Made]]] = {}
    for node in list(graph):
        one = _of_kernel(graph, node) or _of_table(graph, node)
        if one is not None:
            sums, made = one
            found.setdefault(sums, []).append((node.name, made))
    for sums, members in found.items():
        _add_up(graph, sums, members)
    return graph.prune()


def _project(graph: Graph, one: RowsProduct) -> None:
    """Let calls that look up many rows take those of the product, with what follows on each of their elements."""
    nodes = [one.node.name]
    while (reader := _follower(graph, nodes[-1])) is not None:
        nodes.append(reader)
    lookups = [name for name in graph.arguments(one.node.name) if graph[name].op == "take"]

    def new() -> list[Symbol]:
        return [_again(graph, nodes[-1], nodes, {one.node.name: looked_up(graph, one)})]

    def old() -> list[Symbol]:
        return [_again(graph, nodes[-1], [*nodes, *lookups])]

    _choose(graph, one.indices, one.rows(graph), nodes[-1:], new, old)


def _follower(graph: Graph, name: str) -> str | None:
    """The only reader of a value, where all it does is something to each element, with a weight."""
    readers = graph.readers(name)
    if len(readers) != 1 or name in graph.results:
        return None
    reader = graph[readers[0]]
    others = [graph[one].op in WEIGHTS for one in graph.arguments(reader.name) if one != name]
    is_map = reader.op in OPS and OPS[reader.op].kind == "map" and reader.tensor.shape == graph[name].tensor.shape
    return reader.name if is_map and others == [True] else None


# gradients ------------------------------------------------------------------------------------------------------------


def _of_kernel(graph: Graph, node: Node) -> tuple[Sums, Made] | None:
    """The gradient of a weight with which looked up rows were multiplied, if this node is one."""
    one = rows_product(graph, node)
    if one is None or {*one.looked} & {*one.output}:
        return None
    begin, rest = one.others[: len(one.looked)], one.others[len(one.looked) :]
    if sorted(begin) != sorted(one.looked):
        return None
    sums = Sums(one.indices, tuple(map(one.looked.index, begin)), one.other, one.rows(graph))

    def made(total: Symbol) -> Symbol:
        return pair(Operand(_read_rows(graph, one), one.whole), Operand(total, one.place + rest), one.output)

    return (sums, made) if _pays(graph, sums, graph[one.table].tensor) else None


def _read_rows(graph: Graph, one: RowsProduct) -> Symbol:
    """The table with zeros in rows that nobody looks up: what is not finite there is no part of any sum."""
    indices, table = reference(graph, one.indices), reference(graph, one.table)
    flag = TensorType((one.rows(graph),), table.type.dtype)
    looked_at = scatter_set(
        zeros_of(flag), indices, broadcast_to(as_symbol(1, flag.dtype), shape=indices.type.shape), axis=0
    )
    along = [size if letter == one.place else 1 for letter, size in zip(one.whole, table.type.shape, strict=True)]
    return where(greater(reshape(looked_at, shape=tuple(along)), 0), table, 0)


def _of_table(graph: Graph, node: Node) -> tuple[Sums, Made] | None:
    """The gradient of a table whose rows were multiplied with a weight, if this node is one."""
    if node.op != "scatter_add" or node.attrs["axis"] != 0:
        return None
    base, indices, updates = graph.arguments(node.name)
    rows = node.tensor.shape[0]
    names, rank = graph.arguments(updates), graph[indices].tensor.rank
    is_product = graph[updates].op == "einsum" and len(names) == 2 and graph.readers(updates) == [node.name]
    if not is_product or not isinstance(rows, int):
        return None
    inputs, output = parts_of(graph[updates].attrs["spec"])
    place = next(letter for letter in ascii_letters if letter not in "".join(inputs))
    looked, kept = output[:rank], place + output[rank:]
    slot = 0 if sorted(inputs[0][:rank]) == sorted(looked) else 1
    letters, others = inputs[slot], inputs[1 - slot]
    begin, rest, weight = letters[:rank], letters[rank:], names[1 - slot]
    if sorted(begin) != sorted(looked) or {*looked} & {*others} or graph[weight].op not in WEIGHTS:
        return None
    sums = Sums(indices, tuple(map(looked.index, begin)), names[slot], rows)

    def made(total: Symbol) -> Symbol:
        factor = Operand(reference(graph, weight), others)
        return _plus(graph, base, pair(Operand(total, place + rest), factor, kept))

    return (sums, made) if _pays(graph, sums, node.tensor) else None


def _pays(graph: Graph, sums: Sums, table: TensorType) -> bool:
    """Whether to add up rows of the gradient is less work than to multiply them."""
    width = graph[sums.gradient].tensor.shape[len(sums.order) :]
    if not is_worth((sums.rows, *width), table.shape[1:]):
        return False
    return prod(width) <= WIDEST * prod(table.shape[1:])


def _plus(graph: Graph, base: str, value: Symbol) -> Symbol:
    """The value added to another one, if that is not zero."""
    return value if _is_zero(graph, base) else add(reference(graph, base), value)


def _is_zero(graph: Graph, name: str) -> bool:
    sources = [graph[one] for one in graph.arguments(name)]
    return graph[name].op == "broadcast_to" and sources[0].op == "const" and not sources[0].attrs["value"].any()


def _add_up(graph: Graph, sums: Sums, members: Sequence[tuple[str, Made]]) -> None:
    """Let calls that look up many rows make these gradients of the sums."""
    names = [name for name, _ in members]
    inside = [*names]
    for name in names:
        given = graph.arguments(name)
        inside += [one for one in given if graph[one].op in ("take", "einsum") and one != sums.gradient]
        inside += [one for one in given if graph[name].op == "scatter_add" and _is_zero(graph, one)]

    def new() -> list[Symbol]:
        total = sums.symbol(graph)
        return [made(total) for _, made in members]

    _choose(graph, sums.indices, sums.rows, names, new, lambda: [_again(graph, name, inside) for name in names])


# both ways ------------------------------------------------------------------------------------------------------------


def _choose(
    graph: Graph, indices: str, rows: int, names: Sequence[str],
    new: Callable[[], list[Symbol]], old: Callable[[], list[Symbol]],
) -> None:  # fmt: skip
    """Put the new expressions in the place of these nodes, for calls with many indices."""
    count = product(graph[indices].tensor.shape)
    if isinstance(count, int):
        if count < MANY * rows:
            return
        values = new()
    else:
        values = cond(greater_equal(as_symbol(count, "int32"), MANY * rows), new, old)
    made: dict[int, str] = {}
    places = [put_in(graph, value, name, graph[name].origin, made) for name, value in zip(names, values, strict=True)]
    for name, place in zip(names, places, strict=True):
        stand_in(graph, name, place)


def _again(graph: Graph, name: str, inside: Iterable[str], values: Mapping[str, Symbol] | None = None) -> Symbol:
    """A node as an expression, with the nodes `inside` computed again, except those that have values."""
    node, known = graph[name], values or {}
    if name in known:
        return known[name]
    if node.op == "const" and node.tensor.shape == ():
        return Symbol("const", (), node.attrs, node.type, name)
    if name not in inside:
        return reference(graph, name)
    operands = tuple(_again(graph, one, inside, known) for one in graph.arguments(name))
    return Symbol(node.op, operands, node.attrs, node.type, name, node.origin)
