"""Pooling: the largest or the mean element of every window."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kgraph.errors import ShapeError
from kgraph.ops.arithmetic import add, divide, maximum
from kgraph.ops.convolution import (
    MOST_TAPS,
    as_before,
    channels_first,
    channels_last,
    padded,
    paddings,
    several,
)
from kgraph.ops.creating import ones
from kgraph.ops.reduce import max_row, sum_row
from kgraph.ops.tensors import floating
from kgraph.ops.windows import kind_of, tap_of, taps, window_counts, windows
from kgraph.sizes import product, shown
from kgraph.trace import function
from kgraph.types import is_float


@function
def max_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: str | None = None
) -> Any:
    """The largest element of every window of pool_size, a number or one for each axis; strides default to pool_size.

    With padding="same" there are as many windows as strides fit in, and what lies outside is left out. As in Keras.
    """
    return _pooled(inputs, pool_size, strides, padding, data_format, True)


@function
def average_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: str | None = None
) -> Any:
    """The mean of every window, of those elements that are inside. Arguments as for `max_pool`. As in Keras."""
    return _pooled(floating(inputs), pool_size, strides, padding, data_format, False)


def _pooled(inputs: Any, pool_size: Any, strides: Any, padding: str, data_format: str | None, largest: bool) -> Any:
    first = channels_first(data_format)
    x = channels_last(inputs, first)
    kind = kind_of(x)
    axes, sizes = kind.rank - 2, kind.shape[1:-1]
    widths = several(pool_size, axes, "pool_size")
    steps = widths if strides is None else several(strides, axes, "strides")
    ends = paddings(padding, sizes, widths, steps, (1,) * axes)
    if largest:
        whole = padded(x, *ends, (1,) * axes, least(kind.dtype))
        return as_before(_combined(whole, widths, steps, maximum, max_row), first)
    made = _total(padded(x, *ends, (1,) * axes), widths, steps)
    if all(one == 0 for one in (*ends[0], *ends[1])):
        return as_before(divide(made, float(product(widths))), first)
    inside = padded(ones((1, *sizes, 1), dtype=kind.dtype), *ends, (1,) * axes)
    return as_before(divide(made, _total(inside, widths, steps)), first)


def least(dtype: str) -> Any:
    """A number that no other of this dtype is below."""
    return -math.inf if is_float(dtype) else int(np.iinfo(dtype).min)


def _total(x: Any, widths: Any, strides: Any) -> Any:
    return _combined(x, widths, strides, add, sum_row)


def _combined(x: Any, widths: Any, strides: Any, combine: Any, reduce: Any) -> Any:
    """Small windows place by place, elementwise in the channels; large ones as a reduction."""
    axes = len(widths)
    ones = (1,) * axes
    if product(widths) > MOST_TAPS:
        every = windows(x, widths=widths, strides=strides, dilations=ones)
        return reduce(every, axes=tuple(range(1 + axes, 1 + 2 * axes)), keepdims=False)
    kind = kind_of(x)
    counts = window_counts(kind.shape[1:-1], widths, strides, ones)
    if any(isinstance(count, int) and count < 1 for count in counts):
        raise ShapeError(f"windows of {shown(widths)} are larger than the input {shown(kind.shape)} with its padding")
    total: Any = None
    for tap in taps(widths):
        part = tap_of(x, kind, tap, counts, strides, ones)
        total = part if total is None else combine(total, part)
    return total
