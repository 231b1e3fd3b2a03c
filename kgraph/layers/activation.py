"""Activations with parameters, as layers."""

from __future__ import annotations

import warnings
from typing import Any

from kgraph import activations, constraints, initializers, ops, regularizers
from kgraph.errors import ArgumentError, ShapeError
from kgraph.layers.core import weight
from kgraph.layers.layer import Layer
from kgraph.layers.spec import InputSpec

MASKED = {"float16": -3e4}  # a logit that counts as minus infinity and leaves room to subtract from; else -1e9


class ReLU(Layer):
    """x where it is not below threshold, negative_slope * (x - threshold) below, and at most max_value."""

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if max_value is not None:
            not_negative(max_value, "max_value", "ReLU")
        self.max_value = max_value
        self.negative_slope = not_negative(negative_slope, "negative_slope", "ReLU")
        self.threshold = not_negative(threshold, "threshold", "ReLU")
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return activations.relu(inputs, self.negative_slope, self.max_value, self.threshold)


class LeakyReLU(Layer):
    """x where it is not negative, else negative_slope * x. `alpha` is the slope's old name."""

    def __init__(self, negative_slope: float = 0.3, **options: Any) -> None:
        if "alpha" in options:
            negative_slope = options.pop("alpha")
            warnings.warn("LeakyReLU calls `alpha` by its new name, `negative_slope`", stacklevel=2)
        super().__init__(**options)
        self.negative_slope = not_negative(negative_slope, "negative_slope", "LeakyReLU")
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return ops.leaky_relu(inputs, self.negative_slope)


class PReLU(Layer):
    """x where it is not negative, else alpha * x, with a learned alpha for each element of a sample.

    alpha has size 1 along shared_axes, which count the batch as 0. He et al., 2015.
    """

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)
        several = isinstance(shared_axes, (list, tuple))
        self.shared_axes = None if shared_axes is None else list(shared_axes) if several else [shared_axes]
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        shared = [axis % len(input_shape) for axis in self.shared_axes or ()]
        shape = [1 if axis in shared else size for axis, size in enumerate(input_shape)][1:]
        self.alpha = weight(self, "alpha", shape)
        axes = {axis: size for axis, size in enumerate(input_shape) if axis > 0 and axis not in shared and shared}
        self.input_spec = InputSpec(ndim=len(input_shape), axes=axes)

    def call(self, inputs: Any) -> Any:
        # Written so that the gradient at 0, half that of the line on the right, is Keras's.
        return ops.subtract(ops.relu(inputs), ops.multiply(self.alpha, ops.relu(ops.negative(inputs))))


class ELU(Layer):
    """x where it is positive, else alpha * (exp(x) - 1). Clevert et al., 2015."""

    def __init__(self, alpha: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.alpha = alpha
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return ops.elu(inputs, self.alpha)


class Softmax(Layer):
    """exp(x) / sum(exp(x)) along an axis, or over several.

    mask: booleans that broadcast to the inputs; where False, the probability is 0.
    """

    def __init__(self, axis: Any = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        return masked_softmax(inputs, mask, self.axis)


def masked_softmax(x: Any, mask: Any, axis: Any) -> Any:
    """softmax over axes, with probability 0 where mask is False; no mask where it is None."""
    axis = tuple(axis) if isinstance(axis, (list, tuple)) else axis
    if mask is None:
        return ops.softmax(x, axis)
    fits = len(mask.shape) <= len(x.shape) and all(
        have in (1, None) or wanted in (have, None)
        for have, wanted in zip(mask.shape[::-1], x.shape[::-1], strict=False)
    )
    if not fits:
        raise ShapeError(f"a mask of shape {tuple(mask.shape)} does not broadcast to inputs of shape {tuple(x.shape)}")
    kept = mask if mask.dtype == "bool" else ops.greater(mask, 0.5)
    return ops.where(kept, ops.softmax(ops.where(kept, x, MASKED.get(x.dtype, -1e9)), axis), 0)


def not_negative(value: Any, name: str, layer: str) -> float:
    """A number that is 0 or more; ArgumentError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise ArgumentError(f"{layer} wants {name} to be a number from 0 on, not {value!r}")
    return value
