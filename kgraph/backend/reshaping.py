"""Functions by the names of Keras 2 that give elements another place or shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kgraph import ops
from kgraph.config import image_data_format
from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.sizes import Size, product, shown
from kgraph.ops.move import shape_of


def int_shape(x: Any) -> tuple[int | None, ...]:
    """The shape, with None where the size is known only at the call."""
    return tuple(None if isinstance(size, Size) else size for size in shape_of(x))


def reshape(x: Any, shape: Any) -> Any:
    """The same elements under another shape; one size may be -1."""
    return ops.reshape(x, shape)


def flatten(x: Any) -> Any:
    """All elements along one axis."""
    return ops.ravel(x)


def batch_flatten(x: Any) -> Any:
    """All axes but the first as one."""
    have = shape_of(x)
    return ops.reshape(x, (have[0], product(have[1:])))


def expand_dims(x: Any, axis: int = -1) -> Any:
    """x with an axis of size 1 put in."""
    return ops.expand_dims(x, axis)


def squeeze(x: Any, axis: int) -> Any:
    """x without this axis of size 1."""
    return ops.squeeze(x, axis)


def transpose(x: Any) -> Any:
    """x with its axes in reverse order."""
    return ops.transpose(x)


def permute_dimensions(x: Any, pattern: Sequence[int]) -> Any:
    """x with its axes in this order."""
    return ops.transpose(x, pattern)


def concatenate(tensors: Sequence[Any], axis: int = -1) -> Any:
    """Tensors one after the other along an axis."""
    return ops.concatenate(tensors, axis)


def tile(x: Any, n: int | Sequence[int]) -> Any:
    """x repeated as a whole, n times along each axis."""
    return ops.tile(x, n)


def repeat(x: Any, n: int) -> Any:
    """A matrix (batch, size) n times: (batch, n, size)."""
    if len(shape_of(x)) != 2:
        raise ShapeError(f"repeat takes a matrix, not shape {shown(shape_of(x))}")
    return ops.repeat(ops.expand_dims(x, 1), n, 1)


def repeat_elements(x: Any, rep: int, axis: int) -> Any:
    """Each element along an axis rep times in a row."""
    return ops.repeat(x, rep, axis)


def resize_volumes(x: Any, depth_factor: int, height_factor: int, width_factor: int, data_format: str) -> Any:
    """A volume with its elements repeated along depth, height and width."""
    first = 2 if is_first(data_format) else 1
    for axis, factor in enumerate((depth_factor, height_factor, width_factor), first):
        x = ops.repeat(x, factor, axis)
    return x


def reverse(x: Any, axes: int | Sequence[int]) -> Any:
    """x with the elements along these axes in reverse order."""
    return ops.flip(x, axes)


def gather(reference: Any, indices: Any) -> Any:
    """The rows of reference with these indices."""
    return ops.take(reference, indices, 0)


def temporal_padding(x: Any, padding: Sequence[int] = (1, 1)) -> Any:
    """Zeros before and after the middle axis of (batch, time, size)."""
    return ops.pad(x, ((0, 0), tuple(padding), (0, 0)))


def spatial_2d_padding(x: Any, padding: Any = ((1, 1), (1, 1)), data_format: str | None = None) -> Any:
    """Zeros around images."""
    return _padded(x, padding, data_format)


def spatial_3d_padding(x: Any, padding: Any = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None) -> Any:
    """Zeros around volumes."""
    return _padded(x, padding, data_format)


def _padded(x: Any, padding: Any, data_format: str | None) -> Any:
    inner = [tuple(pair) for pair in padding]
    if len(shape_of(x)) != len(inner) + 2:
        raise ShapeError(f"padding {padding} for shape {shown(shape_of(x))}: there must be batch and channels besides")
    none = (0, 0)
    return ops.pad(x, [none, none, *inner] if is_first(data_format) else [none, *inner, none])


def is_first(data_format: str | None) -> bool:
    name = data_format or image_data_format()
    if name not in ("channels_first", "channels_last"):
        raise ArgumentError(f"data_format must be channels_first or channels_last, not {name!r}")
    return name == "channels_first"
