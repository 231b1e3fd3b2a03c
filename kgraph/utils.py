"""Small helpers that Keras programs use."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from kgraph import seeds
from kgraph.errors import RangeError
from kgraph.layers.naming import forget_names
from kgraph.random import set_global_seed

__all__ = ["clear_session", "normalize", "set_random_seed", "to_categorical"]


def clear_session(free_memory: bool = True) -> None:
    """Let automatic names start anew: the next Dense is "dense" again."""
    forget_names()


def set_random_seed(seed: int) -> None:
    """Seed Python, numpy, the seeds that layers and initializers draw for themselves, and draws that name no seed."""
    random.seed(seed)
    np.random.seed(seed)
    set_global_seed(seed)
    seeds.set_seed(seed)


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """Rows with a 1 at the index and 0 elsewhere, float32; a last axis of size 1 of x is dropped.

    num_classes defaults to the largest index plus 1. RangeError for an index outside.
    """
    indices = np.asarray(x, dtype="int64")
    shape = indices.shape[:-1] if indices.ndim > 1 and indices.shape[-1] == 1 else indices.shape
    flat = indices.reshape(-1)
    width = int(num_classes or (flat.max() + 1 if flat.size else 0))
    if flat.size and not -width <= flat.min() <= flat.max() < width:
        raise RangeError(f"class {int(flat.max())} is outside 0 to {width - 1}")
    rows = np.zeros((flat.size, width), "float32")
    rows[np.arange(flat.size), flat] = 1
    return rows.reshape(*shape, width)


def normalize(x: Any, axis: int = -1, order: int = 2) -> np.ndarray:
    """x with vectors along `axis` of norm 1."""
    x = np.asarray(x)
    norm = np.atleast_1d(np.linalg.norm(x, order, axis))
    return x / np.expand_dims(np.where(norm == 0, 1, norm), axis)
