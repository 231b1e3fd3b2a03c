"""Layers that make sequences, images and volumes larger by whole factors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kgraph import ops
from kgraph.errors import ArgumentError, DTypeError, ShapeError
from kgraph.layers.layer import Layer
from kgraph.layers.reshaping import checked_format, checked_sizes
from kgraph.layers.spec import InputSpec


class UpSampling1D(Layer):
    """(batch, steps, features) with each step `size` times."""

    def __init__(self, size: int = 2, **options: Any) -> None:
        super().__init__(**options)
        if isinstance(size, bool) or not isinstance(size, int):
            raise DTypeError(f"UpSampling1D wants size as a whole number, not {size!r}")
        (self.size,) = checked_sizes(size, 1, "size")
        self.input_spec = InputSpec(ndim=3)

    def call(self, inputs: Any) -> Any:
        return ops.repeat(inputs, self.size, axis=1)


class UpSampling2D(Layer):
    """Images with size[0] rows for each row and size[1] columns for each column.

    interpolation: "nearest", "bilinear", or, where rows and columns are known, "bicubic", "lanczos3", "lanczos5".
    """

    def __init__(
        self, size: Any = (2, 2), data_format: str | None = None, interpolation: str = "nearest", **options: Any
    ) -> None:
        super().__init__(**options)
        self.size = checked_sizes(size, 2, "size")
        self.data_format = checked_format(data_format)
        self.interpolation = interpolation.lower()
        if self.interpolation not in ("nearest", "bilinear", *KERNELS):
            names = ", ".join(("nearest", "bilinear", *KERNELS))
            raise ArgumentError(f"UpSampling2D knows the interpolations {names}, not {interpolation!r}")
        self.input_spec = InputSpec(ndim=4)

    def call(self, inputs: Any) -> Any:
        first = 2 if self.data_format == "channels_first" else 1
        x = inputs
        for axis, factor in enumerate(self.size, first):
            if self.interpolation == "nearest":
                x = ops.repeat(x, factor, axis=axis)
            elif self.interpolation == "bilinear":
                x = between_neighbours(x, factor, axis)
            else:
                x = interpolated(x, factor, axis, self.interpolation)
        return x


class UpSampling3D(Layer):
    """Volumes with each slice, row and column repeated size[0], size[1] and size[2] times."""

    def __init__(self, size: Any = (2, 2, 2), data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.size = checked_sizes(size, 3, "size")
        self.data_format = checked_format(data_format)
        self.input_spec = InputSpec(ndim=5)

    def call(self, inputs: Any) -> Any:
        x = inputs
        for axis, factor in enumerate(self.size, 2 if self.data_format == "channels_first" else 1):
            x = ops.repeat(x, factor, axis=axis)
        return x


def between_neighbours(x: Any, factor: int, axis: int) -> Any:
    """x with `factor` elements for each along an axis, on straight lines between the middles of the old ones.

    Each of them lies at a fixed distance from the old one that it is in, so its neighbours and their weights are known.
    """
    if factor == 1:
        return x
    before = ops.concatenate([part(x, axis, 0, 1), part(x, axis, 0, -1)], axis=axis)
    after = ops.concatenate([part(x, axis, 1, None), part(x, axis, -1, None)], axis=axis)
    places = [(position + 0.5) / factor - 0.5 for position in range(factor)]
    fine = [
        ops.add(ops.multiply(x, 1 - abs(place)), ops.multiply(before if place < 0 else after, abs(place)))
        for place in places
    ]
    shape = x.type.shape
    return ops.reshape(ops.stack(fine, axis + 1), (*shape[:axis], shape[axis] * factor, *shape[axis + 1 :]))


def part(x: Any, axis: int, start: int, end: int | None) -> Any:
    """The elements from start to end along an axis."""
    return x[(*[slice(None)] * axis, slice(start, end))]


def interpolated(x: Any, factor: int, axis: int, kernel: str) -> Any:
    """x with `factor` elements for each along an axis: sums of the old ones, weighted by their distance."""
    size = x.shape[axis]
    if size is None:
        raise ShapeError(
            f"{kernel} interpolation needs the size of axis {axis} of {x.type}; it is known at the call only"
        )
    old = "abcd"
    new = old.replace(old[axis], "z")
    weights = interpolation_weights(size, factor, KERNELS[kernel]).astype(x.dtype)
    return ops.einsum(f"{old},z{old[axis]}->{new}", x, weights)


def interpolation_weights(size: int, factor: int, kernel: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """How much each new element (rows) takes of each old one; rows sum to 1, at the borders too."""
    places = (np.arange(size * factor) + 0.5) / factor - 0.5
    weights = kernel(np.abs(places[:, None] - np.arange(size)))
    return weights / weights.sum(1, keepdims=True)


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = -1/2 (1981)."""
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def lanczos(radius: int) -> Callable[[np.ndarray], np.ndarray]:
    """sinc(x) * sinc(x / radius) up to the radius (Duchon, 1979)."""
    return lambda x: np.where(x < radius, np.sinc(x) * np.sinc(x / radius), 0)


KERNELS = {"bicubic": cubic, "lanczos3": lanczos(3), "lanczos5": lanczos(5)}
