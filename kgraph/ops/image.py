"""Functions of images (..., height, width, channels), or with channels first: resize, crop_images, rgb_to_grayscale."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.op import FUNCTIONS
from kgraph.graph.sizes import Size, shown
from kgraph.graph.types import is_float
from kgraph.ops.arithmetic import cast
from kgraph.ops.blocks import pair_of
from kgraph.ops.convolution import channels_first
from kgraph.ops.creating import dtype_of
from kgraph.ops.indexing import take
from kgraph.ops.missing import looked_up
from kgraph.ops.move import part, shape_of
from kgraph.ops.products import tensordot
from kgraph.ops.shapes import moveaxis
from kgraph.ops.tensors import floating, tensor

__all__ = ["crop_images", "extract_patches", "pad_images", "resize", "rgb_to_grayscale"]


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(0, 1 - np.abs(x))


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys, 1981, with a = -0.5."""
    x = np.abs(x)
    near, far = ((1.5 * x - 2.5) * x) * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x >= 2, 0, np.where(x >= 1, far, near))


def _lanczos(radius: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.where(np.abs(x) > radius, 0, np.sinc(x) * np.sinc(x / radius))


KERNELS = {"bilinear": _triangle, "bicubic": _cubic, "lanczos3": _lanczos(3), "lanczos5": _lanczos(5)}


def _spatial(images: Any, data_format: str | None) -> tuple[int, int]:
    """The axes of rows and columns."""
    rank = len(shape_of(images))
    if rank not in (3, 4):
        raise ShapeError(f"an image has three axes, or four with a batch, not the shape {shown(shape_of(images))}")
    return (rank - 2, rank - 1) if channels_first(data_format) else (rank - 3, rank - 2)


def resize(
    images: Any, size: Any, interpolation: str = "bilinear", antialias: bool = False,
    crop_to_aspect_ratio: bool = False, pad_to_aspect_ratio: bool = False, fill_mode: str = "constant",
    fill_value: float = 0.0, data_format: str | None = None,
) -> Any:  # fmt: skip
    """Images with size = (height, width); heights and widths must be known.

    interpolation: nearest, bilinear, bicubic, lanczos3 or lanczos5; antialias: blur first what shrinks. Integers are
    rounded. ArgumentError: another interpolation, or an aspect ratio to keep, which is not built; use `crop_images` or
    `pad_images` first. As `keras.ops.image.resize`.
    """
    if interpolation not in ("nearest", *KERNELS):
        raise ArgumentError(f"resize: interpolation is nearest or one of {', '.join(KERNELS)}, not {interpolation!r}")
    if crop_to_aspect_ratio or pad_to_aspect_ratio:
        kept = f"crop_to_aspect_ratio={crop_to_aspect_ratio} and pad_to_aspect_ratio={pad_to_aspect_ratio}"
        raise ArgumentError(f"resize: {kept} are not built; use crop_images or pad_images first")
    del fill_mode, fill_value
    images = tensor(images)
    dtype = dtype_of(images)
    for axis, goal in zip(_spatial(images, data_format), pair_of(size), strict=True):
        length = shape_of(images)[axis]
        if isinstance(length, Size):
            raise ShapeError(f"resize: axis {axis} has {length} places; heights and widths must be known")
        if length == goal:
            continue
        if interpolation == "nearest":
            places = np.floor((np.arange(goal) + 0.5) * length / goal).astype(np.int32)
            images = take(images, places, axis)
        else:
            weights = _weights(length, goal, KERNELS[interpolation], antialias)
            images = moveaxis(tensordot(floating(images), weights.astype(np.float32), ((axis,), (0,))), -1, axis)
    if is_float(dtype) or interpolation == "nearest":
        return cast(images, dtype)
    return FUNCTIONS["saturate_cast"](FUNCTIONS["round"](floating(images)), dtype)


def _weights(length: int, goal: int, kernel: Callable[[np.ndarray], np.ndarray], antialias: bool) -> np.ndarray:
    """How much each place counts in each new one: (length, goal)."""
    scale = length / goal
    places = (np.arange(goal) + 0.5) * scale - 0.5
    found = kernel((places[None] - np.arange(length)[:, None]) / (max(scale, 1.0) if antialias else 1.0))
    total = found.sum(0, keepdims=True)
    return np.where(np.abs(total) > 1e-4, found / np.where(total == 0, 1, total), 0)


def rgb_to_grayscale(images: Any, data_format: str | None = None) -> Any:
    """Red, green and blue as one channel of brightness. ShapeError: there are not three channels."""
    images = tensor(images)
    _spatial(images, data_format)
    axis = len(shape_of(images)) - 3 if channels_first(data_format) else len(shape_of(images)) - 1
    if shape_of(images)[axis] != 3:
        raise ShapeError(f"rgb_to_grayscale: axis {axis} of {shown(shape_of(images))} does not have three channels")
    weights = np.asarray([[0.2989], [0.587], [0.114]], np.float32)
    found = moveaxis(tensordot(floating(images), weights, ((axis,), (0,))), -1, axis)
    return cast(found, dtype_of(images))


def pad_images(
    images: Any, top_padding: int | None = None, left_padding: int | None = None, bottom_padding: int | None = None,
    right_padding: int | None = None, target_height: int | None = None, target_width: int | None = None,
    data_format: str | None = None,
) -> Any:  # fmt: skip
    """Images with zeros around them; of top, bottom and target_height two are given, and so for the width."""
    images = tensor(images)
    rows, columns = _spatial(images, data_format)
    widths = [(0, 0)] * len(shape_of(images))
    widths[rows] = _ends(shape_of(images)[rows], top_padding, bottom_padding, target_height, "padding", 1)
    widths[columns] = _ends(shape_of(images)[columns], left_padding, right_padding, target_width, "padding", 1)
    return FUNCTIONS["pad"](images, tuple(widths))


def crop_images(
    images: Any, top_cropping: int | None = None, left_cropping: int | None = None, bottom_cropping: int | None = None,
    right_cropping: int | None = None, target_height: int | None = None, target_width: int | None = None,
    data_format: str | None = None,
) -> Any:  # fmt: skip
    """Images without some of their edges; of top, bottom and target_height two are given, and so for the width."""
    images = tensor(images)
    rows, columns = _spatial(images, data_format)
    for axis, ends in ((rows, (top_cropping, bottom_cropping, target_height)),
                       (columns, (left_cropping, right_cropping, target_width))):  # fmt: skip
        length = shape_of(images)[axis]
        first, last = _ends(length, *ends, "cropping", -1)
        images = part(images, axis, first, length - first - last)
    return images


def _ends(length: Any, first: Any, last: Any, goal: Any, what: str, sign: int) -> tuple[int, int]:
    """What is added or left out at both ends of an axis."""
    if [first, last, goal].count(None) != 1:
        raise ArgumentError(f"of the {what} at both ends and the target size two are given, not {first, last, goal}")
    if goal is not None:
        total = sign * (goal - length)
        first, last = (total - last, last) if first is None else (first, total - first)
    if not all(isinstance(one, (int, np.integer)) and one >= 0 for one in (first, last)):
        raise ArgumentError(f"{what} must not be negative: {first} and {last} on an axis of {length}")
    return int(first), int(last)


def extract_patches(
    images: Any, size: Any, strides: Any = None, dilation_rate: Any = 1, padding: str = "valid",
    data_format: str | None = None,
) -> Any:  # fmt: skip
    """Patches of images, each as one vector: (..., rows, columns, height * width * channels), also where channels are
    first, when these stand before rows and columns.

    strides: how far patches are apart, by default their size; padding: "valid" or "same". ArgumentError for patches of
    volumes. ShapeError: heights and widths must be known where patches overlap or are padded. As
    `keras.ops.image.extract_patches`.
    """
    if isinstance(size, (list, tuple)) and len(size) == 3:
        raise ArgumentError("extract_patches: patches of volumes are not built, only those of images")
    images = tensor(images)
    rows, _ = _spatial(images, data_format)
    if channels_first(data_format):
        images = moveaxis(images, rows - 1, -1)
        rows -= 1
    kernel, dilation = pair_of(size), pair_of(dilation_rate)
    stride = kernel if strides is None else pair_of(strides)
    for place in (0, 1):  # the axis becomes two: which patch, and where in it
        images = _blocks(images, rows + 2 * place, kernel[place], stride[place], dilation[place], padding)
    images = moveaxis(images, rows + 1, rows + 2)
    *outer, height, width, depth = shape_of(images)
    images = FUNCTIONS["reshape"](images, (*outer, height * width * depth))
    return moveaxis(images, -1, rows) if channels_first(data_format) else images


def _blocks(x: Any, axis: int, width: int, step: int, dilation: int, padding: str) -> Any:
    """An axis as two: the blocks, and the places in each."""
    length = shape_of(x)[axis]
    if padding == "valid" and (width, 1) == (step, dilation):
        count = length // width
        shape = shape_of(x)
        return FUNCTIONS["reshape"](part(x, axis, 0, count * width), (*shape[:axis], count, width, *shape[axis + 1 :]))
    if isinstance(length, Size):
        raise ShapeError(f"extract_patches: axis {axis} has {length} places; heights and widths must be known")
    reach = dilation * (width - 1) + 1
    if padding == "same":
        count = -(-length // step)
        missing = max((count - 1) * step + reach - length, 0)
        ends = [(0, 0)] * len(shape_of(x))
        ends[axis] = (missing // 2, missing - missing // 2)
        x = FUNCTIONS["pad"](x, tuple(ends))
    else:
        count = (length - reach) // step + 1
    if count < 1:
        raise ShapeError(f"extract_patches: no patch that reaches over {reach} places fits into {length}")
    places = np.arange(count)[:, None] * step + np.arange(width) * dilation
    return take(x, places.astype(np.int32), axis)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """What keras.ops.image has too, and another module here defines."""
        return looked_up(__name__, name)
