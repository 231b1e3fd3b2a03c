"""Losses as functions of (y_true, y_pred): one number for each sample. All of them, and their defaults, are Keras's."""

from __future__ import annotations

import math
from typing import Any

from kgraph import config, ops
from kgraph.ops.axes import axis_of
from kgraph.ops.crossentropy import probabilities


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


def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: Any = -1
) -> Any:
    """mean(-y_true * log(y_pred) - (1 - y_true) * log(1 - y_pred)) over an axis.

    The result has the shape of y_pred without `axis`. The arguments are those of losses.BinaryCrossentropy.
    """
    y_true, y_pred = like(y_true, y_pred)
    return ops.mean(ops.binary_crossentropy(smoothed(y_true, label_smoothing, 2), y_pred, from_logits), axis=axis)


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
    """Binary crossentropy times (1 - p of the target)**gamma (Lin et al., 2018).

    The result has the shape of y_pred without `axis`. The arguments are those of losses.BinaryFocalCrossentropy.
    """
    y_true, y_pred = like(y_true, y_pred)
    y_true = smoothed(y_true, label_smoothing, 2)
    y_pred = ops.sigmoid(y_pred) if from_logits else y_pred
    right = y_true * y_pred + (1.0 - y_true) * (1.0 - y_pred)
    loss = ops.power(1.0 - right, gamma) * ops.binary_crossentropy(y_true, y_pred)
    if apply_class_balancing:
        loss = (y_true * alpha + (1.0 - y_true) * (1.0 - alpha)) * loss
    return ops.mean(loss, axis=axis)


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """-sum(y_true * log(y_pred)) over the classes, which lie along `axis`.

    The result has the shape of y_pred without `axis`. The arguments are those of losses.CategoricalCrossentropy.
    """
    y_true, y_pred = like(y_true, y_pred)
    y_true = smoothed(y_true, label_smoothing, y_true.shape[-1])
    return ops.categorical_crossentropy(y_true, y_pred, from_logits, axis)


def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Categorical crossentropy times alpha * (1 - p)**gamma (Lin et al., 2018).

    The result has the shape of y_pred without `axis`. The arguments are those of losses.CategoricalFocalCrossentropy.
    """
    y_true, y_pred = like(y_true, y_pred)
    axis = axis_of(y_pred, axis)
    y_true = smoothed(y_true, label_smoothing, y_true.shape[-1])
    p = probabilities(ops.softmax(y_pred, axis=axis) if from_logits else y_pred, axis)
    return ops.sum(ops.power(1.0 - p, gamma) * alpha * (-y_true * ops.log(p)), axis=axis)


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Any:
    """-log(y_pred) at the class that y_true names by its index; 0 where that is ignore_class.

    The result has the shape of y_pred without `axis`. The arguments are those of losses.SparseCategoricalCrossentropy.
    """
    y_pred, y_true = ops.convert_to_tensor(y_pred), ops.convert_to_tensor(y_true)
    axis = axis_of(y_pred, axis)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[axis] == 1:
        y_true = ops.squeeze(y_true, axis)
    if ignore_class is None:
        return ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits, axis)
    valid = ops.not_equal(y_true, ignore_class)
    y_pred = ops.where(ops.expand_dims(valid, axis), y_pred, 1.0)  # any numbers without NaN in their gradient
    loss = ops.sparse_categorical_crossentropy(ops.where(valid, y_true, 0), y_pred, from_logits, axis)
    return ops.where(valid, loss, 0.0)


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


def ctc(y_true: Any, y_pred: Any) -> Any:
    """Minus the logarithm of the probability of label sequences without alignment (Graves et al., 2006).

    y_true: labels (batch, length), of which 0 is none; y_pred: logits (batch, time, classes), of which 0 is the blank.
    ShapeError: other ranks.
    """
    y_true, y_pred = ops.cast(y_true, "int32"), ops.convert_to_tensor(y_pred)
    length = ops.sum(ops.cast(ops.not_equal(y_true, 0), "int32"), axis=-1)
    batch, time = ops.shape(y_pred)[:2]
    return ops.ctc_loss(y_true, y_pred, length, ops.broadcast_to(ops.cast(time, "int32"), (batch,)))


def circle(
    y_true: Any, y_pred: Any, ref_labels: Any = None, ref_embeddings: Any = None, remove_diagonal: bool = True,
    gamma: float = 80, margin: float = 0.4,
) -> Any:  # fmt: skip
    """log(1 + sum over pairs of unlike labels * sum over pairs of like ones), pairs weighted by how wrong they are.

    y_true: labels (batch,) or (batch, 1); y_pred: embeddings (batch, d) of length 1, each beside every one of
    ref_embeddings, which have ref_labels; default: beside each other, without itself (Sun et al., 2020).
    """
    y_true, y_pred = ops.cast(y_true, "int32"), ops.convert_to_tensor(y_pred)
    others = y_pred if ref_embeddings is None else ops.convert_to_tensor(ref_embeddings)
    labels = y_true if ref_labels is None else ops.cast(ref_labels, "int32")
    far = ops.maximum(1.0 - ops.matmul(y_pred, ops.transpose(others)), 0.0)
    like = ops.equal(ops.reshape(y_true, (-1, 1)), ops.reshape(labels, (1, -1)))
    unlike = ops.logical_not(like)
    if remove_diagonal:
        rows, columns = ops.shape(far)
        like = ops.logical_and(like, ops.logical_not(ops.eye(rows, columns, dtype="bool")))
    pull = -gamma * ops.maximum(margin + far, 0.0) * (margin - far)
    push = gamma * ops.maximum(1.0 + margin - far, 0.0) * (1.0 - margin - far)
    total = [ops.logsumexp(ops.where(one, x, -math.inf), axis=1) for one, x in ((like, pull), (unlike, push))]
    return ops.softplus(total[0] + total[1])
