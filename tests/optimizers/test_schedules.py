"""Learning rate schedules beside Keras's: over steps, on numbers, in compiled functions, and as configurations."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import kgraph as kg
from kgraph.errors import ArgumentError
from kgraph.optimizers import schedules

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TABLE: list[tuple[str, dict[str, Any]]] = [
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5}),
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5, "staircase": True}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5, "staircase": True}),
    ("PiecewiseConstantDecay", {"boundaries": [3, 10], "values": [1.0, 0.5, 0.1]}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 10}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "end_learning_rate": 0.01, "power": 0.5}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "power": 2.0, "cycle": True}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "alpha": 0.2}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "warmup_target": 0.3, "warmup_steps": 5}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "warmup_target": 0.3}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 10}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 4, "t_mul": 1.0, "m_mul": 0.5}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 4, "t_mul": 1.5, "alpha": 0.1}),
]

STEPS = (0, 1, 3, 4, 5, 9, 10, 11, 15, 25)


def name_of(row: Any) -> str:
    return row[0] + "".join(f"-{name}" for name in list(row[1])[2:])


@pytest.mark.parametrize("row", TABLE, ids=name_of)
def test_a_schedule_gives_the_rates_of_keras(row: tuple[str, dict[str, Any]]) -> None:
    name, settings = row
    ours, theirs = getattr(schedules, name)(**settings), getattr(keras.optimizers.schedules, name)(**settings)
    wanted = [float(theirs(step)) for step in STEPS]
    np.testing.assert_allclose([float(ours(step)) for step in STEPS], wanted, rtol=1e-5, atol=1e-8)


def test_schedules_compile() -> None:
    all_of_them = [getattr(schedules, name)(**settings) for name, settings in TABLE]
    step = kg.Input(batch_shape=(), dtype="int32", name="step")
    rates = kg.compile(lambda step: [schedule(step) for schedule in all_of_them], inputs=[step])
    for number in STEPS:
        wanted = [float(schedule(number)) for schedule in all_of_them]
        np.testing.assert_allclose(rates(np.int32(number)), wanted, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("row", TABLE, ids=name_of)
def test_schedules_are_described_as_in_keras(row: tuple[str, dict[str, Any]]) -> None:
    name, settings = row
    theirs = getattr(keras.optimizers.schedules, name)(**settings)
    described = schedules.serialize(getattr(schedules, name)(**settings))
    assert described == keras.optimizers.schedules.serialize(theirs)
    assert schedules.deserialize(described).get_config() == theirs.get_config()


class Halving(schedules.LearningRateSchedule):
    """A user's schedule."""

    def __init__(self, start: float) -> None:
        self.start = start

    def __call__(self, step: Any) -> Any:
        return self.start / (kg.ops.cast(step, "float32") + 1.0)

    def get_config(self) -> dict[str, Any]:
        return {"start": self.start}


def test_a_schedule_of_ones_own_goes_through_the_configuration_of_an_optimizer() -> None:
    optimizer = kg.optimizers.SGD(Halving(0.5))
    described = kg.optimizers.serialize(optimizer)
    again = kg.optimizers.deserialize(described, custom_objects={"Halving": Halving})
    assert float(again.learning_rate) == 0.5
    again.apply([np.ones(2, "float32")], [kg.Variable(np.ones(2, "float32"))])
    assert float(again.learning_rate) == 0.25


def test_bad_schedules_say_what_is_wrong() -> None:
    with pytest.raises(ArgumentError, match="decay_steps must be above 0, and is 0"):
        schedules.ExponentialDecay(0.1, 0, 0.5)
    with pytest.raises(ArgumentError, match="2 boundaries make 3 pieces, and there are 2 values"):
        schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2])
    with pytest.raises(ArgumentError, match="must increase"):
        schedules.PiecewiseConstantDecay([2, 1], [0.1, 0.2, 0.3])
    with pytest.raises(ArgumentError, match="did you mean"):
        schedules.deserialize({"class_name": "CosineDecai", "config": {}})
    with pytest.raises(NotImplementedError, match="LearningRateSchedule"):
        schedules.LearningRateSchedule()(1)
