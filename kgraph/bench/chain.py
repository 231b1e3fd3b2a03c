"""A model as a chain of layers: loops over time, convolutions, pooling, for which libraries have their own functions.

Whoever translates the ops of such a layer gives a library another program than its users write: a loop for what is one
call of torch.nn.LSTM or of ONNX's LSTM, sixteen slices for a maximum over windows. So they are translated as layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kgraph.bench.case import Case

ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "softmax")
RECURRENT = ("LSTM", "GRU")
IMAGE = ("Conv2D", "DepthwiseConv2D", "MaxPooling2D")
LOOPS = (*RECURRENT, "Bidirectional")
OWN = (*LOOPS, *IMAGE)  # a model without any of these is better told by its ops


@dataclass(frozen=True)
class Link:
    """A layer of a chain."""

    kind: str
    layer: Any
    config: Mapping[str, Any]
    entering: tuple[Any, ...]  # the shape of what it is called on

    @property
    def cells(self) -> list[Any]:
        """The cells of a loop over time: one, or that which reads forwards and that which reads backwards."""
        layers = [self.layer.forward_layer, self.layer.backward_layer] if self.kind == "Bidirectional" else [self.layer]
        return [layer.cell for layer in layers]

    @property
    def unit(self) -> str:
        """LSTM or GRU."""
        return type(self.layer.forward_layer).__name__ if self.kind == "Bidirectional" else self.kind

    @property
    def sequences(self) -> bool:
        """Whether a loop over time gives what it has after each step, and not only after the last."""
        layer = self.layer.forward_layer if self.kind == "Bidirectional" else self.layer
        return bool(layer.get_config()["return_sequences"])


def chain_of(case: Case) -> list[Link] | None:
    """The layers in order; None for a model that is no chain, has none of OWN, or options that are not foreseen."""
    graph, found = case.layers, []
    value = graph.inputs[0]
    if len(graph.inputs) != 1 or case.task.loss != "mse" or len(graph.outputs) != 1:
        return None
    layers = {layer.name: layer for layer in getattr(case.model, "layers", ())}
    for node in graph:
        if node.op in ("input", "param"):
            continue
        reads = [name for name in graph.arguments(node.name) if graph[name].op != "param"]
        layer = layers.get(node.name)
        if reads != [value] or layer is None or node.op not in FORESEEN:
            return None
        config = layer.get_config()
        if not FORESEEN[node.op](config):
            return None
        found.append(Link(node.op, layer, config, graph[value].tensor.shape))
        value = node.name
    return found if graph.outputs == [value] and any(link.kind in OWN for link in found) else None


def _has(**wanted: Any) -> Callable[[Mapping[str, Any]], bool]:
    """A check that options are these, or one of these."""

    def fits(config: Mapping[str, Any]) -> bool:
        given = ((config[key], value) for key, value in wanted.items() if key in config)
        return all(have in value if isinstance(value, tuple) else have == value for have, value in given)

    return fits


_looped = _has(activation="tanh", recurrent_activation="sigmoid", use_bias=True, reset_after=True, dropout=0.0,
               recurrent_dropout=0.0, return_state=False, stateful=False, unroll=False)  # fmt: skip
_image = _has(data_format="channels_last", use_bias=True, activation=ACTIVATIONS, dilation_rate=((1, 1),))


def _both(config: Mapping[str, Any]) -> bool:
    sides = [config["layer"], config["backward_layer"]]
    same = sides[0]["class_name"] == sides[1]["class_name"] and sides[0]["class_name"] in RECURRENT
    backwards = [side["config"]["go_backwards"] for side in sides] == [False, True]
    return same and backwards and config["merge_mode"] == "concat" and all(_looped(side["config"]) for side in sides)


def _convolution(config: Mapping[str, Any]) -> bool:
    return _image(config) and (config["padding"] == "valid" or tuple(config["strides"]) == (1, 1))


FORESEEN: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "Dense": _has(use_bias=True, activation=ACTIVATIONS),
    "Embedding": _has(mask_zero=False),
    "Flatten": lambda config: True,
    "LSTM": lambda config: _looped(config) and not config["go_backwards"],
    "GRU": lambda config: _looped(config) and not config["go_backwards"],
    "Bidirectional": _both,
    "Conv2D": _convolution,
    "DepthwiseConv2D": _convolution,
    "MaxPooling2D": _has(data_format="channels_last", padding="valid"),
}
