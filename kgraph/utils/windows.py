"""Windows cut out of a series, as a dataset."""

from __future__ import annotations

from typing import Any

import numpy as np

from kgraph.errors import ArgumentError
from kgraph.utils.datasets import PyDataset


class Windows(PyDataset):
    """Batches of windows of a series, and of their targets."""

    def __init__(
        self, data: np.ndarray, targets: np.ndarray | None, starts: np.ndarray, offsets: np.ndarray, size: int | None
    ) -> None:
        super().__init__()
        self.data, self.targets, self.starts, self.offsets = data, targets, starts, offsets
        self.batch_size = size

    def __len__(self) -> int:
        return len(self.starts) if self.batch_size is None else -(-len(self.starts) // self.batch_size)

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} batches of windows, and no batch {index}")
        size = self.batch_size
        starts = self.starts[index] if size is None else self.starts[index * size : (index + 1) * size]
        windows = self.data[starts[..., None] + self.offsets]
        return windows if self.targets is None else (windows, self.targets[starts])


def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
) -> Windows:
    """The windows of a series, in batches for `fit`: a PyDataset, where Keras gives a dataset of TensorFlow.

    data: one time step for each entry of its first axis. A window has sequence_length steps, sampling_rate apart; the
    next begins sequence_stride steps later. targets: None, or what belongs to the window that begins at each step.
    batch_size: None for one window after the other, without an axis for the batch. shuffle: mix the windows, by seed
    or else by numpy's random numbers. Only steps from start_index up to, not with, end_index are looked at.

    Raises ArgumentError for numbers that do not fit the data.
    """
    data = np.asarray(data)
    length = len(data)
    _check("start_index", start_index, 0, length - 1)
    _check("end_index", end_index, (start_index or 0) + 1, length)
    _check("sequence_length", sequence_length, 1, length)
    _check("sequence_stride", sequence_stride, 1, length - 1)
    _check("sampling_rate", sampling_rate, 1, length - 1)
    _check("batch_size", batch_size, 1, None)
    part = slice(start_index or 0, end_index)
    number = len(data[part]) - (sequence_length - 1) * sampling_rate
    if targets is not None:
        targets = np.asarray(targets)
        number = min(number, len(targets))
        targets = targets[part]
        number = min(number, len(targets))
    if number < 1:
        raise ArgumentError(
            f"no window of {sequence_length} steps, {sampling_rate} apart, fits the {len(data[part])} steps"
            + ("" if targets is None else f" and {len(targets)} targets")
        )
    starts = np.arange(0, number, sequence_stride)
    if shuffle:
        np.random.RandomState(np.random.randint(1_000_000) if seed is None else seed).shuffle(starts)
    return Windows(data[part], targets, starts, np.arange(sequence_length) * sampling_rate, batch_size)


def _check(name: str, value: Any, low: int, high: int | None) -> None:
    if value is None:
        return
    if not isinstance(value, (int, np.integer)) or value < low or (high is not None and value > high):
        raise ArgumentError(
            f"{name} is a whole number from {low} {'on' if high is None else f'to {high}'}, not {value!r}"
        )
