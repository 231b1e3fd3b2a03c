"""A small model, and calls that go through Python, for the tests of calls that go straight into machine code."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
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


def wrong_of_threads(f: Callable[..., Any], inputs: Sequence[Any], wanted: Sequence[Any], times: int) -> list[Any]:
    """The shapes of inputs for which a call gave something else, when each is called in a thread of its own."""
    wrong: list[Any] = []

    def call(x: Any, y: Any) -> None:
        for _ in range(times):
            if not np.array_equal(f(x), y):
                wrong.append(x.shape)

    threads = [threading.Thread(target=call, args=pair) for pair in zip(inputs, wanted, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong
