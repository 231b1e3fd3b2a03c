"""The node of a loop: what its arguments are, and how it is given another body."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kgraph.graph.ir import Graph, Node
from kgraph.graph.op import INDICES, OPS
from kgraph.graph.types import TensorType


@dataclass
class Parts:
    """The arguments of a loop, or the inputs of its body, by what they are."""

    carried: list[str]
    scanned: list[str]
    constant: list[str]

    @classmethod
    def of(cls, node: Node, names: Sequence[str]) -> Parts:
        carried = node.attrs["carried"]
        middle = carried + node.attrs["scanned"]
        return cls(list(names[:carried]), list(names[carried:middle]), list(names[middle:]))

    @property
    def all(self) -> list[str]:
        return [*self.carried, *self.scanned, *self.constant]


def replace_loop(graph: Graph, name: str, body: Graph, arguments: Parts, results: Iterable[int]) -> None:
    """Give a loop another body and other arguments; of its results, those at these places are left."""
    node, kept = graph[name], list(results)
    places = {old: new for new, old in enumerate(kept)}
    for reader in graph.readers(name):
        index = graph[reader].attrs["index"]
        if index in places:
            graph.set(reader, attrs={"index": places[index]})
        else:
            graph.nx.remove_node(reader)
    attrs = {**node.attrs, "body": body, "carried": len(arguments.carried), "scanned": len(arguments.scanned)}
    graph.nx.remove_edges_from(list(graph.nx.in_edges(name, keys=True)))
    graph.nx.add_edges_from((source, name, slot) for slot, source in enumerate(arguments.all))
    graph.set(name, attrs=attrs, type=OPS["loop"].type(**attrs))


def ancestors(graph: Graph, names: Iterable[str]) -> set[str]:
    """The nodes that these depend on, these included."""
    found, waiting = set(names), list(names)
    while waiting:
        for source in graph.nx.predecessors(waiting.pop()):
            if source not in found:
                found.add(source)
                waiting.append(source)
    return found


def descendants(graph: Graph, names: Iterable[str], around: Iterable[str] = ()) -> set[str]:
    """The nodes that depend on these, these included; not those that do so only through the nodes in `around`."""
    found, waiting, around = set(names), list(names), set(around)
    while waiting:
        for reader in graph.nx.successors(waiting.pop()):
            if reader not in found and reader not in around:
                found.add(reader)
                waiting.append(reader)
    return found


def results_of(node: Node) -> tuple[TensorType, ...]:
    """The types of what a node with several results gives."""
    assert isinstance(node.type, tuple), f"{node.name} has one result"
    return node.type


def can_refuse(op: str, attrs: Mapping[str, Any]) -> bool:
    """Whether an op, or one in its body, is refused where an index points outside; then it waits until it is wanted."""
    bodies = (value for value in attrs.values() if isinstance(value, Graph))
    return op in INDICES or any(can_refuse(node.op, node.attrs) for body in bodies for node in body)
