"""What all optimizers share: options, the learning rate, weights left out, classes of one's own, and errors."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from optimizer_runs import STARTS, STEPS, assert_same, compiled, run, run_keras, values, variables_of

import kgraph as kg
from kgraph import ops, optimizers
from kgraph.errors import ArgumentError, SettingError, ShapeError

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ONE = np.ones(3, "float32")


def weight(value: Any = ONE, **settings: Any) -> kg.Variable:
    return kg.Variable(np.asarray(value, "float32"), **settings)


# The learning rate


def test_a_learning_rate_set_between_steps_counts_in_compiled_code() -> None:
    optimizer, variables = optimizers.SGD(0.5), [weight()]
    step = compiled(optimizer, variables)
    step(ONE)
    optimizer.learning_rate = 0.25
    step(ONE)
    np.testing.assert_allclose(variables[0].numpy(), 1 - 0.5 - 0.25)
    assert float(optimizer.learning_rate) == 0.25
    assert optimizer.get_config()["learning_rate"] == 0.25


def test_the_learning_rate_may_be_a_variable_or_a_function() -> None:
    rate = kg.Variable(0.5)
    for given in (rate, lambda: 0.5, lambda: rate, 1, np.float32(0.5)):
        variables = [weight()]
        run(optimizers.SGD(given), variables, [[ONE]])
        np.testing.assert_allclose(variables[0].numpy(), 1 - float(given() if callable(given) else given))


def test_a_schedule_takes_the_place_of_a_number_but_no_number_that_of_a_schedule() -> None:
    optimizer = optimizers.Adam(0.1)
    optimizer.learning_rate = optimizers.schedules.ExponentialDecay(0.2, 10, 0.5)
    assert [variable.path for variable in optimizer.variables] == [f"{optimizer.name}/iteration"]
    with pytest.raises(SettingError, match=r"comes from a ExponentialDecay, so it cannot be set to 0\.01"):
        optimizer.learning_rate = 0.01


# Gradients and weights


def test_a_weight_without_a_gradient_stays_and_is_named() -> None:
    optimizer, variables = optimizers.Adam(0.1), [weight(name="one"), weight(name="two")]
    with pytest.warns(UserWarning, match="no gradients for two, which stay"):
        optimizer.apply([ONE, None], variables)
    assert (variables[0].numpy() < 1).all()
    assert (variables[1].numpy() == 1).all()


def test_gradients_that_cannot_be_applied_say_why() -> None:
    optimizer, variables = optimizers.SGD(0.1), [weight(name="w")]
    with pytest.raises(ArgumentError, match="is not built"):
        optimizer.apply([ONE])
    optimizer.build(variables)
    optimizer.apply([])
    with pytest.raises(ArgumentError, match="no variable has a gradient: all 1 are None"):
        optimizer.apply([None])
    with pytest.raises(ArgumentError, match="2 gradients for 1 variables"):
        optimizer.apply([ONE, ONE])
    with pytest.raises(ArgumentError, match="was not built with <Variable path=other"):
        optimizer.apply([ONE], [weight(name="other")])
    with pytest.raises(ShapeError, match=r"the gradient of w is f32\[2\], the variable f32\[3\]"):
        optimizer.apply([ONE[:2]])


def test_apply_gradients_takes_pairs_and_gives_the_count_of_steps() -> None:
    optimizer, variables = optimizers.SGD(0.1), [weight(), weight()]
    assert int(optimizer.apply_gradients(zip([ONE, ONE], variables, strict=True))) == 1
    assert int(optimizer.apply_gradients([(ONE, variables[1])])) == 2
    np.testing.assert_allclose(variables[1].numpy(), 0.8, rtol=1e-6)


def test_constraints_hold_after_each_step() -> None:
    ours, theirs = variables_of(kg, 1), variables_of(keras, 1)
    ours[0].constraint, theirs[0].constraint = kg.constraints.MaxNorm(0.5), keras.constraints.MaxNorm(0.5)
    mine, others = optimizers.SGD(0.1, name="s"), keras.optimizers.SGD(0.1, name="s")
    wanted = run_keras(others, theirs)
    step = compiled(mine, ours)
    for gradients in STEPS:
        step(gradients[0])
    assert_same(values([*ours, *mine.variables]), wanted)


def test_weight_decay_leaves_out_what_is_excluded() -> None:
    optimizer = optimizers.SGD(1.0, weight_decay=0.5)
    variables = [weight(name="kernel"), weight(name="bias"), weight(name="scale")]
    optimizer.exclude_from_weight_decay(var_list=[variables[2]], var_names=["bias"])
    optimizer.apply([np.zeros(3, "float32")] * 3, variables)
    assert [float(variable.numpy()[0]) for variable in variables] == [0.5, 1.0, 1.0]
    with pytest.raises(ArgumentError, match="only before"):
        optimizer.exclude_from_weight_decay(var_names=["kernel"])


def test_averages_take_the_place_of_weights_at_the_end() -> None:
    ours, theirs = variables_of(kg, 3), variables_of(keras, 3)
    mine, others = (library.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.7) for library in (kg, keras))
    run(mine, ours)
    run_keras(others, theirs)
    mine.finalize_variable_values(ours)
    others.finalize_variable_values(theirs)
    assert_same(values(ours), values(theirs))


def test_the_loss_is_scaled_and_its_gradients_are_scaled_back() -> None:
    optimizer, variables = optimizers.SGD(1.0, loss_scale_factor=8.0), [weight()]
    assert optimizer.scale_loss(2.0) == 16.0
    optimizer.apply([ONE * 4], variables)
    np.testing.assert_allclose(variables[0].numpy(), 0.5)


def test_stateless_apply_changes_no_variable() -> None:
    optimizer, variables = optimizers.Adam(0.1), variables_of(kg, 2)
    other, others = optimizers.Adam(0.1), variables_of(kg, 2)
    optimizer.build(variables)
    weights, state = optimizer.stateless_apply(values(optimizer.variables), STEPS[0][:2], values(variables))
    assert_same([*weights, *state], run(other, others, STEPS[:1]))
    assert_same(values(variables), STARTS[:2])
    assert int(optimizer.iterations) == 0
    with pytest.raises(ArgumentError, match="1 values for 2 weights"):
        optimizer.stateless_apply(values(optimizer.variables), STEPS[0][:2], values(variables[:1]))


# What is compiled


def test_scalars_are_computed_once_and_each_weight_takes_one_kernel() -> None:
    step = compiled(optimizers.Adam(0.1, weight_decay=0.1), variables_of(kg, 2))
    text = str(step.ir)
    assert text.count("**") == 2
    kernels = [line for line in text.splitlines() if "sqrt(" in line and "f32[3,4]" in line.rpartition(" : ")[2]]
    assert len(kernels) == 1


# Classes of one's own


class Heavy(optimizers.Optimizer):
    """Momentum, as Keras's guide writes it."""

    def __init__(self, learning_rate: float = 0.1, momentum: float = 0.9, **others: Any) -> None:
        super().__init__(learning_rate=learning_rate, **others)
        self.momentum = momentum

    def build(self, variables: Any) -> None:
        super().build(variables)
        self.speeds = [self.add_variable_from_reference(reference_variable=one, name="speed") for one in variables]
        self.calls = self.add_variable(shape=(), dtype="int32", name="calls")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        rate = ops.cast(learning_rate, variable.dtype)
        speed = self.speeds[self._get_variable_index(variable)]
        self.assign(speed, ops.subtract(ops.multiply(speed, self.momentum), ops.multiply(gradient, rate)))
        self.assign_add(variable, speed)
        self.assign_add(self.calls, 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum}


def test_an_optimizer_of_ones_own_runs_at_once_and_compiled() -> None:
    wanted = run_keras(keras.optimizers.SGD(0.1, momentum=0.9), variables_of(keras, 2))[:2]
    variables = variables_of(kg, 2)
    run(Heavy(), variables)
    assert_same(values(variables), wanted)
    optimizer, variables = Heavy(name="heavy"), variables_of(kg, 2)
    step = compiled(optimizer, variables)
    for gradients in STEPS:
        step(*gradients[:2])
    assert_same(values(variables), wanted)
    assert int(optimizer.calls) == 20
    assert [one.path for one in optimizer.variables[2:]] == ["heavy/w0_speed", "heavy/w1_speed", "heavy/calls"]


def test_an_optimizer_of_ones_own_is_described_and_found() -> None:
    described = optimizers.serialize(Heavy(momentum=0.5, clipnorm=1.0))
    again = optimizers.deserialize(described, custom_objects={"Heavy": Heavy})
    assert (type(again), again.momentum, again.clipnorm) == (Heavy, 0.5, 1.0)


def test_variables_in_attributes_belong_to_the_state() -> None:
    optimizer = Heavy()
    optimizer.extra = kg.Variable(0.0)
    assert optimizer.variables[-1] is optimizer.extra


def test_a_constructor_must_call_that_of_optimizer_first() -> None:
    class Hasty(optimizers.Optimizer):
        def __init__(self) -> None:
            self.momentum = 0.5
            super().__init__(0.1)

    with pytest.raises(SettingError, match=r"must call super\(\).__init__\(\) before it sets momentum"):
        Hasty()


# Saved state, names and arguments


def test_saved_state_of_another_size_is_not_loaded() -> None:
    optimizer = optimizers.Adam(0.1)
    optimizer.build([weight()])
    with pytest.warns(UserWarning, match="has 4 variables, the saved optimizer 1, so none is loaded"):
        optimizer.load_own_variables({"0": 3})
    with pytest.raises(ArgumentError, match="2 arrays for the 4 variables"):
        optimizer.set_weights([3, 0.1])


def test_optimizers_are_found_by_name_config_and_class() -> None:
    adam = optimizers.Adam()
    for given in ("adam", "Adam", adam, optimizers.Adam, {"class_name": "adam", "config": {}}):
        assert type(optimizers.get(given)) is optimizers.Adam
    assert optimizers.get(adam) is adam
    assert optimizers.get(None) is None
    assert type(optimizers.get("lamb")) is optimizers.Lamb
    with pytest.raises(ArgumentError, match="unknown optimizer 'adan'; did you mean 'adam'"):
        optimizers.get("adan")
    for wrong in (3, len, kg.losses.Loss):
        with pytest.raises(ArgumentError, match="is no optimizer"):
            optimizers.get(wrong)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clipnorm": 1.0, "clipvalue": 1.0}, "only one of clipnorm, clipvalue and global_clipnorm"),
        ({"gradient_accumulation_steps": 1}, "gradient_accumulation_steps must be"),
        ({"use_ema": True, "ema_momentum": 1.5}, r"ema_momentum must lie in \[0, 1\], and is 1.5"),
        ({"use_ema": True, "ema_overwrite_frequency": 0.5}, "ema_overwrite_frequency must be None or"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'"),
        ({"lr": 0.1}, "SGD does not know the arguments lr"),
        ({"momentum": 2.0}, "momentum must lie in"),
    ],
)
def test_bad_arguments_say_what_is_wrong(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        optimizers.SGD(**settings)


def test_a_decay_of_old_is_ignored_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="ignore `decay`"):
        optimizers.SGD(0.1, decay=1e-3)
    with pytest.raises(ArgumentError, match="needs a weight_decay"):
        optimizers.AdamW(weight_decay=None)
