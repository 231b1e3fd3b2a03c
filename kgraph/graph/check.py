"""What every graph must satisfy, between any two passes. A failure here is a bug of kgraph, never of its user."""

from __future__ import annotations

from kgraph.graph.ir import GRADIENTS, Graph, Node
from kgraph.graph.op import OPS


def check(graph: Graph, after: str = "") -> Graph:
    """Raise RuntimeError, naming the pass and printing the graph, unless the graph is sound; returns it."""
    faults = [fault for node in graph for fault in _faults(graph, node)] if _acyclic(graph) else ["it has a cycle"]
    faults += [f"result {name} is not there" for name in graph.results if name not in graph]
    if faults:
        shown = str(graph) if _acyclic(graph) else ", ".join(graph.nodes)
        raise RuntimeError(f"the graph after {after or 'tracing'} is broken: {'; '.join(faults)}\n{shown}")
    return graph


def _acyclic(graph: Graph) -> bool:
    from networkx import is_directed_acyclic_graph

    return is_directed_acyclic_graph(graph.nx)


def _faults(graph: Graph, node: Node) -> list[str]:
    arguments = graph.arguments(node.name)
    if node.name != graph.nx.nodes[node.name]["node"].name:
        return [f"{node.name} is filed under another name"]
    slots = sorted(slot for _, _, slot in graph.nx.in_edges(node.name, keys=True))
    if slots != list(range(len(slots))):
        return [f"{node.name} has argument slots {slots}"]
    if node.op == "cond":
        bodies = (node.attrs["body"], node.attrs["other"])
        return [fault for body in bodies for fault in _body_faults(node, body, len(arguments) - 1)]
    if node.body is not None:
        return _body_faults(node, node.body, len(arguments))
    if node.op not in OPS:
        known = node.op in ("input", "param", "const", "item", GRADIENTS)
        return [] if known else [f"{node.name} is of the unknown op {node.op!r}"]
    derived = OPS[node.op].type(*(graph[name].tensor for name in arguments), **node.attrs)
    return [] if derived == node.type else [f"{node.name} is {node.type}, its op says {derived}"]


def _body_faults(node: Node, body: Graph, arguments: int) -> list[str]:
    check(body, f"building {node.name}")
    wanted = len(body.inputs) + (0 if node.op in OPS or node.op == "fused" else len(body.params()))
    return [] if wanted == arguments else [f"{node.name} has {arguments} arguments, its body {wanted}"]
