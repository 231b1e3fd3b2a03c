"""Data in batches, and data in two parts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np

from kgraph import tree
from kgraph.errors import ArgumentError, ShapeError


class PyDataset:
    """Batches that are made when they are needed: `fit`, `evaluate` and `predict` take one for x.

    A subclass defines `__len__`, the number of batches (or the property `num_batches`, None for batches without end),
    and `__getitem__(index)`, a batch: x, (x, y) or (x, y, sample_weight). `on_epoch_begin` and `on_epoch_end` may
    change it between epochs.

    workers, use_multiprocessing and max_queue_size are accepted, and one batch is made after the other.
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self.workers, self.use_multiprocessing, self.max_queue_size = workers, use_multiprocessing, max_queue_size

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(index), which gives a batch")

    def __iter__(self) -> Iterator[Any]:
        number = self.num_batches
        yield from (self[index] for index in (count() if number is None else range(number)))

    @property
    def num_batches(self) -> int | None:
        """The number of batches; None if they have no end."""
        if hasattr(self, "__len__"):
            return len(self)
        raise NotImplementedError(f"{type(self).__name__} must define __len__ or num_batches, the number of batches")

    def on_epoch_begin(self) -> None:
        """An epoch begins."""

    def on_epoch_end(self) -> None:
        """An epoch has ended."""


Sequence = PyDataset


def split_dataset(
    dataset: Any,
    left_size: float | None = None,
    right_size: float | None = None,
    shuffle: bool = False,
    seed: int | None = None,
) -> tuple[Any, Any]:
    """The first and the last samples of a dataset, as two.

    dataset: an array (a list of numbers is one), or a list, tuple or dict of arrays with as many samples each. Each
    part is such a nest of arrays too, ready for `fit(*left)`; Keras gives datasets of TensorFlow or torch here.
    left_size, right_size: a number of samples, or a share from 0 to 1; what is not given is the rest, and one must be.
    shuffle: mix the samples before, by `seed` or else by Python's random numbers.

    Raises ArgumentError for sizes that do not fit the dataset, and for a part without samples; ShapeError for arrays
    of different lengths.
    """
    if isinstance(dataset, (list, tuple)) and not any(hasattr(leaf, "shape") for leaf in tree.flatten(dataset)):
        dataset = np.asarray(dataset)
    dataset = tree.map_structure(np.asarray, dataset)
    shapes = [array.shape for array in tree.flatten(dataset)]
    lengths = {shape[:1] for shape in shapes}
    if len(lengths) != 1 or () in lengths:
        raise ShapeError(f"the arrays of a dataset must have as many samples each, and have shapes {shapes}")
    (total,) = lengths.pop()
    left, right = _sizes(left_size, right_size, total)
    order = np.arange(total)
    if shuffle:
        np.random.default_rng(random.randint(0, 2**32 - 1) if seed is None else seed).shuffle(order)
    return _part(dataset, order[:left]), _part(dataset, order[total - right :])


def _part(dataset: Any, samples: np.ndarray) -> Any:
    return tree.map_structure(lambda array: array[samples], dataset)


def _sizes(left_size: float | None, right_size: float | None, total: int) -> tuple[int, int]:
    """Both sizes as numbers of samples."""
    left, right = _size("left_size", left_size, total), _size("right_size", right_size, total)
    if left is None and right is None:
        raise ArgumentError("split_dataset wants left_size or right_size")
    left = total - (right or 0) if left is None else left
    right = total - left if right is None else right
    if not left or not right:
        raise ArgumentError(f"left_size={left_size} and right_size={right_size} leave no samples to one of the parts")
    if left + right > total:
        raise ArgumentError(f"left_size={left_size} and right_size={right_size} are more than the {total} samples")
    return left, right


def _size(name: str, size: float | None, total: int) -> int | None:
    if size is None:
        return None
    if isinstance(size, (int, np.integer)) and not isinstance(size, bool) and 0 < size < total:
        return int(size)
    if isinstance(size, (float, np.floating)) and 0 < size < 1:
        return round(size * total)
    raise ArgumentError(f"{name}={size!r:.60} is neither a number of samples from 1 to {total - 1} nor a share below 1")
