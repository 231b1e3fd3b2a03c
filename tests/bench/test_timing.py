"""The clock: samples, rounds, and what is told of them."""

from __future__ import annotations

import gc
from itertools import pairwise
from time import sleep

import pytest

from kgraph.bench.timing import ROUNDS, WARM_UP, Sample, contest, repetitions, without_garbage_collection


def test_median_and_p95() -> None:
    sample = Sample(tuple(float(n) for n in range(1, 101)), 3)
    assert (sample.median, sample.p95, sample.calls) == (50.5, 95.0, 300)
    assert Sample((2.0,), 1).p95 == 2.0


def test_short_calls_are_measured_many_at_a_time() -> None:
    assert repetitions(lambda: None) > 10
    assert repetitions(lambda: sleep(0.001)) == 1


def test_contestants_take_turns() -> None:
    order: list[str] = []

    def slow(name: str) -> None:
        order.append(name)
        sleep(0.001)

    found = contest({"a": lambda: slow("a"), "b": lambda: slow("b")}, 0.001)
    turns = order[2 * WARM_UP :]
    changes = sum(one != other for one, other in pairwise(turns))
    assert changes >= 2 * ROUNDS - 1
    assert all(len(sample.seconds) >= ROUNDS and sample.median >= 0.001 for sample in found.values())


def test_garbage_collection_is_put_back() -> None:
    with pytest.raises(ZeroDivisionError), without_garbage_collection():
        assert not gc.isenabled()
        raise ZeroDivisionError
    assert gc.isenabled()
