"""What all models of a program share: names and seeds."""

from __future__ import annotations

import random

import numpy as np

from kgraph.errors import ArgumentError
from kgraph.layers.naming import forget_names
from kgraph.random import set_global_seed
from kgraph.seeds import checked_seed, set_seed


def clear_session(free_memory: bool = True) -> None:
    """Let automatic names start anew: the next Dense is "dense" again."""
    forget_names()


def set_random_seed(seed: int) -> None:
    """Seed Python, numpy, the seeds that layers and initializers draw for themselves, and draws that name no seed.

    seed: an int from 0 to 2**32 - 1. ArgumentError for any other, before anything is seeded.
    """
    seed = checked_seed(seed)
    if not 0 <= seed < 1 << 32:
        raise ArgumentError(f"a random seed lies between 0 and 2**32 - 1, not at {seed}")
    random.seed(seed)
    np.random.seed(seed)
    set_global_seed(seed)
    set_seed(seed)
