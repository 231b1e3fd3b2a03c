"""The clock: samples, turns, and what is told of them."""

from __future__ import annotations

from time import perf_counter, sleep

import pytest

from kgraph.bench.timing import WARM_UP, Sample, one_turn, repetitions, rest, warm_up


def test_median_quartiles_and_p95() -> None:
    sample = Sample(tuple(float(n) for n in range(1, 101)), 3)
    assert (sample.median, sample.p95, sample.calls) == (50.5, 95.0, 300)
    assert sample.spread == pytest.approx((75 - 25) / 2 / 50.5)
    assert Sample((2.0,), 1).p95 == 2.0 and Sample((2.0,)).spread == 0


def test_short_calls_are_measured_many_at_a_time() -> None:
    assert repetitions(lambda: None) > 10
    assert repetitions(lambda: sleep(0.001)) == 1


def test_a_turn_begins_with_calls_that_do_not_count() -> None:
    calls: list[int] = []
    assert warm_up(lambda: (calls.append(1), sleep(0.001))) == 1 and len(calls) > WARM_UP
    calls.clear()
    found = one_turn(lambda: (calls.append(1), sleep(0.001)), 1, 0.02)
    assert 1 <= len(found) < len(calls)
    assert len(one_turn(lambda: sleep(0.001), 1, 0.0)) == 1


def test_a_process_at_rest_is_not_waited_for_long() -> None:
    start = perf_counter()
    rest(most=30.0)
    assert perf_counter() - start < 20.0
