"""Compute cheap values again where they are needed, rather than keep them in memory between two kernels.

A value that several kernels read is a kernel of its own, since only one of them could take it in. Where it follows by a
little arithmetic from values that are in memory anyway, each of its readers gets a copy of that arithmetic instead.
"""

from __future__ import annotations

from dataclasses import replace

from kgraph.ir import Graph, Node
from kgraph.passes.fuse import Group, groups, reads_elements

ROUNDS = 4  # what is copied may leave others that are worth it
MOST_WORK = 8  # of a value, in additions
WORK = {"divide": 3, "reciprocal": 3, "sqrt": 3, "rsqrt": 3} | dict.fromkeys(
    ("add", "subtract", "multiply", "negative", "absolute", "square", "maximum", "minimum", "relu", "where", "cast",
     "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "logical_and", "logical_or", "logical_not",
     "size", "stop_gradient", "broadcast_to", "reshape"), 1,
)  # fmt: skip


def recompute(graph: Graph) -> Graph:
    """The graph with copies of cheap values, one for each kernel that will read them."""
    graph = graph.copy()
    for _ in range(ROUNDS):
        home = groups(graph)
        roots = {id(group): group for group in home.values()}
        worthy = [(group, kernels) for group in roots.values() if (kernels := _readers(graph, group, home))]
        if not worthy:
            break
        for group, kernels in worthy:
            for readers in kernels[1:]:
                _copy(graph, group, readers)
    return graph


def _readers(graph: Graph, group: Group, home: dict[str, Group]) -> list[list[str]]:
    """The readers of a group that is worth copying, by kernel; none for one that is not."""
    root = group.root
    readers = graph.readers(root.name)
    if root.name in graph.results or not all(reads_elements(graph, reader, root.name) for reader in readers):
        return []
    if sum(WORK.get(graph[name].op, MOST_WORK + 1) for name in group.members) > MOST_WORK:
        return []
    kernels: dict[int, list[str]] = {}
    for reader in readers:
        kernels.setdefault(id(home.get(reader)), []).append(reader)
    read = sum(_is_long(graph[name], root) for name in _sources(graph, group))
    kept, copied = read + 1 + len(kernels), read * len(kernels)  # how often memory is walked through
    return list(kernels.values()) if len(kernels) > 1 and copied <= kept else []


def _sources(graph: Graph, group: Group) -> set[str]:
    return {source for name in group.members for source in graph.arguments(name)} - group.members


def _is_long(source: Node, root: Node) -> bool:
    """Whether reading it takes as long as reading the value itself."""
    kind = source.tensor
    return source.op != "const" and kind.rank >= root.tensor.rank and 1 not in kind.shape


def _copy(graph: Graph, group: Group, readers: list[str]) -> None:
    """Let these readers read a copy of the group's root, made by copies of its members."""
    names: dict[str, str] = {}
    for node in [node for node in graph if node.name in group.members]:
        arguments = [names.get(name, name) for name in graph.arguments(node.name)]
        names[node.name] = graph.add(replace(node, name=graph.fresh(f"{node.name}/again")), *arguments)
    for reader in readers:
        graph.rewire(reader, group.root.name, names[group.root.name])
