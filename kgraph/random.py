"""Random numbers, by Keras's names. Every draw is a pure function of a seed: two words, (seed, counter).

seed is an int (the same numbers at each call), a SeedGenerator (other numbers at each call), a tensor uint32[2], or
None for the global generator.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kgraph.errors import ArgumentError, DTypeError
from kgraph.graph.types import standard_dtype
from kgraph.missing import missing
from kgraph.ops import random as draws
from kgraph.ops.arithmetic import add, cast, multiply
from kgraph.ops.creating import dtype_of
from kgraph.ops.indexing import take
from kgraph.ops.move import shape_of
from kgraph.ops.shapes import dims, one_axis
from kgraph.ops.sorting import argsort
from kgraph.seeds import next_seed
from kgraph.tracing.trace import Symbol, is_symbolic
from kgraph.tracing.variable import Variable

_global: list[SeedGenerator] = []


class SeedGenerator:
    """Seeds that differ from draw to draw. `state`, a variable uint32[2], holds (seed, number of draws so far).

    Inside a traced call, `next` becomes an update: each call of the compiled function continues where the last ended.
    """

    def __init__(self, seed: int | None = None, name: str | None = None, **kwargs: Any) -> None:
        if seed is not None and (not isinstance(seed, (int, np.integer)) or seed < 0):
            raise ArgumentError(f"a seed is an integer from 0 on, not {seed!r}")
        self.initial_seed = next_seed() if seed is None else int(seed)
        self.name = name or "seed_generator"
        self.state = Variable(
            np.array([self.initial_seed & 0xFFFFFFFF, 0], np.uint32), trainable=False, name=f"{self.name}_state"
        )

    @property
    def seed(self) -> int:
        """The seed it was made with."""
        return self.initial_seed

    def next(self, ordered: bool = True) -> Any:
        """The seed of one draw; the counter moves on."""
        seed = self.state.as_symbol() if is_symbolic((self.state,)) else self.state.numpy()
        self.state.assign(add(seed, np.array([0, 1], np.uint32)))
        return seed

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes it of."""
        return {"seed": self.initial_seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeedGenerator:
        """The generator with this configuration, at its beginning."""
        return cls(**config)


def global_seed_generator() -> SeedGenerator:
    """The generator of draws that name no seed."""
    if not _global:
        _global.append(SeedGenerator(name="global_seed_generator"))
    return _global[0]


def set_global_seed(seed: int) -> None:
    """Start the global generator anew, at this seed."""
    global_seed_generator().state.write(np.array([seed & 0xFFFFFFFF, 0], np.uint32))


def draw_seed(seed: Any) -> Any:
    """The two words of one draw."""
    if seed is None:
        return global_seed_generator().next()
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if isinstance(seed, (int, np.integer)):
        return np.array([int(seed) & 0xFFFFFFFF, 0], np.uint32)
    if isinstance(seed, (Symbol, np.ndarray, Variable)):
        return seed
    raise ArgumentError(f"seed must be None, an integer, a SeedGenerator or uint32[2], not {seed!r}")


def uniform(shape: Any, minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    """Numbers from [minval, maxval), all equally likely. dtype: a float type, by default `config.floatx()`."""
    return draws.uniform_of(draw_seed(seed), dims(shape), minval, maxval, _float(dtype))


def normal(shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    """Normally distributed numbers. dtype: a float type, by default `config.floatx()`."""
    return _placed(draws.normal_of(draw_seed(seed), dims(shape), _float(dtype)), mean, stddev)


def truncated_normal(shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    """Normally distributed numbers, of which those further than two deviations from the mean are drawn again."""
    return _placed(draws.normal_of(draw_seed(seed), dims(shape), _float(dtype), cut=2.0), mean, stddev)


def _placed(drawn: Any, mean: Any, stddev: Any) -> Any:
    spread = isinstance(stddev, (int, float)) and stddev == 1
    drawn = drawn if spread else multiply(drawn, cast(stddev, dtype_of(drawn)))
    centred = isinstance(mean, (int, float)) and mean == 0
    return drawn if centred else add(drawn, cast(mean, dtype_of(drawn)))


def _float(dtype: Any) -> str:
    name = standard_dtype(dtype)
    if not name.startswith(("float", "bfloat")):
        raise DTypeError(f"random numbers of dtype {name}: it must be a float type")
    return name


def randint(shape: Any, minval: int, maxval: int, dtype: Any = "int32", seed: Any = None) -> Any:
    """Integers from minval to maxval - 1, all equally likely."""
    return draws.integers_of(draw_seed(seed), dims(shape), int(minval), int(maxval), standard_dtype(dtype))


def bernoulli(shape: Any, p: float = 0.5, dtype: Any = None, seed: Any = None) -> Any:
    """1 with probability p, else 0."""
    return cast(draws.chance(draw_seed(seed), dims(shape), p), standard_dtype(dtype))


def categorical(logits: Any, num_samples: int, dtype: Any = "int32", seed: Any = None) -> Any:
    """Classes drawn with probabilities softmax(logits): logits (batch, classes) gives (batch, num_samples)."""
    return draws.classes_of(draw_seed(seed), logits, num_samples, standard_dtype(dtype))


def dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None) -> Any:
    """inputs with elements set to 0 with probability rate, and the others scaled by 1 / (1 - rate).

    noise_shape: the shape of the mask, broadcast to the inputs; None in it stands for the inputs' own size.
    """
    if not 0 <= rate <= 1:
        raise ArgumentError(f"dropout: rate must be from 0 to 1, not {rate}")
    if rate == 0:
        return inputs
    have = shape_of(inputs)
    mask = have if noise_shape is None else _noise_shape(noise_shape, have)
    return draws.dropped(draw_seed(seed), inputs, rate, mask, dtype_of(inputs))


def _noise_shape(noise_shape: Any, have: Any) -> Any:
    if len(noise_shape) != len(have):
        raise ArgumentError(f"dropout: noise_shape {tuple(noise_shape)} for inputs of {len(have)} axes")
    return dims([size if given is None else given for given, size in zip(noise_shape, have, strict=True)])


def shuffle(x: Any, axis: int = 0, seed: Any = None) -> Any:
    """x with its slices along an axis in random order."""
    place = one_axis(axis, len(shape_of(x)))
    words = draws.random_bits(draw_seed(seed), shape=(shape_of(x)[place],))
    return take(x, argsort(words), place)


def __getattr__(name: str) -> Any:
    raise missing("random", name)
