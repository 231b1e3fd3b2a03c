"""Metrics that are a sum or a mean of numbers, and any function of (y_true, y_pred) as such a mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from kgraph import losses, ops
from kgraph.errors import KGraphError, ShapeError
from kgraph.losses.functions import same_rank
from kgraph.losses.loss import masked_weight
from kgraph.metrics.functions import FUNCTIONS
from kgraph.metrics.metric import Metric, check_batch, shown
from kgraph.named import find, to_config
from kgraph.ops.statistics import count_of


def totals(values: Any, sample_weight: Any, dtype: str, average: bool) -> tuple[Any, Any]:
    """The weighted sum of a batch's values, and the sum of its weights.

    A sample that has several values counts with their mean, or, without `average`, with their sum. Weights of a lower
    rank than the values weigh all values of a sample alike; weights of the same rank weigh each.
    """
    mask = getattr(values, "mask", None)
    values = ops.cast(ops.convert_to_tensor(values), dtype)
    if sample_weight is None:
        count = ops.shape(values)[0] if len(values.shape) else 1
        return _shared(ops.sum(values), values, average), ops.cast(count, dtype)
    weight = ops.cast(ops.convert_to_tensor(sample_weight), dtype)
    if mask is not None:
        weight = masked_weight(weight, mask, dtype, "sum")
    values, weight = same_rank(values, weight)
    rank, depth = len(values.shape), len(weight.shape)
    if rank > depth:
        values = (ops.mean if average else ops.sum)(values, axis=tuple(range(depth, rank)))
    weight = spread(weight, values)
    return _shared(ops.sum(values * weight), values, average), _shared(ops.sum(weight), values, average)


def _shared(total: Any, values: Any, average: bool) -> Any:
    """The sum of all values as the sum of the samples' means: one reduction instead of two."""
    count = count_of(values, tuple(range(1, len(values.shape)))) if average else 1
    if isinstance(count, int):
        return total if count == 1 else total / float(count)
    return total / ops.cast(count, total.dtype)


def spread(weight: Any, values: Any) -> Any:
    """The weights in the shape of the values they weigh. ShapeError where they do not fit."""
    try:
        return ops.broadcast_to(weight, ops.shape(values))
    except KGraphError:
        raise ShapeError(
            f"sample_weight of shape {shown(weight.shape)} does not weigh values of shape {shown(values.shape)}; give "
            "one for each sample"
        ) from None


class Sum(Metric):
    """The weighted sum of all values."""

    def __init__(self, name: str | None = "sum", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", self.dtype, name="total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Add values of any shape; sample_weight is broadcast to them."""
        self.total.assign_add(totals(values, sample_weight, self.dtype, average=False)[0])

    def result(self) -> Any:
        return ops.convert_to_tensor(self.total)


class Mean(Metric):
    """The weighted mean of all values; 0 of none."""

    def __init__(self, name: str | None = "mean", dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", self.dtype, name="total")
        self.count = self.add_variable((), "zeros", self.dtype, name="count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Take in values of shape (batch, ...); sample_weight is a number, or has one for each sample or each value."""
        total, count = totals(values, sample_weight, self.dtype, average=True)
        self.total.assign_add(total)
        self.count.assign_add(count)

    def result(self) -> Any:
        return ops.divide_no_nan(self.total, self.count)


class MeanMetricWrapper(Mean):
    """The mean of a function of (y_true, y_pred, **kwargs) that gives a number, or several, for each sample.

    Where the predictions carry a mask, only what it lets through counts.
    """

    def __init__(self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any) -> None:
        super().__init__(name=name, dtype=dtype)
        self._fn, self._fn_kwargs = fn, kwargs
        if isinstance(fn, losses.Loss) or any(fn is loss for loss in losses.CLASSES):
            self._direction = "down"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Take in one batch. ShapeError if targets, predictions and weights do not fit."""
        mask = getattr(y_pred, "mask", None)
        check_batch(self.name, y_true, y_pred)
        values = self._fn(y_true, y_pred, **self._fn_kwargs)
        if mask is not None:
            given = None if sample_weight is None else ops.cast(ops.convert_to_tensor(sample_weight), self.dtype)
            sample_weight = masked_weight(given, mask, self.dtype, "sum")
        super().update_state(values, sample_weight)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fn": to_config(self._fn), **self._fn_kwargs}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        if isinstance(config.get("fn"), (str, dict)):
            config = {**config, "fn": find(config["fn"], FUNCTIONS, "function of a metric")}
        return cls(**config)


class FunctionMetric(MeanMetricWrapper):
    """The mean of a function of this package: its options are arguments and attributes of the metric."""

    def __init__(self, fn: Callable[..., Any], name: str | None, dtype: Any, **options: Any) -> None:
        super().__init__(fn, name, dtype, **options)
        for option, value in options.items():
            setattr(self, option, value)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, **self._fn_kwargs}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


def simple(fn: Any, class_name: str, default: str, direction: str | None, module: str) -> type[FunctionMetric]:
    """The class of a function without options."""

    def __init__(self: Any, name: str | None = default, dtype: Any = None) -> None:
        FunctionMetric.__init__(self, fn, name, dtype)
        self._direction = direction

    body = {"__init__": __init__, "__doc__": fn.__doc__, "__module__": module}
    return type(class_name, (FunctionMetric,), body)
