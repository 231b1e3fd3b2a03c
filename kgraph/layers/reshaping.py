"""Layers that move elements and compute nothing."""

from __future__ import annotations

from typing import Any

from kgraph import config, ops
from kgraph.errors import ArgumentError, DTypeError
from kgraph.graph.sizes import product
from kgraph.layers.layer import Layer
from kgraph.layers.spec import InputSpec


class Flatten(Layer):
    """(batch, a, b, ...) to (batch, a*b*...); (batch,) to (batch, 1).

    data_format "channels_first" puts axis 1 last before, so that both formats give the same order.
    """

    def __init__(self, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.data_format = checked_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)

    def call(self, inputs: Any) -> Any:
        rank = inputs.ndim
        if self.data_format == "channels_first" and rank > 1:
            inputs = ops.transpose(inputs, (0, *range(2, rank), 1))
        shape = inputs.type.shape
        return ops.reshape(inputs, (shape[0], product(shape[1:])))


class Reshape(Layer):
    """The elements of each sample in another shape; one size of target_shape may be -1."""

    def __init__(self, target_shape: Any, **options: Any) -> None:
        super().__init__(**options)
        self.target_shape = tuple(target_shape)
        if sum(size == -1 for size in self.target_shape) > 1:
            raise ArgumentError(f"at most one size of target_shape may be -1: {self.target_shape}")
        if any(not isinstance(size, int) or size < -1 for size in self.target_shape):
            raise ArgumentError(f"target_shape has whole numbers and at most one -1, not {self.target_shape}")

    def call(self, inputs: Any) -> Any:
        return ops.reshape(inputs, (inputs.type.shape[0], *self.target_shape))


class Permute(Layer):
    """Axes in another order; dims counts them from 1 and leaves out the batch: (2, 1) swaps the two after it."""

    def __init__(self, dims: Any, **options: Any) -> None:
        super().__init__(**options)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ArgumentError(f"dims must have each of 1 to {len(self.dims)} once, not {self.dims}")
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs: Any) -> Any:
        return ops.transpose(inputs, (0, *self.dims))


class RepeatVector(Layer):
    """(batch, features) to (batch, n, features)."""

    def __init__(self, n: int, **options: Any) -> None:
        super().__init__(**options)
        if isinstance(n, bool) or not isinstance(n, int):
            raise DTypeError(f"RepeatVector wants n as a whole number, not {n!r}")
        if n <= 0:
            raise ArgumentError(f"RepeatVector wants n above 0, not {n}")
        self.n = n
        self.input_spec = InputSpec(ndim=2)

    def call(self, inputs: Any) -> Any:
        batch, features = inputs.type.shape
        return ops.broadcast_to(ops.expand_dims(inputs, 1), (batch, self.n, features))


def checked_format(data_format: str | None) -> str:
    """ "channels_last" or "channels_first"; None is `config.image_data_format()`."""
    data_format = config.image_data_format() if data_format is None else str(data_format).lower()
    if data_format not in ("channels_last", "channels_first"):
        raise ArgumentError(f"data_format must be 'channels_last' or 'channels_first', not {data_format!r}")
    return data_format


def checked_sizes(value: Any, count: int, name: str, least: int = 1) -> tuple[int, ...]:
    """`count` whole numbers, all from `least` on; one number stands for all. ArgumentError for anything else."""
    each = (value,) * count if isinstance(value, int) else value
    good = isinstance(each, (list, tuple)) and len(each) == count
    if not good or any(isinstance(one, bool) or not isinstance(one, int) or one < least for one in each):
        raise ArgumentError(f"{name} wants {count} whole numbers from {least} on, or one for all, not {value!r}")
    return tuple(each)
