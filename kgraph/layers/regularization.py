"""Layers that do something only while training."""

from __future__ import annotations

from typing import Any

from kgraph import random
from kgraph.errors import ArgumentError
from kgraph.layers.layer import Layer


class Dropout(Layer):
    """While training, sets a share `rate` of the elements to 0 and scales the others by 1 / (1 - rate).

    noise_shape has 1 where a mask is shared along an axis, None where the input's size is meant. seed is an int, a
    SeedGenerator's worth of state advances with every training call.
    """

    def __init__(self, rate: float, noise_shape: Any = None, seed: Any = None, **options: Any) -> None:
        super().__init__(**options)
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
            raise ArgumentError(f"Dropout wants a rate between 0 and 1, not {rate!r}")
        self.rate = rate
        self.seed = seed
        self.noise_shape = checked_noise_shape(noise_shape)
        if rate > 0:
            self.seed_generator = random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training or self.rate == 0:
            return inputs
        return random.dropout(inputs, self.rate, self.noise_shape, seed=self.seed_generator)


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
