"""Layers that do something only while training."""

from __future__ import annotations

import math
from typing import Any

from kgraph import ops, random, regularizers
from kgraph.errors import ArgumentError
from kgraph.layers.layer import Layer
from kgraph.layers.reshaping import checked_format
from kgraph.layers.spec import InputSpec

ALPHA = 1.6732632423543772 * 1.0507009873554805  # selu's limit on the left is -ALPHA. Klambauer et al., 2017


class Dropout(Layer):
    """While training, sets a share `rate` of the elements to 0 and scales the others by 1 / (1 - rate).

    noise_shape has 1 where a mask is shared along an axis, None where the input's size is meant. seed: an int, or None
    for one drawn from the global stream. The layer keeps a SeedGenerator; each training call draws another mask.
    """

    def __init__(self, rate: float, noise_shape: Any = None, seed: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.rate = checked_share(rate, "rate", type(self).__name__)
        self.seed = seed
        self.noise_shape = checked_noise_shape(noise_shape)
        if rate > 0:
            self.seed_generator = random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or self.rate == 0:
            return inputs
        return random.dropout(inputs, self.rate, self.noise_shape, seed=self.seed_generator)


class SpatialDropout(Dropout):
    """While training, sets whole channels of a sample to 0, each with probability `rate`."""

    axes = 0  # between batch and channels

    def __init__(self, rate: float, seed: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(rate, seed=seed, name=name, dtype=dtype)
        self.data_format = "channels_last"
        self.input_spec = InputSpec(ndim=self.axes + 2)
        self._keep_channels()

    def _keep_channels(self) -> None:
        shared = (1,) * self.axes
        self.noise_shape = (None, *shared, None) if self.data_format == "channels_last" else (None, None, *shared)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {key: value for key, value in config.items() if key not in ("noise_shape", "trainable")}


class SpatialDropout1D(SpatialDropout):
    """Drops whole channels of sequences (batch, steps, channels). Tompson et al., 2014."""

    axes = 1


class SpatialDropoutOfImages(SpatialDropout):
    """Channels may stand behind the batch, with data_format "channels_first"."""

    def __init__(
        self, rate: float, data_format: str | None = None, seed: Any = None, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(rate, seed=seed, name=name, dtype=dtype)
        self.data_format = checked_format(data_format)
        self._keep_channels()


class SpatialDropout2D(SpatialDropoutOfImages):
    """Drops whole channels of images (batch, rows, columns, channels)."""

    axes = 2


class SpatialDropout3D(SpatialDropoutOfImages):
    """Drops whole channels of volumes (batch, depth, rows, columns, channels)."""

    axes = 3


class AlphaDropout(Dropout):
    """While training, sets a share `rate` of the elements to selu's limit, and keeps mean 0 and variance 1.

    Klambauer et al., 2017.
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or self.rate == 0:
            return inputs
        sizes = inputs.type.shape
        wanted = self.noise_shape or sizes
        if len(wanted) != len(sizes):
            raise ArgumentError(f"noise_shape {self.noise_shape} is for {len(wanted)} axes, and the input has {sizes}")
        shape = [size if given is None else given for given, size in zip(wanted, sizes, strict=True)]
        kept = random.bernoulli(shape, 1 - self.rate, dtype="bool", seed=self.seed_generator)
        factor = 1.0 if self.rate == 1 else ((1 - self.rate) * (1 + self.rate * ALPHA**2)) ** -0.5
        return ops.add(ops.multiply(ops.where(kept, inputs, -ALPHA), factor), factor * ALPHA * self.rate)


class GaussianDropout(Layer):
    """While training, multiplies by normal numbers of mean 1, variance rate / (1 - rate). Srivastava et al., 2014."""

    def __init__(self, rate: float, seed: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.rate = checked_share(rate, "rate", "GaussianDropout")
        self.seed = seed
        if rate > 0:
            self.seed_generator = random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or self.rate == 0:
            return inputs
        if self.rate == 1:
            raise ArgumentError(f"layer {self.name!r}: rate / (1 - rate) is infinite for a rate of 1")
        deviation = math.sqrt(self.rate / (1 - self.rate))
        shape, dtype = inputs.type.shape, self.compute_dtype
        return ops.multiply(inputs, random.normal(shape, 1.0, deviation, dtype=dtype, seed=self.seed_generator))


class GaussianNoise(Layer):
    """While training, adds normal numbers of mean 0 and deviation stddev."""

    def __init__(self, stddev: float, seed: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.stddev = checked_share(stddev, "stddev", "GaussianNoise")
        self.seed = seed
        if stddev > 0:
            self.seed_generator = random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or self.stddev == 0:
            return inputs
        shape, dtype = inputs.type.shape, self.compute_dtype
        return ops.add(inputs, random.normal(shape, 0.0, self.stddev, dtype=dtype, seed=self.seed_generator))


class ActivityRegularization(Layer):
    """The input, unchanged; l1 * sum(abs(x)) + l2 * sum(x * x), over the batch's size, is added to the loss."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **options: Any) -> None:
        super().__init__(activity_regularizer=regularizers.L1L2(l1=l1, l2=l2), **options)
        self.l1, self.l2 = l1, l2
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return inputs

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("activity_regularizer", None)
        return config


def checked_share(value: Any, name: str, layer: str) -> float:
    """A number from 0 to 1; ArgumentError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ArgumentError(f"{layer} wants a {name} between 0 and 1, not {value!r}")
    return value


def checked_noise_shape(shape: Any) -> tuple[int | None, ...] | None:
    """A tuple of whole numbers above 0 and None; ArgumentError for anything else."""
    if shape is None:
        return None
    good = isinstance(shape, (list, tuple)) and all(
        size is None or (isinstance(size, int) and not isinstance(size, bool) and size > 0) for size in shape
    )
    if not good:
        raise ArgumentError(f"noise_shape is a tuple of whole numbers above 0 and None, not {shape!r}")
    return tuple(shape)
