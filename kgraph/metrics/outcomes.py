"""How many predictions are true or false positives or negatives, at each of a list of thresholds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kgraph import config, ops
from kgraph.errors import ArgumentError, ShapeError
from kgraph.losses.functions import same_rank
from kgraph.metrics.metric import Metric, check_batch, shown
from kgraph.metrics.reduction import spread
from kgraph.tracing.variable import Variable

OUTCOMES = ("true_positives", "false_positives", "true_negatives", "false_negatives")
NEVER = -1e10  # what predictions that are not among the best k become


class Outcomes(Metric):
    """A metric whose state is counts, or sums of weights, of outcomes at thresholds: variables of shape (thresholds,).

    A prediction is positive at a threshold if it is above it. With evenly spaced thresholds from 0 to 1 each
    prediction is put into the one interval it is in; other thresholds are compared with each prediction.
    """

    thresholds: Any
    true_positives: Variable
    false_positives: Variable
    true_negatives: Variable
    false_negatives: Variable
    _even = False

    def add_outcomes(self, outcomes: Iterable[str], shape: Sequence[int]) -> None:
        """Variables for these outcomes, in attributes of their names."""
        for outcome in outcomes:
            setattr(self, outcome, self.add_variable(shape, "zeros", name=outcome))

    def add_batch(self, batch: Batch, kept: Mapping[str, Variable]) -> None:
        """Add one batch's outcomes to the variables."""
        thresholds = np.asarray(self.thresholds, "float32")
        found = batch.in_intervals(thresholds) if self._even else batch.compared(thresholds, kept)
        for outcome, variable in kept.items():
            variable.assign_add(found[outcome])

    def share(self, part: str, rest: str) -> Any:
        """part / (part + rest), of two outcomes, at each threshold; 0 where neither happened."""
        found, other = getattr(self, part), getattr(self, rest)
        return ops.divide_no_nan(found, ops.add(found, other))


class Batch:
    """One batch, its targets, predictions and weights in one shape.

    top_k: only the k largest predictions of a sample may be positive. class_id: only this class counts. by_label:
    outcomes are counted for each label, the last axis, by itself. label_weights: a weight for each label.
    """

    def __init__(
        self,
        metric: str,
        y_true: Any,
        y_pred: Any,
        sample_weight: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        by_label: bool = False,
        label_weights: Any = None,
    ) -> None:
        self.dtype, self.by_label = config.floatx(), by_label
        y_true = ops.convert_to_tensor(y_true)
        y_pred = ops.cast(ops.convert_to_tensor(y_pred), self.dtype)
        y_true, y_pred = same_rank(y_true, y_pred)
        _check_equal(metric, y_true, y_pred)
        weight = None
        if sample_weight is not None:
            weight = ops.expand_dims(ops.cast(ops.convert_to_tensor(sample_weight), self.dtype), -1)
            weight = same_rank(y_true, weight, expand=False)[1]
        y_pred = y_pred if top_k is None else best(y_pred, top_k)
        if class_id is not None:
            y_true, y_pred = (of_class(metric, value, class_id) for value in (y_true, y_pred))
        weight = None if weight is None else spread(weight, y_pred)
        if label_weights is not None:
            labels = spread(ops.cast(label_weights, self.dtype), y_pred)
            weight = labels if weight is None else weight * labels
        self.labels, self.predictions, self.weight = ops.cast(y_true, "bool"), y_pred, weight

    def compared(self, thresholds: np.ndarray, wanted: Iterable[str]) -> dict[str, Any]:
        """The wanted outcomes, each prediction compared with each threshold."""
        rank, labels, predictions, weight = len(self.predictions.shape), self.labels, self.predictions, self.weight
        single = len(thresholds) == 1  # then the graph is a plainer one without an axis of thresholds
        if not single:
            thresholds = thresholds.reshape(-1, *(1,) * rank)
            labels, predictions = ops.expand_dims(labels, 0), ops.expand_dims(predictions, 0)
            weight = None if weight is None else ops.expand_dims(weight, 0)
        above = ops.greater(predictions, thresholds[0] if single else thresholds)
        axes = tuple(range(len(above.shape)))[0 if single else 1 : -1 if self.by_label else None]
        found = {}
        for outcome in wanted:
            right, positive = outcome.startswith("true"), outcome.endswith("positives")
            label = labels if right == positive else ops.logical_not(labels)
            chosen = ops.logical_and(label, above if positive else ops.logical_not(above))
            values = ops.cast(ops.where(chosen, 1.0 if weight is None else weight, 0.0), self.dtype)
            total = ops.sum(values, axis=axes)
            found[outcome] = ops.expand_dims(total, 0) if single else total
        return found

    def in_intervals(self, thresholds: np.ndarray) -> dict[str, Any]:
        """All outcomes, from how many predictions lie in each of the intervals between even thresholds.

        Interval i, of those from 0 to len(thresholds), has the predictions above just i of the thresholds.
        """
        steps, widened = len(thresholds) - 1, thresholds[0] < 0 or thresholds[-1] > 1
        labels = self.predictions.shape[-1] if self.by_label else 1
        interval = ops.cast(ops.ceil(ops.clip(self.predictions, 0.0, 1.0) * float(steps)), "int32")
        interval = ops.clip(interval, 1 if widened else 0, steps)  # of a NaN too
        place = interval * 2 + ops.cast(self.labels, "int32")
        if self.by_label:
            place = place * labels + ops.arange(labels, dtype="int32")
        weight = ops.ones(ops.shape(place), self.dtype) if self.weight is None else self.weight
        places = (steps + 2) * 2 * labels
        counts = ops.segment_sum(ops.reshape(weight, (-1,)), ops.reshape(place, (-1,)), places)
        counts = ops.reshape(counts, (steps + 2, 2, *((labels,) if self.by_label else ())))
        least = ops.flip(ops.cumsum(ops.flip(counts, 0), axis=0), 0)  # in this interval or a higher one
        positives, everything = least[1:], least[:1]
        return {
            "true_positives": positives[:, 1],
            "false_positives": positives[:, 0],
            "true_negatives": everything[:, 0] - positives[:, 0],
            "false_negatives": everything[:, 1] - positives[:, 1],
        }


def best(predictions: Any, k: int) -> Any:
    """The k largest predictions of each sample, of equal ones the first; the others far below all thresholds."""
    classes = predictions.shape[-1] if len(predictions.shape) else None
    if classes is None or not 1 <= k <= classes:
        raise ArgumentError(
            f"top_k={k} wants predictions with at least so many classes, not {shown(predictions.shape)}"
        )
    these, others = ops.expand_dims(predictions, -1), ops.expand_dims(predictions, -2)
    earlier = np.tri(classes, k=-1, dtype=bool)  # [these, others]
    before = ops.logical_or(ops.greater(others, these), ops.logical_and(ops.equal(others, these), earlier))
    return ops.where(ops.less(ops.sum(ops.cast(before, "int32"), axis=-1), k), predictions, NEVER)


def of_class(metric: str, value: Any, class_id: int) -> Any:
    """The part of one class, with its axis."""
    rank = len(value.shape)
    if rank < 2 or (value.shape[-1] is not None and not -value.shape[-1] <= class_id < value.shape[-1]):
        raise ShapeError(f"{metric}: class_id={class_id} wants (batch, more than {class_id}), not {shown(value.shape)}")
    place = class_id if class_id >= 0 else value.shape[-1] + class_id
    return value[..., place : place + 1]


def thresholds_of(given: Any, default: float) -> list[float]:
    """Thresholds as a list. ArgumentError if they are not between 0 and 1."""
    if given is None:
        return [default]
    thresholds = list(given) if isinstance(given, (list, tuple, np.ndarray)) else [given]
    wrong = [one for one in thresholds if one is None or not 0 <= one <= 1]
    if wrong or not thresholds:
        raise ArgumentError(f"thresholds lie between 0 and 1; {given!r:.60} does not fit")
    return thresholds


def evenly_spaced(thresholds: Sequence[float]) -> bool:
    """Whether they are three or more steps of one size from 0 to 1."""
    even = len(thresholds) >= 3
    return even and np.allclose(thresholds, np.linspace(0, 1, len(thresholds)), atol=config.epsilon())


def _check_equal(metric: str, y_true: Any, y_pred: Any) -> None:
    """ShapeError if targets and predictions differ in shape, as far as it is known."""
    check_batch(metric, y_true, y_pred)
    known = zip(y_true.shape, y_pred.shape, strict=False)
    if len(y_true.shape) != len(y_pred.shape) or any(a != b for a, b in known if None not in (a, b)):
        raise ShapeError(
            f"{metric}: y_true has shape {shown(y_true.shape)} and y_pred {shown(y_pred.shape)}; they must be the same"
        )
