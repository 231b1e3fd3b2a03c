"""Convolutions and pooling in several configurations."""

from layer_families import Case

FIRST = {"data_format": "channels_first"}
SAME = {"padding": "same"}

CONVOLUTIONS = [
    Case("Conv1D", {"filters": 4, "kernel_size": 3}, (3, 7, 5)),
    Case("Conv1D", {"filters": 4, "kernel_size": 3, "padding": "causal", "dilation_rate": 2}, (3, 7, 5)),
    Case("Conv1D", {"filters": 4, "kernel_size": 3, "activation": "tanh", **FIRST}, (3, 5, 7)),
    Case("Conv2D", {"filters": 4, "kernel_size": 3, "activation": "relu"}, (2, 7, 6, 5)),
    Case("Conv2D", {"filters": 4, "kernel_size": (3, 2), "strides": 2, **SAME, "use_bias": False}, (2, 7, 6, 5)),
    Case("Conv2D", {"filters": 6, "kernel_size": 3, "groups": 2, **SAME}, (2, 7, 6, 4)),
    Case("Conv2D", {"filters": 6, "kernel_size": 3, "groups": 3, **FIRST}, (2, 3, 7, 6)),
    Case("Conv2D", {"filters": 4, "kernel_size": 1, "kernel_regularizer": "l2"}, (2, 7, 6, 5)),
    Case("Conv2D", {"filters": 8, "kernel_size": 3, "dilation_rate": (1, 2), **SAME}, (2, 7, 6, 24)),
    Case("Conv3D", {"filters": 4, "kernel_size": 2, **SAME}, (2, 4, 3, 5, 3)),
    Case("Conv3D", {"filters": 2, "kernel_size": (1, 2, 3), "strides": (1, 2, 1)}, (2, 4, 3, 5, 3)),
    Case("Conv1DTranspose", {"filters": 4, "kernel_size": 3, "strides": 2}, (3, 7, 5)),
    Case("Conv2DTranspose", {"filters": 4, "kernel_size": 3, "strides": 2, **SAME}, (2, 4, 3, 5)),
    Case("Conv2DTranspose", {"filters": 4, "kernel_size": 2, "strides": 3, "output_padding": 1}, (2, 4, 3, 5)),
    Case("Conv2DTranspose", {"filters": 4, "kernel_size": 3, **FIRST}, (2, 5, 4, 3)),
    Case("Conv3DTranspose", {"filters": 2, "kernel_size": 2, "strides": 2}, (2, 2, 3, 2, 3)),
    Case("DepthwiseConv1D", {"kernel_size": 3, **SAME}, (3, 7, 5)),
    Case("DepthwiseConv2D", {"kernel_size": 3, "activation": "relu"}, (2, 7, 6, 5)),
    Case("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 2, "strides": 2, **SAME}, (2, 7, 6, 5)),
    Case("DepthwiseConv2D", {"kernel_size": 3, **FIRST}, (2, 5, 7, 6)),
    Case("SeparableConv1D", {"filters": 4, "kernel_size": 3}, (3, 7, 5)),
    Case("SeparableConv2D", {"filters": 4, "kernel_size": 3, "depth_multiplier": 2, **SAME}, (2, 7, 6, 5)),
]
POOLING = [
    Case("MaxPooling1D", {}, (3, 7, 5)),
    Case("MaxPooling1D", {"pool_size": 3, "strides": 1, **SAME}, (3, 7, 5)),
    Case("MaxPooling2D", {}, (2, 7, 6, 5)),
    Case("MaxPooling2D", {"pool_size": (3, 2), "strides": 2, **SAME}, (2, 7, 6, 5)),
    Case("MaxPooling2D", {**FIRST}, (2, 5, 7, 6)),
    Case("MaxPooling2D", {"pool_size": 8, "strides": 1}, (2, 9, 10, 3)),
    Case("MaxPooling3D", {"pool_size": (1, 2, 2)}, (2, 4, 3, 5, 3)),
    Case("AveragePooling1D", {"pool_size": 3, **SAME}, (3, 7, 5)),
    Case("AveragePooling2D", {"pool_size": 2}, (2, 7, 6, 5)),
    Case("AveragePooling2D", {"pool_size": 3, "strides": 2, **SAME}, (2, 7, 6, 5)),
    Case("AveragePooling2D", {"pool_size": 8, **SAME}, (2, 9, 10, 3)),
    Case("AveragePooling3D", {"pool_size": 2, "strides": 1, **FIRST}, (2, 3, 4, 3, 5)),
    *[
        Case(f"Global{kind}Pooling{axes}D", options, (2, *(4, 3, 5)[:axes], 3))
        for kind in ("Max", "Average")
        for axes in (1, 2, 3)
        for options in ({}, {"keepdims": True, **FIRST})
    ],
]
WINDOWS = [*CONVOLUTIONS, *POOLING]
