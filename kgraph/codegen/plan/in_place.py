"""State that a call changes, written where it lies: an optimizer's step needs no second copy of weights and slots.

A new value may be written over the old one where its kernel computes every element from the element in that place,
where nobody else needs it, and where all other readers of the old value, and all that may refuse the call, come before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kgraph.codegen.plan.results import stored_by, viewed
from kgraph.codegen.schedule.kernel import Block, Kernel, Lines, Nest, Store, Sweep
from kgraph.codegen.schedule.task import body_of
from kgraph.graph.ir import LEAVES, Graph, Node
from kgraph.graph.op import OPS


def in_place(graph: Graph) -> dict[str, str]:
    """The new values that are written over the state they replace: value -> state. Their kernels move to the end."""
    import networkx as nx

    kernels: dict[str, dict[str, str]] = {}
    for param, value in graph.updates.items():
        kernel = graph.arguments(value)[0] if graph[value].op == "item" else value
        if _may_overwrite(graph, graph[kernel], value, param):
            kernels.setdefault(kernel, {})[value] = param
    changed = {param: kernel for kernel, values in kernels.items() for param in values.values()}
    order = nx.DiGraph()
    order.add_nodes_from(kernels)
    for param, kernel in changed.items():
        order.add_edges_from((reader, kernel) for reader in _readers(graph, param) if reader in kernels)
    order.remove_edges_from(list(nx.selfloop_edges(order)))
    while not nx.is_directed_acyclic_graph(order):  # two that read each other's old values: one is copied
        circle = nx.find_cycle(order)
        order.remove_node(circle[0][0])
    last = max((data["order"] for _, data in graph.nodes(data=True)), default=0)
    for kernel in nx.lexicographical_topological_sort(order, key=lambda name: graph.nodes[name]["order"]):
        last += 1
        graph.nodes[kernel]["order"] = last
        for value in stored_by(graph, graph[kernel]):
            if value != kernel:
                last += 1
                graph.nodes[value]["order"] = last
    return {value: param for kernel in order for value, param in kernels[kernel].items()}


def overlaid(kernel: Kernel, places: Mapping[str, str]) -> Kernel:
    """The kernel with these results written to parameters that it reads: result -> parameter.

    One pointer for both, since two would promise the compiler that they lie apart. All elements of a place are computed
    before the first is stored.
    """
    if not places:
        return kernel
    nest = kernel.schedule
    assert isinstance(nest, Nest), "state is overwritten element by element"
    return replace(kernel, schedule=replace(nest, blocks=tuple(_overlaid(block, places) for block in nest.blocks)))


def _overlaid(block: Block, places: Mapping[str, str]) -> Block:
    assert isinstance(block, (Lines, Sweep)), "state is overwritten element by element"
    made = [f"new{number}" for number in range(len(block.stores))]
    lines = [f"{name} = {store.value}" for name, store in zip(made, block.stores, strict=True)]
    stores = (
        Store(places.get(one.target, one.target), one.address, name)
        for name, one in zip(made, block.stores, strict=True)
    )
    return replace(block, lines=(*block.lines, *lines), stores=tuple(stores))


def _readers(graph: Graph, name: str) -> set[str]:
    """The kernels that read a value, directly or as a view."""
    found = set()
    for reader in graph.readers(name):
        found |= _readers(graph, reader) if graph[reader].op == "reshape" else {reader}
    return found


def _may_overwrite(graph: Graph, kernel: Node, value: str, param: str) -> bool:
    """Whether the kernel stores each element of the value where it has read that of the state, and nowhere else."""
    if kernel.op in LEAVES or (kernel.op in OPS and OPS[kernel.op].kind != "map"):
        return False
    updated = set(graph.updates.values())
    stored = stored_by(graph, kernel)
    if any(graph.readers(one) or one not in updated or one in graph.outputs for one in stored):
        return False
    body, sources = body_of(graph, kernel)
    shape = graph[param].tensor.shape
    if graph[value].tensor != graph[param].tensor:
        return False
    given = dict(zip(body.inputs, sources, strict=True))
    if any(viewed(graph, source) == param != source for source in sources):
        return False
    for node in body:
        if node.op not in LEAVES and (node.op not in OPS or OPS[node.op].kind != "map"):
            return False
        reads = any(given.get(one) == param for one in body.arguments(node.name))
        if reads and node.tensor.shape != shape:
            return False
    return True
