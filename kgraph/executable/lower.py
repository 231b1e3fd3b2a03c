"""The way down: from the graph of layer calls to one node for each kernel."""

from __future__ import annotations

from functools import partial

from kgraph import config
from kgraph.errors import ArgumentError
from kgraph.executable.differentiate import Request, nothing
from kgraph.gradients.autodiff import expand
from kgraph.graph.ir import GRADIENTS, Graph
from kgraph.passes import AFTER_GRADIENTS, BEFORE_GRADIENTS, OF_TARGET, WITHOUT_GRADIENTS, run
from kgraph.passes.blocks import in_blocks
from kgraph.passes.chain import WIDEST
from kgraph.passes.loops import in_bodies

OWN_STAGES = ("trace", "blocks", "gradients")  # besides the passes
OTHERS = ("source", "rules")  # what else the environment may ask for


def lower(graph: Graph, request: Request, freeze: bool = False, target: str = "cpu") -> dict[str, Graph]:
    """Every stage by its name, in order: trace, inline, ..., gradients, ..., fuse, and the target's own."""
    check_shown()
    stages: dict[str, Graph] = {}
    graph = run(graph, {"trace": lambda graph: graph, "inline": BEFORE_GRADIENTS["inline"]}, stages)
    graph = request.extend(frozen(graph) if freeze else graph)
    graph = run(graph, {name: step for name, step in BEFORE_GRADIENTS.items() if name != "inline"}, stages)
    forward = not has_gradients(graph, request)
    longest = WIDEST if "chain" in OF_TARGET.get(target, {}) and forward else None
    graph = run(graph, {"blocks": in_bodies(partial(in_blocks, longest=longest, by_sample=target == "cpu"))}, stages)
    differentiated = {"gradients": lambda graph: request.differentiate(expand(graph))}
    after = AFTER_GRADIENTS | (WITHOUT_GRADIENTS if forward else {})
    run(graph, {**differentiated, **after, **OF_TARGET.get(target, {})}, stages)
    return stages


def check_shown() -> None:
    """ArgumentError: KGRAPH_SHOW names what no target has."""
    known = {*BEFORE_GRADIENTS, *OWN_STAGES, *AFTER_GRADIENTS, *(name for own in OF_TARGET.values() for name in own)}
    unknown = config.shown() - known - {*OTHERS}
    if unknown:
        names = f"{', '.join(sorted(known))}, and besides {' and '.join(OTHERS)}"
        raise ArgumentError(f"KGRAPH_SHOW names {', '.join(sorted(unknown))}, but the stages are {names}")


def has_gradients(graph: Graph, request: Request) -> bool:
    """Whether gradients are asked for: of what the graph returns, or in it."""
    inner = (value for node in graph for value in node.attrs.values() if isinstance(value, Graph))
    asked = request.differentiate is not nothing or any(node.op == GRADIENTS for node in graph)
    return asked or any(has_gradients(body, request) for body in inner)


def frozen(graph: Graph) -> Graph:
    """The graph with today's weights as constants, except those it updates."""
    graph = graph.copy()
    for node in graph.params():
        if node.name not in graph.updates:
            value = node.attrs["variable"].numpy()
            graph.set(node.name, op="const", attrs={"value": value})
    return graph
