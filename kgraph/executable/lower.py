"""The way down: from the graph of layer calls to one node for each kernel."""

from __future__ import annotations

from dataclasses import replace

from kgraph.executable.differentiate import Request
from kgraph.gradients.autodiff import expand
from kgraph.graph.ir import Graph
from kgraph.passes import AFTER_GRADIENTS, BEFORE_GRADIENTS, OF_TARGET, run


def lower(graph: Graph, request: Request, freeze: bool = False, target: str = "cpu") -> dict[str, Graph]:
    """Every stage by its name, in order: trace, inline, ..., gradients, ..., fuse, and the target's own."""
    stages = {"trace": graph}
    graph = run(graph, {"inline": BEFORE_GRADIENTS["inline"]}, stages)
    graph = request.extend(frozen(graph) if freeze else graph)
    graph = run(graph, {name: step for name, step in BEFORE_GRADIENTS.items() if name != "inline"}, stages)
    differentiated = {"gradients": lambda graph: request.differentiate(expand(graph))}
    run(graph, {**differentiated, **AFTER_GRADIENTS, **OF_TARGET.get(target, {})}, stages)
    return stages


def frozen(graph: Graph) -> Graph:
    """The graph with today's weights as constants, except those it updates."""
    graph = graph.copy()
    for node in graph.params():
        if node.name not in graph.updates:
            value = node.attrs["variable"].numpy()
            graph.nx.nodes[node.name]["node"] = replace(node, op="const", attrs={"value": value})
    return graph
