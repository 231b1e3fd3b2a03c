"""What all models of a program share: names and seeds."""

from __future__ import annotations

import random

import numpy as np

from kgraph import seeds
from kgraph.layers.naming import forget_names
from kgraph.random import set_global_seed


def clear_session(free_memory: bool = True) -> None:
    """Let automatic names start anew: the next Dense is "dense" again."""
    forget_names()


def set_random_seed(seed: int) -> None:
    """Seed Python, numpy, the seeds that layers and initializers draw for themselves, and draws that name no seed."""
    random.seed(seed)
    np.random.seed(seed)
    set_global_seed(seed)
    seeds.set_seed(seed)
