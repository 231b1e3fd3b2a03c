"""Gradients, by adding to a graph the ops that compute them. Runs before fusion, on a graph without layer calls.

The gradient of a value v is called grad/v, and the steps on the way from it to the gradients of what v is computed
from are grad/v/multiply, grad/v/einsum, ... Each carries the origin of the node whose gradient it helps to compute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

from kgraph.errors import DTypeError, GraphError
from kgraph.gradients.loops import LoopGradient, cond_gradient
from kgraph.graph import show
from kgraph.graph.evaluate import EXPAND
from kgraph.graph.ir import GRADIENTS, Graph, Node
from kgraph.graph.loop import descendants, results_of
from kgraph.graph.op import OPS
from kgraph.graph.types import TensorType, is_float
from kgraph.passes.inline import inline
from kgraph.passes.loops import with_bodies
from kgraph.tracing.trace import Symbol, filled, insert, needed, record, reference, reshaped


def gradients(graph: Graph, loss: str, wrt: Sequence[str], held: Sequence[str] = ()) -> Graph:
    """A graph that also returns d loss / d w for each w of `wrt`, after the outputs that `graph` has.

    graph has no layer calls (see passes.inline); loss and wrt name nodes of it. A loss that is not a scalar counts as
    the sum of its elements. Where w has no influence on the loss, or none that has a gradient, zeros are returned.
    The nodes in `held` count as constants.
    DTypeError: the loss is no floating value. GraphError: an op on the way has no gradient.
    """
    kind = graph[loss].tensor
    if not is_float(kind.dtype):
        raise DTypeError(f"the loss {loss} is {kind}; only a floating value has gradients")
    backward = _Backward(graph.copy(), wrt, held)
    backward.give(loss, filled(1.0, kind))
    found = backward.run([loss])
    backward.graph.outputs += found
    return backward.graph.prune()


def pullback(graph: Graph, outputs: Sequence[str], wrt: Sequence[str], keep: bool = False) -> Graph:
    """A graph that maps cotangents of `outputs` to those of `wrt`: the vector-Jacobian product.

    For each output y an input d_y of its type follows the inputs of `graph`; the outputs of the new graph are the
    gradients of sum(y * d_y) with respect to each w of wrt, which are inputs, weights or other nodes. Values of state
    are not updated. With keep=True the outputs of `graph` come first. GraphError: an op on the way has no gradient.
    """
    backward = _Backward(graph.copy(), wrt)
    made = backward.graph
    for name in outputs:
        seed = made.add(Node(made.fresh(f"d_{name}"), "input", graph[name].tensor))
        if is_float(graph[name].tensor.dtype):
            backward.give(name, reference(made, seed))
    found = backward.run(outputs)
    made.outputs, made.updates = [*outputs, *found] if keep else found, {}
    return made.prune()


def expand(graph: Graph) -> Graph:
    """The graph with the gradients that it asks for computed: those of a tape inside what was traced.

    graph has no layer calls. Gradients of gradients work, since those asked for first are there when the others are.
    """
    graph = with_bodies(graph, expand)
    asking = [node.name for node in graph if node.op == GRADIENTS]
    for name in asking:
        value, *rest = graph.arguments(name)
        count = len(results_of(graph[name]))
        made = gradients(graph, value, rest[:count], held=rest[count:])
        found = made.outputs[len(graph.outputs) :]
        made.outputs = made.outputs[: len(graph.outputs)]
        for item in made.readers(name):
            made.redirect(item, found[made[item].attrs["index"]])
            made.nx.remove_node(item)
        made.nx.remove_node(name)
        graph = made
    return graph.prune() if asking else graph


EXPAND.append(lambda graph: expand(inline(graph)))


class _Backward:
    """A graph to which gradients are being added, and what is known of them so far."""

    def __init__(self, graph: Graph, wrt: Sequence[str], held: Sequence[str] = ()) -> None:
        self.graph = graph
        self.wrt = wrt
        self.parts: dict[str, list[Symbol]] = {}  # a node -> what its readers have added to its gradient
        self.items: dict[str, dict[int, Symbol]] = {}  # a node with several results -> the gradients of these
        self.names: dict[int, str] = {}  # the symbols that are in the graph
        self.assumed = {frozenset((a, b)) for a, b, _ in graph.assumed}
        self.depends = descendants(graph, wrt, around=held)
        loops = [node.name for node in graph if node.op == "loop" and node.name in self.depends]
        self.loops = {name: LoopGradient(graph, name, pullback) for name in loops}

    def give(self, name: str, part: Symbol) -> None:
        """Add to the gradient of a node."""
        self.parts.setdefault(name, []).append(part)

    def run(self, outputs: Iterable[str]) -> list[str]:
        """Walk from the outputs to `wrt`; returns the names of the gradients."""
        found: dict[str, str] = {}
        for node in reversed(_before(self.graph, outputs)):
            if node.name in self.items:
                results = range(len(node.type))  # type: ignore[arg-type]
                self.step(node, tuple(self.items[node.name].get(index) for index in results))
            elif node.name in self.parts and node.name in self.depends:
                found[node.name] = self.settle(node)
                if self.graph.arguments(node.name):
                    self.step(node, reference(self.graph, found[node.name]))
        return [found.get(name) or self.zeros(self.graph[name]) for name in self.wrt]

    def settle(self, node: Node) -> str:
        """The gradient of a node all of whose readers have been seen, as one value in the graph."""
        total = reduce(lambda a, b: record(OPS["add"], (a, b), {}), self.parts.pop(node.name))
        return self.put(total, f"grad/{node.name}", node.origin)

    def zeros(self, node: Node) -> str:
        return self.put(filled(0.0, node.tensor), f"grad/{node.name}", node.origin)

    def step(self, node: Node, g: Any) -> None:
        """Hand the gradient of a node on to its arguments. Of several results it is a tuple, with None for none."""
        graph, sources = self.graph, self.graph.arguments(node.name)
        if node.op == "item":
            known = self.items.setdefault(sources[0], {})
            index = node.attrs["index"]
            known[index] = record(OPS["add"], (known[index], g), {}) if index in known else g
            return
        if not any(self.wanted(source) for source in sources):
            return
        y, *xs = (reference(graph, name) for name in (node.name, *sources))
        rule = self.rule(node)
        for source, x, part in zip(sources, xs, rule(g, y, *xs, **node.attrs), strict=True):
            if part is not None and self.wanted(source):
                self.give(source, self.named(fitted(part, x.type), f"grad/{node.name}", node.origin))

    def rule(self, node: Node) -> Callable[..., Any]:
        """How gradients go through a node."""
        if node.op == "loop":
            return lambda g, y, *xs, **_: self.loops[node.name](g, y, xs)
        if node.op == "cond":
            return lambda g, y, *xs, **_: cond_gradient(node, g, xs, pullback)
        found = OPS[node.op].vjp if node.op in OPS else None
        if found is None:
            raise self.no_gradient(node)
        return found

    def wanted(self, name: str) -> bool:
        kind = self.graph[name].type
        return name in self.depends and (isinstance(kind, tuple) or is_float(kind.dtype))

    def named(self, part: Symbol, scope: str, origin: str) -> Symbol:
        """The expression with all of it but the last step in the graph already, under the scope's name."""
        for symbol in needed([part]):
            if symbol is not part:
                self.insert(symbol, f"{scope}/{symbol.stem or symbol.op}", origin)
        return replace(part, stem=part.stem if part.op == "ref" else f"{scope}/{part.op}", origin=origin)

    def put(self, value: Symbol, name: str, origin: str) -> str:
        """Put an expression into the graph; its last step takes the name."""
        for symbol in needed([value]):
            self.insert(symbol, name if symbol is value else f"{name}/{symbol.stem or symbol.op}", origin)
        return self.names[value.serial]

    def insert(self, symbol: Symbol, stem: str, origin: str) -> None:
        if symbol.op == "ref":
            self.names[symbol.serial] = symbol.stem
        elif symbol.serial not in self.names:
            assumed = tuple(pair for pair in symbol.assumed if frozenset(pair) not in self.assumed)
            self.assumed.update(map(frozenset, assumed))
            insert(self.graph, replace(symbol, stem=stem, origin=origin, assumed=assumed), self.names)

    def no_gradient(self, node: Node) -> GraphError:
        sources = ", ".join(name for name in self.wrt if node.name in descendants(self.graph, [name]))
        error = GraphError(f"{node.op} has no gradient, and the way from {sources} to the loss leads through it")
        error.add_note(f"  in   {show.line(self.graph, node.name)}")
        if node.origin:
            error.add_note(f"  from {node.origin}")
        error.add_note("  hint: put stop_gradient around it, if it is meant to count as a constant")
        return error


def fitted(part: Symbol, kind: TensorType) -> Symbol:
    """The gradient with the shape and dtype of the value: broadcasting is undone here, once, for every op."""
    if part.type.shape != kind.shape:
        part = _of_shape(part, kind.shape)
    return part if part.type.dtype == kind.dtype else record(OPS["cast"], (part,), {"dtype": kind.dtype})


def _of_shape(part: Symbol, shape: tuple[Any, ...]) -> Symbol:
    extra = max(0, part.type.rank - len(shape))
    own = (1,) * extra + tuple(shape)[len(shape) - (part.type.rank - extra) :]
    pairs = list(zip(part.type.shape, own, strict=True))
    axes = tuple(axis for axis, (have, want) in enumerate(pairs) if axis < extra or (want == 1 and have != 1))
    if axes:
        part = record(OPS["sum"], (part,), {"axes": axes, "keepdims": True})
    if any(have == 1 and want != 1 for have, want in pairs) or part.type.rank < len(shape):
        return record(OPS["broadcast_to"], (part,), {"shape": tuple(shape)})
    return reshaped(part, shape)


def _before(graph: Graph, names: Iterable[str]) -> list[Node]:
    """The nodes that one of these depends on, these included, in dataflow order."""
    from networkx import ancestors

    names = list(names)
    alive = set(names).union(*(ancestors(graph.nx, name) for name in names))
    return [node for node in graph if node.name in alive]
