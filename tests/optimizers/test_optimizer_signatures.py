"""Constructors of optimizers beside Keras's: the same parameters, in the same places, with the same defaults."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import pytest

import kgraph as kg
from kgraph.errors import ArgumentError
from kgraph.optimizers.lookup import CLASSES

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NAMES = [one.__name__ for one in CLASSES]
# What every optimizer takes, each unlike its default; of the three ways to clip only one may be given.
COMMON: dict[str, Any] = {
    "weight_decay": 0.25, "clipnorm": None, "clipvalue": 0.5, "global_clipnorm": None, "use_ema": True,
    "ema_momentum": 0.75, "ema_overwrite_frequency": 3, "loss_scale_factor": 2.0, "gradient_accumulation_steps": 4,
    "name": "mine",
}  # fmt: skip


def parameters(kind: type) -> dict[str, inspect.Parameter]:
    """The parameters of a constructor that have names."""
    found = inspect.signature(kind).parameters
    return {name: one for name, one in found.items() if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)}


@pytest.mark.parametrize("name", [*NAMES, "Optimizer", "LossScaleOptimizer", "MultiOptimizer"])
def test_arguments_and_defaults_are_those_of_keras(name: str) -> None:
    ours, theirs = (parameters(getattr(library.optimizers, name)) for library in (kg, keras))
    assert [(one.name, one.kind, one.default) for one in ours.values()] == [
        (one.name, one.kind, one.default) for one in theirs.values()
    ]


@pytest.mark.parametrize("name", NAMES)
def test_arguments_mean_by_position_what_they_mean_in_keras(name: str) -> None:
    theirs = getattr(keras.optimizers, name)
    given = [COMMON.get(one.name, one.default) for one in parameters(theirs).values()]
    found = getattr(kg.optimizers, name)(*given).get_config()
    assert found == theirs(*given).get_config()
    assert found.items() >= COMMON.items()


def test_an_argument_given_by_position_and_by_name_is_refused() -> None:
    with pytest.raises(TypeError, match="multiple values for argument 'weight_decay'"):
        kg.optimizers.SGD(0.1, 0.9, False, 0.01, weight_decay=0.01)
    with pytest.raises(ArgumentError, match="Adam does not know the arguments momentum"):
        kg.optimizers.Adam(0.1, momentum=0.9)
