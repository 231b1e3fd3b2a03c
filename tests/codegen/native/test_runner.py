"""The runner: arguments, extents, and where it stops."""

from __future__ import annotations

import numpy as np
import pytest

from kgraph.codegen.native.runner import MOST_ARGUMENTS, Step, encode, failure


def frame_of(*values: int | np.ndarray) -> np.ndarray:
    """A frame: addresses for arrays, numbers as they are."""
    return np.array([v.ctypes.data if isinstance(v, np.ndarray) else v for v in values], np.int64)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("grain", [1, 3, 100])
def test_steps_run_in_order_and_find_their_arguments(native, tasks, threads, grain):
    first, second, third = np.arange(20), np.zeros(20, np.int64), np.zeros(20, np.int64)
    frame = frame_of(third, second, first, 20, grain)
    steps = [Step(tasks["copy"], 3, 4, (2, 1)), Step(tasks["copy"], 3, 4, (1, 0))]
    assert native.run(encode(steps), len(steps), frame, threads) == 0
    np.testing.assert_array_equal(third, first)


def test_an_extent_of_zero_or_less_skips_the_step(native, tasks):
    for extent in (0, -3):
        step = Step(tasks["fail"], 0, 3, (1, 2))
        assert native.run(encode([step]), 1, frame_of(extent, 0, 5, 1), 2) == 0


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("grain", [1, 50])
def test_a_failing_step_is_named_and_ends_the_run(native, tasks, threads, grain):
    source, target = np.ones(10, np.int64), np.zeros(10, np.int64)
    frame = frame_of(10, 0, 7, source, target, grain)
    steps = [
        Step(tasks["fail"], 0, 5, (0, 2)),  # fails at index 10, which is never begun
        Step(tasks["fail"], 0, 5, (1, 2)),
        Step(tasks["copy"], 0, 5, (3, 4)),
    ]
    assert failure(native.run(encode(steps), len(steps), frame, threads)) == (1, 7)
    assert not target.any()


def test_no_steps_are_no_failure(native):
    assert native.run(encode([]), 0, frame_of(0), 1) == 0


def test_a_record_is_its_head_and_its_slots():
    assert encode([Step(111, 2, 33, (4, 5)), Step(6, 7, 8, ())]).tolist() == [111, 2, 33, 2, 4, 5, 6, 7, 8, 0]


def test_as_many_arguments_as_fit_do(native, tasks):
    source, target = np.arange(5), np.zeros(5, np.int64)
    slots = (1, 2, *[0] * (MOST_ARGUMENTS - 2))
    assert native.run(encode([Step(tasks["copy"], 0, 0, slots)]), 1, frame_of(5, source, target), 1) == 0
    np.testing.assert_array_equal(target, source)


def test_too_many_arguments_are_refused_when_the_step_is_made():
    with pytest.raises(ValueError, match="at most 1024 arguments, not 1025"):
        Step(0, 0, 1, [0] * (MOST_ARGUMENTS + 1))
