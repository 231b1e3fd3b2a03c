"""What a graph is asked for: its outputs, the gradients of a loss, or the gradients of given cotangents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from kgraph.autodiff import gradients, pullback
from kgraph.ir import Graph, Node
from kgraph.sizes import N, Shape, Size
from kgraph.trace import as_symbol, reference, splice
from kgraph.types import TensorType

Step = Callable[[Graph], Graph]


def nothing(graph: Graph) -> Graph:
    """No gradients."""
    return graph


class Request:
    """Two steps of lowering: `extend` adds to the op graph what it computes besides, `differentiate` the gradients."""

    def __init__(self, extend: Step, differentiate: Step = nothing) -> None:
        self.extend, self.differentiate = extend, differentiate


def for_outputs(count: int) -> Request:
    """The first outputs alone, without the losses of the layers."""

    def extend(graph: Graph) -> Graph:
        graph = graph.copy()
        graph.outputs = graph.outputs[:count]
        return graph.prune()

    return Request(extend)


def for_loss(
    count: int,
    weights: Sequence[Any],
    losses: Sequence[Any],
    scales: Sequence[float],
    targets: Sequence[Any],
    weighted: bool,
) -> Request:
    """A loss and its gradients. targets: (shape without the batch, dtype) for each of the `count` outputs."""

    def extend(graph: Graph) -> Graph:
        graph = graph.copy()
        outputs, own = graph.outputs[:count], graph.outputs[count:]
        wanted = [_target(graph, name, *target) for name, target in zip(outputs, targets, strict=True)]
        names = ["target"] if count == 1 else [f"target_{number}" for number in range(count)]
        given = [_input(graph, name, kind) for name, kind in zip(names, wanted, strict=True)]
        sample = _input(graph, "sample_weight", TensorType((N,))) if weighted else None
        total: Any = None
        for loss, scale, name, target in zip(losses, scales, outputs, given, strict=True):
            one = loss(target, reference(graph, name), sample_weight=sample)
            one = one if scale == 1.0 else one * scale
            total = one if total is None else total + one
        for name in own:
            total = total + reference(graph, name)
        graph.outputs = [splice(graph, replace(as_symbol(total), stem="loss"))]
        return graph

    return Request(extend, lambda graph: gradients(graph, graph.outputs[0], _params(graph, weights)))


def for_cotangents(count: int, weights: Sequence[Any], state: Sequence[Any] = ()) -> Request:
    """The gradients of inputs and weights for given gradients of the outputs.

    state: variables whose values are inputs too, after the others: what they were at the call that is differentiated.
    """

    def extend(graph: Graph) -> Graph:
        graph = graph.copy()
        graph.outputs, graph.updates = graph.outputs[:count], {}
        for variable in state:
            _held(graph, variable)
        return graph.prune()

    def differentiate(graph: Graph) -> Graph:
        inputs = graph.inputs[: len(graph.inputs) - len(state)]
        return pullback(graph, graph.outputs, [*inputs, *_params(graph, weights)])

    return Request(extend, differentiate)


def state_of(graph: Graph, weights: Sequence[Any]) -> list[Any]:
    """The variables that a call of the graph updates, trainable weights left out."""
    updated = [graph[param].attrs["variable"] for param in graph.updates]
    return [variable for variable in updated if not any(variable is weight for weight in weights)]


def _held(graph: Graph, variable: Any) -> None:
    """Make the value of a variable an input of the graph."""
    for node in graph.params():
        if node.attrs["variable"] is variable:
            graph.set(node.name, op="input", attrs={})
            graph.inputs.append(node.name)
            return
    _input(graph, variable.path, variable.type)


def _target(graph: Graph, output: str, shape: Shape, dtype: str) -> TensorType:
    """The type of a target: sizes that the output leaves open are left open in the target."""
    made = graph[output].tensor
    whole = (made.shape[0] if made.shape else N, *shape)
    if len(whole) == made.rank:
        whole = tuple(own if isinstance(own, Size) else size for own, size in zip(made.shape, whole, strict=True))
    return TensorType(whole, made.dtype if dtype.startswith("float") else dtype)


def _input(graph: Graph, name: str, kind: TensorType) -> Any:
    return reference(graph, graph.add(Node(graph.fresh(name), "input", kind)))


def _params(graph: Graph, weights: Sequence[Any]) -> list[str]:
    """The nodes of these variables, added where the graph does not use them."""
    known = {id(node.attrs["variable"]): node.name for node in graph.params()}
    return [known.get(id(variable)) or splice(graph, variable.as_param()) for variable in weights]
