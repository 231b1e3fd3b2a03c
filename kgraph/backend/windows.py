"""Functions by the names of Keras 2 that slide windows over images, or a function over the first axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kgraph import ops, tree
from kgraph.backend.reshaping import is_first
from kgraph.config import image_data_format
from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.sizes import shown
from kgraph.ops.move import shape_of


def conv1d(
    x: Any,
    kernel: Any,
    strides: int = 1,
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: int = 1,
) -> Any:
    """The convolution of (batch, time, channels) with a kernel (size, channels, filters); padding may be "causal"."""
    if padding == "causal":
        if is_first(data_format):
            raise ArgumentError("conv1d: causal padding wants channels_last")
        x = ops.pad(x, ((0, 0), (dilation_rate * (shape_of(kernel)[0] - 1), 0), (0, 0)))
        padding = "valid"
    return ops.conv(x, kernel, strides, padding, data_format or image_data_format(), dilation_rate)


def conv2d(
    x: Any,
    kernel: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = (1, 1),
) -> Any:
    """The convolution of images with a kernel (rows, columns, channels, filters)."""
    return ops.conv(x, kernel, strides, padding, data_format or image_data_format(), dilation_rate)


def conv3d(
    x: Any,
    kernel: Any,
    strides: Any = (1, 1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = (1, 1, 1),
) -> Any:
    """The convolution of volumes with a kernel (three sizes, channels, filters)."""
    return ops.conv(x, kernel, strides, padding, data_format or image_data_format(), dilation_rate)


def conv2d_transpose(
    x: Any,
    kernel: Any,
    output_shape: Sequence[Any],
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = (1, 1),
) -> Any:
    """The transpose of a convolution, with a kernel (rows, columns, filters, channels), to images of `output_shape`.

    output_shape is with the batch, and what it says of batch and channels is not looked at. ShapeError where no
    output padding gives its rows and columns.
    """
    data_format = data_format or image_data_format()
    axes = (2, 3) if is_first(data_format) else (1, 2)
    steps = (strides, strides) if isinstance(strides, int) else tuple(strides)
    rates = (dilation_rate, dilation_rate) if isinstance(dilation_rate, int) else tuple(dilation_rate)
    extra = []
    for axis, size, step, rate in zip(axes, shape_of(kernel), steps, rates, strict=False):
        spread = (size - 1) * rate + 1
        least = (shape_of(x)[axis] - 1) * step + (spread - 2 * (spread // 2) if padding == "same" else spread)
        extra.append(output_shape[axis] - least)
        if not isinstance(extra[-1], int) or not 0 <= extra[-1] < step:
            raise ShapeError(
                f"conv2d_transpose: axis {axis} of {shown(shape_of(x))} becomes {least} to {least + step - 1}, and "
                f"output_shape wants {output_shape[axis]}"
            )
    return ops.conv_transpose(x, kernel, steps, padding, tuple(extra), data_format, rates)


def depthwise_conv2d(
    x: Any,
    depthwise_kernel: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = (1, 1),
) -> Any:
    """The convolution of each channel by itself, with a kernel (rows, columns, channels, filters of each)."""
    data_format = data_format or image_data_format()
    return ops.depthwise_conv(x, depthwise_kernel, strides, padding, data_format, dilation_rate)


def separable_conv2d(
    x: Any,
    depthwise_kernel: Any,
    pointwise_kernel: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    dilation_rate: Any = (1, 1),
) -> Any:
    """A depthwise convolution, then one with a kernel (1, 1, channels, filters)."""
    data_format = data_format or image_data_format()
    return ops.separable_conv(x, depthwise_kernel, pointwise_kernel, strides, padding, data_format, dilation_rate)


def pool2d(
    x: Any,
    pool_size: Any,
    strides: Any = (1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    pool_mode: str = "max",
) -> Any:
    """The largest element of each window of images, or with pool_mode="avg" the mean."""
    if pool_mode not in ("max", "avg"):
        raise ArgumentError(f"pool_mode must be max or avg, not {pool_mode!r}")
    pool = ops.max_pool if pool_mode == "max" else ops.average_pool
    return pool(x, pool_size, strides, padding, data_format or image_data_format())


def pool3d(
    x: Any,
    pool_size: Any,
    strides: Any = (1, 1, 1),
    padding: str = "valid",
    data_format: str | None = None,
    pool_mode: str = "max",
) -> Any:
    """The largest element of each window of volumes, or with pool_mode="avg" the mean."""
    return pool2d(x, pool_size, strides, padding, data_format, pool_mode)


def map_fn(fn: Callable[[Any], Any], elems: Any, name: str | None = None, dtype: Any = None) -> Any:
    """fn of each slice of elems along the first axis, stacked."""
    found = ops.map(fn, elems)
    return found if dtype is None else tree.map_structure(lambda one: ops.cast(one, dtype), found)


def foldl(fn: Callable[[Any, Any], Any], elems: Any, initializer: Any = None, name: str | None = None) -> Any:
    """fn(fn(initializer, a), b) for the slices a, b of elems; without an initializer, the first slice is it."""
    return _folded(fn, elems, initializer, backwards=False)


def foldr(fn: Callable[[Any, Any], Any], elems: Any, initializer: Any = None, name: str | None = None) -> Any:
    """As `foldl`, from the last slice of elems to the first."""
    return _folded(fn, elems, initializer, backwards=True)


def _folded(fn: Callable[[Any, Any], Any], elems: Any, initializer: Any, backwards: bool) -> Any:
    if initializer is None:
        initializer, elems = (elems[-1], elems[:-1]) if backwards else (elems[0], elems[1:])
    return ops.scan(lambda found, one: (fn(found, one), None), initializer, elems, reverse=backwards)[0]


def in_top_k(predictions: Any, targets: Any, k: int) -> Any:
    """Whether each target is among the k largest of its predictions."""
    return ops.in_top_k(targets, predictions, k)
