"""Metrics as functions of (y_true, y_pred): a number for each sample. All of them, and their defaults, are Keras's."""

from __future__ import annotations

import math
from typing import Any

from kgraph import config, losses, ops
from kgraph.errors import ArgumentError, ShapeError
from kgraph.losses.functions import paired, same_rank
from kgraph.metrics.metric import check_batch, shown


def accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where y_true is y_pred, else 0."""
    return ops.cast(ops.equal(*paired(y_true, y_pred)), config.floatx())


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """1 where y_true, 0 or 1, says whether y_pred is above the threshold, else 0."""
    y_true, y_pred = same_rank(ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred))
    above = ops.cast(ops.greater(y_pred, threshold), y_true.dtype)
    return ops.cast(ops.equal(y_true, above), config.floatx())


def categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where the largest target and the largest prediction, along the last axis, are of the same class, else 0."""
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    _check_classes("categorical_accuracy", y_true, y_pred, 0, "labels of one number want sparse_categorical_accuracy")
    return ops.cast(ops.equal(ops.argmax(y_true, axis=-1), ops.argmax(y_pred, axis=-1)), config.floatx())


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where y_true is the class of the largest prediction along the last axis, else 0."""
    y_true, y_pred = _labels("sparse_categorical_accuracy", y_true, y_pred)
    matches = ops.cast(ops.equal(y_true, ops.cast(ops.argmax(y_pred, axis=-1), y_true.dtype)), config.floatx())
    return ops.squeeze(matches, -1) if len(matches.shape) > 1 and matches.shape[-1] == 1 else matches


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Any:
    """1 where fewer than k predictions are larger than that of the class with the largest target, else 0."""
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    hint = "labels of one number want sparse_top_k_categorical_accuracy"
    _check_classes("top_k_categorical_accuracy", y_true, y_pred, 0, hint)
    return ops.cast(in_top_k(ops.argmax(y_true, axis=-1), y_pred, k), config.floatx())


def sparse_top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False) -> Any:
    """1 where fewer than k predictions are larger than that of the class y_true, else 0.

    from_sorted_ids: y_pred has classes, the likeliest first, instead of a prediction for each class.
    """
    y_true, y_pred = _labels("sparse_top_k_categorical_accuracy", y_true, y_pred)
    if from_sorted_ids:
        first = y_pred[..., :k]
        matches = ops.any(ops.equal(ops.expand_dims(ops.cast(y_true, y_pred.dtype), -1), first), axis=-1)
    else:
        matches = in_top_k(ops.cast(y_true, "int32"), y_pred, k)
    return ops.cast(matches, config.floatx())


def in_top_k(labels: Any, y_pred: Any, k: int) -> Any:
    """Whether fewer than k predictions are larger than the label's. A NaN is the least; labels of no class are not."""
    if k < 1:
        raise ArgumentError(f"k counts the best predictions and is at least 1, not {k}")
    classes = ops.shape(y_pred)[-1]
    known = ops.logical_and(ops.greater_equal(labels, 0), ops.less(labels, classes))
    places = ops.expand_dims(ops.where(known, labels, 0), -1)
    chosen = ops.take_along_axis(y_pred, places, axis=-1)
    chosen = ops.where(ops.isnan(chosen), -math.inf, chosen)
    larger = ops.sum(ops.cast(ops.greater(y_pred, chosen), "int32"), axis=-1)
    return ops.logical_and(known, ops.less(larger, k))


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """The cosine of the angle between target and prediction."""
    return -losses.cosine_similarity(y_true, y_pred, axis)


def pearson_correlation(y_true: Any, y_pred: Any, axis: Any = -1) -> Any:
    """cov(y_true, y_pred) / (std(y_true) * std(y_pred)) along an axis."""
    y_true, y_pred = paired(y_true, y_pred)
    y_true = y_true - ops.mean(y_true, axis=axis, keepdims=True)
    y_pred = y_pred - ops.mean(y_pred, axis=axis, keepdims=True)
    spreads = ops.sqrt(ops.mean(ops.square(y_true), axis=axis)) * ops.sqrt(ops.mean(ops.square(y_pred), axis=axis))
    return ops.mean(y_true * y_pred, axis=axis) / spreads


def concordance_correlation(y_true: Any, y_pred: Any, axis: Any = -1) -> Any:
    """2 * cov(y_true, y_pred) / (var(y_true) + var(y_pred) + (mean(y_true) - mean(y_pred))**2) along an axis."""
    y_true, y_pred = paired(y_true, y_pred)
    means = [ops.mean(value, axis=axis, keepdims=True) for value in (y_true, y_pred)]
    apart = ops.mean(ops.square(means[0] - means[1]), axis=axis)
    y_true, y_pred = y_true - means[0], y_pred - means[1]
    norm = ops.mean(ops.square(y_true), axis=axis) + ops.mean(ops.square(y_pred), axis=axis) + apart
    return 2.0 * ops.mean(y_true * y_pred, axis=axis) / (norm + config.epsilon())


FUNCTIONS: dict[str, Any] = {
    **{name: value for name, value in losses.NAMES.items() if not isinstance(value, type)},
    **{
        function.__name__: function
        for function in (
            accuracy,
            binary_accuracy,
            categorical_accuracy,
            sparse_categorical_accuracy,
            top_k_categorical_accuracy,
            sparse_top_k_categorical_accuracy,
            cosine_similarity,
            pearson_correlation,
            concordance_correlation,
        )
    },
}


def _labels(name: str, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Classes as whole numbers, one for each vector of predictions."""
    y_true, y_pred = like_integers(y_true), ops.convert_to_tensor(y_pred)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    _check_classes(name, y_true, y_pred, 1, f"one-hot targets want {name.replace('sparse_', '')}")
    return y_true, y_pred


def _check_classes(name: str, y_true: Any, y_pred: Any, fewer: int, hint: str) -> None:
    """ShapeError if the targets' rank is not that of the predictions, less `fewer`."""
    wanted = len(y_pred.shape) - fewer
    classes = "" if fewer else ", the last of them the classes"
    if len(y_pred.shape) == 0 or len(y_true.shape) != wanted or (not fewer and len(y_true.shape) == 0):
        raise ShapeError(
            f"{name}: y_true has shape {shown(y_true.shape)}; for y_pred of shape {shown(y_pred.shape)}, its last axis "
            f"that of the classes, it must have {wanted} axes{classes}; {hint}"
        )
    check_batch(name, y_true, y_pred)


def like_integers(y_true: Any) -> Any:
    """Labels in their own dtype; booleans as integers."""
    y_true = ops.convert_to_tensor(y_true)
    return ops.cast(y_true, "int32") if y_true.dtype == "bool" else y_true
