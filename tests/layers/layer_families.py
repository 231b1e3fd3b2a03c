"""More layers in several configurations: activations, normalisation, noise, shapes, attention, preprocessing."""

from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    layer: str
    options: dict[str, Any]
    shapes: Any  # of the input, batch included, or a list of them
    indices: int = 0  # the inputs are integers below this number
    apart: bool = False  # several inputs are arguments of their own, and no list
    call: dict[str, Any] = {}  # noqa: RUF012 - what else the call is given; nothing changes it


ACTIVATIONS = [
    Case("ReLU", {}, (3, 5)),
    Case("ReLU", {"max_value": 0.9, "negative_slope": 0.1, "threshold": 0.3}, (3, 4, 5)),
    Case("ReLU", {"max_value": 0.5}, (3, 5)),
    Case("LeakyReLU", {}, (3, 5)),
    Case("LeakyReLU", {"negative_slope": 0.7}, (3, 4, 5)),
    Case("PReLU", {}, (3, 4, 5)),
    Case("PReLU", {"alpha_initializer": "ones", "shared_axes": [1]}, (3, 4, 5)),
    Case("PReLU", {"shared_axes": [1, 2], "alpha_regularizer": "l2"}, (3, 4, 2, 5)),
    Case("ELU", {"alpha": 0.6}, (3, 5)),
    Case("Softmax", {}, (3, 5)),
    Case("Softmax", {"axis": 1}, (3, 4, 5)),
    Case("Softmax", {"axis": [1, 2]}, (3, 4, 5)),
]

NORMALIZATIONS = [
    Case("LayerNormalization", {"rms_scaling": True}, (3, 4, 5)),
    Case("GroupNormalization", {"groups": 2}, (3, 4, 6)),
    Case("GroupNormalization", {"groups": 3, "axis": 1, "epsilon": 1e-2}, (3, 6, 4, 2)),
    Case("GroupNormalization", {"groups": -1, "center": False}, (3, 4, 2, 6)),
    Case("GroupNormalization", {"groups": 1, "scale": False}, (3, 4, 6)),
    Case("RMSNormalization", {}, (3, 5)),
    Case("RMSNormalization", {"axis": [1, 2], "epsilon": 1e-3}, (3, 4, 5)),
    Case("UnitNormalization", {}, (3, 5)),
    Case("UnitNormalization", {"axis": [1, 2]}, (3, 4, 5)),
    Case("UnitNormalization", {"axis": 1}, (3, 4, 5)),
]

NOISES = [
    Case("SpatialDropout1D", {"rate": 0.0}, (3, 4, 5)),
    Case("SpatialDropout2D", {"rate": 0.5, "data_format": "channels_first", "seed": 1}, (3, 4, 2, 5)),
    Case("SpatialDropout3D", {"rate": 0.5}, (3, 4, 2, 2, 5)),
    Case("AlphaDropout", {"rate": 0.3, "noise_shape": (None, 1), "seed": 4}, (3, 5)),
    Case("GaussianDropout", {"rate": 0.3, "seed": 4}, (3, 5)),
    Case("GaussianNoise", {"stddev": 0.3, "seed": 4}, (3, 5)),
    Case("GaussianNoise", {"stddev": 0.0}, (3, 5)),
    Case("ActivityRegularization", {"l1": 0.1, "l2": 0.2}, (3, 4, 5)),
]

SHAPES = [
    Case("Cropping1D", {}, (3, 6, 5)),
    Case("Cropping1D", {"cropping": (0, 2)}, (3, 6, 5)),
    Case("Cropping2D", {"cropping": ((0, 1), (2, 0))}, (3, 4, 5, 2)),
    Case("Cropping2D", {"cropping": (1, 2), "data_format": "channels_first"}, (3, 2, 4, 5)),
    Case("Cropping3D", {}, (3, 4, 5, 3, 2)),
    Case("Cropping3D", {"cropping": 1, "data_format": "channels_first"}, (3, 2, 4, 5, 3)),
    Case("ZeroPadding1D", {}, (3, 4, 5)),
    Case("ZeroPadding1D", {"padding": (0, 2), "data_format": "channels_first"}, (3, 4, 5)),
    Case("ZeroPadding2D", {}, (3, 4, 5, 2)),
    Case("ZeroPadding2D", {"padding": ((0, 1), (2, 0)), "data_format": "channels_first"}, (3, 2, 4, 5)),
    Case("ZeroPadding3D", {"padding": (0, 1, 2)}, (3, 2, 3, 4, 2)),
    Case("ZeroPadding3D", {"padding": 1, "data_format": "channels_first"}, (3, 2, 2, 3, 4)),
    Case("UpSampling1D", {"size": 3}, (3, 4, 5)),
    Case("UpSampling2D", {}, (3, 4, 5, 2)),
    Case("UpSampling2D", {"size": (3, 1), "data_format": "channels_first"}, (3, 2, 4, 5)),
    Case("UpSampling2D", {"size": (3, 2), "interpolation": "bilinear"}, (3, 4, 5, 2)),
    Case("UpSampling2D", {"interpolation": "bilinear", "data_format": "channels_first"}, (3, 2, 1, 5)),
    Case("UpSampling2D", {"interpolation": "bicubic"}, (3, 4, 5, 2)),
    Case("UpSampling2D", {"size": 3, "interpolation": "lanczos3"}, (3, 4, 5, 2)),
    Case("UpSampling3D", {"size": (1, 2, 3)}, (3, 2, 2, 3, 2)),
    Case("UpSampling3D", {"data_format": "channels_first"}, (3, 2, 2, 3, 2)),
]

CAUSAL = {"use_causal_mask": True}
ATTENTION = [
    Case("Attention", {}, [(3, 4, 5), (3, 6, 5)]),
    Case("Attention", {"use_scale": True}, [(3, 4, 5), (3, 6, 2), (3, 6, 5)], call=CAUSAL),
    Case("Attention", {"score_mode": "concat", "use_scale": True}, [(3, 4, 5), (3, 6, 5)]),
    Case("Attention", {"score_mode": "concat"}, [(3, 4, 5), (3, 4, 5)], call=CAUSAL),
    Case("AdditiveAttention", {}, [(3, 4, 5), (3, 6, 5)]),
    Case("AdditiveAttention", {"use_scale": False}, [(3, 4, 5), (3, 6, 2), (3, 6, 5)], call=CAUSAL),
    Case("MultiHeadAttention", {"num_heads": 2, "key_dim": 3}, [(3, 4, 5), (3, 6, 4)], apart=True),
    Case("MultiHeadAttention", {"num_heads": 2, "key_dim": 3}, [(3, 4, 5), (3, 4, 5)], apart=True, call=CAUSAL),
    Case(
        "MultiHeadAttention",
        {"num_heads": 2, "key_dim": 3, "output_shape": 7, "use_bias": False},
        [(3, 4, 5), (3, 6, 2), (3, 6, 3)],
        apart=True,
    ),
    Case(
        "MultiHeadAttention",
        {"num_heads": 2, "key_dim": 2, "attention_axes": (2,)},
        [(3, 4, 5, 3), (3, 4, 6, 3)],
        apart=True,
    ),
    Case(
        "MultiHeadAttention",
        {"num_heads": 2, "key_dim": 2, "value_dim": 4},
        [(3, 2, 3, 4), (3, 3, 2, 4)],
        apart=True,
    ),
    Case(
        "MultiHeadAttention",
        {"num_heads": 2, "key_dim": 3, "use_gate": True, "sliding_window": 2, "kernel_regularizer": "l2"},
        [(3, 4, 5), (3, 4, 5)],
        apart=True,
        call=CAUSAL,
    ),
    Case(
        "GroupQueryAttention",
        {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2},
        [(3, 4, 5), (3, 6, 5)],
        apart=True,
    ),
    Case(
        "GroupQueryAttention",
        {"head_dim": 2, "num_query_heads": 2, "num_key_value_heads": 1, "use_gate": True, "sliding_window": 3},
        [(3, 4, 5), (3, 4, 5)],
        apart=True,
        call=CAUSAL,
    ),
]

PREPROCESSING = [
    Case("Rescaling", {"scale": 0.5, "offset": -1.0}, (3, 5)),
    Case("Rescaling", {"scale": [0.5, 2.0], "offset": 1}, (3, 4, 2)),
    Case("Rescaling", {"scale": 1 / 255}, (3, 5), 256),
    Case("Resizing", {"height": 3, "width": 7}, (2, 5, 6, 2)),
    Case("Resizing", {"height": 6, "width": 4, "interpolation": "nearest"}, (2, 5, 6, 2)),
    Case("CenterCrop", {"height": 2, "width": 3}, (2, 5, 6, 2)),
    Case("CenterCrop", {"height": 8, "width": 3}, (2, 5, 6, 2)),
    Case("AdaptiveAveragePooling1D", {"output_size": 3}, (2, 7, 2)),
    Case("AdaptiveAveragePooling2D", {"output_size": (2, 3)}, (2, 5, 6, 2)),
    Case("AdaptiveAveragePooling3D", {"output_size": 2}, (2, 3, 4, 5, 2)),
    Case("AdaptiveMaxPooling1D", {"output_size": 3}, (2, 7, 2)),
    Case("AdaptiveMaxPooling2D", {"output_size": 2, "data_format": "channels_first"}, (2, 2, 5, 6)),
    Case("AdaptiveMaxPooling3D", {"output_size": (1, 2, 3)}, (2, 3, 4, 5, 2)),
    Case("Normalization", {}, (3, 5)),
    Case("Normalization", {"axis": (1, 2), "invert": True}, (3, 4, 5)),
    Case("Normalization", {"axis": None}, (3, 4, 5)),
    Case("Normalization", {"mean": [1.0, 2.0], "variance": [4.0, 0.0]}, (3, 4, 2)),
    Case("Normalization", {"mean": 1.0, "variance": 2.0}, (3, 4, 2)),
    Case("CategoryEncoding", {"num_tokens": 6}, (3, 5), 6),
    Case("CategoryEncoding", {"num_tokens": 6, "output_mode": "one_hot"}, (3, 1), 6),
    Case("CategoryEncoding", {"num_tokens": 6, "output_mode": "one_hot"}, (3, 4), 6),
    Case("CategoryEncoding", {"num_tokens": 6, "output_mode": "count"}, (3, 4), 6),
    Case("Discretization", {"bin_boundaries": [-0.5, 0.0, 0.7]}, (3, 4)),
    Case("Discretization", {"bin_boundaries": [-0.5, 0.0, 0.7], "output_mode": "one_hot"}, (3, 4)),
    Case("Discretization", {"bin_boundaries": [-0.5, 0.0, 0.7], "output_mode": "multi_hot"}, (3, 4)),
    Case("Discretization", {"bin_boundaries": [0.0], "output_mode": "count"}, (3, 4)),
]

MORE = [*ACTIVATIONS, *NORMALIZATIONS, *NOISES, *SHAPES, *ATTENTION, *PREPROCESSING]


def arrays_of(case: Case, batch: int | None = None, seed: int = 0) -> list[np.ndarray]:
    """Inputs of the case, for another size of the batch where one is given."""
    draw = np.random.default_rng(seed)
    shapes = case.shapes if isinstance(case.shapes, list) else [case.shapes]
    shapes = shapes if batch is None else [(batch, *shape[1:]) for shape in shapes]
    if case.indices:
        return [draw.integers(0, case.indices, shape).astype("int32") for shape in shapes]
    return [draw.normal(size=shape).astype("float32") for shape in shapes]


def applied(case: Case, layer: Any, inputs: list[Any], **options: Any) -> Any:
    """The layer called on inputs as the case says."""
    if case.apart:
        return layer(*inputs, **case.call, **options)
    return layer(inputs if isinstance(case.shapes, list) else inputs[0], **case.call, **options)
