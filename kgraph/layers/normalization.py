"""Layers that bring activations to mean 0 and variance 1."""

from __future__ import annotations

from typing import Any

from kgraph import constraints, initializers, ops, regularizers
from kgraph.errors import ArgumentError, DTypeError, ShapeError
from kgraph.graph.types import promote
from kgraph.layers.core import weight
from kgraph.layers.layer import Layer
from kgraph.layers.spec import InputSpec


class LayerNormalization(Layer):
    """Each sample at mean 0 and variance 1 over `axis`, then times gamma, plus beta (Ba et al., 2016).

    axis: one or several, the last by default; gamma and beta have their sizes. epsilon (1e-3) is added to the variance.
    center=False: no beta; scale=False: no gamma. With rms_scaling (by name only) nothing is subtracted or added: the
    division by the root of the variance and gamma are all. The result has the input's shape.
    """

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        *,
        rms_scaling: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not isinstance(axis, (int, list, tuple)):
            raise DTypeError(f"LayerNormalization wants an axis or a list of axes, not {axis!r}")
        self.axis = axis if isinstance(axis, int) else list(axis)
        self.epsilon = epsilon
        self.center, self.scale, self.rms_scaling = center, scale, rms_scaling
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.supports_masking = True
        self.autocast = False

    def build(self, input_shape: Any) -> None:
        axes = within([self.axis] if isinstance(self.axis, int) else self.axis, input_shape, self.name)
        shape = tuple(input_shape[axis] for axis in axes)
        self.gamma = self.beta = None
        if self.scale or self.rms_scaling:
            self.gamma = weight(self, "gamma", shape, autocast=False)
        if self.center and not self.rms_scaling:
            self.beta = weight(self, "beta", shape, autocast=False)

    def call(self, inputs: Any) -> Any:
        axes = within([self.axis] if isinstance(self.axis, int) else self.axis, inputs.shape, self.name)
        x = ops.cast(inputs, promote(inputs.dtype, "float32"))
        mean = ops.mean(x, axis=axes, keepdims=True)
        centered = ops.subtract(x, mean)
        variance = ops.mean(ops.square(centered), axis=axes, keepdims=True)
        y = ops.multiply(x if self.rms_scaling else centered, ops.rsqrt(ops.add(variance, self.epsilon)))
        y = scaled(y, self.gamma, self.beta, axes)
        return ops.cast(y, self.compute_dtype)


class BatchNormalization(Layer):
    """Each channel at mean 0 and variance 1, then times gamma, plus beta (Ioffe and Szegedy, 2015).

    While training, mean and variance are the batch's, and the moving ones follow: moving * momentum + batch * (1 -
    momentum). In inference, and when the layer is frozen (trainable=False), they are the moving ones. Masked steps
    do not count.

    axis (-1) is that of the channels; momentum is 0.99, and epsilon, which the variance is increased by, 1e-3. Weights,
    each (channels,): gamma unless scale=False, beta unless center=False, moving_mean, moving_variance. The result has
    the input's shape. synchronized changes nothing, with one device. ArgumentError for renorm, which is not built.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        *,
        synchronized: bool = False,
        **options: Any,
    ) -> None:
        if options.pop("renorm", False):
            raise ArgumentError("BatchNormalization(renorm=True) is not supported")
        super().__init__(**{key: value for key, value in options.items() if not key.startswith("renorm_")})
        self.axis = int(axis)
        self.momentum, self.epsilon = float(momentum), float(epsilon)
        self.center, self.scale, self.synchronized = center, scale, synchronized
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        (axis,) = within([self.axis], input_shape, self.name)
        shape = (input_shape[axis],)
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = weight(self, "gamma", shape, autocast=False)
        if self.center:
            self.beta = weight(self, "beta", shape, autocast=False)
        self.moving_mean = self.add_weight(
            shape, self.moving_mean_initializer, name="moving_mean", trainable=False, autocast=False
        )
        self.moving_variance = self.add_weight(
            shape, self.moving_variance_initializer, name="moving_variance", trainable=False, autocast=False
        )
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: input_shape[axis]})

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if mask is not None and mask.ndim != inputs.ndim - 1:
            raise ShapeError(
                f"layer {self.name!r}: a mask for {inputs.type} has {inputs.ndim - 1} axes, not {mask.type}"
            )
        axis = self.axis % inputs.ndim
        others = tuple(other for other in range(inputs.ndim) if other != axis)
        x = ops.cast(inputs, promote(inputs.dtype, "float32"))
        if training and self.trainable:
            mean, variance = moments(x, mask, others)
            self._follow(self.moving_mean, ops.squeeze(mean, others))
            self._follow(self.moving_variance, ops.squeeze(variance, others))
        else:
            mean = ops.expand_dims(ops.cast(self.moving_mean, x.dtype), others)
            variance = ops.expand_dims(ops.cast(self.moving_variance, x.dtype), others)
        y = ops.multiply(ops.subtract(x, mean), ops.rsqrt(ops.add(variance, self.epsilon)))
        return ops.cast(scaled(y, self.gamma, self.beta, (axis,)), self.compute_dtype)

    def _follow(self, moving: Any, batch: Any) -> None:
        moving.assign(ops.add(ops.multiply(moving, self.momentum), ops.multiply(batch, 1.0 - self.momentum)))


class GroupNormalization(Layer):
    """Each sample's channels in groups, each group at mean 0 and variance 1, then times gamma, plus beta.

    `axis` (-1) is that of the channels, which `groups` (32) must divide; groups=-1 makes each channel a group: instance
    normalization. epsilon (1e-3), center and scale: LayerNormalization; gamma and beta are (channels,). The result has
    the input's shape. Wu and He, 2018.
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if isinstance(groups, bool) or not isinstance(groups, int) or (groups <= 0 and groups != -1):
            raise ArgumentError(f"GroupNormalization wants groups to be a whole number above 0, or -1, not {groups!r}")
        self.groups, self.axis, self.epsilon = groups, axis, epsilon
        self.center, self.scale = center, scale
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.supports_masking = True
        self.autocast = False

    def build(self, input_shape: Any) -> None:
        (axis,) = within([self.axis], input_shape, self.name)
        width = input_shape[axis]
        if width is None:
            raise ShapeError(f"layer {self.name!r} needs the size of axis {self.axis}; it was given {input_shape}")
        self.groups = width if self.groups == -1 else self.groups
        if width % self.groups:
            raise ShapeError(f"layer {self.name!r}: {width} channels cannot be put into {self.groups} equal groups")
        self.gamma = weight(self, "gamma", (width,), autocast=False) if self.scale else None
        self.beta = weight(self, "beta", (width,), autocast=False) if self.center else None
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: width})

    def call(self, inputs: Any) -> Any:
        axis, shape = self.axis % inputs.ndim, inputs.type.shape
        apart = (*shape[:axis], self.groups, shape[axis] // self.groups, *shape[axis + 1 :])
        x = ops.reshape(ops.cast(inputs, promote(inputs.dtype, "float32")), apart)
        mean, variance = moments(x, None, tuple(other for other in range(1, x.ndim) if other != axis))
        y = ops.multiply(ops.subtract(x, mean), ops.rsqrt(ops.add(variance, self.epsilon)))
        return ops.cast(scaled(ops.reshape(y, shape), self.gamma, self.beta, (axis,)), self.compute_dtype)


class RMSNormalization(Layer):
    """x / sqrt(mean(x * x) + epsilon) along `axis`, or several, times scale. Zhang and Sennrich, 2019."""

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis
        self.epsilon = epsilon

    def build(self, input_shape: Any) -> None:
        axes = within([self.axis] if isinstance(self.axis, int) else self.axis, input_shape, self.name)
        self.axis = sorted(self.axis) if isinstance(self.axis, (list, tuple)) else [self.axis]
        self.scale = self.add_weight(tuple(input_shape[axis] for axis in axes), "ones", name="scale")

    def call(self, inputs: Any) -> Any:
        axes = within(self.axis, inputs.shape, self.name)
        y = ops.rms_normalization(ops.cast(inputs, promote(inputs.dtype, "float32")), None, axes, self.epsilon)
        return ops.cast(scaled(y, self.scale, None, axes), inputs.dtype)


class UnitNormalization(Layer):
    """Vectors along `axis`, or over several, divided by their Euclidean norm."""

    def __init__(self, axis: Any = -1, **options: Any) -> None:
        super().__init__(**options)
        if not isinstance(axis, (int, list, tuple)):
            raise DTypeError(f"UnitNormalization wants an axis or a list of axes, not {axis!r}")
        self.axis = axis if isinstance(axis, int) else list(axis)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        axes = within([self.axis] if isinstance(self.axis, int) else self.axis, inputs.shape, self.name)
        return ops.normalize(inputs, axis=axes, order=2, epsilon=1e-12)


def within(axes: Any, shape: Any, name: str) -> tuple[int, ...]:
    """Axes counted from 0, in order; ShapeError for those the input does not have."""
    rank = len(shape)
    for axis in axes:
        if not -rank <= axis < rank:
            raise ShapeError(f"layer {name!r}: axis {axis} is out of bounds for an input of shape {tuple(shape)}")
    return tuple(sorted(axis % rank for axis in axes))


def moments(x: Any, mask: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
    """Mean and variance over these axes, which are kept; masked elements do not count."""
    if mask is None:
        mean = ops.mean(x, axis=axes, keepdims=True)
        return mean, ops.mean(ops.square(ops.subtract(x, mean)), axis=axes, keepdims=True)
    weights = ops.broadcast_to(ops.expand_dims(ops.cast(mask, x.dtype), -1), x.type.shape)
    total = ops.add(ops.sum(weights, axis=axes, keepdims=True), 1e-7)
    mean = ops.divide(ops.sum(ops.multiply(weights, x), axis=axes, keepdims=True), total)
    squares = ops.multiply(weights, ops.square(ops.subtract(x, mean)))
    return mean, ops.divide(ops.sum(squares, axis=axes, keepdims=True), total)


def scaled(y: Any, gamma: Any, beta: Any, axes: tuple[int, ...]) -> Any:
    """y * gamma + beta, where both lie along these axes and either may be missing."""
    others = tuple(axis for axis in range(y.ndim) if axis not in axes)
    if gamma is not None:
        y = ops.multiply(y, ops.cast(ops.expand_dims(gamma, others), y.dtype))
    return y if beta is None else ops.add(y, ops.cast(ops.expand_dims(beta, others), y.dtype))
