"""What a layer remembers of its calls: input and output at each node index, and errors where the question is moot."""

from __future__ import annotations

from typing import Any

from kgraph import tree
from kgraph.errors import CallIndexError
from kgraph.layers.arguments import public_shape
from kgraph.layers.calls import Call


def call_at(layer: Any, index: int, what: str) -> Call:
    """The layer's call with this index. CallIndexError if there were fewer, `what` being what the user asked for."""
    calls = layer.inbound_nodes
    if not calls:
        raise CallIndexError(f"The layer {layer.name} has never been called and thus has no defined {what}.")
    if not -len(calls) <= index < len(calls):
        raise CallIndexError(
            f"Asked to get {what} at node {index}, but the layer {layer.name} has only {len(calls)} inbound nodes."
        )
    return calls[index]


def only_call(layer: Any, what: str) -> Call:
    """The layer's one call; CallIndexError if there were several, for then "the output" means nothing."""
    if len(layer.inbound_nodes) > 1:
        method = f"get_{what.replace(' ', '_')}_at(node_index)"
        raise CallIndexError(
            f'Layer {layer.name} has multiple inbound nodes, hence the notion of "layer {what}" is ill-defined. '
            f"Use `{method}` instead."
        )
    return call_at(layer, 0, what)


def inputs_of(call: Call) -> Any:
    """The symbol a call was made on, or the list of them."""
    return single(call.inputs)


def outputs_of(call: Call) -> Any:
    """The symbol a call gave, or the list of them."""
    return single(tree.flatten(call.outputs))


def only_shape(layer: Any, what: str) -> Any:
    """The shape of inputs or outputs if it was the same in all calls."""
    values = inputs_of if what == "input shape" else outputs_of
    shapes = [shapes_of(values(call)) for call in layer.inbound_nodes]
    if any(shape != shapes[0] for shape in shapes):
        only_call(layer, what)
    return shapes_of(values(call_at(layer, 0, what)))


def shapes_of(symbols: Any) -> Any:
    """The shape as Keras shows it, or the list of them."""
    return tree.map_structure(public_shape, symbols)


def single(values: list[Any]) -> Any:
    """The only item of a list, or the list."""
    return values[0] if len(values) == 1 else values
