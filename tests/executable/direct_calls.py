"""A small model, and calls that go through Python, for the tests of calls that go straight into machine code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import kgraph as kg
from kgraph.executable.executable import Executable

rng = np.random.default_rng(5)


def floats(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def mlp() -> kg.Model:
    i = kg.Input((12,), name="x")
    h = kg.layers.Dense(20, activation="relu", name="hidden")(i)
    return kg.Model(i, kg.layers.Dense(5, activation="softmax", name="probabilities")(h))


def method(f: Executable, name: str = "__call__") -> Callable[..., Any]:
    """The same call through Python."""
    return getattr(Executable, name).__get__(f)
