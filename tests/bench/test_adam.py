"""The step that is measured, and how far two of them lie apart."""

from __future__ import annotations

import numpy as np
import pytest

from kgraph.bench.adam import DECAYS, EPSILON, RATE, Progress, adam, drift
from kgraph.bench.case import Task, case_of
from kgraph.optimizers import Adam
from kgraph.tracing.variable import Variable


def test_the_formula_is_our_optimizers() -> None:
    random = np.random.default_rng(0)
    value = random.standard_normal(5).astype(np.float32)
    variable = Variable(value, name="weight")
    optimizer = Adam(RATE, *DECAYS, epsilon=EPSILON)
    first = second = np.zeros(5)
    now = value.astype(np.float64)
    for step in range(1, 4):
        gradient = random.standard_normal(5).astype(np.float32)
        now, first, second = adam(now, gradient, first, second, step, np.sqrt)
        optimizer.apply_gradients([(gradient, variable)])
    np.testing.assert_allclose(variable.numpy() - value, now - value, atol=1e-7)


def test_progress_is_the_change_of_each_weight() -> None:
    case = case_of(Task("dense 64-64", 2, ("step",)))
    progress = Progress(case)
    found = progress.since(np.ones(1), [variable.numpy() + 1 for variable in case.model.trainable_variables])
    assert [one.shape for one in found] == [(), (64, 64), (64,)]
    assert float(found[0]) == 1 and all(np.allclose(one, 1, atol=1e-6) for one in found[1:])


def test_drift_is_the_larger_of_the_losses_and_of_all_changes() -> None:
    ours = [np.array(2.0), np.array([3.0, 0.0]), np.array([4.0])]
    assert drift(ours, ours) == 0
    assert drift([np.array(2.2), *ours[1:]], ours) == pytest.approx(0.1)
    assert drift([*ours[:2], np.array([5.0])], ours) == pytest.approx(1 / 5)
    assert drift(ours[:2], ours) == float("inf")
    assert drift([np.array(np.nan), *ours[1:]], ours) == float("inf")
