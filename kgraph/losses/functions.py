"""Losses as functions of (y_true, y_pred): one number for each sample. All of them, and their defaults, are Keras's."""

from __future__ import annotations

import math
from typing import Any

from kgraph import config, ops
from kgraph.errors import ArgumentError, ShapeError


def same_rank(a: Any, b: Any, expand: bool = True) -> tuple[Any, Any]:
    """Two tensors whose ranks differ by a last axis of size 1, at one rank.

    A vector beside (batch, 1) gets the axis when `expand` is set; otherwise the axis is dropped.
    """
    if len(a.shape) == len(b.shape) + 1 and a.shape[-1] == 1:
        return (a, ops.expand_dims(b, -1)) if len(b.shape) == 1 and expand else (ops.squeeze(a, -1), b)
    if len(b.shape) == len(a.shape) + 1 and b.shape[-1] == 1:
        return (ops.expand_dims(a, -1), b) if len(a.shape) == 1 and expand else (a, ops.squeeze(b, -1))
    return a, b


def like(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """The targets in the predictions' dtype, and both as tensors."""
    y_pred = ops.convert_to_tensor(y_pred)
    return ops.cast(ops.convert_to_tensor(y_true), y_pred.dtype), y_pred


def paired(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Targets and predictions in one dtype and at one rank."""
    return same_rank(*like(y_true, y_pred))


def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """mean((y_true - y_pred)**2) over the last axis."""
    y_true, y_pred = paired(y_true, y_pred)
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """mean(|y_true - y_pred|) over the last axis."""
    y_true, y_pred = paired(y_true, y_pred)
    return ops.mean(ops.absolute(y_true - y_pred), axis=-1)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Any:
    """100 * mean(|y_true - y_pred| / |y_true|) over the last axis."""
    y_true, y_pred = paired(y_true, y_pred)
    share = ops.absolute((y_true - y_pred) / ops.maximum(ops.absolute(y_true), config.epsilon()))
    return 100.0 * ops.mean(share, axis=-1)


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Any:
    """mean((log(y_true + 1) - log(y_pred + 1))**2) over the last axis, both at least epsilon."""
    y_true, y_pred = paired(y_true, y_pred)
    first = ops.log(ops.maximum(y_pred, config.epsilon()) + 1.0)
    second = ops.log(ops.maximum(y_true, config.epsilon()) + 1.0)
    return ops.mean(ops.square(first - second), axis=-1)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Any:
    """Half the square of errors up to delta, and linear beyond; mean over the last axis (Huber, 1964)."""
    y_true, y_pred = paired(y_true, y_pred)
    error = y_pred - y_true
    size = ops.absolute(error)
    near, far = 0.5 * ops.square(error), delta * size - 0.5 * delta * delta
    return ops.mean(ops.where(ops.less_equal(size, delta), near, far), axis=-1)


def log_cosh(y_true: Any, y_pred: Any) -> Any:
    """mean(log(cosh(y_pred - y_true))) over the last axis."""
    y_true, y_pred = paired(y_true, y_pred)
    error = y_pred - y_true
    return ops.mean(error + ops.softplus(error * -2.0) - math.log(2.0), axis=-1)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Minus the cosine of the angle between target and prediction."""
    y_true, y_pred = paired(y_true, y_pred)
    return -ops.sum(unit(y_true, axis) * unit(y_pred, axis), axis=axis)


def unit(x: Any, axis: int) -> Any:
    """Vectors along an axis at norm 1."""
    return x / ops.sqrt(ops.maximum(ops.sum(ops.square(x), axis=axis, keepdims=True), 1e-12))


def kl_divergence(y_true: Any, y_pred: Any) -> Any:
    """sum(y_true * log(y_true / y_pred)) over the last axis, both between epsilon and 1."""
    y_true, y_pred = like(y_true, y_pred)
    y_true, y_pred = ops.clip(y_true, config.epsilon(), 1), ops.clip(y_pred, config.epsilon(), 1)
    return ops.sum(y_true * ops.log(y_true / y_pred), axis=-1)


def poisson(y_true: Any, y_pred: Any) -> Any:
    """mean(y_pred - y_true * log(y_pred)) over the last axis."""
    y_true, y_pred = like(y_true, y_pred)
    return ops.mean(y_pred - y_true * ops.log(y_pred + config.epsilon()), axis=-1)


def signs(y_true: Any) -> Any:
    """Targets of -1 and 1 from targets that are all 0 or 1; other targets as they are."""
    binary = ops.all(ops.logical_or(ops.equal(y_true, 0), ops.equal(y_true, 1)))
    return ops.where(binary, 2.0 * y_true - 1.0, y_true)


def hinge(y_true: Any, y_pred: Any) -> Any:
    """mean(max(1 - y_true * y_pred, 0)) over the last axis; targets -1 and 1, or 0 and 1."""
    y_true, y_pred = like(y_true, y_pred)
    return ops.mean(ops.maximum(1.0 - signs(y_true) * y_pred, 0.0), axis=-1)


def squared_hinge(y_true: Any, y_pred: Any) -> Any:
    """mean(max(1 - y_true * y_pred, 0)**2) over the last axis; targets -1 and 1, or 0 and 1."""
    y_true, y_pred = like(y_true, y_pred)
    return ops.mean(ops.square(ops.maximum(1.0 - signs(y_true) * y_pred, 0.0)), axis=-1)


def categorical_hinge(y_true: Any, y_pred: Any) -> Any:
    """max(largest wrong score - right score + 1, 0)."""
    y_true, y_pred = like(y_true, y_pred)
    right = ops.sum(y_true * y_pred, axis=-1)
    wrong = ops.max((1.0 - y_true) * y_pred, axis=-1)
    return ops.maximum(wrong - right + 1.0, 0.0)


def smoothed(y_true: Any, label_smoothing: float, classes: Any) -> Any:
    """Targets moved towards the uniform distribution."""
    if not label_smoothing:
        return y_true
    return y_true * (1.0 - label_smoothing) + label_smoothing / classes


def each_binary(y_true: Any, y_pred: Any, from_logits: bool) -> Any:
    """The binary crossentropy of each element."""
    if from_logits:
        return ops.softplus(y_pred) - y_true * y_pred
    y_pred = ops.clip(y_pred, config.epsilon(), 1.0 - config.epsilon())
    return -(y_true * ops.log(y_pred) + (1.0 - y_true) * ops.log(1.0 - y_pred))


def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: Any = -1
) -> Any:
    """mean(-y_true * log(y_pred) - (1 - y_true) * log(1 - y_pred)) over an axis."""
    y_true, y_pred = like(y_true, y_pred)
    check_shapes("binary_crossentropy", y_true, y_pred)
    return ops.mean(each_binary(smoothed(y_true, label_smoothing, 2), y_pred, from_logits), axis=axis)


def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: Any = -1,
) -> Any:
    """Binary crossentropy times (1 - p of the target)**gamma (Lin et al., 2018)."""
    y_true, y_pred = like(y_true, y_pred)
    y_true = smoothed(y_true, label_smoothing, 2)
    y_pred = ops.sigmoid(y_pred) if from_logits else y_pred
    right = y_true * y_pred + (1.0 - y_true) * (1.0 - y_pred)
    loss = ops.power(1.0 - right, gamma) * each_binary(y_true, y_pred, False)
    if apply_class_balancing:
        loss = (y_true * alpha + (1.0 - y_true) * (1.0 - alpha)) * loss
    return ops.mean(loss, axis=axis)


def log_probabilities(y_pred: Any, from_logits: bool, axis: int) -> Any:
    """log of probabilities that are made to sum to 1, or of the softmax of logits."""
    if from_logits:
        return ops.log_softmax(y_pred, axis=axis)
    return ops.log(probabilities(y_pred, axis))


def probabilities(y_pred: Any, axis: int) -> Any:
    """Made to sum to 1, and kept off 0 and 1 by epsilon."""
    y_pred = y_pred / ops.sum(y_pred, axis=axis, keepdims=True)
    return ops.clip(y_pred, config.epsilon(), 1.0 - config.epsilon())


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """-sum(y_true * log(y_pred)) over the classes, which lie along `axis`."""
    y_true, y_pred = like(y_true, y_pred)
    check_axis(axis)
    check_shapes("categorical_crossentropy", y_true, y_pred)
    y_true = smoothed(y_true, label_smoothing, y_true.shape[-1])
    return -ops.sum(y_true * log_probabilities(y_pred, from_logits, axis), axis=axis)


def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Categorical crossentropy times alpha * (1 - p)**gamma (Lin et al., 2018)."""
    y_true, y_pred = like(y_true, y_pred)
    check_axis(axis)
    y_true = smoothed(y_true, label_smoothing, y_true.shape[-1])
    p = probabilities(ops.softmax(y_pred, axis=axis) if from_logits else y_pred, axis)
    return ops.sum(ops.power(1.0 - p, gamma) * alpha * (-y_true * ops.log(p)), axis=axis)


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Any:
    """-log(y_pred) at the class that y_true names by its index; 0 where that is ignore_class."""
    y_pred, y_true = ops.convert_to_tensor(y_pred), ops.convert_to_tensor(y_true)
    check_axis(axis)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[axis] == 1:
        y_true = ops.squeeze(y_true, axis)
    check_classes(y_true, y_pred, axis)
    labels = ops.cast(y_true, "int32")
    valid = None if ignore_class is None else ops.not_equal(labels, ignore_class)
    if valid is not None:
        labels = ops.where(valid, labels, 0)
        y_pred = ops.where(ops.expand_dims(valid, axis), y_pred, 1.0)  # any numbers without NaN in their gradient
    chosen = ops.one_hot(labels, y_pred.shape[axis], axis=axis, dtype=y_pred.dtype)
    loss = -ops.sum(chosen * log_probabilities(y_pred, from_logits, axis), axis=axis)
    return loss if valid is None else ops.where(valid, loss, 0.0)


def dice(y_true: Any, y_pred: Any, axis: Any = None) -> Any:
    """1 - 2 * overlap / (sum of both)."""
    y_true, y_pred = like(y_true, y_pred)
    overlap = ops.sum(y_true * y_pred, axis=axis)
    return 1.0 - 2.0 * overlap / (ops.sum(y_true, axis=axis) + ops.sum(y_pred, axis=axis) + config.epsilon())


def tversky(y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Any = None) -> Any:
    """1 - overlap / (overlap + alpha * false positives + beta * false negatives), as Keras counts them."""
    y_true, y_pred = like(y_true, y_pred)
    overlap = ops.sum(y_true * y_pred, axis=axis)
    missed = ops.sum((1.0 - y_pred) * y_true, axis=axis)
    extra = ops.sum(y_pred * (1.0 - y_true), axis=axis)
    return 1.0 - overlap / (overlap + missed * alpha + extra * beta + config.epsilon())


def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> Any:
    """(1 - p**q) / q for the probability p of the class that y_true names by its index (Zhang and Sabuncu, 2018)."""
    y_pred = ops.convert_to_tensor(y_pred)
    chosen = ops.one_hot(ops.cast(y_true, "int32"), y_pred.shape[-1], dtype=y_pred.dtype)
    return (1.0 - ops.power(ops.sum(y_pred * chosen, axis=-1), q)) / q


def check_axis(axis: Any) -> None:
    """ArgumentError unless an axis is a whole number."""
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise ArgumentError(f"axis must be a whole number, not {axis!r}")


def check_shapes(loss: str, y_true: Any, y_pred: Any) -> None:
    """ShapeError unless targets and predictions have one shape."""
    pairs = zip(y_true.shape, y_pred.shape, strict=False)
    same = len(y_true.shape) == len(y_pred.shape)
    if not same or any(a != b and None not in (a, b) and 1 not in (a, b) for a, b in pairs):
        raise ShapeError(f"{loss}: y_true has shape {tuple(y_true.shape)} and y_pred {tuple(y_pred.shape)}")


def check_classes(y_true: Any, y_pred: Any, axis: int) -> None:
    """ShapeError unless targets have the predictions' shape without the classes."""
    shape = [size for position, size in enumerate(y_pred.shape) if position != axis % len(y_pred.shape)]
    fits = len(shape) == len(y_true.shape)
    if not fits or any(a != b and None not in (a, b) for a, b in zip(shape, y_true.shape, strict=True)):
        raise ShapeError(
            f"sparse_categorical_crossentropy: y_true has shape {tuple(y_true.shape)} and y_pred "
            f"{tuple(y_pred.shape)}; y_true must have the same shape without the classes"
        )
