"""The base of all losses: from one number for each sample to one number."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from kgraph import config, ops, tree
from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.sizes import Shape
from kgraph.graph.types import TensorType, standard_dtype
from kgraph.layers.naming import automatic_name
from kgraph.losses.functions import same_rank
from kgraph.named import Configured

REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None)


class Loss(Configured):
    """A function of (y_true, y_pred, sample_weight=None). Subclasses define `call(y_true, y_pred)`.

    reduction "sum_over_batch_size" and "mean" give the mean over all samples, "mean_with_sample_weight" divides by the
    sum of the weights instead, "sum" adds, "none" or None leave one number for each sample. dtype is
    `config.floatx()` by default.
    """

    target_dtype: ClassVar[str | None] = None  # what targets are made; None: the loss's own dtype

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None
    ) -> None:
        self.name = name or automatic_name(type(self).__name__)
        if reduction not in REDUCTIONS:
            raise ArgumentError(f"reduction must be one of {REDUCTIONS}, not {reduction!r}")
        self.reduction = reduction
        self.dtype = standard_dtype(dtype) if dtype is not None else config.floatx()

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        given = getattr(y_pred, "mask", None)
        with np.errstate(all="ignore"):  # on arrays a loss may be infinite, as it may on symbols
            y_pred = tree.map_structure(lambda x: ops.cast(ops.convert_to_tensor(x), self.dtype), y_pred)
            target_dtype = self.target_dtype or self.dtype
            y_true = tree.map_structure(lambda x: ops.cast(ops.convert_to_tensor(x), target_dtype), y_true)
            values = ops.cast(ops.convert_to_tensor(self.call(y_true, y_pred)), self.dtype)
            own = self.counts(y_true, values)
            mask = own if given is None else given if own is None else ops.logical_and(given, own)
            return reduced(values, sample_weight, mask, self.reduction)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """One number for each sample; for subclasses to define."""
        raise NotImplementedError(f"{type(self).__name__} has no `call`")

    def counts(self, y_true: Any, values: Any) -> Any:
        """A mask of the samples that count, like `values`; None for all."""
        return None

    def target_type(self, output: TensorType) -> tuple[Shape, str]:
        """The shape without the batch, and the dtype, that targets have for predictions of this type."""
        return output.shape[1:], output.dtype

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("dtype", None)
        return {**config, "name": self.name, "reduction": self.reduction}


class FunctionLoss(Loss):
    """A user's function of (y_true, y_pred) as a loss."""

    def __init__(self, function: Any, name: str | None = None, reduction: str | None = "sum_over_batch_size") -> None:
        super().__init__(name or getattr(function, "__name__", "loss"), reduction)
        self.function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if not tree.is_nested(y_true) and not tree.is_nested(y_pred):
            y_true, y_pred = same_rank(y_true, y_pred)
        return self.function(y_true, y_pred)


def reduced(values: Any, sample_weight: Any, mask: Any, reduction: str | None) -> Any:
    """The values, weighted and put together; samples whose mask is False do not count."""
    if sample_weight is not None:
        sample_weight = ops.cast(ops.convert_to_tensor(sample_weight), values.dtype)
    if mask is not None:
        sample_weight = masked_weight(sample_weight, mask, values.dtype, reduction)
    if sample_weight is not None:
        values, sample_weight = same_rank(values, sample_weight)
        if len(sample_weight.shape) > len(values.shape):
            raise ShapeError(
                f"sample_weight of shape {sample_weight.shape} for losses of shape {values.shape}: "
                "give one for each of them"
            )
        values = values * sample_weight
    if reduction in (None, "none") or len(values.shape) == 0:
        return values
    total = ops.sum(values)
    if reduction == "sum":
        return total
    if reduction == "mean_with_sample_weight" and sample_weight is not None:
        return divided(total, ops.sum(sample_weight))
    return divided(total, ops.size(values))


def masked_weight(sample_weight: Any, mask: Any, dtype: str, reduction: str | None) -> Any:
    """The sample weights with 0 where the mask is False, grown so that a mean stays a mean of the others."""
    weight = ops.cast(mask, dtype)
    if reduction in ("mean", "sum_over_batch_size"):
        weight = weight * divided(ops.cast(ops.size(mask), dtype), ops.sum(weight))
    if sample_weight is None:
        return weight
    weight, sample_weight = same_rank(weight, sample_weight)
    return sample_weight * weight


def divided(value: Any, divisor: Any) -> Any:
    """value / divisor, and 0 where the divisor is 0."""
    return ops.divide_no_nan(value, ops.cast(divisor, value.dtype))
