"""Compute at compile time what depends on constants alone."""

from __future__ import annotations

import numpy as np

from kgraph.graph.ir import Graph, Node
from kgraph.graph.op import OPS
from kgraph.graph.sizes import Size, axes_of
from kgraph.graph.types import numpy_dtype

MOST_ELEMENTS = 1 << 16  # larger ones stay computed: a constant is stored with every copy of the compiled code


def fold(graph: Graph) -> Graph:
    """The graph with a constant for each op whose operands are all constants, and whose result is not large.

    A constant that is only repeated (broadcast_to, iota) stays an op: kernels compute such values on the way.
    """
    graph = graph.copy()
    for node in list(graph):
        sources = [graph[name] for name in graph.arguments(node.name)]
        if foldable(node) and all(source.op == "const" for source in sources):
            value = evaluated(node, [source.attrs["value"] for source in sources])
            graph.nx.remove_edges_from(list(graph.nx.in_edges(node.name, keys=True)))
            graph.set(node.name, op="const", attrs={"value": value})
    return graph.prune()


def foldable(node: Node) -> bool:
    """Whether the node may become a constant, if its operands are."""
    if node.op not in OPS or node.op in ("broadcast_to", "iota", "stop_gradient") or node.body is not None:
        return False
    if isinstance(node.type, tuple) or any(axes_of(value) for value in node.attrs.values()):
        return False
    size = node.tensor.size
    return not isinstance(size, Size) and size <= MOST_ELEMENTS


def evaluated(node: Node, values: list[np.ndarray]) -> np.ndarray:
    """The value of an op on these, by its numpy row."""
    with np.errstate(all="ignore"):
        result = OPS[node.op].numpy(*values, **node.attrs)
    return np.asarray(result, numpy_dtype(node.tensor.dtype))
