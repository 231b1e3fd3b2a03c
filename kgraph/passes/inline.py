"""Open up layer calls: the layer graph becomes one graph of ops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count

from kgraph.graph.ir import Graph, Node
from kgraph.graph.op import OPS

Names = Callable[[str], str]  # a node of the graph being opened -> its name in the flat graph
Places = dict[str, list[str]]  # a node of the graph being opened -> its results in the flat graph


def inline(graph: Graph) -> Graph:
    """A graph without layer calls: `hidden = Dense(x, ...)` becomes hidden/einsum, hidden/add and hidden.

    What a body returns takes the name of its call; of several results, each takes the name of the `item` node that
    reads it (hidden.0, hidden.1). Weights keep the names of the caller's nodes. A node keeps its own origin, and takes
    the call's where it has none. What the graph assumes of sizes is carried along, under the new names.
    """
    return _Inliner(graph).run(graph)


def is_call(node: Node) -> bool:
    """Whether the node is a call of a layer; loops and fused kernels have a body too, but are one op."""
    return node.body is not None and node.op not in OPS and node.op != "fused"


class _Inliner:
    """The flat graph under construction, and the names that are spoken for."""

    def __init__(self, graph: Graph) -> None:
        self.flat = Graph()
        self.taken = set(graph.nodes)
        self.numbers: dict[str, count[int]] = {}

    def run(self, graph: Graph) -> Graph:
        flat = self.flat
        there: Places = {name: [flat.add(graph[name])] for name in graph.inputs}
        self.place_all(graph, there, lambda name: name, "")
        flat.outputs = [there[name][0] for name in graph.outputs]
        flat.updates = {there[param][0]: there[name][0] for param, name in graph.updates.items()}
        return flat.prune()

    def place_all(self, graph: Graph, there: Places, names: Names, origin: str) -> None:
        """Put the nodes that have no place yet into the flat graph, and what the graph assumes with them."""
        for node in graph:
            if node.name not in there:
                sources = [there[source] for source in graph.arguments(node.name)]
                there[node.name] = self.place(graph, node, sources, names, node.origin or origin)
        self.flat.assumed += [(a, b, there[name][0] if name in there else name) for a, b, name in graph.assumed]

    def place(self, graph: Graph, node: Node, sources: list[list[str]], names: Names, origin: str) -> list[str]:
        """Put one node into the flat graph; returns the names of its results."""
        if node.op == "item" and is_call(graph[graph.arguments(node.name)[0]]):
            return [sources[0][node.attrs["index"]]]
        arguments = [source[0] for source in sources]
        if is_call(node):
            return self.open(graph, node, arguments, names, origin)
        attrs = {key: inline(value) if isinstance(value, Graph) else value for key, value in node.attrs.items()}
        return [self.flat.add(replace(node, name=names(node.name), attrs=attrs, origin=origin), *arguments)]

    def open(self, graph: Graph, call: Node, arguments: list[str], names: Names, origin: str) -> list[str]:
        """Put the inside of a call into the flat graph."""
        body, name = call.body, names(call.name)
        assert body is not None
        leaves = [*body.inputs, *(node.name for node in body.params())]
        there = {leaf: [argument] for leaf, argument in zip(leaves, arguments, strict=True)}
        own = dict(zip(reversed(body.outputs), reversed(self.results(graph, call, name, names)), strict=True))
        self.place_all(body, there, lambda one: own.get(one) or self.fresh(f"{name}/{one}"), origin)
        return [there[output][0] for output in body.outputs]

    def results(self, graph: Graph, call: Node, name: str, names: Names) -> list[str]:
        """What the results of a call are called: as the call, or as the items that read them."""
        if not isinstance(call.type, tuple):
            return [name]
        items = {graph[one].attrs["index"]: one for one in reversed(graph.readers(call.name))}
        return [
            names(items[index]) if index in items else self.fresh(f"{name}.{index}") for index in range(len(call.type))
        ]

    def fresh(self, stem: str) -> str:
        """A name that no node has, and none of the outermost graph will have."""
        name, numbers = stem, self.numbers.setdefault(stem, count(1))
        while name in self.taken:
            name = f"{stem}#{next(numbers)}"
        self.taken.add(name)
        return name
