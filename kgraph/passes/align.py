"""Axes that a product walks together, in one order: rows of a matrix, say, that are samples by steps in one tensor and
steps by samples in the other.

Strides make any order of axes readable, but only axes in the same order are one run. Otherwise tiles extend along one
of them alone, and with a single sample the product is one of single rows, for each step anew. So the smaller tensor is
turned, which costs nothing where the kernel that makes or reads it can do so. Recurrent layers need it: inputs begin
with the samples, loops with the steps.
"""

from __future__ import annotations

from math import prod

from kgraph.graph.ir import Graph, Node
from kgraph.graph.sizes import Dim
from kgraph.ops.contract import parts_of, sizes_of
from kgraph.ops.move import transpose
from kgraph.passes.einsum import GUESS, Operand, pair
from kgraph.passes.rewrite import substitute
from kgraph.tracing.trace import Symbol, reference

LONG = 96  # elements along the last axis of a run, with which it is long enough by itself


def align(graph: Graph) -> Graph:
    """The graph with operands and results of its products turned, where that makes axes one run."""
    graph = graph.copy()
    for node in list(graph):
        if node.op == "einsum" and len(graph.arguments(node.name)) == 2:
            align_product(graph, node)
    return graph.prune()


def align_product(graph: Graph, node: Node) -> None:
    """Turn what makes rows, columns or summed axes of one product a run, if anything does."""
    names = graph.arguments(node.name)
    inputs, output = parts_of(node.attrs["spec"])
    sizes = sizes_of(node.attrs["spec"], [graph[name].tensor.shape for name in names])
    terms = [*inputs, output]
    wanted = list(terms)
    fixed = [slot for slot, name in enumerate(names) if graph[name].op == "param"]  # packed ahead, from any order
    for one, other, third in ((0, 2, 1), (1, 2, 0), (1, 0, 2)):
        first, second = ("".join(label for label in wanted[slot] if label not in terms[third]) for slot in (one, other))
        if first == second or sorted(first) != sorted(second) or one in fixed or other in fixed:
            continue
        if first not in wanted[one] or second not in wanted[other] or _is_long(sizes[second[-1]]):
            continue
        if elements(wanted[one], sizes) <= elements(wanted[other], sizes):
            wanted[one] = wanted[one].replace(first, second)
        else:
            wanted[other] = wanted[other].replace(second, first)
    if wanted != terms:
        values = (reference(graph, name) for name in names)
        left, right = (Operand(turn(*one), one[2]) for one in zip(values, inputs, wanted[:2], strict=True))
        substitute(graph, node.name, turn(pair(left, right, wanted[2]), wanted[2], output))


def turn(value: Symbol, labels: str, wanted: str) -> Symbol:
    """A value whose axes have these labels, with them in another order."""
    return value if labels == wanted else transpose(value, axes=tuple(labels.index(label) for label in wanted))


def elements(labels: str, sizes: dict[str, Dim]) -> int:
    """How many elements a tensor has, about."""
    return prod(size if isinstance(size := sizes[label], int) else GUESS for label in labels)


def _is_long(size: Dim) -> bool:
    return isinstance(size, int) and size >= LONG
