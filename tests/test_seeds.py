"""The stream of seeds that nobody gave."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import pytest

import kgraph as kg
from kgraph.errors import ArgumentError
from kgraph.seeds import next_seed, set_seed


def test_set_seed_starts_the_stream_anew() -> None:
    set_seed(5)
    first = [next_seed() for _ in range(3)]
    set_seed(5)
    assert [next_seed() for _ in range(3)] == first
    assert len(set(first)) == 3


def test_seeds_are_those_that_keras_draws() -> None:
    keras.utils.set_random_seed(12)
    theirs = [keras.initializers.RandomNormal().seed for _ in range(5)]
    set_seed(12)
    assert [next_seed() for _ in range(5)] == theirs


def test_a_random_seed_starts_draws_without_a_seed_anew() -> None:
    kg.utils.set_random_seed(3)
    first = kg.random.normal((4,))
    assert not np.array_equal(kg.random.normal((4,)), first)
    kg.utils.set_random_seed(3)
    np.testing.assert_array_equal(kg.random.normal((4,)), first)


def test_threads_share_the_stream() -> None:
    set_seed(1)
    wanted = [next_seed() for _ in range(2000)]
    set_seed(1)
    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(lambda _: next_seed(), range(2000)))
    assert sorted(drawn) == sorted(wanted)


@pytest.mark.parametrize("seed", [1.5, "7", None])
def test_the_stream_starts_from_an_int(seed: Any) -> None:
    with pytest.raises(ArgumentError, match="a seed is an int"):
        set_seed(seed)


def test_a_seed_may_be_an_integer_of_numpy() -> None:
    kg.utils.set_random_seed(3)
    first = [next_seed(), np.random.rand(), random.random()]
    kg.utils.set_random_seed(np.int64(3))
    assert [next_seed(), np.random.rand(), random.random()] == first


@pytest.mark.parametrize("seed", [1.5, "7", None, -1, 2**32])
def test_a_seed_that_is_none_leaves_all_generators_as_they_are(seed: Any) -> None:
    before = random.getstate()
    with pytest.raises(ArgumentError, match="seed"):
        kg.utils.set_random_seed(seed)
    assert random.getstate() == before
