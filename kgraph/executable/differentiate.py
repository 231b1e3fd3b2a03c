"""What a graph is asked for: its outputs, the gradients of a loss, or the gradients of given cotangents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kgraph.gradients.autodiff import gradients, pullback
from kgraph.graph.ir import Graph, Node
from kgraph.graph.sizes import N, Shape, Size
from kgraph.graph.types import TensorType, is_floating
from kgraph.tracing.trace import as_symbol, reference, splice

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
    targets: Sequence[TensorType],
    samples: Sequence[Shape | None] = (),
) -> Request:
    """A loss and its gradients.

    targets: a type for each of the `count` outputs. samples: the shape of the weights of samples for each output, None
    where it has none; or one shape for all outputs.
    """

    def extend(graph: Graph) -> Graph:
        graph = graph.copy()
        outputs, own = graph.outputs[:count], graph.outputs[count:]
        given = [_input(graph, name, kind) for name, kind in zip(_numbered("target", count), targets, strict=True)]
        names = _numbered("sample_weight", len(samples))
        weighed = [s and _input(graph, name, TensorType(s)) for name, s in zip(names, samples, strict=True)]
        weighed = weighed * count if len(weighed) == 1 else weighed or [None] * count
        total: Any = None
        for loss, scale, name, target, sample in zip(losses, scales, outputs, given, weighed, strict=True):
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
    _input(graph, variable.label, variable.type)


def target_kind(output: TensorType, shape: Shape, dtype: Any) -> TensorType:
    """The type of a target of this shape without the batch: sizes that the output leaves open stay open."""
    given = np.dtype(dtype)
    name = output.dtype if is_floating(given) else "int32" if given.kind in "iu" else given.name
    return TensorType(_opened(output, (output.shape[0] if output.shape else N, *shape)), name)


def sample_shape(output: TensorType, shape: tuple[int, ...]) -> Shape:
    """The shape of weights of samples for this output."""
    return _opened(output, (output.shape[0] if output.shape else N, *shape[1:]))


def _opened(output: TensorType, shape: Shape) -> Shape:
    pairs = zip(output.shape, shape, strict=False)
    opened = tuple(own if isinstance(own, Size) and size != 1 else size for own, size in pairs)
    return opened if len(opened) == len(shape) else shape


def _numbered(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}_{number}" for number in range(count)]


def _input(graph: Graph, name: str, kind: TensorType) -> Any:
    return reference(graph, graph.add(Node(graph.fresh(name), "input", kind)))


def _params(graph: Graph, weights: Sequence[Any]) -> list[str]:
    """The nodes of these variables, added where the graph does not use them."""
    known = {id(node.attrs["variable"]): node.name for node in graph.params()}
    return [known.get(id(variable)) or splice(graph, variable.as_param()) for variable in weights]
