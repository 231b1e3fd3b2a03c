"""Every layer in several configurations, for the sweeps; and the pair of our layer and Keras's."""

from typing import Any

import keras
import numpy as np
from layer_families import MORE, Case, applied, arrays_of
from layer_windows import WINDOWS

import kgraph as kg

TABLE = [
    Case("Dense", {"units": 4}, (3, 5)),
    Case("Dense", {"units": 4, "activation": "relu", "use_bias": False}, (3, 5)),
    Case("Dense", {"units": 4, "activation": "softmax"}, (3, 2, 5)),
    Case("Dense", {"units": 4, "activation": "gelu", "activity_regularizer": "l2"}, (3, 2, 2, 5)),
    Case("Dense", {"units": 2, "kernel_regularizer": "L1L2", "kernel_constraint": "max_norm"}, (3, 5)),
    Case("Dense", {"units": 4, "lora_rank": 2}, (3, 5)),
    Case("Dense", {"units": 4, "lora_rank": 2, "use_bias": False}, (3, 2, 5)),
    Case("EinsumDense", {"equation": "abc,cd->abd", "output_shape": (None, 6), "lora_rank": 3}, (3, 4, 5)),
    Case("Embedding", {"input_dim": 7, "output_dim": 4, "lora_rank": 2}, (3, 5), 7),
    Case("EinsumDense", {"equation": "ab,bc->ac", "output_shape": 6}, (3, 5)),
    Case("EinsumDense", {"equation": "abc,cd->abd", "output_shape": (None, 6), "bias_axes": "d"}, (3, 4, 5)),
    Case("EinsumDense", {"equation": "...x,xy->...y", "output_shape": 6, "bias_axes": "y"}, (3, 4, 4, 5)),
    Case("EinsumDense", {"equation": "abc,cde->abde", "output_shape": (None, 2, 3), "bias_axes": "de"}, (3, 4, 5)),
    Case("EinsumDense", {"equation": "abcd,cde->abe", "output_shape": (None, 6), "bias_axes": "e"}, (3, 4, 2, 5)),
    Case("EinsumDense", {"equation": "ab...,bc->ac...", "output_shape": 6, "bias_axes": "c"}, (3, 5, 4)),
    Case("EinsumDense", {"equation": "abc,bde->acde", "output_shape": (5, 2, 3), "bias_axes": "d"}, (3, 4, 5)),
    Case("EinsumDense", {"equation": "abc,cd->abd", "output_shape": (4, 6), "activation": "tanh"}, (3, 4, 5)),
    Case("Activation", {"activation": "relu"}, (3, 5)),
    Case("Activation", {"activation": "softmax"}, (3, 4, 5)),
    Case("Identity", {}, (3, 5)),
    Case("Embedding", {"input_dim": 7, "output_dim": 4}, (3, 5), 7),
    Case("Embedding", {"input_dim": 7, "output_dim": 4, "mask_zero": True}, (3, 2, 5), 7),
    Case("Masking", {"mask_value": 2.0}, (3, 4, 5)),
    Case("Dropout", {"rate": 0.0}, (3, 5)),
    Case("Dropout", {"rate": 0.5, "seed": 1}, (3, 5)),
    Case("Flatten", {}, (3, 2, 4, 5)),
    Case("Flatten", {}, (3,)),
    Case("Flatten", {"data_format": "channels_first"}, (3, 2, 4, 5)),
    Case("Reshape", {"target_shape": (4, 5)}, (3, 20)),
    Case("Reshape", {"target_shape": (-1, 2)}, (3, 4, 5)),
    Case("Permute", {"dims": (2, 1)}, (3, 4, 5)),
    Case("Permute", {"dims": (3, 1, 2)}, (3, 4, 5, 2)),
    Case("RepeatVector", {"n": 4}, (3, 5)),
    Case("Add", {}, [(3, 5), (3, 5), (3, 5)]),
    Case("Add", {}, [(3, 4, 5), (3, 5)]),
    Case("Subtract", {}, [(3, 5), (3, 5)]),
    Case("Multiply", {}, [(3, 4, 5), (3, 1, 5)]),
    Case("Average", {}, [(3, 5), (3, 5), (3, 5)]),
    Case("Maximum", {}, [(3, 5), (3, 5)]),
    Case("Minimum", {}, [(3, 5), (3, 1)]),
    Case("Concatenate", {}, [(3, 5), (3, 2)]),
    Case("Concatenate", {"axis": 1}, [(3, 4, 5), (3, 2, 5), (3, 1, 5)]),
    Case("Dot", {"axes": 1}, [(3, 5), (3, 5)]),
    Case("Dot", {"axes": (2, 1)}, [(3, 4, 5), (3, 5, 2)]),
    Case("Dot", {"axes": -1, "normalize": True}, [(3, 4, 5), (3, 2, 5)]),
    Case("Dot", {"axes": (1, 2)}, [(3, 5), (3, 2, 5)]),
    Case("LayerNormalization", {}, (3, 5)),
    Case("LayerNormalization", {"axis": [1, 2], "epsilon": 1e-5}, (3, 4, 5)),
    Case("LayerNormalization", {"axis": 1, "center": False}, (3, 4, 5)),
    Case("LayerNormalization", {"scale": False}, (3, 4, 5)),
    Case("BatchNormalization", {}, (6, 5)),
    Case("BatchNormalization", {"axis": 1, "momentum": 0.8, "epsilon": 1e-2}, (6, 4, 5)),
    Case("BatchNormalization", {"center": False, "scale": False}, (6, 4, 5)),
    *MORE,
    *WINDOWS,
]


def name_of(case: Case) -> str:
    return f"{case.layer}({', '.join(f'{key}={value}' for key, value in case.options.items())})"


def make_inputs(case: Case, seed: int = 0) -> Any:
    arrays = arrays_of(case, seed=seed)
    return arrays if isinstance(case.shapes, list) else arrays[0]


def both(case: Case) -> tuple[Any, Any, Any]:
    """Our layer and Keras's, built on the same inputs and with the same weights; and the inputs."""
    ours, theirs = getattr(kg.layers, case.layer)(**case.options), getattr(keras.layers, case.layer)(**case.options)
    x = make_inputs(case)
    applied(case, ours, arrays_of(case))
    applied(case, theirs, arrays_of(case))
    draw = np.random.default_rng(7)
    weights = [draw.uniform(0.5, 1.5, weight.shape).astype("float32") for weight in theirs.get_weights()]
    theirs.set_weights(weights)
    ours.set_weights(theirs.get_weights())
    if case.layer == "Normalization":
        theirs.finalize_state()  # it reads its weights here only
    return ours, theirs, x
