"""A chain of layers as an ONNX model: its own LSTM, GRU, Conv and MaxPool. Images lie as (N, C, H, W), all along."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from onnx import helper

from kgraph.bench.case import Case
from kgraph.bench.chain import Link
from kgraph.bench.data import sizes_for
from kgraph.bench.onnx_graph import KINDS, Pieces
from kgraph.graph.sizes import resolve

ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softmax": "Softmax"}


def model(case: Case, chain: Sequence[Link]) -> bytes:
    """The serialised model, from in0 to out0."""
    writer = Layers()
    value = "in0"
    for link in chain:
        value = LAYERS[link.kind](writer, link, value)
        name = link.config.get("activation", "linear")
        if name != "linear" and link.kind not in ("LSTM", "GRU"):
            value = writer.put(ACTIVATIONS[name], value)
    writer.put("Identity", value, result="out0")
    (given,) = arrays(case.inputs)
    inputs = [helper.make_tensor_value_info("in0", KINDS[str(given.dtype)], given.shape)]
    (result,) = case.layers.outputs
    shape = resolve(case.layers[result].tensor.shape, sizes_for(case.forward, case.task.batch))
    shape = (shape[0], shape[3], *shape[1:3]) if len(shape) == 4 else shape
    return writer.serialised(inputs, [helper.make_tensor_value_info("out0", KINDS["float32"], shape)])


def arrays(given: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Inputs as the model wants them, images with their channels first."""
    return [np.ascontiguousarray(one.transpose(0, 3, 1, 2)) if one.ndim == 4 else one for one in given]


def read_outputs(found: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Outputs as ours are."""
    return [one.transpose(0, 2, 3, 1) if one.ndim == 4 else np.asarray(one) for one in found]


class Layers(Pieces):
    """A chain under translation."""

    def __init__(self) -> None:
        super().__init__()
        self.flattened: tuple[int, ...] = ()  # the height, width and channels of an image that became a row


def _dense(writer: Layers, link: Link, value: str) -> str:
    kernel, bias = link.layer.kernel.numpy(), writer.constant(link.layer.bias.numpy())
    if writer.flattened:  # a row has channels first
        kernel = kernel.reshape(*writer.flattened, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
        writer.flattened = ()
    if len(link.entering) == 2:
        return writer.put("Gemm", value, writer.constant(np.ascontiguousarray(kernel)), bias)
    return writer.put("Add", writer.put("MatMul", value, writer.constant(kernel)), bias)


def _flatten(writer: Layers, link: Link, value: str) -> str:
    writer.flattened = link.entering[1:] if len(link.entering) == 4 else ()
    return writer.put("Flatten", value, axis=1)


def _looped(writer: Layers, link: Link, value: str) -> str:
    is_lstm, cells, order = link.unit == "LSTM", link.cells, gates(link.unit)
    weights, recurrent = (
        np.stack([reordered(getattr(cell, name).numpy(), order).T for cell in cells])
        for name in ("kernel", "recurrent_kernel")
    )
    biases = [reordered(np.atleast_2d(cell.bias.numpy()), order) for cell in cells]
    padded = [np.concatenate([one, np.zeros_like(one)]) if is_lstm else one for one in biases]
    operands = [writer.constant(one) for one in (weights, recurrent, np.stack([one.reshape(-1) for one in padded]))]
    sideways = {"direction": "bidirectional"} if len(cells) == 2 else {}
    other = {} if is_lstm else {"linear_before_reset": 1}
    turned = writer.put("Transpose", value, perm=(1, 0, 2))
    width, count = cells[0].units, len(cells)
    attrs = {"hidden_size": width, **sideways, **other}
    if link.sequences:  # (T, directions, N, units)
        every = writer.put(link.unit, turned, *operands, **attrs)
        every = writer.put("Transpose", every, perm=(2, 0, 1, 3))
        return writer.put("Reshape", every, writer.constant(np.array([0, 0, width * count], np.int64)))
    last = writer.put(link.unit, turned, *operands, place=1, **attrs)  # (directions, N, units)
    last = writer.put("Transpose", last, perm=(1, 0, 2)) if count == 2 else last
    return writer.put("Reshape", last, writer.constant(np.array([-1, width * count], np.int64)))


def gates(unit: str) -> tuple[int, ...]:
    """Which of our gates come first, second, ... in ONNX: i, o, f, c of an LSTM; a GRU has ours."""
    return (0, 3, 1, 2) if unit == "LSTM" else (0, 1, 2)


def reordered(value: np.ndarray, order: Sequence[int]) -> np.ndarray:
    """The gates along the last axis in this order."""
    parts = np.split(value, len(order), axis=-1)
    return np.ascontiguousarray(np.concatenate([parts[one] for one in order], axis=-1))


def _convolution(writer: Layers, link: Link, value: str) -> str:
    kernel, bias, config = link.layer.kernel.numpy(), link.layer.bias.numpy(), link.config
    depthwise = link.kind == "DepthwiseConv2D"
    turned = kernel.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1)).reshape(len(bias), -1, *kernel.shape[:2])
    spare = [size - 1 if config["padding"] == "same" else 0 for size in kernel.shape[:2]]
    pads = [*(one // 2 for one in spare), *(one - one // 2 for one in spare)]
    operands = [writer.constant(one) for one in (np.ascontiguousarray(turned), bias)]
    groups = link.entering[-1] if depthwise else config["groups"]
    return writer.put("Conv", value, *operands, pads=pads, strides=config["strides"], group=groups)


def _pooled(writer: Layers, link: Link, value: str) -> str:
    return writer.put("MaxPool", value, kernel_shape=link.config["pool_size"], strides=link.config["strides"])


LAYERS: Mapping[str, Callable[[Layers, Link, str], str]] = {
    "Dense": _dense,
    "Embedding": lambda writer, link, value: writer.put(
        "Gather", writer.constant(link.layer.embeddings.numpy()), value, axis=0
    ),
    "Flatten": _flatten,
    "LSTM": _looped,
    "GRU": _looped,
    "Bidirectional": _looped,
    "Conv2D": _convolution,
    "DepthwiseConv2D": _convolution,
    "MaxPooling2D": _pooled,
}
