"""How long a call takes, about: whether it is worth letting other Python threads run meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from kgraph.graph.ir import LEAVES, Graph, Node
from kgraph.graph.op import OPS
from kgraph.graph.sizes import resolve

_PRODUCTS = 16  # multiplications that one thread does in a nanosecond
_ELEMENTS = 2  # elements that it makes or reads in other ways
_SORTING = 50  # nanoseconds for each element
_OTHERWISE_IDLE = ("reshape", "size")  # they make nothing


def nanoseconds(graph: Graph, sizes: Mapping[str, int]) -> int:
    """What one thread needs for a fused graph, within a factor of a few."""
    return round(sum(_of_node(graph, node, sizes) for node in graph if node.op not in LEAVES))


def _of_node(graph: Graph, node: Node, sizes: Mapping[str, int]) -> float:
    if node.body is not None:
        times = min(resolve(node.attrs["length"], sizes), 1000) if node.op == "loop" else 1
        return times * nanoseconds(node.body, sizes)
    if node.op not in OPS or node.op in _OTHERWISE_IDLE:
        return 0.0
    read = [resolve(graph[name].tensor.shape, sizes) for name in graph.arguments(node.name)]
    if node.op == "einsum":
        extents: dict[str, int] = {}
        for letters, shape in zip(node.attrs["spec"].split("->")[0].split(","), read, strict=True):
            for letter, size in zip(letters, shape, strict=True):
                extents[letter] = max(size, extents.get(letter, 1))
        return prod(extents.values()) / _PRODUCTS
    made = prod(resolve(node.tensor.shape, sizes))
    if OPS[node.op].kind == "sort":
        return _SORTING * made
    return max(made, prod(read[0]) if OPS[node.op].kind == "reduce" else 0) / _ELEMENTS
