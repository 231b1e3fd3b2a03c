"""What only a call knows of a node: sizes that decide what it computes, and indices that may point outside."""

from __future__ import annotations

from collections.abc import Iterator

from kgraph.codegen.plan.results import types_of
from kgraph.codegen.schedule.task import body_of
from kgraph.graph.ir import LEAVES, Graph, Node
from kgraph.graph.op import INDICES
from kgraph.graph.sizes import Dim, axes_of
from kgraph.passes.group import points_inside


def has_open_sizes(node: Node) -> bool:
    """Whether a size that only a call knows is that of a result, or decides what is computed on the way to it."""
    nodes = (node, *(one for one in node.body or () if one.op not in LEAVES))
    sizes = [kind.shape for one in nodes for kind in types_of(one)]
    attrs = [value for one in nodes for value in one.attrs.values() if not isinstance(value, Graph)]
    return bool(axes_of([*sizes, *attrs]))


def lookups(graph: Graph, node: Node) -> Iterator[tuple[str, str, str, Dim, bool]]:
    """What a node reads or writes at indices that may point outside: the op, its table, the indices, the axis' size,
    and whether negative ones count from the end."""
    body, sources = body_of(graph, node)
    given = dict(zip(body.inputs, sources, strict=True))
    for reader in body:
        if reader.op not in INDICES:
            continue
        table, indices = (body[body.arguments(reader.name)[slot]] for slot in (0, INDICES[reader.op]))
        if indices.name in given and not points_inside(body, reader.name, graph[given[indices.name]]):
            size = table.tensor.shape[reader.attrs["axis"]]
            wraps = reader.attrs.get("wraps", True)
            yield reader.name, given.get(table.name, table.name), given[indices.name], size, wraps
