"""Convolutions: one row for all of them, and Keras's functions on it.

A convolution is a product of windows and a kernel. Kernels of the CPU read the windows where they lie
(codegen/schedule/contraction.py), so they are never written to memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kgraph import config
from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.op import Op, common_float
from kgraph.graph.sizes import Dim, Shape, Size, maximum, product, shown
from kgraph.graph.types import TensorType
from kgraph.ops.arithmetic import add, multiply
from kgraph.ops.contract import einsum
from kgraph.ops.joining import stack
from kgraph.ops.move import flip, pad, reshape, shape_of, slice_, transpose
from kgraph.ops.reduce import sum_row
from kgraph.ops.tensors import narrowed, roomy
from kgraph.ops.windows import kind_of, tap_of, taps, window_counts, windows
from kgraph.tracing.trace import Symbol, function, primitive

NARROW = 24  # elements of a window next to each other, below which windows are better written to memory first
MOST_TAPS = 49  # places of a window that are worth an expression with a term for each
FEW_TAPS = 16  # the same where one channel becomes many: these terms are all that there is to sum

Sizes = tuple[int, ...]

LETTERS = "shwuvx"  # of places and of the inside of windows


def kernel_shape_of(w: Any) -> Sizes:
    """The shape of a kernel, whose sizes are known."""
    shape = shape_of(w)
    if any(isinstance(size, Size) for size in shape):
        raise ShapeError(f"the sizes of a kernel must be known, and this one is {shown(shape)}")
    return tuple(int(size) for size in shape)


def conv_type(
    x: TensorType, w: TensorType, strides: Shape, low: Shape, high: Shape, spread: Shape, dilations: Shape, groups: int
) -> TensorType:
    """(batch, *places, filters)."""
    axes = w.rank - 2
    if x.rank != axes + 2:
        raise ShapeError(
            f"a kernel of shape {shown(w.shape)} wants an input with {axes + 2} axes, not {shown(x.shape)}"
        )
    if x.shape[-1] != w.shape[-2] * groups:
        raise ShapeError(
            f"a kernel of shape {shown(w.shape)} in {groups} group(s) wants {w.shape[-2] * groups} channels, "
            f"and the input {shown(x.shape)} has {x.shape[-1]}"
        )
    if isinstance(w.shape[-1], int) and w.shape[-1] % groups:
        raise ShapeError(f"{w.shape[-1]} filters cannot be split into {groups} groups")
    sizes = padded_sizes(x.shape[1:-1], low, high, spread)
    for size, width, dilation in zip(sizes, w.shape, dilations, strict=False):
        if isinstance(size, int) and size < (width - 1) * dilation + 1:
            raise ShapeError(
                f"a kernel of shape {shown(w.shape)} with dilations {shown(dilations)} is larger than the input "
                f"{shown(x.shape)} with its padding"
            )
    counts = window_counts(tuple(sizes), w.shape[:-2], strides, dilations)
    return TensorType((x.shape[0], *counts, w.shape[-1]), x.dtype)


def padded_sizes(sizes: Sequence[Dim], low: Shape, high: Shape, spread: Shape) -> list[Dim]:
    """The sizes with gaps between elements and padding around them."""
    each = zip(sizes, low, high, spread, strict=True)
    return [(size - 1) * gap + 1 + before + after for size, before, after, gap in each]


def padded(x: Any, low: Shape, high: Shape, spread: Shape, value: Any = 0) -> Any:
    """x with `value` around it and between its elements; where padding is negative, without its ends."""
    cut = [tuple(-one if isinstance(one, int) and one < 0 else 0 for one in ends) for ends in (low, high)]
    low, high = (tuple(0 if isinstance(one, int) and one < 0 else one for one in ends) for ends in (low, high))
    if any(gap != 1 for gap in spread):
        x = pad(
            x,
            value,
            low=(0, *(0,) * len(low), 0),
            high=(0, *(0,) * len(low), 0),
            interior=(0, *(gap - 1 for gap in spread), 0),
        )
    if any(cut[0]) or any(cut[1]):
        shape = shape_of(x)
        sizes = [size - before - after for size, before, after in zip(shape[1:-1], *cut, strict=True)]
        x = slice_(x, starts=(0, *cut[0], 0), sizes=(shape[0], *sizes, shape[-1]), steps=(1,) * len(shape))
    if all(one == 0 for one in (*low, *high)):
        return x
    return pad(x, value, low=(0, *low, 0), high=(0, *high, 0), interior=(0,) * (len(low) + 2))


def opened(
    x: Any, w: Any, strides: Shape, low: Shape, high: Shape, spread: Shape, dilations: Shape, groups: int
) -> Any:
    """The convolution as windows and a product."""
    shape = kernel_shape_of(w)
    widths, depth, filters = shape[:-2], shape[-2], shape[-1]
    x = padded(x, low, high, spread)
    kind = kind_of(x)
    counts = window_counts(kind.shape[1:-1], widths, strides, dilations)
    if depth == 1 and len(taps(widths)) <= (MOST_TAPS if groups > 1 else FEW_TAPS):
        return narrowed(_by_taps(roomy(x), roomy(w), kind, counts, strides, dilations, groups), x)
    if all(width == 1 for width in widths):
        x = slice_(
            x, starts=(0,) * len(kind.shape), sizes=(kind.shape[0], *counts, kind.shape[-1]), steps=(1, *strides, 1)
        )
        places, inside = LETTERS[: len(widths)], ""
        w = reshape(w, shape=(depth, filters))
    else:
        x = windows(x, widths=widths, strides=strides, dilations=dilations)
        places, inside = LETTERS[: len(widths)], LETTERS[3 : 3 + len(widths)]
    if groups == 1:
        if inside and _is_narrow(widths, depth, dilations):
            size = product((*widths, depth))
            x = reshape(x, shape=(kind.shape[0], *counts, size))
            return einsum(x, reshape(w, shape=(size, filters)), spec=f"n{places}c,co->n{places}o")
        return einsum(x, w, spec=f"n{places}{inside}c,{inside}co->n{places}o")
    x = reshape(x, shape=(*shape_of(x)[:-1], groups, depth))
    w = reshape(w, shape=(*shape_of(w)[:-1], groups, filters // groups))
    made = einsum(x, w, spec=f"n{places}{inside}gc,{inside}cgo->n{places}go")
    return reshape(made, shape=(kind.shape[0], *counts, filters))


def _is_narrow(widths: Sequence[int], depth: Dim, dilations: Shape) -> bool:
    beside = depth * widths[-1] if dilations[-1] == 1 else depth
    return isinstance(beside, int) and beside < NARROW


def _by_taps(x: Any, w: Any, kind: TensorType, counts: Shape, strides: Shape, dilations: Shape, groups: int) -> Any:
    """Each channel by itself: a sum over the places of a window, elementwise in the filters."""
    widths, filters = kernel_shape_of(w)[:-2], kernel_shape_of(w)[-1]
    each = filters // groups
    total: Any = None
    for tap in taps(widths):
        part = tap_of(x, kind, tap, counts, strides, dilations)
        sizes = (*(1 for _ in tap), 1, filters)
        own = slice_(w, starts=(*tap, 0, 0), sizes=sizes, steps=(1,) * len(sizes))
        if 1 in (each, groups):
            own = reshape(own, shape=(filters,))
        else:
            part, own = reshape(part, shape=(*shape_of(part), 1)), reshape(own, shape=(groups, each))
        part = multiply(part, own)
        total = part if total is None else add(total, part)
    return total if 1 in (each, groups) else reshape(total, shape=(kind.shape[0], *counts, filters))


def _numpy(x: np.ndarray, w: np.ndarray, **attrs: Any) -> np.ndarray:
    return np.asarray(opened(x, w, **attrs))


def _vjp(
    g: Symbol, y: Symbol, x: Symbol, w: Symbol, strides: Shape, low: Shape, high: Shape, spread: Shape,
    dilations: Shape, groups: int,
) -> tuple[Any, ...]:  # fmt: skip
    dx = _of_input(g, x.type.shape, w, strides, low, spread, dilations, groups)
    return dx, _of_kernel(g, x, kernel_shape_of(w), strides, low, high, spread, dilations, groups)


def _of_input(
    g: Any, shape: Shape, w: Any, strides: Shape, low: Shape, spread: Shape, dilations: Shape, groups: int
) -> Any:
    """The gradient of the input: a convolution of g, spread by the strides, with the kernel turned around."""
    widths = shape_of(w)[:-2]
    reach = [(width - 1) * dilation for width, dilation in zip(widths, dilations, strict=True)]
    before = tuple(one - start for one, start in zip(reach, low, strict=True))
    wide = [(size - 1) * gap + 1 for size, gap in zip(shape[1:-1], spread, strict=True)]
    made = [(size - 1) * stride + 1 for size, stride in zip(shape_of(g)[1:-1], strides, strict=True)]
    after = tuple(a + b - c - d for a, b, c, d in zip(wide, reach, made, before, strict=True))
    attrs = {"strides": spread, "low": before, "high": after, "spread": strides, "dilations": dilations}
    return conv_row(g, turned(w, groups), **attrs, groups=groups)


def turned(w: Any, groups: int) -> Any:
    """The kernel of the gradient: flipped, and filters in the place of channels."""
    *widths, depth, filters = shape_of(w)
    axes = len(widths)
    w = flip(w, axes=tuple(range(axes))) if any(width != 1 for width in widths) else w
    if groups == 1:
        return transpose(w, axes=(*range(axes), axes + 1, axes))
    w = reshape(w, shape=(*widths, depth, groups, filters // groups))
    w = transpose(w, axes=(*range(axes), axes + 2, axes + 1, axes))
    return reshape(w, shape=(*widths, filters // groups, groups * depth))


def _of_kernel(
    g: Any, x: Any, shape: Sizes, strides: Shape, low: Shape, high: Shape, spread: Shape, dilations: Shape, groups: int
) -> Any:
    """The gradient of the kernel: the product of windows and g, summed over the batch and the places."""
    widths, (depth, filters) = shape[:-2], shape[-2:]
    x = padded(x, low, high, spread)
    kind, counts = kind_of(x), shape_of(g)[1:-1]
    if depth == 1 and groups > 1 and filters == groups:
        axes = tuple(range(len(counts) + 1))
        wide, grown = roomy(x), roomy(g)
        parts = [multiply(tap_of(wide, kind, tap, counts, strides, dilations), grown) for tap in taps(widths)]
        sums = [sum_row(part, axes=axes, keepdims=False) for part in parts]
        return narrowed(reshape(stack(sums, axis=0), shape=shape), x)
    places, inside = LETTERS[: len(widths)], LETTERS[3 : 3 + len(widths)]
    x = windows(x, widths=widths, strides=strides, dilations=dilations)
    if groups == 1:
        return einsum(x, g, spec=f"n{places}{inside}c,n{places}o->{inside}co")
    x = reshape(x, shape=(*shape_of(x)[:-1], groups, depth))
    g = reshape(g, shape=(*shape_of(g)[:-1], groups, filters // groups))
    return reshape(einsum(x, g, spec=f"n{places}{inside}gc,n{places}go->{inside}cgo"), shape=shape)


conv_row: Callable[..., Any] = primitive(
    Op(
        name="convolution",
        kind="compose",
        type=conv_type,
        numpy=_numpy,
        vjp=_vjp,
        opened=opened,
        casts=common_float,
    )
)


def several(value: Any, axes: int, what: str, least: int = 1) -> tuple[int, ...]:
    """A whole number for each axis, from one number or from as many as there are axes."""
    found = (value,) * axes if isinstance(value, (int, np.integer)) else tuple(value)
    if len(found) != axes or any(not isinstance(one, (int, np.integer)) or one < least for one in found):
        raise ArgumentError(f"{what} is a whole number from {least} on, or {axes} of them, not {value!r}")
    return tuple(int(one) for one in found)


def paddings(
    padding: str, sizes: Sequence[Dim], widths: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[Shape, Shape]:
    """What "valid", "same" or "causal" put before and after each axis."""
    kind = padding.lower() if isinstance(padding, str) else padding
    if kind == "valid":
        return (0,) * len(widths), (0,) * len(widths)
    if kind not in ("same", "causal"):
        raise ArgumentError(f'padding is "valid", "same" or "causal", not {padding!r}')
    low: list[Dim] = []
    high: list[Dim] = []
    for size, width, stride, dilation in zip(sizes, widths, strides, dilations, strict=True):
        reach = (width - 1) * dilation
        if kind == "causal":
            low.append(reach)
            high.append(0)
            continue
        total: Dim = (
            reach if stride == 1 else maximum(((size + (stride - 1)) // stride - 1) * stride + reach + 1 - size, 0)
        )
        low.append(total // 2)
        high.append(total - total // 2)
    return tuple(low), tuple(high)


def channels_first(data_format: str | None) -> bool:
    """Whether channels come right after the batch; None asks `config.image_data_format`."""
    found = config.image_data_format() if data_format is None else data_format
    if found not in ("channels_last", "channels_first"):
        raise ArgumentError(f'data_format is "channels_last" or "channels_first", not {data_format!r}')
    return found == "channels_first"


def channels_last(x: Any, first: bool) -> Any:
    """A tensor with its channels as last axis."""
    rank = len(shape_of(x))
    return transpose(x, axes=(0, *range(2, rank), 1)) if first else x


def as_before(x: Any, first: bool) -> Any:
    """A tensor with its channels where they were before `channels_last`."""
    rank = len(shape_of(x))
    return transpose(x, axes=(0, rank - 1, *range(1, rank - 1))) if first else x


@function
def conv(
    inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid", data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:  # fmt: skip
    """The convolution (as in Keras: the kernel is not turned around) of inputs, (batch, *sizes, channels).

    kernel is (*widths, channels / groups, filters); groups follow from its shape. padding is "valid", "same" or
    "causal" (all of it before). With data_format="channels_first" inputs and result are (batch, channels, *sizes). As
    `keras.ops.conv`.
    """
    first = channels_first(data_format)
    x = channels_last(inputs, first)
    shape, kernel_shape = shape_of(x), kernel_shape_of(kernel)
    axes = len(kernel_shape) - 2
    steps, holes = several(strides, axes, "strides"), several(dilation_rate, axes, "dilation_rate")
    groups = _groups(shape, kernel_shape)
    low, high = paddings(padding, shape[1:-1], kernel_shape[:-2], steps, holes)
    made = conv_row(x, kernel, strides=steps, low=low, high=high, spread=(1,) * axes, dilations=holes, groups=groups)
    return as_before(made, first)


def _groups(shape: Shape, kernel: Shape) -> int:
    channels, depth = shape[-1], kernel[-2]
    if isinstance(channels, Size) or isinstance(depth, Size) or channels % depth:
        raise ShapeError(
            f"{channels} channels are no multiple of the {depth} that a kernel of shape {shown(kernel)} takes"
        )
    return max(1, channels // depth)


@function
def depthwise_conv(
    inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid", data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Any:  # fmt: skip
    """Each channel by itself, with `multiplier` filters: kernel is (*widths, channels, multiplier). As in Keras."""
    *widths, channels, multiplier = shape_of(kernel)
    kernel = reshape(kernel, shape=(*widths, 1, channels * multiplier))
    return conv(inputs, kernel, strides, padding, data_format, dilation_rate)


@function
def separable_conv(
    inputs: Any, depthwise_kernel: Any, pointwise_kernel: Any, strides: Any = 1, padding: str = "valid",
    data_format: str | None = None, dilation_rate: Any = 1,
) -> Any:  # fmt: skip
    """`depthwise_conv`, and a convolution of width 1 that mixes the channels. As `keras.ops.separable_conv`."""
    hidden = depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    return conv(hidden, pointwise_kernel, 1, "valid", data_format, 1)


@function
def conv_transpose(
    inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid", output_padding: Any = None,
    data_format: str | None = None, dilation_rate: Any = 1,
) -> Any:  # fmt: skip
    """The gradient of a convolution with regard to its input: kernel is (*widths, filters, channels). As in Keras."""
    first = channels_first(data_format)
    x = channels_last(inputs, first)
    axes = len(shape_of(kernel)) - 2
    steps, holes = several(strides, axes, "strides"), several(dilation_rate, axes, "dilation_rate")
    more = (None,) * axes if output_padding is None else several(output_padding, axes, "output_padding", 0)
    shape = kernel_shape_of(kernel)
    low, high = [], []
    for width, stride, dilation, extra in zip(shape[:-2], steps, holes, more, strict=True):
        before, after = _transposed_padding(padding, width, stride, dilation, extra)
        low.append(before)
        high.append(after)
    attrs = {"strides": (1,) * axes, "low": tuple(low), "high": tuple(high), "spread": steps, "dilations": holes}
    return as_before(conv_row(x, turned(kernel, 1), **attrs, groups=1), first)


def _transposed_padding(padding: str, width: int, stride: int, dilation: int, extra: int | None) -> tuple[int, int]:
    """What is put before and after the input, whose elements are `stride` apart; extra is the output padding.

    As in Keras, "valid" gives (n - 1) * stride + max(reach, stride) places, where a kernel reaches over `reach` of
    them, and "same" n * stride, or with extra (n - 1) * stride + reach % 2 + extra.
    """
    reach = (width - 1) * dilation + 1
    if padding == "valid":
        return reach - 1, (max(reach, stride) - 1 if extra is None else reach - 1 + extra)
    if padding != "same":
        raise ArgumentError(f'padding of a transposed convolution is "valid" or "same", not {padding!r}')
    total = stride + reach - 2 if extra is None else reach + reach % 2 - 2 + extra
    before = min(total - total // 2, reach - 1)
    return before, total - before
