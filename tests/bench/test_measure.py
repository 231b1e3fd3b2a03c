"""Comparing contestants, and the room a measurement is made in."""

from __future__ import annotations

import os

import numpy as np
import pytest

from kgraph import config
from kgraph.bench.measure import bound_to, difference, empty_cache


def test_difference_is_a_part_of_the_largest_number() -> None:
    a = [np.array([10.0, 1.0])]
    assert difference(a, [np.array([10.0, 1.5])]) == pytest.approx(0.05)
    assert difference(a, a) == 0
    assert difference(a, [*a, *a]) == float("inf")


def test_a_nan_on_one_side_is_a_difference() -> None:
    assert not difference([np.array([1.0])], [np.array([np.nan])]) <= 1


def test_the_cache_is_empty_inside_and_put_back_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRAPH_CACHE_DIR", "before")
    with empty_cache():
        folder = config.cache_dir()
        assert folder is not None and list(folder.iterdir()) == []
    assert os.environ["KGRAPH_CACHE_DIR"] == "before" and not folder.exists()
    monkeypatch.delenv("KGRAPH_CACHE_DIR")
    with empty_cache():
        pass
    assert "KGRAPH_CACHE_DIR" not in os.environ


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not bind processes to CPUs")
def test_threads_bind_the_process_for_a_while() -> None:
    before = os.sched_getaffinity(0)
    with bound_to(1):
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before
