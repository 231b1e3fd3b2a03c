"""Cross entropies, element by element of the batch: what the losses of classifiers average."""

from __future__ import annotations

from typing import Any

from kgraph import config
from kgraph.errors import ShapeError
from kgraph.graph.sizes import shown, unify
from kgraph.ops.arithmetic import cast, multiply, negative, subtract
from kgraph.ops.axes import axis_of
from kgraph.ops.creating import dtype_of, one_hot
from kgraph.ops.move import shape_of
from kgraph.ops.nn import log_sigmoid
from kgraph.ops.pointwise import clip
from kgraph.ops.probabilities import log_softmax
from kgraph.ops.shapes import squeeze
from kgraph.ops.statistics import sum
from kgraph.ops.tensors import composed, floating, tensor
from kgraph.ops.transcendental import log


@composed
def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """-(target * log(output) + (1 - target) * log(1 - output)), of the shape of both.

    Probabilities are clipped to [epsilon, 1 - epsilon]; from_logits: output is what a sigmoid would be applied to.
    """
    output = floating(output)
    target = cast(target, dtype_of(output))
    _same_shape("binary_crossentropy", target, output)
    if from_logits:
        yes, no = log_sigmoid(output), log_sigmoid(negative(output))
    else:
        output = _clipped(output)
        yes, no = log(output), log(subtract(1.0, output))
    return negative(multiply(target, yes) + multiply(subtract(1.0, target), no))


@composed
def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """-sum(target * log(output)) along the axis of classes; target has probabilities, such as one-hot ones.

    Probabilities are divided by their sum and clipped to [epsilon, 1 - epsilon]; from_logits: output is what a softmax
    would be applied to.
    """
    output = floating(output)
    target = cast(target, dtype_of(output))
    _same_shape("categorical_crossentropy", target, output)
    if not shape_of(output):
        raise ShapeError("categorical_crossentropy of numbers: there is no axis of classes")
    place = axis_of(output, axis)
    return negative(sum(multiply(target, _log_probabilities(output, from_logits, place)), place))


@composed
def sparse_categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """-log(output[class]), where target has the classes as integers: of output's shape without the axis of classes.

    A last axis of size 1 of target may be left in. Classes outside the axis count as 0. See categorical_crossentropy.
    """
    output, target = floating(output), tensor(target)
    have, given = shape_of(output), shape_of(target)
    if len(given) == len(have) and given and given[-1] == 1:
        target, given = squeeze(target, -1), given[:-1]
    if not have or len(given) != len(have) - 1:
        raise ShapeError(
            f"sparse_categorical_crossentropy: target has shape {shown(given)} and output {shown(have)}; "
            "target must have an axis less, that of the classes"
        )
    place = axis_of(output, axis)
    _unify("sparse_categorical_crossentropy", given, (*have[:place], *have[place + 1 :]))
    classes = one_hot(cast(target, "int32"), have[place], axis=place, dtype=dtype_of(output))
    return negative(sum(multiply(classes, _log_probabilities(output, from_logits, place)), place))


def _log_probabilities(output: Any, from_logits: bool, axis: int) -> Any:
    if from_logits:
        return log_softmax(output, axis)
    return log(probabilities(output, axis))


def probabilities(output: Any, axis: int) -> Any:
    """Numbers made to sum to 1 along an axis, and kept off 0 and 1 by epsilon."""
    return _clipped(output / sum(output, axis, keepdims=True))


def _clipped(output: Any) -> Any:
    return clip(output, config.epsilon(), 1.0 - config.epsilon())


def _same_shape(name: str, target: Any, output: Any) -> None:
    _unify(name, shape_of(target), shape_of(output))


def _unify(name: str, given: Any, wanted: Any) -> None:
    try:
        if len(given) != len(wanted):
            raise ShapeError("another number of axes")
        for one, other in zip(given, wanted, strict=True):
            unify(one, other)
    except ShapeError:
        raise ShapeError(f"{name}: target has shape {shown(given)}, where {shown(wanted)} is wanted") from None
