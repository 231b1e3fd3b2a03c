"""The same weights and gradients through an optimizer of Keras and one of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

import kgraph as kg

SHAPES: tuple[tuple[int, ...], ...] = ((3, 4), (4,), (), (2, 3, 2))
DRAW = np.random.default_rng(7)
STARTS = [DRAW.normal(size=shape).astype("float32") for shape in SHAPES]
STEPS = [[DRAW.normal(size=start.shape).astype("float32") for start in STARTS] for _ in range(10)]

Settings = dict[str, Any]


def optimizer_of(library: Any, name: str, settings: Settings) -> Any:
    """An optimizer of Keras or kgraph; a tuple as learning_rate is a schedule and its arguments."""
    rate = settings.get("learning_rate")
    if isinstance(rate, tuple):
        settings = settings | {"learning_rate": getattr(library.optimizers.schedules, rate[0])(*rate[1:])}
    return getattr(library.optimizers, name)(**settings | {"name": "same"})


def variables_of(library: Any, count: int = len(SHAPES)) -> list[Any]:
    """Weights with the first values of `STARTS`."""
    return [library.Variable(start, name=f"w{index}") for index, start in enumerate(STARTS[:count])]


def run(
    optimizer: Any,
    variables: Sequence[Any],
    steps: Sequence[Sequence[Any]] = STEPS,
    convert: Callable[..., Any] = np.array,
) -> list[np.ndarray]:
    """The weights and the state after eager steps."""
    for gradients in steps:
        optimizer.apply([convert(one) for one in gradients[: len(variables)]], variables)
    return values([*variables, *optimizer.variables])


def run_keras(optimizer: Any, variables: Sequence[Any], steps: Sequence[Sequence[Any]] = STEPS) -> list[np.ndarray]:
    """The weights and the state after Keras's steps."""
    return run(optimizer, variables, steps, keras.ops.array)


def compiled(optimizer: Any, variables: Sequence[Any]) -> Any:
    """The step of an optimizer as a compiled function of the gradients."""

    def step(*gradients: Any) -> Any:
        optimizer.apply(list(gradients), variables)
        return gradients[0][0]

    inputs = [kg.Input(batch_shape=variable.shape, name=f"g{index}") for index, variable in enumerate(variables)]
    return kg.compile(step, inputs=inputs)


def values(variables: Sequence[Any]) -> list[np.ndarray]:
    """The numbers of all variables."""
    return [np.array(variable.numpy()) for variable in variables]


def assert_same(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> None:
    """All arrays are equal within the rounding of a few steps in float32."""
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
