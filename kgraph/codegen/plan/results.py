"""What a graph and its nodes store: results in memory of their own, and the values that one kernel makes."""

from __future__ import annotations

from kgraph.graph.ir import LEAVES, Graph, Node
from kgraph.graph.types import TensorType


def with_results_of_their_own(graph: Graph) -> tuple[Graph, set[str]]:
    """A copy in which every result has memory of its own, never a view of an input; and the nodes that copy for it."""
    graph, taken = graph.copy(), set()
    copies: set[str] = set()
    for position, name in enumerate(graph.results):
        root = viewed(graph, name)
        if graph[root].op in LEAVES or root in taken:
            kind = graph[name].tensor
            copy = Node(graph.fresh(f"{name}/copy"), "reshape", kind, {"shape": kind.shape}, graph[name].origin)
            name = root = graph.add(copy, name)
            copies.add(name)
        taken.add(root)
        if position < len(graph.outputs):
            graph.outputs[position] = name
        else:
            graph.updates[list(graph.updates)[position - len(graph.outputs)]] = name
    return graph, copies


def viewed(graph: Graph, name: str) -> str:
    """The value whose memory this one is a view of."""
    while graph[name].op == "reshape":
        name = graph.arguments(name)[0]
    return name


def stored_by(graph: Graph, node: Node) -> list[str]:
    """The values that a node's kernel stores: its own, or its items in order."""
    if isinstance(node.type, TensorType):
        return [node.name]
    items = {graph[reader].attrs["index"]: reader for reader in graph.readers(node.name)}
    return [items[number] for number in sorted(items)]


def types_of(node: Node) -> tuple[TensorType, ...]:
    """The types of what a node makes."""
    return node.type if isinstance(node.type, tuple) else (node.type,)
