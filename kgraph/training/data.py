"""What `fit`, `evaluate` and `predict` take for data, as batches of arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from kgraph import config, tree
from kgraph.errors import ArgumentError, DTypeError, ShapeError
from kgraph.graph.types import is_floating, numpy_dtype

BATCH_SIZE = 32
_END = object()
Batch = tuple[Any, ...]  # (x,), (x, y) or (x, y, sample_weight), each a nest of arrays


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """What `train_step` is given: x, (x, y) or (x, y, sample_weight). Source: Keras."""
    if y is None:
        return (x,) if tree.is_nested(x) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """x, y and sample_weight of what `train_step` is given, None for what is not there. Source: Keras.

    ArgumentError for a tuple of more than three.
    """
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise ArgumentError(f"a batch is x, (x, y) or (x, y, sample_weight), and not a tuple of {len(data)}")
    x, y, sample_weight = (*data, None, None)[:3]
    return x, y, sample_weight


def as_tensor(value: Any, what: str = "x") -> np.ndarray:
    """An array of a dtype that kernels take, in C order: floats as `config.floatx()`, integers of 64 bits as of 32.

    Takes what has numbers in it: arrays, lists, pandas frames and series, tensors of torch, jax and TensorFlow.
    DTypeError for anything else, and for integers that 32 bits do not hold.
    """
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ShapeError(f"{what} is no array: {error}; rows of different lengths want utils.pad_sequences") from None
    if is_floating(array.dtype):
        return np.ascontiguousarray(array, numpy_dtype(config.floatx())).reshape(array.shape)
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        if array.size and not -(2**31) <= array.min() <= array.max() < 2**31:
            raise DTypeError(f"{what} has integers that do not fit 32 bits: up to {array.max()}")
        return np.ascontiguousarray(array, np.int32).reshape(array.shape)
    if array.dtype.kind not in "iub":
        raise DTypeError(f"{what} must have numbers, and is {array.dtype}: {value!r:.60}")
    native = array.dtype.newbyteorder("=")
    return np.ascontiguousarray(array, native).reshape(array.shape)


def as_nest(value: Any, what: str) -> Any:
    """A nest of arrays. Lists of numbers, at any depth, are one array; lists of arrays are several."""
    if isinstance(value, Mapping) and not hasattr(value, "to_numpy"):
        return {key: as_nest(one, f"{what}[{key!r}]") for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        parts = [one for one in tree.flatten(value) if one is not None]
        if (parts or not value) and not any(hasattr(one, "shape") for one in parts):
            return as_tensor(value, what)
        return type(value)(as_nest(one, f"{what}[{number}]") for number, one in enumerate(value))
    return None if value is None else as_tensor(value, what)


def length(data: Any) -> int:
    """The number of samples of a nest of arrays; ShapeError if they differ."""
    sizes: dict[int, tuple[int, ...]] = {}
    for array in tree.flatten(data):
        if array is not None:
            if not array.shape:
                raise ShapeError("every array of a dataset needs an axis of samples, and one is a single number")
            sizes.setdefault(array.shape[0], array.shape)
    if len(sizes) > 1:
        raise ShapeError(f"data of different lengths: {', '.join(map(str, sizes))} samples")
    return next(iter(sizes), 0)


def class_weights(y: Any, weights: Mapping[int, float]) -> np.ndarray:
    """A weight for each sample from that of its class; 1 for classes that are not named. Source: Keras.

    ArgumentError for what is no dict, and for several targets: it would not be clear whose classes are meant.
    """
    if not isinstance(weights, Mapping):
        raise ArgumentError(f"class_weight is a dict of weights by class, as {{0: 1.0, 1: 2.5}}, not {weights!r:.60}")
    if tree.is_nested(y):
        raise ArgumentError("class_weight wants a single target; give sample_weight for models with several outputs")
    classes = np.asarray(y)
    if classes.ndim > 1:
        classes = classes.argmax(-1) if classes.shape[-1] != 1 else classes[..., 0]
    found = np.ones(classes.shape, config.floatx())
    for key, weight in weights.items():
        found[classes.astype(np.int64) == key] = weight
    return found


class Arrays:
    """A dataset in memory: samples along the first axis of every array."""

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        batch_size: int | None = None,
        shuffle: Any = False,
        class_weight: Mapping[int, float] | None = None,
    ) -> None:
        x, y = as_nest(x, "x"), as_nest(y, "y")
        if class_weight is not None:
            if sample_weight is not None:
                raise ArgumentError("give class_weight or sample_weight, and not both")
            if y is None:
                raise ArgumentError("class_weight wants targets: pass y")
            sample_weight = class_weights(y, class_weight)
        self.weighs_classes = class_weight is not None
        weights = as_nest(sample_weight, "sample_weight")
        self.data = pack_x_y_sample_weight(x, y, _floats(weights))
        self.size = length(self.data)
        self.batch_size = checked_batch_size(batch_size)
        self.shuffle = shuffle
        if shuffle not in (True, False, "batch"):
            raise ArgumentError(f'shuffle is True, False or "batch", not {shuffle!r}')
        self._next = 0  # the batch that comes next
        self._order: np.ndarray | None = None  # of the pass that it belongs to

    @property
    def steps(self) -> int:
        """Batches in an epoch, an incomplete last one counted."""
        return -(-self.size // self.batch_size)

    def order(self) -> np.ndarray | None:
        """The samples of the next epoch in the order in which they come; None for that in which they are there."""
        if self.shuffle is False:
            return None
        if self.shuffle == "batch":
            full = self.size // self.batch_size * self.batch_size
            batches = np.random.permutation(full // self.batch_size)
            whole = (batches[:, None] * self.batch_size + np.arange(self.batch_size)).reshape(-1)
            return np.concatenate([whole, np.arange(full, self.size)])
        return np.random.permutation(self.size)

    def passes(self, steps: int | None) -> Iterator[tuple[np.ndarray | None, int, int]]:
        """The batches of one epoch: (order, first, end) for each pass over the data that they belong to.

        A pass that the epoch before broke off goes on; another begins where there are fewer batches than steps.
        """
        left = self.steps if steps is None else steps
        while left:
            if self._next == 0:
                self._order = self.order()
            first = self._next
            end = min(self.steps, first + left)
            left, self._next = left - (end - first), end % self.steps
            yield self._order, first, end

    def start_over(self) -> None:
        """Let the next epoch begin with the first batch."""
        self._next = 0

    def batch(self, number: int, order: np.ndarray | None = None) -> Any:
        """One batch, copied together where the order is not that of the arrays."""
        part = slice(number * self.batch_size, min((number + 1) * self.batch_size, self.size))
        chosen = part if order is None else order[part]
        return _taken(self.data, chosen)

    def split(self, share: float) -> tuple[Arrays, Arrays]:
        """All but the last samples, and the last: this share of them, which weights of classes do not concern."""
        if not 0 < share < 1:
            raise ArgumentError(f"validation_split is between 0 and 1, not {share}")
        at = int(self.size * (1 - share))
        if not 0 < at < self.size:
            raise ArgumentError(f"validation_split={share} of {self.size} samples leaves one part empty")
        kept, held_out = self.part(slice(0, at)), self.part(slice(at, None))
        if self.weighs_classes:
            x, y, _ = unpack_x_y_sample_weight(held_out.data)
            held_out.data = pack_x_y_sample_weight(x, y)
        return kept, held_out

    def part(self, chosen: slice) -> Arrays:
        """Some of the samples."""
        made = object.__new__(Arrays)
        made.__dict__.update(self.__dict__, data=_taken(self.data, chosen))
        made.size = length(made.data)
        return made


class Batches:
    """A dataset that comes in batches: a generator, an iterable, a PyDataset, or a loader like torch's."""

    def __init__(self, source: Any, class_weight: Mapping[int, float] | None = None, shuffle: bool = False) -> None:
        self.source, self.class_weight, self.shuffle = source, class_weight, shuffle
        self._running: Iterator[Any] | None = None  # of a generator, which goes on in the next epoch

    @property
    def steps(self) -> int | None:
        """Batches in an epoch; None where only the end will tell."""
        return len(self.source) if hasattr(self.source, "__len__") else None

    def epoch(self, steps: int | None) -> Iterator[Any]:
        """The batches of one epoch: `steps` of them, or all that come.

        What can begin anew does so where it ends before there are steps enough; a generator goes on. A PyDataset hears
        of the beginning, and of the end unless the epoch is broken off, as in Keras.
        """
        self._tell("on_epoch_begin")
        yield from self._batches(steps)
        self._tell("on_epoch_end")

    def start_over(self) -> None:
        """Let the next epoch begin with the first batch; a generator goes on."""
        self._running = None

    def _tell(self, event: str) -> None:
        if hasattr(self.source, event):
            getattr(self.source, event)()

    def _batches(self, steps: int | None) -> Iterator[Any]:
        running = None if steps in (None, self.steps) else self._running
        is_new = running is None  # it has given no batch yet
        running = self._begin() if running is None else running
        again, count = not is_generator(self.source), 0
        while steps is None or count < steps:
            given = next(running, _END)
            if given is _END:
                self._running = None
                if steps is None or not again or is_new:
                    return
                running, is_new = self._begin(), True
                continue
            self._running, count, is_new = running, count + 1, False
            yield self._batch(given)

    def _begin(self) -> Iterator[Any]:
        count = getattr(self.source, "num_batches", None)  # of a PyDataset
        if self.shuffle and count is not None:
            return (self.source[int(number)] for number in np.random.permutation(count))
        if hasattr(self.source, "__getitem__") and not hasattr(self.source, "__iter__"):
            return (self.source[number] for number in range(len(self.source)))
        return iter(self.source)

    def _batch(self, given: Any) -> Any:
        x, y, weights = unpack_x_y_sample_weight(given)
        x, y = as_nest(x, "x"), as_nest(y, "y")
        if self.class_weight is not None and weights is None:
            weights = class_weights(y, self.class_weight)
        data = pack_x_y_sample_weight(x, y, _floats(as_nest(weights, "sample_weight")))
        length(data)
        return data


def dataset(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    shuffle: Any = False,
    class_weight: Mapping[int, float] | None = None,
) -> Arrays | Batches:
    """The batches of what a user gave for x, y and sample_weight.

    ArgumentError for targets beside an object that brings its own.
    """
    if not comes_in_batches(x):
        return Arrays(x, y, sample_weight, batch_size, shuffle, class_weight)
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise ArgumentError(f"a {type(x).__name__} brings (x, y, sample_weight) itself; leave {name} out")
    return Batches(x, class_weight, bool(shuffle))


def comes_in_batches(x: Any) -> bool:
    """Whether it gives batches one after the other, and is no array or nest of arrays."""
    if x is None:
        raise ArgumentError("there is no data: x is None")
    if hasattr(x, "shape") or isinstance(x, (list, tuple, Mapping, str)):
        return False
    return isinstance(x, Iterable) or (hasattr(x, "__getitem__") and hasattr(x, "__len__"))


def is_generator(source: Any) -> bool:
    """Whether it is used up as it goes."""
    return iter(source) is source if hasattr(source, "__iter__") else False


def checked_batch_size(size: Any) -> int:
    """The batch size, 32 for None; ArgumentError unless it is a positive integer."""
    if size is None:
        return BATCH_SIZE
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
        raise ArgumentError(f"batch_size is an integer from 1 on, not {size!r}")
    return int(size)


def _taken(data: Any, chosen: Any) -> Any:
    return tree.map_structure(lambda array: None if array is None else array[chosen], data)


def _floats(weights: Any) -> Any:
    floatx = numpy_dtype(config.floatx())
    return tree.map_structure(lambda one: None if one is None else np.ascontiguousarray(one, floatx), weights)
