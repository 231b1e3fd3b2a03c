"""What is measured, and how numbers are compared."""

from __future__ import annotations

import numpy as np
import pytest

from kgraph.bench.case import Task, case_of, difference, keep, kept


def test_difference_is_a_part_of_the_largest_number() -> None:
    a = [np.array([10.0, 1.0])]
    assert difference(a, [np.array([10.0, 1.5])]) == pytest.approx(0.05)
    assert difference(a, a) == 0
    assert difference(a, [*a, *a]) == float("inf")


def test_a_nan_on_one_side_is_a_difference() -> None:
    assert not difference([np.array([1.0])], [np.array([np.nan])]) <= 1


def test_weights_travel_from_one_model_to_its_like() -> None:
    first, second = (case_of(Task("normalised mlp", 2)) for _ in range(2))
    values = kept(first)
    assert len(values) == len(first.variables) == 12
    assert all(np.array_equal(values[key], kept(second)[key]) for key in values), "two runs have the same weights"
    values = {key: value + 1 for key, value in values.items()}
    assert any(not np.array_equal(values[key], kept(second)[key]) for key in values)
    keep(second, values)
    assert all(np.array_equal(values[key], kept(second)[key]) for key in values)


def test_forward_alone_asks_for_no_loss() -> None:
    case = case_of(Task("embedding 20 x 32", 2, ("forward",)))
    assert case.loss is None and case.inputs[0].shape == (2, 20)


def test_a_task_is_named_by_its_file_or_its_model() -> None:
    assert Task("mlp 64-64-10", 1).name == "mlp 64-64-10"
    assert Task("some/folder/file.py:build", 1).name == "file.py:build"
