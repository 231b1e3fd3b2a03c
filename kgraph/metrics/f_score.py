"""The harmonic mean of precision and recall."""

from __future__ import annotations

from typing import Any

from kgraph import config, ops
from kgraph.errors import ArgumentError
from kgraph.metrics.metric import Metric, check_rank_2
from kgraph.metrics.reduction import spread
from kgraph.tracing.variable import Variable

AVERAGES = (None, "micro", "macro", "weighted")
STATE = ("true_positives", "false_positives", "false_negatives", "intermediate_weights")


class FBetaScore(Metric):
    """(1 + beta**2) * precision * recall / (beta**2 * precision + recall), of targets and predictions (batch, classes).

    average: None gives a score for each class, "micro" that of all predictions taken together, "macro" the mean over
    classes, "weighted" the mean weighted by how often each class is a target. threshold: predictions above it are 1;
    without one, the largest prediction of a sample is.
    """

    true_positives: Variable
    false_positives: Variable
    false_negatives: Variable
    intermediate_weights: Variable
    _direction = "up"

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if average not in AVERAGES:
            raise ArgumentError(f"average must be one of {', '.join(map(repr, AVERAGES))}, not {average!r}")
        if not isinstance(beta, float) or beta <= 0:
            raise ArgumentError(f"beta is a float above 0, not {beta!r}")
        if threshold is not None and not (isinstance(threshold, float) and 0 < threshold <= 1):
            raise ArgumentError(f"threshold is a float above 0 and at most 1, not {threshold!r}")
        self.average, self.beta, self.threshold = average, beta, threshold
        self._built = False

    def _build(self, classes: int) -> None:
        shape = () if self.average == "micro" else (classes,)
        for name in STATE:
            setattr(self, name, self.add_variable(shape, "zeros", self.dtype, name=name))
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in one batch; sample_weight has a weight for each sample."""
        y_true, y_pred = ops.convert_to_tensor(y_true, self.dtype), ops.convert_to_tensor(y_pred, self.dtype)
        check_rank_2(self.name, y_true, y_pred)
        if not self._built:
            self._build(y_pred.shape[1])
        if self.threshold is None:
            largest = ops.max(y_pred, axis=-1, keepdims=True)  # a sample of zeros has none
            chosen = ops.logical_and(ops.greater_equal(y_pred, largest), ops.greater(ops.absolute(y_pred), 1e-9))
        else:
            chosen = ops.greater(y_pred, self.threshold)
        y_pred = ops.cast(chosen, self.dtype)
        weight: Any = 1.0
        if sample_weight is not None:
            weight = ops.convert_to_tensor(sample_weight, self.dtype)
            weight = spread(ops.expand_dims(weight, 1) if len(weight.shape) else weight, y_true)
        axis = None if self.average == "micro" else 0
        self.true_positives.assign_add(ops.sum(y_pred * y_true * weight, axis=axis))
        self.false_positives.assign_add(ops.sum(y_pred * (1.0 - y_true) * weight, axis=axis))
        self.false_negatives.assign_add(ops.sum((1.0 - y_pred) * y_true * weight, axis=axis))
        self.intermediate_weights.assign_add(ops.sum(y_true * weight, axis=axis))

    def result(self) -> Any:
        if not self._built:
            return ops.zeros((), self.dtype)
        found, epsilon, beta = ops.convert_to_tensor(self.true_positives), config.epsilon(), self.beta**2
        precision = found / (found + self.false_positives + epsilon)
        recall = found / (found + self.false_negatives + epsilon)
        score = precision * recall / (beta * precision + recall + epsilon) * (1.0 + beta)
        if self.average == "weighted":
            share = self.intermediate_weights / (ops.sum(self.intermediate_weights) + epsilon)
            return ops.sum(score * share)
        return score if self.average is None else ops.mean(score)

    def get_config(self) -> dict[str, Any]:
        options = {"average": self.average, "beta": self.beta, "threshold": self.threshold}
        return {**super().get_config(), **options}


class F1Score(FBetaScore):
    """2 * precision * recall / (precision + recall), of targets and predictions (batch, classes).

    average: None gives a score for each class, "micro" that of all predictions taken together, "macro" the mean over
    classes, "weighted" the mean weighted by how often each class is a target. threshold: predictions above it are 1;
    without one, the largest prediction of a sample is.
    """

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["beta"]
        return config
