"""Sums of everything, of elements whose columns are summed too: a loss, beside the gradients of a scale and a bias.

    sum(c * sum(e, axis=1))   ->   sum(c * sum(e, axis=0)),   where sum(f, axis=0) is wanted as well

where e and f are made of the same elements, by functions that take long. Kernels that sum along the same axes become
one, which computes these elements once; otherwise each of them is written to memory by the first, and read by the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kgraph.graph.ir import LEAVES, Graph, Node
from kgraph.graph.loop import ancestors, descendants
from kgraph.graph.op import CURVE, OPS
from kgraph.passes.rewrite import row, substitute
from kgraph.tracing.trace import reference, reshaped

total = row("sum")


class Total(NamedTuple):
    """The sum of all elements, made at once, or in two steps, between which it is multiplied or divided by numbers."""

    elements: str
    axes: tuple[int, ...]  # of the first step
    scales: Sequence[tuple[str, str]]  # the ops, and the numbers


def sum_columns_first(graph: Graph) -> Graph:
    """The graph with sums of everything along the axes of other sums first, where that leaves one kernel of two."""
    graph = graph.copy()
    for node in list(graph):
        found = total_of(graph, node)
        axes = found and axes_of_another(graph, found, descendants(graph, [node.name]))
        if found and axes:
            value = total(reference(graph, found.elements), axes=axes, keepdims=False)
            for op, number in found.scales:
                value = row(op)(value, reference(graph, number))
            whole = total(value, axes=tuple(range(value.type.rank)), keepdims=False)
            substitute(graph, node.name, reshaped(whole, node.tensor.shape))
    return graph.prune()


def total_of(graph: Graph, node: Node) -> Total | None:
    """What a node is the sum of, if it is one of everything."""
    if node.op != "sum" or node.tensor.size != 1:
        return None
    scales: list[tuple[str, str]] = []
    (name,) = graph.arguments(node.name)
    while graph[name].op in ("multiply", "divide") and graph.is_read_once(name):
        value, number = graph.arguments(name)
        if graph[number].op != "const" or graph[number].tensor.size != 1:
            break
        scales, name = [(graph[name].op, number), *scales], value
    if graph[name].op == "sum" and graph.is_read_once(name):
        return Total(graph.arguments(name)[0], graph[name].attrs["axes"], scales)
    return Total(graph.arguments(node.name)[0], node.attrs["axes"], ())


def axes_of_another(graph: Graph, found: Total, later: set[str]) -> tuple[int, ...] | None:
    """The axes of another sum, not one of those that come later, of elements made of the same costly ones."""
    shape, own = graph[found.elements].tensor.shape, elements_of(graph, found.elements)
    for node in graph if own else ():
        if node.op != "sum" or node.name in later or node.attrs["axes"] == found.axes:
            continue
        (name,) = graph.arguments(node.name)
        if graph[name].tensor.shape != shape or len(node.attrs["axes"]) == len(shape):
            continue
        if any(OPS[graph[one].op].cost >= CURVE for one in own & elements_of(graph, name)):
            return node.attrs["axes"]
    return None


def elements_of(graph: Graph, name: str) -> set[str]:
    """The values of this shape that a value follows from; none if there is more on the way than functions of elements,
    such as a product or a softmax, whose kernel makes or reads them in an order of its own."""
    before = [graph[one] for one in ancestors(graph, [name]) if graph[one].op not in LEAVES]
    if not all(node.op in OPS and OPS[node.op].kind in ("map", "move") for node in before):
        return set()
    return {node.name for node in before if node.tensor.shape == graph[name].tensor.shape}
