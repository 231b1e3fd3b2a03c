"""Datasets in batches and in two parts."""

from __future__ import annotations

import random
from itertools import islice
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph.errors import ArgumentError, ShapeError
from kgraph.utils import PyDataset, Sequence, split_dataset, timeseries_dataset_from_array

X, Y = np.arange(20).reshape(10, 2), np.arange(10)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"left_size": 0.8}, (8, 2)),
        ({"right_size": 3}, (7, 3)),
        ({"left_size": 2, "right_size": 3}, (2, 3)),
        ({"left_size": 0.25, "right_size": 0.25}, (2, 2)),
        ({"left_size": np.int64(4)}, (4, 6)),
    ],
)
def test_the_first_and_the_last_samples(sizes: dict[str, Any], expected: tuple[int, int]) -> None:
    (left_x, left_y), (right_x, right_y) = split_dataset((X, Y), **sizes)
    left, right = expected
    np.testing.assert_array_equal(left_x, X[:left])
    np.testing.assert_array_equal(left_y, Y[:left])
    np.testing.assert_array_equal(right_x, X[10 - right :])
    np.testing.assert_array_equal(right_y, Y[10 - right :])


def test_sizes_are_those_of_keras() -> None:
    keras = pytest.importorskip("keras")
    from keras.src.utils.dataset_utils import _rescale_dataset_split_sizes

    assert keras
    for sizes in ((0.8, None), (None, 3), (2, 3), (0.25, 0.25), (0.35, None), (None, 0.15), (0.5, 0.5)):
        left, right = split_dataset(np.arange(10), *sizes)
        assert (len(left), len(right)) == _rescale_dataset_split_sizes(*sizes, 10)


def test_parts_are_nests_like_the_dataset() -> None:
    left, right = split_dataset({"x": X, "y": [Y, Y]}, 0.5)
    assert left["x"].shape == (5, 2) and len(right["y"]) == 2
    left, right = split_dataset([1.0, 2.0, 3.0], right_size=1)
    np.testing.assert_array_equal(left, [1, 2])
    np.testing.assert_array_equal(right, [3])


def test_samples_are_mixed_together_and_by_a_seed() -> None:
    left, right = split_dataset((X, Y), 0.5, shuffle=True, seed=1)
    again, _ = split_dataset((X, Y), 0.5, shuffle=True, seed=1)
    np.testing.assert_array_equal(left[0], again[0])
    for x, y in (left, right):
        np.testing.assert_array_equal(x[:, 0], 2 * y)
    assert sorted([*left[1], *right[1]]) == list(Y) and list(left[1]) != list(Y[:5])
    draws = []
    for _ in range(2):
        random.seed(3)
        draws.append(split_dataset(Y, 0.5, shuffle=True)[0].tolist())
    assert draws[0] == draws[1]


@pytest.mark.parametrize(
    "sizes", [(), (0,), (10,), (1.0,), (0.0,), (-1,), (True,), ("half",), (0.99,), (None, 0.01), (0.6, 0.6), (8, 3)]
)
def test_sizes_that_do_not_fit_are_refused(sizes: tuple[Any, ...]) -> None:
    with pytest.raises(ArgumentError):
        split_dataset(Y, *sizes)


@pytest.mark.parametrize("dataset", [(X, Y[:5]), [], 3.0])
def test_arrays_of_different_lengths_are_refused(dataset: Any) -> None:
    with pytest.raises((ShapeError, ArgumentError)):
        split_dataset(dataset, 0.5)


class Numbers(PyDataset):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        return np.full(2, index)


def test_a_dataset_gives_its_batches() -> None:
    data = Numbers(workers=4, use_multiprocessing=True, max_queue_size=2)
    assert (data.workers, data.use_multiprocessing, data.max_queue_size, data.num_batches) == (4, True, 2, 3)
    assert [batch[0] for batch in data] == [0, 1, 2]
    data.on_epoch_begin()
    data.on_epoch_end()
    assert Sequence is PyDataset


def test_a_dataset_may_have_no_end_and_must_say_what_it_has() -> None:
    class Endless(PyDataset):
        @property
        def num_batches(self) -> int | None:
            return None

        def __getitem__(self, index: int) -> Any:
            return index

    assert list(islice(Endless(), 4)) == [0, 1, 2, 3]
    with pytest.raises(NotImplementedError, match="PyDataset must define __len__ or num_batches"):
        list(PyDataset())
    with pytest.raises(NotImplementedError, match="must define __getitem__"):
        PyDataset()[0]


SERIES = np.arange(24.0).reshape(12, 2)


@pytest.mark.parametrize(
    ("options", "firsts", "step"),
    [
        ({}, range(10), 1),
        ({"sequence_stride": 3}, [0, 3, 6, 9], 1),
        ({"sampling_rate": 2}, range(8), 2),
        ({"start_index": 2, "end_index": 9}, [2, 3, 4, 5, 6], 1),
    ],
)
def test_windows_of_a_series_come_in_batches_with_their_targets(options: Any, firsts: Any, step: int) -> None:
    dataset = timeseries_dataset_from_array(SERIES, Y, 3, batch_size=4, **options)
    x, y = (np.concatenate(parts) for parts in zip(*dataset, strict=True))
    assert [len(batch[1]) for batch in dataset][:-1] == [4] * (len(dataset) - 1)
    np.testing.assert_array_equal(y, Y[list(firsts)])
    np.testing.assert_array_equal(x, np.stack([SERIES[first : first + 3 * step : step] for first in firsts]))


def test_windows_without_targets_one_by_one_and_mixed() -> None:
    single = timeseries_dataset_from_array(SERIES, None, 5, batch_size=None)
    assert [window.shape for window in single] == [(5, 2)] * 8
    mixed = timeseries_dataset_from_array(SERIES, None, 5, shuffle=True, seed=1)
    starts = [int(window[0, 0]) // 2 for window in mixed[0]]
    assert starts != sorted(starts) and sorted(starts) == list(range(8))


def test_windows_are_data_for_fit() -> None:
    model = kg.Sequential([kg.Input((3, 2)), kg.layers.Flatten(), kg.layers.Dense(1)])
    model.compile("sgd", "mse")
    dataset = timeseries_dataset_from_array(SERIES / 24, Y[:, None] / 10, 3, batch_size=4)
    assert len(model.fit(dataset, epochs=2, verbose=0).history["loss"]) == 2
    assert model.predict(dataset, verbose=0).shape == (10, 1)


@pytest.mark.parametrize(
    "options",
    [
        {"sequence_length": 0},
        {"sequence_length": 13},
        {"sampling_rate": 0},
        {"sequence_stride": 12},
        {"batch_size": 0},
        {"start_index": 12},
        {"start_index": 5, "end_index": 5},
        {"sequence_length": 7, "sampling_rate": 2},
    ],
)
def test_windows_that_do_not_fit_the_series_are_refused(options: Any) -> None:
    with pytest.raises(ArgumentError, match="|".join([*options, "no window"])):
        timeseries_dataset_from_array(SERIES, None, **{"sequence_length": 3, **options})
