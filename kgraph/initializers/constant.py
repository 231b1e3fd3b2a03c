"""Initializers without chance: zeros, ones, one constant, the identity, an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from kgraph.errors import ShapeError
from kgraph.graph.types import numpy_dtype, standard_dtype
from kgraph.initializers.base import Initializer, concrete


class Zeros(Initializer):
    """All zeros."""

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        return np.zeros(concrete(shape), numpy_dtype(standard_dtype(dtype)))


class Ones(Initializer):
    """All ones."""

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        return np.ones(concrete(shape), numpy_dtype(standard_dtype(dtype)))


class Constant(Initializer):
    """One number everywhere; a list or array is broadcast to the shape."""

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        value = np.asarray(self.value).astype(numpy_dtype(standard_dtype(dtype)))
        sizes = concrete(shape)
        try:
            return np.broadcast_to(value, sizes).copy()
        except ValueError as error:
            raise ShapeError(f"a constant of shape {value.shape} does not broadcast to {sizes}") from error

    def get_config(self) -> dict[str, Any]:
        return {"value": array_config(self.value)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(array_of(config["value"]))


class Identity(Initializer):
    """`gain` on the diagonal of a matrix, zeros beside it."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        sizes = concrete(shape)
        if len(sizes) != 2:
            raise ShapeError(f"an identity has two axes, the shape {sizes} has {len(sizes)}")
        return (self.gain * np.eye(*sizes)).astype(numpy_dtype(standard_dtype(dtype)))


class Given(Initializer):
    """The values of one array: what `get` makes of an array. The shape asked for must be the array's."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        if concrete(shape) != tuple(self.values.shape):
            raise ShapeError(f"the array given as initializer has shape {tuple(self.values.shape)}, not {shape}")
        return np.array(self.values).astype(numpy_dtype(standard_dtype(dtype)))

    def get_config(self) -> dict[str, Any]:
        return {"values": array_config(np.asarray(self.values))}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(array_of(config["values"]))


def array_config(value: Any) -> Any:
    """An array as JSON can hold it, in Keras's spelling; other values as they are."""
    if not isinstance(value, np.ndarray):
        return value.item() if isinstance(value, np.generic) else value
    return {"class_name": "__numpy__", "config": {"value": value.tolist(), "dtype": value.dtype.name}}


def array_of(config: Any) -> Any:
    """The value that `array_config` described."""
    if not isinstance(config, dict):
        return config
    return np.array(config["config"]["value"], numpy_dtype(config["config"]["dtype"]))
