"""What every initializer is: a function of (shape, dtype), with a config."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any, Self

import numpy as np

from kgraph.errors import ShapeError
from kgraph.named import Configured


class Initializer(Configured):
    """The first values of a weight: `initializer(shape, dtype)` is an array of them."""

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> np.ndarray:
        """An array of this shape; dtype None means `config.floatx()`."""
        raise NotImplementedError(f"{type(self).__name__} needs a __call__(self, shape, dtype=None)")

    def clone(self) -> Self:
        """Another one with the same config; if that has no seed, it draws its own."""
        return self.from_config(self.get_config())

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def concrete(shape: Sequence[int] | int) -> tuple[int, ...]:
    """The shape as a tuple of sizes; a weight has no unknown ones."""
    sizes = tuple(shape) if isinstance(shape, Sequence | np.ndarray) else (shape,)
    try:
        known = tuple(index(size) for size in sizes)
    except TypeError:
        known = (-1,)
    if any(size < 0 for size in known):
        raise ShapeError(f"an initializer needs a shape of known sizes, not {shape!r}")
    return known
