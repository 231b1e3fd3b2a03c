"""Optimizers that hold others: a loss scale that is found while training, and several optimizers at once."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from optimizer_runs import STEPS, assert_same, compiled, run, run_keras, values, variables_of

import kgraph as kg
from kgraph import optimizers
from kgraph.errors import ArgumentError, DTypeError

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NOT_FINITE = [np.full_like(one, np.inf) for one in STEPS[0]]
SOME_NOT_FINITE = [STEPS[0], NOT_FINITE, *STEPS[1:4], NOT_FINITE, *STEPS[4:]]


def scaled(library: Any) -> Any:
    inner = library.optimizers.Adam(0.1, name="inner")
    return library.optimizers.LossScaleOptimizer(inner, initial_scale=8.0, dynamic_growth_steps=2, name="scaled")


def run_stateless(optimizer: Any, variables: Any, steps: Any) -> list[np.ndarray]:
    """The weights and the state after Keras's steps without state: with jax a loss scale has no others."""
    optimizer.build(variables)
    weights, state = [one.value for one in variables], [one.value for one in optimizer.variables]
    for gradients in steps:
        weights, state = optimizer.stateless_apply(state, gradients[: len(variables)], weights)
    return [np.asarray(one) for one in (*weights, *state)]


def several(library: Any) -> Any:
    of = library.optimizers
    chosen = of.OptimizerMap(of.SGD(0.1, name="a"), {"w1": of.Adam(0.1, name="b"), "w[23]": of.Lion(0.1, name="c")})
    return of.MultiOptimizer(chosen, name="several", loss_scale_factor=2.0)


def test_a_loss_scale_halves_at_overflows_and_doubles_between_them() -> None:
    wanted = run_stateless(scaled(keras), variables_of(keras, 3), SOME_NOT_FINITE)
    assert_same(run(scaled(kg), variables_of(kg, 3), SOME_NOT_FINITE), wanted)
    optimizer, variables = scaled(kg), variables_of(kg, 3)
    step = compiled(optimizer, variables)
    for gradients in SOME_NOT_FINITE:
        step(*gradients[:3])
    assert_same(values([*variables, *optimizer.variables]), wanted)
    assert float(optimizer.scale_loss(1.0)) == float(optimizer.dynamic_scale)
    assert int(optimizer.iterations) == 10


def test_a_loss_scale_shows_the_inner_learning_rate() -> None:
    optimizer = scaled(kg)
    optimizer.learning_rate = 0.5
    assert float(optimizer.inner_optimizer.learning_rate) == float(optimizer.learning_rate) == 0.5


def test_several_optimizers_update_each_its_weights() -> None:
    wanted = run_keras(several(keras), variables_of(keras, 4))
    assert_same(run(several(kg), variables_of(kg, 4)), wanted)
    optimizer, variables = several(kg), variables_of(kg, 3)
    wanted = run_keras(several(keras), variables_of(keras, 3))
    step = compiled(optimizer, variables)
    for gradients in STEPS:
        step(*gradients[:3])
    assert_same(values([*variables, *optimizer.variables]), wanted)


def test_a_function_may_choose_the_optimizer() -> None:
    adam, sgd = optimizers.Adam(), optimizers.SGD()
    optimizer = optimizers.MultiOptimizer(lambda variable: adam if variable.path == "w0" else sgd)
    optimizer.build(variables_of(kg, 3))
    assert optimizer.optimizers == [adam, sgd]
    assert not hasattr(optimizer, "learning_rate")


@pytest.mark.parametrize("make", [scaled, several])
def test_configurations_of_wrapping_optimizers_are_those_of_keras(make: Any) -> None:
    described = optimizers.serialize(make(kg))
    assert described == keras.optimizers.serialize(make(keras))
    assert optimizers.serialize(optimizers.deserialize(described)) == described


def test_bad_wrappings_say_what_is_wrong() -> None:
    with pytest.raises(ArgumentError, match="does not take clipnorm; give them to the inner optimizer"):
        optimizers.LossScaleOptimizer(optimizers.SGD(), clipnorm=1.0)
    with pytest.raises(ArgumentError, match="set loss_scale_factor of the inner optimizer"):
        optimizers.LossScaleOptimizer(optimizers.SGD(), dynamic=False)
    with pytest.raises(ArgumentError, match="'adam', which is no Optimizer"):
        optimizers.LossScaleOptimizer("adam")
    with pytest.raises(DTypeError, match="'adam', which is no Optimizer"):
        optimizers.OptimizerMap("adam")
    chosen = optimizers.OptimizerMap(optimizers.SGD(name="first"), {"w.*": optimizers.Adam()})
    with pytest.raises(ArgumentError, match="has an optimizer for"):
        chosen["w.*"] = optimizers.SGD()
    with pytest.raises(ArgumentError, match="cannot be one of several optimizers"):
        chosen["x"] = several(kg)
    chosen["w1.*"] = optimizers.Lion()
    with pytest.raises(ArgumentError, match="w12 matches 2 patterns"):
        chosen["w12"]
