"""Products of what is looked up in a table: the whole table is multiplied, and the product looked up.

    einsum(take(table, words, axis=0), kernel)   ->   take(einsum(table, kernel), words, axis=0)

Both read the same rows of the same product. Of weights that stand still the second is made ahead of calls, and again
only when a weight has changed. Where gradients are asked for, weights change from call to call: see `by_table.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from string import ascii_letters

from kgraph.graph.ir import Graph, Node
from kgraph.graph.sizes import Dim
from kgraph.graph.types import HALF
from kgraph.ops.contract import parts_of
from kgraph.ops.gather import take
from kgraph.passes.align import turn
from kgraph.passes.einsum import Operand, pair
from kgraph.passes.rewrite import substitute
from kgraph.tracing.trace import Symbol, reference

WEIGHTS = ("param", "const")
LEAST_TERMS = 8  # of a sum: to read a row of the product takes as long as to compute one of fewer
MOST_ELEMENTS = 2**23  # of a product, 32 MB: more lie in no cache, where a row takes longer to arrive
MOST_OPERATIONS = 2**30  # multiply-adds for a product, which take a few milliseconds when a weight has changed


@dataclass(frozen=True)
class RowsProduct:
    """A product of rows of a table, the letters of its operands and result, and one for the axis that is looked up."""

    node: Node
    table: str
    indices: str
    other: str
    place: str
    looked: str  # the letters of the indices
    whole: str  # of the table
    others: str
    output: str
    wraps: bool  # whether negative indices count from the end

    @property
    def operands(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """The table and what it is multiplied with, and their letters."""
        return (self.table, self.whole), (self.other, self.others)

    def rows(self, graph: Graph) -> int:
        """How many rows the table has."""
        size = graph[self.table].tensor.shape[self.whole.index(self.place)]
        assert isinstance(size, int), "weights have known sizes"
        return size


def rows_product(graph: Graph, node: Node) -> RowsProduct | None:
    """A product of rows of a weight, if this node is one."""
    names = graph.arguments(node.name)
    if node.op != "einsum" or len(names) != 2 or node.tensor.dtype in HALF:
        return None
    inputs, output = parts_of(node.attrs["spec"])
    place = next(letter for letter in ascii_letters if letter not in "".join(inputs))
    for name, letters, other, others in zip(names, inputs, names[::-1], inputs[::-1], strict=True):
        if graph[name].op != "take" or graph[graph.arguments(name)[0]].op not in WEIGHTS:
            continue
        table, indices = graph.arguments(name)
        axis, rank = graph[name].attrs["axis"], graph[indices].tensor.rank
        looked, whole = letters[axis : axis + rank], letters[:axis] + place + letters[axis + rank :]
        return RowsProduct(
            node, table, indices, other, place, looked, whole, others, output, graph[name].attrs.get("wraps", True)
        )
    return None


def look_up_products(graph: Graph) -> Graph:
    """The graph with products of rows of weights looked up themselves, where that gains something."""
    graph = graph.copy()
    for node in list(graph):
        one = rows_product(graph, node)
        still = one is not None and not {one.table, one.other} & set(graph.updates)
        if one is not None and still and is_projection(graph, one):
            substitute(graph, node.name, looked_up(graph, one))
    return graph.prune()


def looked_up(graph: Graph, one: RowsProduct) -> Symbol:
    """Rows of the product of a table and another weight."""
    rest = "".join(letter for letter in one.output if letter not in one.looked)
    table, other = (Operand(reference(graph, name), letters) for name, letters in one.operands)
    made = pair(table, other, one.place + rest)
    return turn(take(made, reference(graph, one.indices), axis=0, wraps=one.wraps), one.looked + rest, one.output)


def is_projection(graph: Graph, one: RowsProduct) -> bool:
    """Whether each row is multiplied with the same weight, and the product of the table is neither small nor large."""
    if graph[one.other].op not in WEIGHTS or set(one.looked) & set(one.others):
        return False
    if not set(one.looked) <= set(one.output):
        return False
    sizes = {
        letter: size
        for name, letters in one.operands
        for letter, size in zip(letters, graph[name].tensor.shape, strict=True)
    }
    made = [size for letter, size in sizes.items() if letter == one.place or letter in one.output]
    return is_worth(made, [size for letter, size in sizes.items() if letter != one.place and letter not in one.output])


def is_worth(made: Sequence[Dim], summed: Sequence[Dim]) -> bool:
    """Whether to make a product with axes of these sizes, of sums over those, is worth it."""
    if not all(isinstance(size, int) for size in (*made, *summed)):
        return False
    elements, terms = prod(made), prod(summed)
    return terms >= LEAST_TERMS and elements <= MOST_ELEMENTS and elements * terms <= MOST_OPERATIONS
