"""Initializers that draw each value alone: normal, truncated normal, uniform."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from kgraph.errors import ArgumentError, DTypeError
from kgraph.graph.types import is_float, numpy_dtype, standard_dtype
from kgraph.initializers.base import Initializer, concrete
from kgraph.seeds import next_seed


class RandomInitializer(Initializer):
    """An initializer with a seed: one object gives the same values at each call, whether the seed is given or not."""

    def __init__(self, seed: int | None = None) -> None:
        try:
            self.seed = next_seed() if seed is None else index(seed)
        except TypeError as error:
            raise ArgumentError(f"seed is an int or None, not {seed!r}") from error
        self._given_seed = None if seed is None else self.seed

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self._given_seed}


class RandomNormal(RandomInitializer):
    """Normal values of this mean and standard deviation."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        return normal(shape, self.mean, self.stddev, dtype, self.seed)


class TruncatedNormal(RandomInitializer):
    """Normal values, drawn again while they are more than two standard deviations from the mean."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        return truncated_normal(shape, self.mean, self.stddev, dtype, self.seed)


class RandomUniform(RandomInitializer):
    """Values spread evenly between minval and maxval."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.minval = minval
        self.maxval = maxval

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        return uniform(shape, self.minval, self.maxval, dtype, self.seed)


def normal(shape: Sequence[int], mean: float, stddev: float, dtype: Any, seed: int) -> np.ndarray:
    """Normal values; halves are drawn as float32 and rounded."""
    drawn, stored = _float_dtypes(dtype)
    return np.asarray(_generator(seed).standard_normal(concrete(shape), drawn) * stddev + mean).astype(stored)


def truncated_normal(shape: Sequence[int], mean: float, stddev: float, dtype: Any, seed: int) -> np.ndarray:
    """Normal values within two standard deviations; those outside are drawn again."""
    drawn, stored = _float_dtypes(dtype)
    sizes = concrete(shape)
    generator = _generator(seed)
    values = generator.standard_normal((math.prod(sizes),), drawn)
    outside = np.flatnonzero(np.abs(values) > 2.0)
    while outside.size:
        values[outside] = generator.standard_normal(outside.size, drawn)
        outside = outside[np.abs(values[outside]) > 2.0]
    return (values * stddev + mean).reshape(sizes).astype(stored)


def uniform(shape: Sequence[int], minval: float, maxval: float, dtype: Any, seed: int) -> np.ndarray:
    """Values spread evenly between minval and maxval."""
    drawn, stored = _float_dtypes(dtype)
    return np.asarray(_generator(seed).random(concrete(shape), drawn) * (maxval - minval) + minval).astype(stored)


def _generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed & 0xFFFF_FFFF_FFFF_FFFF)  # numpy takes no negative seeds


def _float_dtypes(dtype: Any) -> tuple[type[np.float32] | type[np.float64], np.dtype]:
    """The dtype to draw in, and the one to store."""
    name = standard_dtype(dtype)
    if not is_float(name):
        raise DTypeError(f"random initial values are floats, not {name}")
    return np.float64 if name == "float64" else np.float32, numpy_dtype(name)
