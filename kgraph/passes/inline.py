"""Open up layer calls: the layer graph becomes one graph of ops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

from kgraph.ir import Graph, Node
from kgraph.op import OPS


def inline(graph: Graph) -> Graph:
    """A graph without layer calls: `hidden = Dense(x, ...)` becomes hidden/einsum, hidden/add and hidden.

    What a body returns takes the name of its call; of several results, each takes the name of the `item` node that
    reads it (hidden.0, hidden.1). Weights keep the names of the caller's nodes. A node keeps its own origin, and takes
    the call's where it has none. What the graph assumes of sizes is carried along, under the new names.
    """
    return _Inliner(graph).run()


class _Inliner:
    """The flat graph under construction, and the names that are spoken for."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.flat = Graph()
        self.taken = set(graph.nodes)
        self.numbers: dict[str, count[int]] = {}

    def run(self) -> Graph:
        graph, flat = self.graph, self.flat
        there: dict[str, list[str]] = {}
        for name in graph.inputs:
            there[name] = [flat.add(graph[name])]
        for node in graph:
            if node.name not in there:
                arguments = [there[source] for source in graph.arguments(node.name)]
                there[node.name] = self._placed(graph, node, node.name, arguments, node.origin)
        flat.outputs = [there[name][0] for name in graph.outputs]
        flat.updates = {there[param][0]: there[name][0] for param, name in graph.updates.items()}
        flat.assumed += [(a, b, there[name][0] if there.get(name) else name) for a, b, name in graph.assumed]
        return flat.prune()

    def _placed(self, graph: Graph, node: Node, name: str, arguments: list[list[str]], origin: str) -> list[str]:
        """Put one node into the flat graph under this name; returns the names of its results."""
        if node.op == "item":
            return [arguments[0][node.attrs["index"]]]
        sources = [one[0] for one in arguments]
        if not is_call(node):
            return [self.flat.add(replace(_opened(node), name=name, origin=node.origin or origin), *sources)]
        body = node.body
        assert body is not None
        return self._spliced(body, name, sources, self._result_names(graph, node, name), node.origin or origin)

    def _result_names(self, graph: Graph, call: Node, name: str) -> list[str]:
        """What the results of a call are called: as the call, or as the items that read them."""
        if not isinstance(call.type, tuple):
            return [name]
        items = {graph[one].attrs["index"]: one for one in reversed(graph.readers(call.name))}
        scope = name[: len(name) - len(call.name)]  # the path to the body that the call stands in
        return [self._reserved(scope + items.get(i, f"{call.name}.{i}")) for i in range(len(call.type))]

    def _reserved(self, name: str) -> str:
        """The name itself where it belongs to an item of the outermost graph, else one that is free."""
        return name if name in self.graph else self._fresh(name)

    def _spliced(self, body: Graph, name: str, sources: list[str], results: list[str], origin: str) -> list[str]:
        leaves = [*body.inputs, *(node.name for node in body.params())]
        there = {leaf: [source] for leaf, source in zip(leaves, sources, strict=True)}
        wanted = dict(reversed(list(zip(body.outputs, results, strict=True))))
        for node in body:
            if node.name not in there:
                arguments = [there[source] for source in body.arguments(node.name)]
                own = wanted.get(_read_by(body, node, wanted)) or self._fresh(f"{name}/{node.name}")
                there[node.name] = self._placed(body, node, own, arguments, origin)
        self.flat.assumed += [(a, b, there[one][0] if there.get(one) else name) for a, b, one in body.assumed]
        return [there[output][0] for output in body.outputs]

    def _fresh(self, stem: str) -> str:
        name = stem
        numbers = self.numbers.setdefault(stem, count(1))
        while name in self.taken:
            name = f"{stem}#{next(numbers)}"
        self.taken.add(name)
        return name


def is_call(node: Node) -> bool:
    """Whether the node is a call of a layer; loops and fused kernels have a body too, but no one opens it here."""
    return node.body is not None and node.op not in OPS and node.op != "fused"


def _read_by(body: Graph, node: Node, wanted: dict[str, str]) -> str:
    return node.name


def _opened(node: Node) -> Node:
    """The node, with the layer calls inside its own graphs opened: the body of a loop is a graph too."""
    graphs = {key: inline(value) for key, value in node.attrs.items() if isinstance(value, Graph)}
    return replace(node, attrs={**node.attrs, **graphs}) if graphs else node


def calls(graph: Graph) -> Sequence[Node]:
    """The layer calls of a graph."""
    return [node for node in graph if is_call(node)]
