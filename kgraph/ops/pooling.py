"""Pooling: the largest or the mean element of every window."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from kgraph.errors import ShapeError
from kgraph.graph.op import Op
from kgraph.graph.sizes import product, shown
from kgraph.graph.types import TensorType, ends_of, numpy_dtype
from kgraph.ops import move
from kgraph.ops.arithmetic import add, divide, maximum, where
from kgraph.ops.compare import equal, greater
from kgraph.ops.convolution import (
    MOST_TAPS,
    as_before,
    channels_first,
    channels_last,
    padded,
    paddings,
    several,
)
from kgraph.ops.creating import ones, zeros_like
from kgraph.ops.move import reshape
from kgraph.ops.reduce import max_row, sum_row
from kgraph.ops.tensors import floating
from kgraph.ops.windows import kind_of, tap_of, taps, window_counts, windows
from kgraph.tracing.trace import function, primitive


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
        whole = padded(x, *ends, (1,) * axes, ends_of(kind.dtype)[0])
        if widths == steps and 1 < product(widths) <= MOST_TAPS and _are_tiled(kind_of(whole).shape[1:-1], widths):
            return as_before(tile_max(whole, widths=widths), first)
        return as_before(_combined(whole, widths, steps, maximum, max_row), first)
    made = _total(padded(x, *ends, (1,) * axes), widths, steps)
    if all(one == 0 for one in (*ends[0], *ends[1])):
        return as_before(divide(made, float(product(widths))), first)
    inside = padded(ones((1, *sizes, 1), dtype=kind.dtype), *ends, (1,) * axes)
    return as_before(divide(made, _total(inside, widths, steps)), first)


def _are_tiled(sizes: Any, widths: Any) -> bool:
    return all(isinstance(size, int) and size % width == 0 for size, width in zip(sizes, widths, strict=True))


def _shape_of_tiles(shape: Any, widths: Any) -> tuple[Any, ...]:
    """The shape (batch, places, channels) with each axis of places as two: the tiles, and the places inside of one."""
    batch, *sizes, channels = shape
    pairs = (part for size, width in zip(sizes, widths, strict=True) for part in (size // width, width))
    return (batch, *pairs, channels)


def _taps_of(x: Any, widths: tuple[int, ...]) -> list[Any]:
    """The elements of every tile, place by place."""
    shape, steps = kind_of(x).shape, (1, *widths, 1)
    sizes = tuple(size // step for size, step in zip(shape, steps, strict=True))
    places = np.ndindex(*widths)
    return [move.slice_(x, starts=(0, *place, 0), sizes=sizes, steps=steps) for place in places]


def _opened_tiles(x: Any, widths: tuple[int, ...]) -> Any:
    return reduce(maximum, _taps_of(x, widths))


def _tiles_vjp(g: Any, y: Any, x: Any, widths: tuple[int, ...]) -> tuple[Any]:
    """The gradient goes to the first of the largest elements."""
    kind = kind_of(x)
    best, *others = _taps_of(x, widths)
    chosen = zeros_like(y)
    for number, part in enumerate(others, 1):
        is_larger = greater(part, best)
        chosen, best = where(is_larger, float(number), chosen), where(is_larger, part, best)
    inside = (1, *(part for width in widths for part in (1, width)), 1)
    numbers = np.arange(1 + len(others), dtype=numpy_dtype(kind.dtype)).reshape(inside)
    single = _shape_of_tiles(kind_of(y).shape, (1,) * len(widths))
    found = where(equal(reshape(chosen, shape=single), numbers), reshape(g, shape=single), 0.0)
    return (reshape(found, shape=kind.shape),)


def _type_of_tiles(x: TensorType, widths: tuple[int, ...]) -> TensorType:
    sizes = zip(x.shape, (1, *widths, 1), strict=True)
    return TensorType(tuple(size // width for size, width in sizes), x.dtype)


def _greatest_in_tiles(x: Any, widths: tuple[int, ...]) -> Any:
    inside = tuple(range(2, 2 + 2 * len(widths), 2))
    return np.max(x.reshape(_shape_of_tiles(x.shape, widths)), axis=inside)


tile_max = primitive(
    Op(
        name="tile_max",  # of windows that lie side by side and leave nothing over, in (batch, places, channels)
        kind="compose",
        type=_type_of_tiles,
        numpy=_greatest_in_tiles,
        opened=_opened_tiles,
        vjp=_tiles_vjp,
    )
)


def _total(x: Any, widths: Any, strides: Any) -> Any:
    return _combined(x, widths, strides, add, sum_row)


def _combined(x: Any, widths: Any, strides: Any, combine: Any, reduction: Any) -> Any:
    """Small windows place by place, elementwise in the channels; large ones as a reduction."""
    axes = len(widths)
    ones = (1,) * axes
    if product(widths) > MOST_TAPS:
        every = windows(x, widths=widths, strides=strides, dilations=ones)
        return reduction(every, axes=tuple(range(1 + axes, 1 + 2 * axes)), keepdims=False)
    kind = kind_of(x)
    counts = window_counts(kind.shape[1:-1], widths, strides, ones)
    if any(isinstance(count, int) and count < 1 for count in counts):
        raise ShapeError(f"windows of {shown(widths)} are larger than the input {shown(kind.shape)} with its padding")
    total: Any = None
    for tap in taps(widths):
        part = tap_of(x, kind, tap, counts, strides, ones)
        total = part if total is None else combine(total, part)
    return total
