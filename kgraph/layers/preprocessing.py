"""Layers that bring raw numbers into a range that models learn from."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from kgraph import config, ops
from kgraph.errors import ArgumentError, DTypeError, ShapeError
from kgraph.layers.layer import Layer
from kgraph.layers.normalization import within


class Rescaling(Layer):
    """inputs * scale + offset; integers become floats. scale and offset: numbers, or arrays that broadcast."""

    def __init__(self, scale: Any, offset: Any = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.scale, self.offset = scale, offset
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        scale, offset = (np.asarray(one, "float64") for one in (self.scale, self.offset))
        if scale.ndim and config.image_data_format() == "channels_first":
            scale = scale.reshape(scale.shape + (1,) * (3 - scale.ndim))
        x = ops.cast(inputs, self.compute_dtype)
        return ops.add(ops.multiply(x, ops.cast(scale, x.dtype)), ops.cast(offset, x.dtype))


class Normalization(Layer):
    """(inputs - mean) / sqrt(variance), for each index of `axis` (several, or None for one mean of everything).

    mean and variance are given, or found by `adapt(data)`; before that they are 0 and 1. With invert, the layer undoes
    this: inputs * sqrt(variance) + mean.
    """

    def __init__(
        self, axis: Any = -1, mean: Any = None, variance: Any = None, invert: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        self.axis = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        if (mean is None) != (variance is None):
            raise ArgumentError(
                f"Normalization wants both mean and variance, or neither, not {mean!r} and {variance!r}"
            )
        if np.shape(mean) != np.shape(variance) or len(np.shape(mean)) > len(self.axis):
            raise ShapeError(
                f"mean {np.shape(mean)} and variance {np.shape(variance)} must have one shape, of at most "
                f"{len(self.axis)} axes"
            )
        self.input_mean, self.input_variance, self.invert = mean, variance, invert
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        kept = within(self.axis, input_shape, self.name)
        if any(input_shape[axis] is None for axis in kept):
            raise ShapeError(f"layer {self.name!r} needs the sizes of the axes {self.axis} of {tuple(input_shape)}")
        self._kept, self._shape = kept, tuple(input_shape)
        shape = tuple(input_shape[axis] for axis in kept)
        if self.input_mean is None:
            self.adapt_mean = self.add_weight(shape, "zeros", name="mean", trainable=False)
            self.adapt_variance = self.add_weight(shape, "ones", name="variance", trainable=False)
            self.count = self.add_weight((), "zeros", "int32", name="count", trainable=False)

    def _statistic(self, given: Any, adapted: str) -> Any:
        """A mean or variance, with size 1 along the axes it is taken over."""
        shape = [size if axis in self._kept else 1 for axis, size in enumerate(self._shape)]
        if given is None:
            return ops.cast(ops.reshape(getattr(self, adapted), shape), self.compute_dtype)
        value = np.asarray(given, "float64")
        line = [1] * len(shape)
        for axis, size in zip(reversed(self._kept), reversed(value.shape), strict=False):
            line[axis] = size
        return ops.cast(np.broadcast_to(value.reshape(line), shape), self.compute_dtype)

    @property
    def mean(self) -> Any:
        """The mean, of the rank of the inputs; None before the layer is built."""
        return self._statistic(self.input_mean, "adapt_mean") if self.built else None

    @property
    def variance(self) -> Any:
        """The variance, of the rank of the inputs; None before the layer is built."""
        return self._statistic(self.input_variance, "adapt_variance") if self.built else None

    def call(self, inputs: Any) -> Any:
        x = ops.cast(inputs, self.compute_dtype)
        mean = self._statistic(self.input_mean, "adapt_mean")
        variance = self._statistic(self.input_variance, "adapt_variance")
        deviation = ops.maximum(ops.sqrt(variance), config.epsilon())
        if self.invert:
            return ops.add(mean, ops.multiply(x, deviation))
        return ops.divide(ops.subtract(x, mean), deviation)

    def adapt(self, data: Any) -> None:
        """Take mean and variance from an array, or from an iterable of batches; tuples begin with the data."""
        if self.input_mean is not None:
            raise ArgumentError(f"layer {self.name!r} was given its mean and variance, so there is nothing to adapt")
        found: tuple[int, Any, Any] = (0, 0.0, 0.0)
        for batch in batches(data):
            if not self.built:
                self.build(batch.shape)
            if [batch.shape[axis] for axis in self._kept] != [self._shape[axis] for axis in self._kept]:
                raise ShapeError(f"layer {self.name!r} was built for {self._shape}; it cannot adapt to {batch.shape}")
            found = pooled(found, batch.astype("float64"), self._kept)
        if not found[0]:
            raise ArgumentError(f"layer {self.name!r} cannot adapt to no data")
        self.adapt_mean.assign(found[1])
        self.adapt_variance.assign(found[2])

    def finalize_state(self) -> None:
        """Nothing: the weights are read at each call. Keras's layer needs it after a change of them."""

    def get_config(self) -> dict[str, Any]:
        given = {"mean": np.array(self.input_mean).tolist(), "variance": np.array(self.input_variance).tolist()}
        return {**super().get_config(), **given}


def batches(data: Any) -> Iterable[np.ndarray]:
    """The batches of a data set: an array is one, an iterable has several."""
    if hasattr(data, "shape"):
        yield np.asarray(data)
        return
    if not isinstance(data, Iterable):
        raise DTypeError(f"adapt takes an array or an iterable of arrays, not a {type(data).__name__}")
    for batch in data:
        first = batch[0] if isinstance(batch, tuple) else batch
        if not hasattr(first, "shape"):
            raise DTypeError(f"adapt takes arrays, and {first!r:.60} is a {type(first).__name__}")
        yield np.asarray(first)


def pooled(before: tuple[int, Any, Any], batch: np.ndarray, kept: tuple[int, ...]) -> tuple[int, Any, Any]:
    """Count, mean and variance of what was seen before and of a batch together (Chan et al., 1979)."""
    axes = tuple(axis for axis in range(batch.ndim) if axis not in kept)
    count = math.prod(batch.shape[axis] for axis in axes)
    total = before[0] + count
    if not count:
        return before
    share = count / total
    mean, variance = batch.mean(axes), batch.var(axes)
    middle = before[1] * (1 - share) + mean * share
    spread = (before[2] + (before[1] - middle) ** 2) * (1 - share) + (variance + (mean - middle) ** 2) * share
    return total, middle, spread
