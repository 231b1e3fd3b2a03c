"""Windows: every part of a tensor that a convolution or a pooling looks at, as axes of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

from kgraph.errors import ShapeError
from kgraph.graph.index import Index, Operand, Read
from kgraph.graph.op import Op
from kgraph.graph.sizes import Dim, Shape, assume_at_least_zero, shown
from kgraph.graph.types import TensorType, type_of
from kgraph.ops.arithmetic import add
from kgraph.ops.move import pad, reshape, slice_
from kgraph.tracing.trace import Symbol, primitive


def kind_of(x: Any) -> TensorType:
    """The type of a symbol or an array."""
    kind = getattr(x, "type", None)
    return kind if isinstance(kind, TensorType) else type_of(x)


def window_counts(sizes: Shape, widths: Shape, strides: Shape, dilations: Shape) -> Shape:
    """How many windows there are along each axis."""
    each = zip(sizes, widths, strides, dilations, strict=True)
    return tuple((size - ((width - 1) * hole + 1)) // stride + 1 for size, width, stride, hole in each)


def _type(x: TensorType, widths: tuple[int, ...], strides: tuple[int, ...], dilations: tuple[int, ...]) -> TensorType:
    """(batch, *places, *widths, *rest) of (batch, *sizes, *rest)."""
    axes = len(widths)
    sizes = x.shape[1 : 1 + axes]
    for size, width, dilation in zip(sizes, widths, dilations, strict=True):
        try:
            assume_at_least_zero(size - ((width - 1) * dilation + 1))
        except ShapeError:
            reach = (width - 1) * dilation + 1
            raise ShapeError(f"windows of {reach} in {shown(x.shape)}: an axis has only {size} elements") from None
    counts = window_counts(sizes, widths, strides, dilations)
    return TensorType((x.shape[0], *counts, *widths, *x.shape[1 + axes :]), x.dtype)


def _numpy(x: np.ndarray, widths: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> np.ndarray:
    axes = tuple(range(1, 1 + len(widths)))
    reach = [(width - 1) * dilation + 1 for width, dilation in zip(widths, dilations, strict=True)]
    every = np.lib.stride_tricks.sliding_window_view(x, reach, axes)  # (batch, *places, *rest, *reach)
    key = (slice(None), *(slice(None, None, stride) for stride in strides))
    rest = x.ndim - 1 - len(widths)
    taken = every[(*key, *[slice(None)] * rest, *(slice(None, None, dilation) for dilation in dilations))]
    return np.moveaxis(taken, range(-len(widths), 0), range(1 + len(widths), 1 + 2 * len(widths)))


def _read(at: list[Index], x: Operand, widths: Any, strides: Any, dilations: Any) -> Read:
    count = len(widths)
    places, inside = at[1 : 1 + count], at[1 + count : 1 + 2 * count]
    each = zip(places, inside, strides, dilations, strict=True)
    return x[[at[0], *(place * stride + one * dilation for place, one, stride, dilation in each), *at[1 + 2 * count :]]]


def _vjp(g: Symbol, y: Symbol, x: Symbol, widths: Any, strides: Any, dilations: Any) -> tuple[Any, ...]:
    """Each place of a window hands its gradients back to where it was read."""
    total: Any = None
    for tap in taps(widths):
        part = taken_from(g, len(widths), tap)
        part = spread_out(part, x.type.shape, tap, strides, dilations)
        total = part if total is None else add(total, part)
    return (total,)


def taps(widths: Sequence[int]) -> list[tuple[int, ...]]:
    """The places inside a window, in order."""
    return list(product(*map(range, widths)))


def taken_from(g: Symbol, axes: int, tap: Sequence[int]) -> Symbol:
    """The element at one place of all windows."""
    shape = g.type.shape
    starts = (*(0,) * (1 + axes), *tap, *(0,) * (len(shape) - 1 - 2 * axes))
    sizes = (*shape[: 1 + axes], *(1,) * axes, *shape[1 + 2 * axes :])
    part = slice_(g, starts=starts, sizes=sizes, steps=(1,) * len(shape))
    return reshape(part, shape=(*shape[: 1 + axes], *shape[1 + 2 * axes :]))


def spread_out(part: Symbol, shape: Shape, tap: Sequence[int], strides: Any, dilations: Any) -> Symbol:
    """A value for each window, at the places of the whole that one place of the windows was read from.

    zeros elsewhere.
    """
    axes, rest = len(tap), len(shape) - 1 - len(tap)
    low = tuple(one * dilation for one, dilation in zip(tap, dilations, strict=True))
    high = tuple(
        size - before - ((count - 1) * stride + 1)
        for size, before, count, stride in zip(shape[1:], low, part.type.shape[1 : 1 + axes], strides, strict=False)
    )
    ends = ((0, *low, *(0,) * rest), (0, *high, *(0,) * rest))
    return pad(part, 0, low=ends[0], high=ends[1], interior=(0, *(stride - 1 for stride in strides), *(0,) * rest))


def tap_of(x: Any, kind: TensorType, tap: Sequence[int], counts: Sequence[Dim], strides: Any, dilations: Any) -> Any:
    """What all windows have at one place: a slice of the whole."""
    rest = kind.shape[1 + len(tap) :]
    starts = (0, *(one * dilation for one, dilation in zip(tap, dilations, strict=True)), *(0 for _ in rest))
    return slice_(x, starts=starts, sizes=(kind.shape[0], *counts, *rest), steps=(1, *strides, *(1 for _ in rest)))


def strides_of_windows(shape: Shape, widths: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> Shape:
    """How far apart neighbours along each axis of the windows lie in the tensor they look at."""
    steps: list[Dim] = []
    step: Dim = 1
    for size in reversed(shape):
        steps.insert(0, step)
        step = step * size
    axes = len(widths)
    own = steps[1 : 1 + axes]
    places = (one * stride for one, stride in zip(own, strides, strict=True))
    inside = (one * dilation for one, dilation in zip(own, dilations, strict=True))
    return (steps[0], *places, *inside, *steps[1 + axes :])


windows: Callable[..., Any] = primitive(Op(name="windows", kind="move", type=_type, numpy=_numpy, read=_read, vjp=_vjp))
