"""Where seeds come from when the user gives none: one stream, which `utils.set_random_seed` starts anew."""

from __future__ import annotations

import operator
import random
from typing import Any

from kgraph.errors import ArgumentError

_stream = random.Random()  # its C methods are atomic, so threads draw from it without a lock


def set_seed(seed: int) -> None:
    """Start the stream anew: the same seed gives the same seeds, in the same order."""
    _stream.seed(checked_seed(seed))


def checked_seed(seed: Any) -> int:
    """A seed as Python's int. ArgumentError for what is no integer, Python's or numpy's."""
    try:
        return operator.index(seed)
    except TypeError:
        raise ArgumentError(f"a seed is an int, not {seed!r}") from None


def next_seed() -> int:
    """The next seed of the stream, between 1 and 10**9.

    Source: keras.random.make_default_seed, which draws from Python's own generator in the same way.
    """
    return _stream.randint(1, 10**9)
