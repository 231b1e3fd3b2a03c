"""Functions that cut tensors into blocks and put them together: unfold, depth_to_space, rearrange, adaptive pooling."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product as combinations
from typing import Any

import numpy as np

from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.op import FUNCTIONS
from kgraph.graph.sizes import Dim, Size, divide, product, shown
from kgraph.ops import move, statistics
from kgraph.ops.arithmetic import add
from kgraph.ops.convolution import channels_first
from kgraph.ops.creating import dtype_of
from kgraph.ops.indexing import take
from kgraph.ops.joining import concatenate, stack
from kgraph.ops.move import part, shape_of
from kgraph.ops.products import tensordot
from kgraph.ops.shapes import moveaxis, reshape, transpose
from kgraph.ops.tensors import composed, floating, tensor

GROUP = re.compile(r"\(([^()]*)\)|(\S+)")


@composed
def depth_to_space(x: Any, block_size: int, data_format: str | None = "channels_last") -> Any:
    """(n, h, w, c) to (n, h * b, w * b, c / b**2): channels become blocks of b times b places.

    ShapeError: c is no multiple of b**2. As `keras.ops.depth_to_space`.
    """
    x, size = tensor(x), int(block_size)
    first = channels_first(data_format)
    count, high, wide, depth = _image(x, first, "depth_to_space")
    left = _quotient(depth, size * size, "channels")
    if first:
        x = transpose(reshape(x, (count, left, size, size, high, wide)), (0, 1, 4, 2, 5, 3))
        return reshape(x, (count, left, high * size, wide * size))
    x = transpose(reshape(x, (count, high, wide, size, size, left)), (0, 1, 3, 2, 4, 5))
    return reshape(x, (count, high * size, wide * size, left))


@composed
def space_to_depth(x: Any, block_size: int, data_format: str | None = "channels_last") -> Any:
    """(n, h, w, c) to (n, h / b, w / b, c * b**2): the inverse of `depth_to_space`."""
    x, size = tensor(x), int(block_size)
    first = channels_first(data_format)
    count, high, wide, depth = _image(x, first, "space_to_depth")
    high, wide = _quotient(high, size, "rows"), _quotient(wide, size, "columns")
    if first:
        x = transpose(reshape(x, (count, depth, high, size, wide, size)), (0, 1, 3, 5, 2, 4))
        return reshape(x, (count, depth * size * size, high, wide))
    x = transpose(reshape(x, (count, high, size, wide, size, depth)), (0, 1, 3, 2, 4, 5))
    return reshape(x, (count, high, wide, depth * size * size))


def _image(x: Any, first: bool, name: str) -> tuple[Dim, Dim, Dim, Dim]:
    """Batch, rows, columns, channels."""
    if len(shape_of(x)) != 4:
        raise ShapeError(f"{name} of four axes, not of shape {shown(shape_of(x))}")
    a, b, c, d = shape_of(x)
    return (a, c, d, b) if first else (a, b, c, d)


def _quotient(size: Dim, by: int, what: str) -> Dim:
    found = divide(size, by)
    if found is None:
        raise ShapeError(f"{size} {what} are not divisible by {by}")
    return found


# sliding blocks ------------------------------------------------------------------------------------------------------


@composed
def extract_sequences(x: Any, sequence_length: int, sequence_stride: int) -> Any:
    """The stretches of a known last axis, `sequence_stride` apart: (..., n) to (..., count, sequence_length)."""
    x = tensor(x)
    length, width, step = shape_of(x)[-1], int(sequence_length), int(sequence_stride)
    if isinstance(length, Size) or length < width or step < 1:
        raise ShapeError(f"extract_sequences: no {width} elements, {step} apart, in an axis of {length}")
    starts = np.arange(0, length - width + 1, step, dtype=np.int32)
    return take(x, starts[:, None] + np.arange(width, dtype=np.int32), -1)


def pair_of(value: Any) -> tuple[int, int]:
    found = (value, value) if isinstance(value, (int, np.integer)) else tuple(value)
    return int(found[0]), int(found[1])


def _counts(sizes: Sequence[Dim], kernel: Any, dilation: Any, padding: Any, stride: Any) -> list[Dim]:
    each = zip(sizes, kernel, dilation, padding, stride, strict=True)
    return [(size + (2 * p - d * (k - 1) - 1)) // s + 1 for size, k, d, p, s in each]


@composed
def unfold(x: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """The blocks that a kernel covers of (n, c, h, w): (n, c * kernel elements, blocks). As `keras.ops.unfold`."""
    x = tensor(x)
    count, depth, *sizes = shape_of(x)
    kernel, dilation, padding, stride = map(pair_of, (kernel_size, dilation, padding, stride))
    numbers = _counts(sizes, kernel, dilation, padding, stride)
    x = FUNCTIONS["pad"](x, ((0, 0), (0, 0), *((one, one) for one in padding)))
    taps = []
    for tap in combinations(*map(range, kernel)):
        one = x
        for axis in (0, 1):
            one = part(one, axis + 2, tap[axis] * dilation[axis], numbers[axis], stride[axis])
        taps.append(reshape(one, (count, depth, product(numbers))))
    return reshape(stack(taps, 2), (count, depth * len(taps), product(numbers)))


@composed
def fold(
    x: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:  # fmt: skip
    """Blocks (n, c * kernel elements, blocks) added up where `unfold` takes them from: (n, c, *output_size)."""
    x = tensor(x)
    sizes, kernel, dilation, padding, stride = map(pair_of, (output_size, kernel_size, dilation, padding, stride))
    numbers = _counts(sizes, kernel, dilation, padding, stride)
    count, depth, blocks = shape_of(x)
    taps = list(combinations(*map(range, kernel)))
    if blocks != product(numbers):
        raise ShapeError(f"fold: {shown(tuple(numbers))} blocks make an output of {sizes}, and x has {blocks}")
    depth = _quotient(depth, len(taps), "rows of blocks")
    x = reshape(x, (count, depth, len(taps), *numbers))
    whole = [size + 2 * p for size, p in zip(sizes, padding, strict=True)]
    total: Any = None
    for number, tap in enumerate(taps):
        one = reshape(part(x, 2, number, 1), (count, depth, *numbers))
        low = [t * d for t, d in zip(tap, dilation, strict=True)]
        used = [a + (n - 1) * s + 1 for a, n, s in zip(low, numbers, stride, strict=True)]
        high = [w - u for w, u in zip(whole, used, strict=True)]
        interior = (0, 0, *(s - 1 for s in stride))
        one = move.pad(one, 0, low=(0, 0, *low), high=(0, 0, *high), interior=interior)
        total = one if total is None else add(total, one)
    for axis in (0, 1):
        total = part(total, axis + 2, padding[axis], sizes[axis])
    return total


# pooling to a given size ---------------------------------------------------------------------------------------------


@composed
def adaptive_average_pool(inputs: Any, output_size: Any, data_format: str | None = None) -> Any:
    """The means of as many blocks along each spatial axis as output_size says; the blocks may differ by one place.

    Spatial sizes must be known. As `keras.ops.adaptive_average_pool`.
    """
    return _adaptive(floating(inputs), output_size, data_format, _mean_of_blocks)


@composed
def adaptive_max_pool(inputs: Any, output_size: Any, data_format: str | None = None) -> Any:
    """The largest elements of such blocks; see `adaptive_average_pool`."""
    return _adaptive(tensor(inputs), output_size, data_format, _max_of_blocks)


def _adaptive(x: Any, output_size: Any, data_format: str | None, along: Any) -> Any:
    axes = len(shape_of(x)) - 2
    sizes = (output_size,) * axes if isinstance(output_size, (int, np.integer)) else tuple(output_size)
    if axes < 1 or len(sizes) != axes:
        raise ShapeError(f"adaptive pooling of {shown(shape_of(x))} to {sizes}: not one size for each spatial axis")
    start = 2 if channels_first(data_format) else 1
    for number, size in enumerate(sizes):
        length = shape_of(x)[start + number]
        if isinstance(length, Size):
            raise ShapeError(f"adaptive pooling wants spatial sizes that are known, not {length}")
        blocks = [(k * length // size, -(-(k + 1) * length // size)) for k in range(int(size))]
        x = along(x, start + number, length, blocks)
    return x


def _mean_of_blocks(x: Any, axis: int, length: int, blocks: list[tuple[int, int]]) -> Any:
    weights = np.zeros((len(blocks), length), np.float64)
    for number, (first, last) in enumerate(blocks):
        weights[number, first:last] = 1.0 / (last - first)
    weights = weights.astype(dtype_of(x)) if dtype_of(x) != "bfloat16" else weights.astype(np.float32)
    return moveaxis(tensordot(x, weights, ((axis,), (1,))), -1, axis)


def _max_of_blocks(x: Any, axis: int, length: int, blocks: list[tuple[int, int]]) -> Any:
    parts = (part(x, axis, first, last - first) for first, last in blocks)
    return concatenate([statistics.max(one, axis, keepdims=True) for one in parts], axis)


# names of axes -------------------------------------------------------------------------------------------------------


@composed
def rearrange(tensor: Any, pattern: str, **axes_lengths: int) -> Any:
    """Axes split, exchanged and joined as a pattern says: "b (h w) c -> b c h w" with h=3. As `keras.ops.rearrange`.

    ArgumentError: a pattern whose two sides do not name the same axes, or which leaves two lengths of a group open.
    """
    left, arrow, right = pattern.partition("->")
    groups, wanted = _groups(left), _groups(right)
    names, order = [n for group in groups for n in group], [n for group in wanted for n in group]
    if not arrow or sorted(names) != sorted(order) or len(set(names)) != len(names) or "..." in names:
        raise ArgumentError(f"rearrange: both sides of {pattern!r} must name the same axes, each once")
    have = shape_of(tensor)
    if len(groups) != len(have):
        raise ShapeError(f"rearrange: {left.strip()!r} names {len(groups)} axes, and the shape is {shown(have)}")
    sizes: dict[str, Dim] = dict(axes_lengths)
    for group, size in zip(groups, have, strict=True):
        open_ones = [name for name in group if name not in sizes]
        if len(open_ones) > 1:
            raise ArgumentError(f"rearrange: the lengths of {', '.join(open_ones)} in {pattern!r} are not known")
        if open_ones:
            known = [axes_lengths[name] for name in group if name in axes_lengths]
            sizes[open_ones[0]] = _quotient(size, int(np.prod(known)), "places")
    x = reshape(tensor, [sizes[name] for name in names])
    x = transpose(x, [names.index(name) for name in order])
    return reshape(x, [product(sizes[name] for name in group) for group in wanted])


def _groups(side: str) -> list[list[str]]:
    """The axes of one side of a pattern: names, and groups of them in parentheses."""
    return [inner.split() if single == "" else [single] for inner, single in GROUP.findall(side)]
