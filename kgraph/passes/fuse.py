"""Put neighbours into one kernel. Runs last: a fused node has no gradient and no numpy row.

`group.py` says which nodes may share a kernel. Where a value is read in several, it is computed again in each if that
costs less than memory; or these kernels become one, with several results; or one of them stores it for the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from kgraph.graph.ir import LEAVES, Graph, Node
from kgraph.graph.op import OPS
from kgraph.passes.group import (
    Group,
    begin,
    enter,
    inputs_of,
    is_embedded,
    is_fill_of_scatter,
    is_number,
    is_view_of_product,
    joins,
    reads_elements,
)
from kgraph.passes.share import host_of, may_be_one, repeated, shares_rows, united

ROUNDS = 4  # what is computed again may leave other values that are worth it


def fuse(graph: Graph) -> Graph:
    """The graph with one node for each kernel."""
    grouping = group(graph)
    made = Graph()
    made.updates, made.assumed = dict(graph.updates), list(graph.assumed)
    for one in grouping.in_order():
        if isinstance(one, Group):
            _add_kernel(made, graph, one, grouping.copied)
        else:
            made.add(graph[one], *graph.arguments(one))
    made.inputs, made.outputs = list(graph.inputs), list(graph.outputs)
    return made.prune()


def group(graph: Graph) -> Grouping:
    """The groups of a graph, with what is worth it computed again in each that reads it."""
    again = {node.name for node in graph if is_view_of_product(graph, node) or is_fill_of_scatter(graph, node)}
    for _ in range(ROUNDS):
        found = Grouping(graph, again)
        more = repeated(found) - again
        if not more:
            break
        again |= more
    return Grouping(graph, again) if more else found


class Grouping:
    """The nodes of a graph in groups, made from the results backwards; `home` has the groups that compute a node."""

    def __init__(self, graph: Graph, again: set[str]) -> None:
        self.again = again
        self.graph, self.copied = graph, everywhere(graph)
        self.apart = [node.name for node in graph if is_apart(node)]
        self.results = {*graph.results, *(source for name in self.apart for source in graph.arguments(name))}
        self.home: dict[str, list[Group]] = {}
        self.several: set[Group] = set()  # groups with more than one root
        self.position = {node.name: number for number, node in enumerate(graph)}
        nodes = [node for node in graph if not is_apart(node) and node.name not in self.copied]
        for node in reversed(nodes):
            self._place(node)
        for node in graph:
            self._unite_readers(node)

    @property
    def groups(self) -> list[Group]:
        """All groups."""
        return list({id(group): group for homes in self.home.values() for group in homes}.values())

    def readers(self, node: Node, group: Group) -> list[str]:
        """The readers of a node that are in a group."""
        return [reader for reader in self.graph.readers(node.name) if reader in group.members]

    def around(self, node: Node) -> list[Group]:
        """The groups in which a node is read."""
        readers = self.graph.readers(node.name)
        return list({id(group): group for reader in readers for group in self.home.get(reader, ())}.values())

    def _place(self, node: Node) -> None:
        around = self.around(node)
        if node.name not in self.results:
            if len(around) > 1 and node.name not in self.again and may_be_one(self, node, around):
                around = [self._united(around)]
            if (len(around) == 1 or node.name in self.again) and all(self._fits(node, one) for one in around):
                for group in around:
                    enter(self.graph, node, self.readers(node, group), group)
                self.home[node.name] = around
                return
        host = host_of(self, node, [group for group in around if self._fits(node, group)], around)
        if host is None:
            self.home[node.name] = [begin(self.graph, node)]
        else:
            enter(self.graph, node, self.readers(node, host), host)
            host.roots.append(node)
            self.several.add(host)
            self.home[node.name] = [host]

    def _fits(self, node: Node, group: Group) -> bool:
        return joins(self.graph, node, self.readers(node, group), group)

    def _unite_readers(self, node: Node) -> None:
        """Kernels that reduce the same rows of one value read it once."""
        around = [group for group in self.around(node) if group.frame is not None]
        for number, group in enumerate(around):
            for other in around[number + 1 :]:
                if group.members and other.members and shares_rows(self, node, group, other):
                    self._united([group, other])

    def _united(self, groups: Sequence[Group]) -> Group:
        """The groups made one, which is the first of them."""
        first, *others = groups
        self.several = (self.several - {*others}) | {first}
        for other in others:
            united(first, other)
            for name in other.members:
                self.home[name] = list(dict.fromkeys(first if one is other else one for one in self.home[name]))
            other.members = set()
        return first

    def reaches(self, start: Group, goal: Group) -> bool:
        """Whether a kernel needs, directly or not, what another one stores."""
        last = self._last_before(goal)
        seen, waiting = {id(start)}, [start]
        while waiting:
            for root in waiting.pop().roots:
                if self.position[root.name] >= last:
                    continue
                for group in [*self.around(root), *self.beyond(root)]:
                    if group is goal:
                        return True
                    if id(group) not in seen:
                        seen.add(id(group))
                        waiting.append(group)
        return False

    def _last_before(self, goal: Group) -> int:
        """Where the last value is that may lead to a group: one that is later than all in it may do so through kernels
        that store earlier values too."""
        last = max(self.position[root.name] for root in goal.roots)
        spans = ([self.position[root.name] for root in group.roots] for group in self.several)
        for first, end in sorted((min(span), max(span)) for span in spans):
            last = max(last, end) if first < last else last
        return last

    def beyond(self, node: Node) -> list[Group]:
        """The groups that read what a loop makes of a node."""
        apart = [self.graph[reader] for reader in self.graph.readers(node.name) if is_apart(self.graph[reader])]
        return [group for reader in apart for group in [*self.around(reader), *self.beyond(reader)]]

    def in_order(self) -> Iterable[Group | str]:
        """Groups, and leaves by name, each after what it needs."""
        from networkx import DiGraph, lexicographical_topological_sort

        order: Any = DiGraph()
        key: dict[Group | str, int] = {}
        for node in self.graph:
            ones: Sequence[Group | str] = [node.name] if is_apart(node) else self.home.get(node.name, [])
            order.add_nodes_from(ones)
            for one in ones:
                key.setdefault(one, self.position[node.name])
        read: dict[Group | str, Iterable[str]] = {name: self.graph.arguments(name) for name in self.apart}
        for group in self.groups:
            read[group] = inputs_of(self.graph, with_copies(self.graph, group.members, self.copied))
        for reader, sources in read.items():
            for source in sources:
                stores = [one for one in self.home.get(source, ()) if self.graph[source] in one.roots]
                needed: Sequence[Group | str] = stores or [source]
                order.add_edges_from((one, reader) for one in needed if one is not reader)
        return lexicographical_topological_sort(order, key=key.__getitem__)


def groups(graph: Graph) -> dict[str, Group]:
    """The first group in which each node is computed."""
    return {name: found[0] for name, found in group(graph).home.items()}


def is_apart(node: Node) -> bool:
    """Whether a node is no kernel, nor part of one: a value that is given, a loop, or a result of one."""
    return node.op in LEAVES or node.op == "item" or OPS[node.op].kind == "loop"


def everywhere(graph: Graph) -> set[str]:
    """Numbers that follow from sizes and constants, like the count behind a mean: each kernel has its own."""
    found: set[str] = set()
    results = set(graph.results)
    for node in graph:
        if is_apart(node) or OPS[node.op].kind != "map" or node.tensor.shape != () or node.name in results:
            continue
        free = all(name in found or is_number(graph[name]) for name in graph.arguments(node.name))
        if free and all(reads_elements(graph, reader, node.name) for reader in graph.readers(node.name)):
            found.add(node.name)
    return found


def with_copies(graph: Graph, members: set[str], copied: set[str]) -> set[str]:
    """The members, and those they read that every kernel has its own of."""
    found, waiting = set(members), list(members)
    while waiting:
        more = [name for name in graph.arguments(waiting.pop()) if name in copied and name not in found]
        found.update(more)
        waiting += more
    return found


def _add_kernel(made: Graph, graph: Graph, group: Group, copied: set[str]) -> None:
    """One node for the group: the op itself where it is alone, else a fused node with the group as its body."""
    root, members = group.root, with_copies(graph, group.members, copied)
    if len(members) == 1:
        made.add(root, *graph.arguments(root.name))
        return
    body, sources = Graph(), []
    for node in graph:
        if node.name in members:
            for source in graph.arguments(node.name):
                if source not in body:
                    inside = [reader for reader in graph.readers(source) if reader in members]
                    embedded = is_embedded(graph, graph[source], inside)
                    body.add(graph[source] if embedded else Node(source, "input", graph[source].type))
                    if not embedded:
                        sources.append(source)
            body.add(node, *graph.arguments(node.name))
    body.outputs = [one.name for one in group.roots]
    if len(group.roots) == 1:
        made.add(Node(root.name, "fused", root.type, {"body": body}, root.origin), *sources)
        return
    kinds = tuple(one.tensor for one in group.roots)
    kernel = made.add(Node(", ".join(body.outputs), "fused", kinds, {"body": body}, root.origin), *sources)
    for number, one in enumerate(group.roots):
        made.add(Node(one.name, "item", one.type, {"index": number}, one.origin), kernel)
