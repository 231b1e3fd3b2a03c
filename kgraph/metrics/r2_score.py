"""How much of the targets' variance predictions explain."""

from __future__ import annotations

from typing import Any

from kgraph import ops
from kgraph.errors import ArgumentError
from kgraph.losses.functions import same_rank
from kgraph.metrics.metric import Metric, check_rank_2
from kgraph.metrics.reduction import spread

AGGREGATIONS = (None, "uniform_average", "variance_weighted_average")


class R2Score(Metric):
    """1 - squared errors / variance of the targets, of targets and predictions (batch, outputs).

    class_aggregation: None gives a score for each output, "uniform_average" their mean, "variance_weighted_average"
    their mean weighted by the targets' variances. num_regressors: how many variables the prediction is made from; if
    not 0, and below the number of samples less one, the score is the adjusted one.
    """

    _direction = "up"

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str | None = "r2_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if class_aggregation not in AGGREGATIONS:
            known = ", ".join(map(repr, AGGREGATIONS))
            raise ArgumentError(f"class_aggregation must be one of {known}, not {class_aggregation!r}")
        if num_regressors < 0:
            raise ArgumentError(f"num_regressors is at least 0, not {num_regressors}")
        self.class_aggregation, self.num_regressors = class_aggregation, num_regressors
        self.num_samples = self.add_variable((), "zeros", name="num_samples")
        self._built = False

    def _build(self, outputs: int) -> None:
        self.squared_sum = self.add_variable((outputs,), "zeros", name="squared_sum")
        self.sum = self.add_variable((outputs,), "zeros", name="sum")
        self.total_mse = self.add_variable((outputs,), "zeros", name="residual")
        self.count = self.add_variable((outputs,), "zeros", name="count")
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in one batch; sample_weight has a weight for each sample, or for each number."""
        y_true, y_pred = ops.convert_to_tensor(y_true, self.dtype), ops.convert_to_tensor(y_pred, self.dtype)
        y_true, y_pred = same_rank(y_true, y_pred)
        check_rank_2(self.name, y_true, y_pred)
        if not self._built:
            self._build(y_pred.shape[1])
        weight = ops.convert_to_tensor(1.0 if sample_weight is None else sample_weight, self.dtype)
        weight = spread(ops.expand_dims(weight, 1) if len(weight.shape) == 1 else weight, y_true)
        weighted = y_true * weight
        self.sum.assign_add(ops.sum(weighted, axis=0))
        self.squared_sum.assign_add(ops.sum(y_true * weighted, axis=0))
        self.total_mse.assign_add(ops.sum(ops.square(y_true - y_pred) * weight, axis=0))
        self.count.assign_add(ops.sum(weight, axis=0))
        self.num_samples.assign_add(ops.cast(ops.size(y_true), self.num_samples.dtype))

    def result(self) -> Any:
        if not self._built:
            return ops.zeros((), self.dtype)
        spread_ = self.squared_sum - self.sum * (self.sum / self.count)
        scores = 1.0 - self.total_mse / spread_
        score = ops.where(ops.isinf(scores), 0.0, scores)
        if self.class_aggregation == "uniform_average":
            score = ops.mean(score)
        elif self.class_aggregation == "variance_weighted_average":
            score = ops.sum(spread_ * score) / ops.sum(spread_)
        if not self.num_regressors:
            return score
        free = self.num_samples - (self.num_regressors + 1.0)
        enough = ops.greater(free, 0.0)
        adjusted = 1.0 - (1.0 - score) * (self.num_samples - 1.0) / ops.where(enough, free, 1.0)
        return ops.where(enough, adjusted, score)

    def get_config(self) -> dict[str, Any]:
        options = {"class_aggregation": self.class_aggregation, "num_regressors": self.num_regressors}
        return {**super().get_config(), **options}
