"""Initializers whose spread follows from the shape, so that signals keep their size through a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from kgraph.errors import ArgumentError, RangeError, ShapeError
from kgraph.initializers.base import concrete
from kgraph.initializers.distributions import RandomInitializer, normal, truncated_normal, uniform

MODES = ("fan_in", "fan_out", "fan_avg")
DISTRIBUTIONS = ("uniform", "truncated_normal", "untruncated_normal")
TRUNCATED_STDDEV = 0.87962566103423978  # the standard deviation of a normal distribution cut off at -2 and 2


class VarianceScaling(RandomInitializer):
    """Values of variance scale / n, where n is the number of inputs, of outputs, or their mean.

    Source: keras.initializers.VarianceScaling. input_axes and output_axes say which axes of the weight to count, where
    they are not the last two.
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(seed)
        if scale <= 0.0:
            raise ArgumentError(f"scale is positive, not {scale!r}")
        if mode not in MODES:
            raise ArgumentError(f"mode is one of {', '.join(MODES)}, not {mode!r}")
        distribution = "truncated_normal" if distribution.lower() == "normal" else distribution.lower()
        if distribution not in DISTRIBUTIONS:
            raise ArgumentError(f"distribution is one of {', '.join(DISTRIBUTIONS)}, not {distribution!r}")
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = input_axes
        self.output_axes = output_axes

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * variance)
            return uniform(shape, -limit, limit, dtype, self.seed)
        if self.distribution == "untruncated_normal":
            return normal(shape, 0.0, math.sqrt(variance), dtype, self.seed)
        return truncated_normal(shape, 0.0, math.sqrt(variance) / TRUNCATED_STDDEV, dtype, self.seed)


class NamedScaling(VarianceScaling):
    """A VarianceScaling that a paper made known: its scale, mode and distribution are in its name."""

    rule: ClassVar[tuple[float, str, str]]

    def __init__(
        self,
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(*self.rule, seed, input_axes, output_axes)


class GlorotUniform(NamedScaling):
    """Uniform within sqrt(6 / (inputs + outputs)). Source: Glorot and Bengio, 2010."""

    rule = (1.0, "fan_avg", "uniform")


class GlorotNormal(NamedScaling):
    """Truncated normal of variance 2 / (inputs + outputs). Source: Glorot and Bengio, 2010."""

    rule = (1.0, "fan_avg", "truncated_normal")


class LecunUniform(NamedScaling):
    """Uniform within sqrt(3 / inputs). Source: Klambauer et al., 2017."""

    rule = (1.0, "fan_in", "uniform")


class LecunNormal(NamedScaling):
    """Truncated normal of variance 1 / inputs. Source: Klambauer et al., 2017."""

    rule = (1.0, "fan_in", "truncated_normal")


class HeUniform(NamedScaling):
    """Uniform within sqrt(6 / inputs). Source: He et al., 2015."""

    rule = (2.0, "fan_in", "uniform")


class HeNormal(NamedScaling):
    """Truncated normal of variance 2 / inputs. Source: He et al., 2015."""

    rule = (2.0, "fan_in", "truncated_normal")


class Orthogonal(RandomInitializer):
    """A matrix with orthogonal rows or columns, whichever are fewer, times gain; leading axes count as rows.

    Source: Saxe et al., 2014; Q of the QR decomposition of a normal matrix, with signs that make it uniform.
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        sizes = concrete(shape)
        if len(sizes) < 2:
            raise ShapeError(f"an orthogonal weight has two or more axes, the shape {sizes} has {len(sizes)}")
        rows, columns = math.prod(sizes[:-1]), sizes[-1]
        sample = normal((max(rows, columns), min(rows, columns)), 0.0, 1.0, dtype, self.seed)
        q, r = np.linalg.qr(sample.astype(np.promote_types(sample.dtype, np.float32)))  # LAPACK knows no halves
        q *= np.sign(np.diag(r))
        flat = q.T if rows < columns else q
        return (self.gain * flat.reshape(sizes)).astype(sample.dtype)


def compute_fans(
    shape: Sequence[int], input_axes: Sequence[int] | None = None, output_axes: Sequence[int] | None = None
) -> tuple[int, int]:
    """How many inputs and outputs a weight of this shape has; of a convolution, times the size of its window.

    Source: compute_fans in keras/src/initializers/random_initializers.py.
    """
    sizes = concrete(shape)
    if input_axes is not None and output_axes is not None:
        return _size_over(sizes, input_axes), _size_over(sizes, output_axes)
    if len(sizes) < 2:
        return math.prod(sizes), math.prod(sizes)
    window = math.prod(sizes[:-2])
    return sizes[-2] * window, sizes[-1] * window


def _size_over(sizes: tuple[int, ...], axes: Sequence[int]) -> int:
    if any(not -len(sizes) <= axis < len(sizes) for axis in axes):
        raise RangeError(f"axes {tuple(axes)} point outside the shape {sizes}")
    return math.prod(sizes[axis] for axis in axes)
