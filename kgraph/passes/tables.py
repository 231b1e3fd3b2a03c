"""Products of what is looked up in a weight: the whole weight is multiplied, and the product looked up.

    einsum(take(table, words, axis=0), kernel)   ->   take(einsum(table, kernel), words, axis=0)

Both read the same rows of the same product, but the second is made from weights alone: ahead of calls, and again only
when a weight has changed. A recurrent layer behind an Embedding so begins with its inputs projected. Where gradients
are asked for, weights change from call to call, and there the pass does not run.
"""

from __future__ import annotations

from math import prod
from string import ascii_letters

from kgraph.graph.ir import Graph, Node
from kgraph.graph.sizes import Dim
from kgraph.ops.contract import parts_of, sizes_of
from kgraph.ops.indexing import take
from kgraph.passes.align import turn
from kgraph.passes.einsum import Operand, pair
from kgraph.passes.rewrite import substitute
from kgraph.tracing.trace import reference

LEAST_TERMS = 8  # of a sum: to read a row of the product takes as long as to compute one of fewer
MOST_ELEMENTS = 2**23  # of a product, 32 MB: more lie in no cache, where a row takes longer to arrive
MOST_OPERATIONS = 2**30  # multiply-adds for a product, which take a few milliseconds when a weight has changed


def look_up_products(graph: Graph) -> Graph:
    """The graph with products of looked up rows of weights looked up themselves, where that gains something."""
    graph = graph.copy()
    for node in list(graph):
        if node.op == "einsum" and len(graph.arguments(node.name)) == 2:
            look_up(graph, node)
    return graph.prune()


def look_up(graph: Graph, node: Node) -> None:
    """Put what is looked up in the product of weights in the place of a product of what is looked up."""
    names = graph.arguments(node.name)
    inputs, output = parts_of(node.attrs["spec"])
    for rows, other in ((0, 1), (1, 0)):
        found, weight = graph[names[rows]], names[other]
        if found.op != "take" or not is_weight(graph, weight):
            continue
        table, indices = graph.arguments(found.name)
        axis, rank = found.attrs["axis"], graph[indices].tensor.rank
        looked, place = (
            inputs[rows][axis : axis + rank],
            next(label for label in ascii_letters if label not in "".join(inputs)),
        )
        if not is_weight(graph, table) or set(looked) & set(inputs[other]) or not set(looked) <= set(output):
            continue
        labels = inputs[rows][:axis] + place + inputs[rows][axis + rank :]
        wanted = place + "".join(label for label in output if label not in looked)
        shapes = [graph[table].tensor.shape, graph[weight].tensor.shape]
        if not is_gain(sizes_of(f"{labels},{inputs[other]}->{wanted}", shapes), wanted):
            continue
        product = pair(
            Operand(reference(graph, table), labels), Operand(reference(graph, weight), inputs[other]), wanted
        )
        value = take(product, reference(graph, indices), axis=0)
        substitute(graph, node.name, turn(value, looked + wanted[1:], output))
        return


def is_weight(graph: Graph, name: str) -> bool:
    """Whether a value is a weight, or a constant, that no call changes."""
    return graph[name].op in ("param", "const") and name not in graph.updates


def is_gain(sizes: dict[str, Dim], wanted: str) -> bool:
    """Whether a product of weights with axes of these sizes, of which these remain, is worth being made ahead."""
    known = {label: size for label, size in sizes.items() if isinstance(size, int)}
    terms = prod(size for label, size in known.items() if label not in wanted)
    elements = prod(size for label, size in known.items() if label in wanted)
    return (
        len(known) == len(sizes)
        and terms >= LEAST_TERMS
        and elements <= MOST_ELEMENTS
        and elements * terms <= MOST_OPERATIONS
    )
