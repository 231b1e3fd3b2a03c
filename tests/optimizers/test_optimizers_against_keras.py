"""Every optimizer beside Keras's: weights and state after ten steps, at once and compiled, and its configuration."""

from __future__ import annotations

from functools import cache
from typing import Any

import keras
import pytest
from optimizer_runs import STEPS, Settings, assert_same, compiled, optimizer_of, run, run_keras, values, variables_of

import kgraph as kg
from kgraph import optimizers

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TABLE: list[tuple[str, Settings]] = [
    ("SGD", {}),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    ("SGD", {"learning_rate": ("CosineDecay", 0.1, 8), "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"learning_rate": 0.1, "clipvalue": 0.3, "use_ema": True, "ema_overwrite_frequency": 3}),
    ("RMSprop", {"learning_rate": 0.01}),
    ("RMSprop", {"learning_rate": 0.01, "momentum": 0.5, "centered": True, "rho": 0.8}),
    ("Adam", {"learning_rate": 0.01}),
    ("Adam", {"amsgrad": True, "clipnorm": 0.5, "loss_scale_factor": 4.0}),
    ("Adam", {"learning_rate": 0.1, "gradient_accumulation_steps": 3, "weight_decay": 0.1, "clipnorm": 1.0}),
    ("Adam", {"gradient_accumulation_steps": 2, "use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 2}),
    ("AdamW", {"learning_rate": ("ExponentialDecay", 0.1, 3, 0.5), "global_clipnorm": 1.0}),
    ("Adamax", {"learning_rate": 0.01, "beta_1": 0.8}),
    ("Nadam", {"learning_rate": 0.01}),
    ("Nadam", {"learning_rate": 0.01, "gradient_accumulation_steps": 2}),
    ("Adagrad", {"learning_rate": 0.1, "initial_accumulator_value": 0.2}),
    ("Adadelta", {"learning_rate": 1.0, "rho": 0.9}),
    ("Ftrl", {"learning_rate": 0.1}),
    (
        "Ftrl",
        {
            "learning_rate": 0.1,
            "learning_rate_power": -0.7,
            "l1_regularization_strength": 0.1,
            "l2_regularization_strength": 0.2,
            "l2_shrinkage_regularization_strength": 0.3,
            "beta": 0.4,
        },
    ),
    ("Lion", {"learning_rate": 0.01, "weight_decay": 0.2}),
    ("Lamb", {"learning_rate": 0.01}),
    ("Adafactor", {"learning_rate": 0.1}),
    ("Adafactor", {"clip_threshold": 0.5, "beta_2_decay": -0.6}),
    ("Muon", {"learning_rate": 0.01}),
    ("Muon", {"learning_rate": 0.1, "nesterov": False, "rms_rate": None, "adam_lr_ratio": 0.5, "ns_steps": 3}),
    ("ScheduleFreeAdamW", {"learning_rate": 0.01, "warmup_steps": 5}),
]


class Judge:
    """What Keras's optimizer of a row of the table did: in the middle, and at the end."""

    def __init__(self, row: int) -> None:
        optimizer, variables = optimizer_of(keras, *TABLE[row]), variables_of(keras)
        run_keras(optimizer, variables, STEPS[:5])
        self.weights = values(variables)
        self.store: dict[str, Any] = {}
        optimizer.save_own_variables(self.store)
        self.paths = [one.path for one in optimizer.variables]
        self.final = run_keras(optimizer, variables, STEPS[5:])


judge = cache(Judge)


def name_of(row: int) -> str:
    return "-".join([TABLE[row][0], *TABLE[row][1]])


every_row = pytest.mark.parametrize("row", range(len(TABLE)), ids=name_of)


@every_row
def test_ten_steps_at_once(row: int) -> None:
    assert_same(run(optimizer_of(kg, *TABLE[row]), variables_of(kg)), judge(row).final)


@every_row
def test_ten_steps_compiled(row: int) -> None:
    optimizer, variables = optimizer_of(kg, *TABLE[row]), variables_of(kg)
    step = compiled(optimizer, variables)
    for gradients in STEPS:
        step(*gradients)
    assert_same(values([*variables, *optimizer.variables]), judge(row).final)


@every_row
def test_the_state_that_keras_saved_goes_on(row: int) -> None:
    optimizer = optimizer_of(kg, *TABLE[row])
    variables = [kg.Variable(value, name=f"w{index}") for index, value in enumerate(judge(row).weights)]
    optimizer.build(variables)
    paths = [path if "variable" not in path else "same/u_product" for path in judge(row).paths]  # Keras did not name it
    assert [one.path for one in optimizer.variables] == paths
    optimizer.load_own_variables(judge(row).store)
    assert_same(run(optimizer, variables, STEPS[5:]), judge(row).final)
    store: dict[str, Any] = {}
    optimizer.save_own_variables(store)
    assert {key: value.shape for key, value in store.items()} == {
        key: value.shape for key, value in judge(row).store.items()
    }


@every_row
def test_configurations_are_those_of_keras(row: int) -> None:
    ours, theirs = optimizer_of(kg, *TABLE[row]), optimizer_of(keras, *TABLE[row])
    described = keras.optimizers.serialize(theirs)
    assert optimizers.serialize(ours) == described
    again = optimizers.deserialize(described)
    assert type(again) is type(ours)
    assert again.get_config() == ours.get_config()
    assert type(ours).from_config(ours.get_config()).get_config() == ours.get_config()


def test_every_optimizer_of_keras_is_here() -> None:
    theirs = {name for name in dir(keras.optimizers) if name[0].isupper()}
    assert theirs - set(dir(optimizers)) == set()
    assert {name for name in dir(keras.optimizers.schedules) if name[0].isupper()} <= set(dir(optimizers.schedules))
