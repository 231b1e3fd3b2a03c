"""Compute equal things once."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from kgraph.graph.ir import Graph, Node
from kgraph.graph.op import OPS

MOST_ELEMENTS = 1 << 20  # larger constants are not compared


def merge(graph: Graph) -> Graph:
    """The graph with one node for all of the same op, attributes and arguments; the first one made stays.

    Equal constants and equal weights become one, and commutative ops are equal in either order.
    """
    graph = graph.copy()
    first: dict[Hashable, str] = {}
    for node in list(graph):
        key = None if node.name in graph.updates else identity(graph, node)
        if key is None:
            continue
        same = first.setdefault(key, node.name)
        if same != node.name:
            graph.redirect(node.name, same)
    return graph.prune(keep=graph.updates)


def identity(graph: Graph, node: Node) -> Hashable | None:
    """What equal nodes share, or None for a node that has no equal."""
    if node.op == "const":
        value = np.asarray(node.attrs["value"])
        return ("const", node.type, value.tobytes()) if value.size <= MOST_ELEMENTS else None
    if node.op == "param":
        return ("param", id(node.attrs["variable"]))
    if node.op not in OPS or node.body is not None:
        return None
    arguments = graph.arguments(node.name)
    if OPS[node.op].commutes:
        arguments.sort()
    return (node.op, node.type, tuple(sorted(node.attrs.items())), tuple(arguments))
