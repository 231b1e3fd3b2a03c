"""Functions by the names of Keras 2 that calculate, where `kgraph.ops` has other arguments or other names."""

from __future__ import annotations

from typing import Any

from kgraph import activations, ops
from kgraph.backend.reshaping import is_first
from kgraph.errors import ShapeError
from kgraph.graph.sizes import shown
from kgraph.ops.move import shape_of
from kgraph.tracing.trace import Symbol


def sqrt(x: Any) -> Any:
    """The root of x, and 0 where x is negative."""
    return ops.sqrt(ops.maximum(x, 0.0))


def pow(x: Any, a: Any) -> Any:
    """x to the power of a."""
    return ops.power(x, a)


def cumsum(x: Any, axis: int = 0) -> Any:
    """Along an axis, the sum of each element and those before it."""
    return ops.cumsum(x, axis)


def cumprod(x: Any, axis: int = 0) -> Any:
    """Along an axis, the product of each element and those before it."""
    return ops.cumprod(x, axis)


def relu(x: Any, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """max(x, 0), with a slope of alpha below the threshold, and never above max_value."""
    return activations.relu(x, alpha, max_value, threshold)


def l2_normalize(x: Any, axis: Any = None) -> Any:
    """x / sqrt(max(sum(x * x), 1e-12)) along axes."""
    return ops.l2_normalize(x, axis)


def batch_normalization(
    x: Any, mean: Any, var: Any, beta: Any, gamma: Any, axis: int = -1, epsilon: float = 1e-3
) -> Any:
    """(x - mean) / sqrt(var + epsilon) * gamma + beta; all of them broadcast to x."""
    inverse = ops.rsqrt(var + epsilon)
    inverse = inverse if gamma is None else inverse * gamma
    result = (x - mean) * inverse
    return result if beta is None else result + beta


def bias_add(x: Any, bias: Any, data_format: str | None = None) -> Any:
    """x plus a bias: one number for each channel, or one for each element of an example, channels last."""
    given, rank = shape_of(bias), len(shape_of(x))
    if len(given) not in (1, rank - 1):
        raise ShapeError(f"a bias of shape {shown(given)} for {rank} axes; it must have 1 or {rank - 1}")
    if not is_first(data_format) or rank < 3:
        return x + bias
    moved = (given[-1], *(given[:-1] if len(given) > 1 else (1,) * (rank - 2)))
    return x + ops.reshape(ops.moveaxis(bias, -1, 0) if len(given) > 1 else bias, moved)


def switch(condition: Any, then_expression: Any, else_expression: Any) -> Any:
    """then_expression where the condition holds, else else_expression; either may be a function of no arguments.

    A condition with fewer axes than the expressions has theirs from the front. Both expressions are computed.
    """
    then, other = (one() if callable(one) else one for one in (then_expression, else_expression))
    condition = ops.cast(condition, "bool")
    have, wanted = len(shape_of(condition)), len(shape_of(then))
    if have > wanted:
        raise ShapeError(f"switch: the condition has {have} axes, more than the {wanted} of the expressions")
    if 0 < have < wanted:
        condition = ops.reshape(condition, (*shape_of(condition), *(1,) * (wanted - have)))
    return ops.where(condition, then, other)


def stop_gradient(variables: Any) -> Any:
    """The same values, of which gradients take no notice; a list gives a list."""
    if isinstance(variables, (list, tuple)):
        return [ops.stop_gradient(one) for one in variables]
    return ops.stop_gradient(variables)


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """The cross entropy of each element: see `ops.binary_crossentropy`."""
    return ops.binary_crossentropy(target, output, from_logits)


def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """The cross entropy along the axis of classes: see `ops.categorical_crossentropy`."""
    return ops.categorical_crossentropy(target, output, from_logits, axis)


def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1, ignore_class: int | None = None
) -> Any:
    """The cross entropy with classes as integers; it is 0 where the class is ignore_class."""
    found = ops.sparse_categorical_crossentropy(target, output, from_logits, axis)
    if ignore_class is None:
        return found
    return ops.where(ops.equal(ops.reshape(target, shape_of(found)), ignore_class), 0.0, found)


def is_keras_tensor(x: Any) -> bool:
    """Whether x is symbolic: a value that a call will have."""
    return isinstance(x, Symbol)


def is_sparse(tensor: Any) -> bool:
    """False: there are no sparse tensors here."""
    return False


def to_dense(tensor: Any) -> Any:
    """The tensor itself: there are no sparse ones here."""
    return tensor
