"""The graph: one node, one value, one truth. The layer graph and the op graph are both of this class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import Any

from kgraph.errors import GraphError
from kgraph.graph import show
from kgraph.graph.sizes import Dim, substitute
from kgraph.graph.types import TensorType

LEAVES = frozenset(("input", "param", "const"))
GRADIENTS = "gradients"  # a node (value, *wrt, *held), see gradient_tape; `autodiff.expand` computes its items


@dataclass(frozen=True, eq=False)
class Node:
    """One value: the op that makes it, and what a reader needs to find it again."""

    name: str  # unique in its graph: "hidden", "hidden/einsum", "hidden#1" for a second call
    op: str  # a key of OPS, a layer's class, or "input", "param", "const", "item", "fused"
    type: TensorType | tuple[TensorType, ...]  # a tuple for a call with several results, read by "item" nodes
    attrs: Mapping[str, Any] = field(default_factory=dict)  # read only: spec="ab,bc->ac"
    origin: str = ""  # the user's line, "mnist.py:14"

    @property
    def tensor(self) -> TensorType:
        """The type of a node with one result."""
        assert isinstance(self.type, TensorType), f"{self.name} has several results"
        return self.type

    @property
    def body(self) -> Graph | None:
        """What a layer call or a fused node does inside."""
        return self.attrs.get("body")


class Graph:
    """A dataflow graph over one `networkx.MultiDiGraph`, which is at hand as `graph.nx`.

    The edge a -> b with key k says that a is argument k of b, and is the only record of it: `x + x` is two edges.
    Iteration is in dataflow order; among nodes that could come next, the first added comes first.
    """

    def __init__(self) -> None:
        from networkx import MultiDiGraph

        self.nx = MultiDiGraph()
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.updates: dict[str, str] = {}  # state variable (a param) -> the value it takes after the call
        self.assumed: list[tuple[Dim, Dim, str]] = []  # sizes taken to be equal, and the node that needs it
        self._added = 0

    def add(self, node: Node, *arguments: str) -> str:
        """Put a node in, reading the named nodes in this order; returns its name."""
        if node.name in self.nx:
            raise GraphError(f"the graph already has a node called {node.name!r}")
        self.nx.add_node(node.name, node=node, order=self._added)
        self._added += 1
        for slot, source in enumerate(arguments):
            self.nx.add_edge(source, node.name, key=slot)
        if node.op == "input":
            self.inputs.append(node.name)
        return node.name

    def __getitem__(self, name: str) -> Node:
        return self.nx._node[name]["node"]

    def __contains__(self, name: object) -> bool:
        return name in self.nx

    def __iter__(self) -> Iterator[Node]:
        """What networkx's lexicographical_topological_sort gives, in a fifth of the time: every pass asks for it."""
        nodes, sources, readers = self.nx._node, self.nx._pred, self.nx._succ
        places = {name: place for place, name in enumerate(sorted(nodes, key=lambda name: nodes[name]["order"]))}
        waiting = {name: len(found) for name, found in sources.items()}
        names = list(places)
        ready = [place for name, place in places.items() if not waiting[name]]  # sorted, so it is a heap
        while ready:
            name = names[heappop(ready)]
            yield nodes[name]["node"]
            for reader in readers[name]:
                waiting[reader] -= 1
                if not waiting[reader]:
                    heappush(ready, places[reader])
        if any(waiting.values()):
            raise GraphError("the graph has a circle: a value that needs itself")

    def __len__(self) -> int:
        return len(self.nx)

    @property
    def nodes(self) -> Any:
        """networkx's view of the nodes: names, and with data=True their attributes."""
        return self.nx.nodes

    @property
    def edges(self) -> Any:
        """networkx's view of the edges: (source, reader, argument slot) with keys=True."""
        return self.nx.edges

    def arguments(self, name: str) -> list[str]:
        """The names a node reads, in order."""
        slots = [(slot, source) for source, edges in self.nx._pred[name].items() for slot in edges]
        return [source for _, source in sorted(slots)]

    def readers(self, name: str) -> list[str]:
        """The nodes that read this one, each once."""
        return list(self.nx.successors(name))

    def is_read_once(self, name: str) -> bool:
        """Whether one node reads a value and nobody else wants it."""
        return len(self.readers(name)) == 1 and name not in self.results

    @property
    def results(self) -> list[str]:
        """Everything the graph is asked for: its outputs, then the new values of its state."""
        return [*self.outputs, *self.updates.values()]

    def params(self) -> list[Node]:
        """The weights it reads, in dataflow order."""
        return [node for node in self if node.op == "param"]

    def set(self, name: str, **changes: Any) -> None:
        """Change fields of a node, and nothing about who reads it."""
        self.nx.nodes[name]["node"] = replace(self[name], **changes)

    def redirect(self, old: str, new: str) -> None:
        """Every reader of old reads new instead, and so do the results."""
        for _, reader, slot in list(self.nx.out_edges(old, keys=True)):
            if reader != new:
                self.nx.remove_edge(old, reader, key=slot)
                self.nx.add_edge(new, reader, key=slot)
        self.outputs = [new if name == old else name for name in self.outputs]
        self.updates = {param: new if name == old else name for param, name in self.updates.items()}

    def rename(self, old: str, new: str) -> None:
        """Give a node another name that is not yet taken."""
        if new in self.nx:
            raise GraphError(f"the graph already has a node called {new!r}")
        order = self.nx.nodes[old]["order"]
        node, arguments = self[old], self.arguments(old)
        self.nx.add_node(new, node=replace(node, name=new), order=order)
        for slot, source in enumerate(arguments):
            self.nx.add_edge(source, new, key=slot)
        self.redirect(old, new)
        self.inputs = [new if name == old else name for name in self.inputs]
        self.nx.remove_node(old)

    def prune(self, keep: Iterable[str] = ()) -> Graph:
        """Drop what no result needs; inputs stay, since callers count them, and state that a call changes unread."""
        wanted = [*self.results, *self.updates, *keep, *self.inputs]
        alive = set(wanted)
        while wanted:
            for source in self.nx.predecessors(wanted.pop()):
                if source not in alive:
                    alive.add(source)
                    wanted.append(source)
        self.nx.remove_nodes_from([name for name in self.nx if name not in alive])
        return self

    def copy(self) -> Graph:
        """A twin that shares the nodes, which never change, but not the wiring."""
        twin = Graph()
        twin.nx, twin._added = self.nx.copy(), self._added
        twin.inputs, twin.outputs = list(self.inputs), list(self.outputs)
        twin.updates, twin.assumed = dict(self.updates), list(self.assumed)
        return twin

    def with_sizes(self, sizes: Mapping[str, Dim]) -> Graph:
        """A twin in which named axes are these sizes."""
        twin = self.copy()
        twin.assumed = [(substitute(a, sizes), substitute(b, sizes), name) for a, b, name in self.assumed]
        for name in twin.nodes:
            node = twin[name]
            kinds = node.type if isinstance(node.type, tuple) else (node.type,)
            made = tuple(replace(kind, shape=substitute(kind.shape, sizes)) for kind in kinds)
            attrs = {
                key: value.with_sizes(sizes) if isinstance(value, Graph) else substitute(value, sizes)
                for key, value in node.attrs.items()
            }
            twin.set(name, type=made if isinstance(node.type, tuple) else made[0], attrs=attrs)
        return twin

    def fresh(self, stem: str) -> str:
        """A name not yet taken: stem, stem#1, stem#2, ..."""
        if stem not in self.nx:
            return stem
        taken = self.nx.graph.setdefault("numbers", {})
        while (name := f"{stem}#{taken.setdefault(stem, 1)}") in self.nx:
            taken[stem] += 1
        return name

    def __str__(self) -> str:
        return show.text(self)

    __repr__ = __str__
