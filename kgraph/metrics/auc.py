"""The area under a curve of two rates over all thresholds."""

from __future__ import annotations

from typing import Any

from kgraph import config, ops
from kgraph.errors import ArgumentError, ShapeError
from kgraph.metrics.metric import shown
from kgraph.metrics.outcomes import OUTCOMES, Batch, Outcomes, evenly_spaced

CURVES = ("ROC", "PR", "PRGAIN")
SUMMATIONS = ("interpolation", "majoring", "minoring")


class AUC(Outcomes):
    """The area under the ROC curve, the precision-recall curve ("PR"), or its gain ("PRGAIN"), as a sum over steps.

    num_thresholds: how many even steps, at least 2, or thresholds: these, and 0 and 1. summation_method: a step is
    as high as the mean of its ends ("interpolation"; of PR, by the formula of Davis and Goadrich, 2006), their maximum
    ("majoring") or their minimum ("minoring"). multi_label: the mean of the areas of each label, weighted by
    label_weights; then num_labels may tell how many there are. from_logits: predictions go through a sigmoid.
    """

    _direction = "up"

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Any = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Any = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.curve = _one_of("curve", CURVES, curve)
        self.summation_method = _one_of("summation_method", SUMMATIONS, summation_method)
        if thresholds is None and num_thresholds <= 1:
            raise ArgumentError(f"num_thresholds is at least 2, not {num_thresholds}")
        if num_labels and not multi_label:
            raise ArgumentError(f"num_labels={num_labels} counts only with multi_label=True")
        self._given = None if thresholds is None else sorted(float(one) for one in thresholds)
        self.num_thresholds = num_thresholds if self._given is None else len(self._given) + 2
        steps = self.num_thresholds - 1
        inner = [(step + 1) / steps for step in range(steps - 1)] if self._given is None else self._given
        self._even = self._given is None or evenly_spaced([0.0, *inner, 1.0])
        self.thresholds = [-config.epsilon(), *inner, 1.0 + config.epsilon()]
        self.multi_label, self.num_labels, self.from_logits = multi_label, num_labels, from_logits
        self.label_weights = None if label_weights is None else ops.convert_to_tensor(label_weights, self.dtype)
        self._built = False
        if num_labels or not multi_label:
            self._build(num_labels)

    def _build(self, labels: int | None) -> None:
        self.add_outcomes(OUTCOMES, (self.num_thresholds, labels) if labels else (self.num_thresholds,))
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in one batch; sample_weight has a weight for each sample, or for each prediction."""
        y_pred = ops.convert_to_tensor(y_pred)
        if self.multi_label:
            self._check_labels(y_pred)
        y_pred = ops.sigmoid(y_pred) if self.from_logits else y_pred
        weights = None if self.multi_label else self.label_weights
        batch = Batch(self.name, y_true, y_pred, sample_weight, by_label=self.multi_label, label_weights=weights)
        self.add_batch(batch, {name: getattr(self, name) for name in OUTCOMES})

    def _check_labels(self, y_pred: Any) -> None:
        labels = y_pred.shape[-1] if len(y_pred.shape) == 2 else None
        if labels is None or (self._built and self.true_positives.shape[1] != labels):
            wanted = self.true_positives.shape[1] if self._built else "a known number of labels"
            raise ShapeError(f"{self.name} with multi_label=True wants (batch, {wanted}), not {shown(y_pred.shape)}")
        if not self._built:
            self._build(labels)

    def result(self) -> Any:
        if not self._built:
            return ops.zeros((), self.dtype)
        areas = ops.sum(self._interpolated() if self._is_interpolated_pr() else self._steps(), axis=0)
        if not self.multi_label:
            return areas
        if self.label_weights is None:
            return ops.mean(areas)
        return ops.divide_no_nan(ops.sum(areas * self.label_weights), ops.sum(self.label_weights))

    def _is_interpolated_pr(self) -> bool:
        return self.curve == "PR" and self.summation_method == "interpolation"

    def _steps(self) -> Any:
        """The area under each step of the curve."""
        x, y = self._points()
        heights = {"interpolation": lambda a, b: (a + b) / 2.0, "minoring": ops.minimum, "majoring": ops.maximum}
        return (x[:-1] - x[1:]) * heights[self.summation_method](y[:-1], y[1:])

    def _points(self) -> tuple[Any, Any]:
        recall = self.share("true_positives", "false_negatives")
        if self.curve == "ROC":
            return self.share("false_positives", "true_negatives"), recall
        if self.curve == "PR":
            return recall, self.share("true_positives", "false_positives")
        found, extra, missed = self.true_positives, self.false_positives, self.false_negatives
        ratio = ops.divide_no_nan(ops.add(found, missed), ops.add(self.true_negatives, extra))
        nothing = ops.equal(found, 0.0)
        recall_gain = ops.where(nothing, 0.0, 1.0 - ratio * ops.divide_no_nan(missed, found))
        precision_gain = ops.where(nothing, 1.0, 1.0 - ratio * ops.divide_no_nan(extra, found))
        return ops.maximum(recall_gain, 0.0), precision_gain

    def _interpolated(self) -> Any:
        """The area under each step of the PR curve, true positives being linear in the number of positives between."""
        found = ops.convert_to_tensor(self.true_positives)
        positive = found + self.false_positives
        low, high = positive[1:], positive[:-1]
        gained = found[:-1] - found[1:]
        slope = ops.divide_no_nan(gained, ops.maximum(high - low, 0.0))
        intercept = found[1:] - slope * low
        both = ops.logical_and(ops.greater(high, 0.0), ops.greater(low, 0.0))
        ratio = ops.where(both, ops.divide_no_nan(high, ops.maximum(low, 0.0)), 1.0)
        targets = ops.maximum(found[1:] + self.false_negatives[1:], 0.0)
        return ops.divide_no_nan(slope * (gained + intercept * ops.log(ratio)), targets)

    def get_config(self) -> dict[str, Any]:
        config = {
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": None if self.label_weights is None else self.label_weights.tolist(),
            "from_logits": self.from_logits,
        }
        given = {} if self._given is None else {"thresholds": list(self._given)}
        return {**super().get_config(), **config, **given}


def _one_of(option: str, known: tuple[str, ...], given: Any) -> str:
    """The one of the names that is meant, whatever its case."""
    name = str(getattr(given, "value", given))
    for one in known:
        if name.lower() == one.lower():
            return one
    raise ArgumentError(f"{option} must be one of {', '.join(known)}, not {given!r}")
