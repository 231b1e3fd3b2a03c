"""Loops made small: what no step needs is dropped, and what every step would compute alike, or for itself, is
computed before.

What depends on the slices of the loop alone, not on what is carried, and is more than elementwise, is computed for all
slices at once: the projections of all inputs of a recurrent layer become one product.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kgraph.graph.ir import LEAVES, Graph, Node
from kgraph.graph.loop import Parts, ancestors, can_refuse, replace_loop, results_of
from kgraph.graph.op import OPS
from kgraph.passes.rewrite import stand_in
from kgraph.tracing.batched import batch, can_batch
from kgraph.tracing.trace import Symbol, insert, needed, reference

COSTLY = ("contract", "reduce", "compose")  # kinds of ops that are worth being done for all steps at once


def lighten(graph: Graph) -> Graph:
    """The graph with its loops trimmed, and with what can be moved out of them moved."""
    if not any(node.op == "loop" for node in graph):
        return graph
    graph = graph.copy().prune()
    for node in reversed(list(graph)):
        if node.op == "loop":
            trim(graph, node.name)
    graph.prune()
    for node in list(graph):
        if node.op == "loop":
            hoist(graph, node.name)
    for node in list(graph):
        if node.op == "loop":
            bypass(graph, node.name)
    return graph.prune()


def bypass(graph: Graph, name: str) -> None:
    """Let those who read a result that is an argument as it is, or another result, read that one."""
    node, body = graph[name], graph[name].attrs["body"]
    given = dict(zip(body.inputs, graph.arguments(name), strict=True))
    scanned = Parts.of(node, body.inputs).scanned
    found: dict[str, str] = {one: given[one] for one in scanned} if not node.attrs["guarded"] else {}
    results = {graph[one].attrs["index"]: one for one in graph.readers(name)}
    for index in sorted(results):
        if index < node.attrs["carried"]:
            continue
        value = body.outputs[index]
        if value in found:
            before = found[value]
            after = stand_in(graph, results[index], before)  # which may take the name of the result
            found = {key: after if one == before else one for key, one in found.items()}
        else:
            found[value] = results[index]


def trim(graph: Graph, name: str) -> None:
    """Drop results that nobody reads, what is carried for these alone, and arguments that no step reads."""
    node = graph[name]
    body = node.attrs["body"].copy()
    inputs, arguments = Parts.of(node, body.inputs), Parts.of(node, graph.arguments(name))
    read = {graph[reader].attrs["index"] for reader in graph.readers(name)}
    alive = read | {0} if node.attrs["guarded"] else set(read)
    while True:
        used = ancestors(body, [body.outputs[index] for index in alive])
        more = {slot for slot, one in enumerate(inputs.carried) if one in used} - alive
        if not more:
            break
        alive |= more
    kept = sorted(alive)
    body.outputs = [body.outputs[index] for index in kept]
    keep = Parts(
        [one for slot, one in enumerate(inputs.carried) if slot in alive],
        [one for one in inputs.scanned if one in used],
        [one for one in inputs.constant if one in used],
    )
    body.inputs = keep.all
    given = dict(zip(inputs.all, arguments.all, strict=True))
    body.nx.remove_nodes_from([one for one in inputs.all if one not in keep.all])
    named = Parts(*([given[one] for one in part] for part in (keep.carried, keep.scanned, keep.constant)))
    replace_loop(graph, name, body.prune(), named, kept)


def hoist(graph: Graph, name: str) -> None:
    """Compute before the loop what its steps need not wait for."""
    node = graph[name]
    body = node.attrs["body"].copy()
    inputs, arguments = Parts.of(node, body.inputs), Parts.of(node, graph.arguments(name))
    given = dict(zip(inputs.all, arguments.all, strict=True))
    moved = _Moved(graph, body, inputs, node)
    chosen = moved.chosen()
    if not chosen:
        return
    values: dict[str, Symbol] = {one: reference(graph, given[one]) for one in (*inputs.scanned, *inputs.constant)}
    for one in body:
        if one.op == "const" and one.name not in values:
            values[one.name] = Symbol("const", (), one.attrs, one.type, one.name)
        elif one.name in chosen:
            values[one.name] = moved.outside(one, values)
    names: dict[int, str] = {}
    for one in chosen:
        if all(reader in chosen for reader in body.readers(one)) and one not in body.outputs:
            continue
        source = put_in(graph, values[one], f"{name}/{one}", node.origin, names)
        body.nx.remove_edges_from(list(body.nx.in_edges(one, keys=True)))
        body.set(one, op="input", attrs={}, origin="")
        (inputs.scanned if one in moved.sliced else inputs.constant).append(one)
        given[one] = source
    used = ancestors(body, body.outputs)
    for part in (inputs.scanned, inputs.constant):
        body.nx.remove_nodes_from([one for one in part if one not in used])
        part[:] = [one for one in part if one in used]
    body.inputs = inputs.all
    named = Parts(*([given[one] for one in part] for part in (inputs.carried, inputs.scanned, inputs.constant)))
    replace_loop(graph, name, body.prune(), named, range(len(results_of(node))))


class _Moved:
    """What of a loop's body may be computed before the loop."""

    def __init__(self, graph: Graph, body: Graph, inputs: Parts, node: Node) -> None:
        self.body, self.length = body, node.attrs["length"]
        bound = set(inputs.carried)
        may_stack = not node.attrs.get("recompute", False)  # such a loop is there so that nothing is stacked
        self.sliced = set(inputs.scanned)  # has one value for each step
        self.free: list[str] = []  # does not wait for what is carried
        for one in body:
            sources = body.arguments(one.name)
            if one.op in LEAVES:
                continue
            waits = node.attrs["guarded"] and can_refuse(one.op, one.attrs)  # for there may be no step
            if isinstance(one.type, tuple) or waits or any(source in bound for source in sources):
                bound.add(one.name)
            elif not any(source in self.sliced for source in sources):
                self.free.append(one.name)
            elif may_stack and can_batch(one, [source in self.sliced for source in sources]):
                self.free.append(one.name)
                self.sliced.add(one.name)
            else:
                bound.add(one.name)
        self.bound = bound

    def chosen(self) -> list[str]:
        """What is worth it: what has one value for all steps, products and sums, what they need, and what follows."""
        body, free = self.body, set(self.free)
        alone = {one for one in free if one not in self.sliced and body[one].tensor.shape != ()}
        costly = {one for one in free if body[one].op in OPS and OPS[body[one].op].kind in COSTLY}
        found = {one for one in ancestors(body, [*alone, *costly]) if one in free}
        for one in self.free:
            sources = body.arguments(one)
            follows = any(source in found and source in self.sliced for source in sources)
            if one in self.sliced and OPS[body[one].op].kind == "map" and follows:
                found |= {above for above in ancestors(body, [one]) if above in free}
        return [one for one in self.free if one in found]

    def outside(self, node: Node, values: dict[str, Symbol]) -> Symbol:
        """The value, for all steps if it has one for each."""
        sources = self.body.arguments(node.name)
        operands = [values[source] for source in sources]
        if node.name not in self.sliced:
            return Symbol(node.op, tuple(operands), node.attrs, node.type, node.name, node.origin)
        made = batch(node, operands, [source in self.sliced for source in sources], self.length)
        return replace(made, stem=node.name, origin=node.origin)


def put_in(graph: Graph, value: Symbol, stem: str, origin: str, names: dict[int, str]) -> str:
    """Put an expression over references into the graph."""
    for part in needed([value]):
        if part.op == "ref":
            names[part.serial] = part.stem
        elif part.serial not in names:
            own = stem if part is value else f"{stem}/{part.stem or part.op}"
            insert(graph, replace(part, stem=own, origin=part.origin or origin), names)
    return names[value.serial]


def in_bodies(step: Any) -> Any:
    """A pass that works inside of loops first, and then on the graph itself."""

    def run(graph: Graph) -> Graph:
        return step(with_bodies(graph, run))

    return run


def with_bodies(graph: Graph, step: Any) -> Graph:
    """The graph with the bodies of its loops and branches changed by a pass."""
    found = [node for node in graph if node.op in OPS and OPS[node.op].kind == "loop"]
    if not found:
        return graph
    graph = graph.copy()
    for node in found:
        attrs = {key: step(value) if isinstance(value, Graph) else value for key, value in node.attrs.items()}
        for value in attrs.values():
            if isinstance(value, Graph):
                graph.assumed += [(a, b, node.name) for a, b, _ in value.assumed]
                value.assumed = []
        graph.set(node.name, attrs=attrs)
    return graph
