"""Rows that are only a name for a composition, such as softmax, give way to it once gradients are there."""

from __future__ import annotations

from kgraph.graph.ir import Graph
from kgraph.graph.op import OPS
from kgraph.passes.rewrite import stand_in, substitute
from kgraph.tracing.trace import reference


def open_composed(graph: Graph) -> Graph:
    """The graph without ops of kind compose."""
    graph = graph.copy()
    for node in list(graph):
        op = OPS.get(node.op)
        if op is not None and op.opened is not None:
            arguments = [reference(graph, name) for name in graph.arguments(node.name)]
            result = op.opened(*arguments, **node.attrs)
            if result.op == "ref":
                stand_in(graph, node.name, result.stem)
            else:
                substitute(graph, node.name, result)
    return graph.prune()
