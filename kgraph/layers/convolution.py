"""Convolutions of one, two and three dimensions, by channel or mixing them, and turned around."""

from __future__ import annotations

from typing import Any

from kgraph import activations, config, constraints, initializers, ops, regularizers
from kgraph.errors import ArgumentError, ShapeError
from kgraph.layers.core import positive, weight
from kgraph.layers.layer import Layer
from kgraph.layers.spec import InputSpec
from kgraph.ops.convolution import channels_first, several

PADDINGS = ("valid", "same", "causal")


class Windowed(Layer):
    """What layers have in common that look at windows: their size, strides, padding, and where the channels are."""

    rank = 2

    def _set_windows(self, strides: Any, padding: str, data_format: str | None, allowed: Any = PADDINGS[:2]) -> None:
        self.strides = several(strides, self.rank, "strides")
        self.padding = padding.lower() if isinstance(padding, str) else padding
        if self.padding not in allowed:
            raise ArgumentError(f"layer {self.name!r}: padding is one of {allowed}, not {padding!r}")
        self.data_format = config.image_data_format() if data_format is None else data_format
        channels_first(self.data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    @property
    def _channel_axis(self) -> int:
        return 1 if self.data_format == "channels_first" else -1

    def channels(self, input_shape: Any) -> int:
        """How many channels the inputs have; ShapeError if that is not known."""
        found = input_shape[self._channel_axis]
        if found is None:
            raise ShapeError(f"layer {self.name!r} needs the number of channels; it was given {tuple(input_shape)}")
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={self._channel_axis: found})
        return int(found)

    def finished(self, x: Any, bias: Any, activation: Any) -> Any:
        """x with the bias of each channel, and the activation."""
        if bias is not None:
            first = self.data_format == "channels_first"
            bias = ops.reshape(bias, (-1, *(1,) * self.rank)) if first else bias
            x = ops.add(x, bias)
        return x if activation is None else activation(x)


class Convolution(Windowed):
    """activation(conv(inputs, kernel) + bias); kernel is (*kernel_size, channels / groups, filters), bias (filters,).

    kernel_size, strides (1) and dilation_rate (1) are an integer, or one for each axis between batch and channels.
    strides are the steps between windows, dilation_rate those between the elements of one. padding "valid" has windows
    inside the inputs only; "same" adds zeros so that strides of 1 keep the sizes.
    """

    paddings: tuple[str, ...] = PADDINGS[:2]

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **options)
        self.filters = positive(filters, "filters", type(self).__name__)
        self.groups = positive(groups, "groups", type(self).__name__)
        if self.filters % self.groups:
            raise ArgumentError(f"layer {self.name!r}: {filters} filters cannot be split into {groups} groups")
        self.kernel_size = several(kernel_size, self.rank, "kernel_size")
        self._set_windows(strides, padding, data_format, self.paddings)
        self.dilation_rate = several(dilation_rate, self.rank, "dilation_rate")
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, input_shape: Any) -> None:
        channels = self.channels(input_shape)
        if channels % self.groups:
            raise ShapeError(f"layer {self.name!r}: {channels} channels cannot be split into {self.groups} groups")
        self.kernel = weight(self, "kernel", (*self.kernel_size, channels // self.groups, self.filters))
        self.bias = weight(self, "bias", (self.filters,)) if self.use_bias else None

    def call(self, inputs: Any) -> Any:
        x = ops.conv(inputs, self.kernel, self.strides, self.padding, self.data_format, self.dilation_rate)
        return self.finished(x, self.bias, self.activation)


class Conv1D(Convolution):
    """A convolution: sequences (batch, steps, channels) give (batch, new steps, filters).

    Arguments as for Conv2D, with one number where it has two. padding="causal" puts all zeros before the steps, so that
    no result looks at later ones.
    """

    rank, paddings = 1, PADDINGS


class Conv2D(Convolution):
    """A convolution: images (batch, rows, columns, channels) give (batch, new rows, new columns, filters).

    activation(conv(inputs, kernel) + bias). kernel is (*kernel_size, channels / groups, filters), and bias, left out by
    use_bias=False, (filters,). kernel_size, strides (1) and dilation_rate (1): an integer, or one for rows and one for
    columns. strides are the steps between windows, dilation_rate those between the elements of one. padding: "valid"
    has windows inside the image only, (rows - width) // stride + 1 of them, width = (kernel_size - 1) * dilation_rate
    + 1; "same" adds zeros around it, so that there are ceil(rows / stride). data_format: "channels_last", or
    "channels_first" for images and results of (batch, channels, rows, columns); default
    `config.image_data_format()`. groups (1): so many parts of the channels are convolved apart.

    Raises ArgumentError for arguments out of range, or filters that the groups do not divide; ShapeError for inputs of
    another rank, or channels that the groups do not divide.
    """


class Conv3D(Convolution):
    """A convolution: volumes (batch, planes, rows, columns, channels) give (batch, ..., filters). Arguments: Conv2D."""

    rank = 3


class TransposedConvolution(Convolution):
    """The gradient of a convolution: from few places to many. kernel is (*kernel_size, filters, channels)."""

    def __init__(
        self, filters: int, kernel_size: Any, strides: Any = 1, padding: str = "valid", output_padding: Any = None,
        data_format: str | None = None, dilation_rate: Any = 1, activation: Any = None, use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros", kernel_regularizer: Any = None,
        bias_regularizer: Any = None, activity_regularizer: Any = None, kernel_constraint: Any = None,
        bias_constraint: Any = None, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            filters, kernel_size, strides, padding, data_format, dilation_rate, 1, activation, use_bias,
            kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer,
            kernel_constraint, bias_constraint, **options,
        )  # fmt: skip
        self.output_padding = (
            None if output_padding is None else several(output_padding, self.rank, "output_padding", 0)
        )

    def build(self, input_shape: Any) -> None:
        self.kernel = weight(self, "kernel", (*self.kernel_size, self.filters, self.channels(input_shape)))
        self.bias = weight(self, "bias", (self.filters,)) if self.use_bias else None

    def call(self, inputs: Any) -> Any:
        how = (self.strides, self.padding, self.output_padding, self.data_format, self.dilation_rate)
        return self.finished(ops.conv_transpose(inputs, self.kernel, *how), self.bias, self.activation)

    def get_config(self) -> dict[str, Any]:
        return {key: value for key, value in super().get_config().items() if key != "groups"}


class Conv1DTranspose(TransposedConvolution):
    """A transposed convolution: (batch, steps, channels) gives (batch, new steps, filters). See Conv2DTranspose."""

    rank = 1


class Conv2DTranspose(TransposedConvolution):
    """A transposed convolution: (batch, rows, columns, channels) gives (batch, new rows, new columns, filters).

    The gradient of a convolution: it goes from few places to many. kernel is (*kernel_size, filters, channels). With
    padding="same" there are rows * stride new rows, with "valid" rows * stride + max(width - stride, 0), width as in
    Conv2D. With output_padding, an integer or one for rows and one for columns, there are (rows - 1) * stride + width +
    output_padding of them, and for "same" 2 * (width // 2) less. The other arguments are those of Conv2D, without
    groups.
    """


class Conv3DTranspose(TransposedConvolution):
    """A transposed convolution: (batch, planes, rows, columns, channels) gives (batch, ..., filters).

    Arguments as for Conv2DTranspose. As in Keras, data_format stands before output_padding here.
    """

    rank = 3

    def __init__(
        self, filters: int, kernel_size: Any, strides: Any = 1, padding: str = "valid", data_format: str | None = None,
        output_padding: Any = None, dilation_rate: Any = 1, activation: Any = None, use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros", kernel_regularizer: Any = None,
        bias_regularizer: Any = None, activity_regularizer: Any = None, kernel_constraint: Any = None,
        bias_constraint: Any = None, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate, activation, use_bias,
            kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer,
            kernel_constraint, bias_constraint, **options,
        )  # fmt: skip


class Depthwise(Windowed):
    """What convolutions that keep channels apart have in common: the kernel (*kernel_size, channels, multiplier)."""

    depthwise_initializer: Any
    depthwise_regularizer: Any
    depthwise_constraint: Any

    def _set_depthwise(
        self, kernel_size: Any, strides: Any, padding: str, depth_multiplier: int, data_format: str | None,
        dilation_rate: Any, activation: Any, use_bias: bool, options: dict[str, Any],
    ) -> None:  # fmt: skip
        self.kernel_size = several(kernel_size, self.rank, "kernel_size")
        self._set_windows(strides, padding, data_format, PADDINGS if self.rank == 1 else PADDINGS[:2])
        self.depth_multiplier = positive(depth_multiplier, "depth_multiplier", type(self).__name__)
        self.dilation_rate = several(dilation_rate, self.rank, "dilation_rate")
        self.activation, self.use_bias = activations.get(activation), use_bias
        for part in ("depthwise", "pointwise", "bias"):
            if f"{part}_initializer" in options:
                setattr(self, f"{part}_initializer", initializers.get(options[f"{part}_initializer"]))
                setattr(self, f"{part}_regularizer", regularizers.get(options[f"{part}_regularizer"]))
                setattr(self, f"{part}_constraint", constraints.get(options[f"{part}_constraint"]))

    def _kernel(self, name: str, shape: Any) -> Any:
        how = {what: getattr(self, f"{name}_{what}") for what in ("initializer", "regularizer", "constraint")}
        return self.add_weight(name="bias" if name == "bias" else f"{name}_kernel", shape=shape, **how)


class DepthwiseConvolution(Depthwise):
    """activation(depthwise_conv(inputs, kernel) + bias): `depth_multiplier` filters for each channel by itself."""

    def __init__(
        self, kernel_size: Any, strides: Any = 1, padding: str = "valid", depth_multiplier: int = 1,
        data_format: str | None = None, dilation_rate: Any = 1, activation: Any = None, use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform", bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None, bias_regularizer: Any = None, activity_regularizer: Any = None,
        depthwise_constraint: Any = None, bias_constraint: Any = None, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(activity_regularizer=activity_regularizer, **options)
        self._set_depthwise(
            kernel_size, strides, padding, depth_multiplier, data_format, dilation_rate, activation, use_bias,
            {
                "depthwise_initializer": depthwise_initializer, "bias_initializer": bias_initializer,
                "depthwise_regularizer": depthwise_regularizer, "bias_regularizer": bias_regularizer,
                "depthwise_constraint": depthwise_constraint, "bias_constraint": bias_constraint,
            },
        )  # fmt: skip

    def build(self, input_shape: Any) -> None:
        channels = self.channels(input_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, channels, self.depth_multiplier),
            initializer=self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
        )
        self.bias = self._kernel("bias", (channels * self.depth_multiplier,)) if self.use_bias else None

    def call(self, inputs: Any) -> Any:
        how = (self.strides, self.padding, self.data_format, self.dilation_rate)
        return self.finished(ops.depthwise_conv(inputs, self.kernel, *how), self.bias, self.activation)


class DepthwiseConv1D(DepthwiseConvolution):
    """A depthwise convolution of (batch, steps, channels). Arguments as for DepthwiseConv2D, and padding="causal"."""

    rank = 1


class DepthwiseConv2D(DepthwiseConvolution):
    """A convolution of each channel by itself: images give (batch, new rows, new columns, channels * depth_multiplier).

    kernel is (*kernel_size, channels, depth_multiplier), 1 by default, and bias (channels * depth_multiplier,). The
    other arguments are those of Conv2D.
    """


class SeparableConvolution(Depthwise):
    """A depthwise convolution, then one of width 1 that mixes the channels, then bias and activation."""

    def __init__(
        self, filters: int, kernel_size: Any, strides: Any = 1, padding: str = "valid", data_format: str | None = None,
        dilation_rate: Any = 1, depth_multiplier: int = 1, activation: Any = None, use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform", pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros", depthwise_regularizer: Any = None, pointwise_regularizer: Any = None,
        bias_regularizer: Any = None, activity_regularizer: Any = None, depthwise_constraint: Any = None,
        pointwise_constraint: Any = None, bias_constraint: Any = None, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(activity_regularizer=activity_regularizer, **options)
        self.filters = positive(filters, "filters", type(self).__name__)
        self._set_depthwise(
            kernel_size, strides, padding, depth_multiplier, data_format, dilation_rate, activation, use_bias,
            {
                "depthwise_initializer": depthwise_initializer, "pointwise_initializer": pointwise_initializer,
                "bias_initializer": bias_initializer, "depthwise_regularizer": depthwise_regularizer,
                "pointwise_regularizer": pointwise_regularizer, "bias_regularizer": bias_regularizer,
                "depthwise_constraint": depthwise_constraint, "pointwise_constraint": pointwise_constraint,
                "bias_constraint": bias_constraint,
            },
        )  # fmt: skip

    def build(self, input_shape: Any) -> None:
        channels, ones = self.channels(input_shape), (1,) * self.rank
        self.depthwise_kernel = self._kernel("depthwise", (*self.kernel_size, channels, self.depth_multiplier))
        self.pointwise_kernel = self._kernel("pointwise", (*ones, channels * self.depth_multiplier, self.filters))
        self.bias = self._kernel("bias", (self.filters,)) if self.use_bias else None

    def call(self, inputs: Any) -> Any:
        kernels = (self.depthwise_kernel, self.pointwise_kernel)
        how = (self.strides, self.padding, self.data_format, self.dilation_rate)
        return self.finished(ops.separable_conv(inputs, *kernels, *how), self.bias, self.activation)


class SeparableConv1D(SeparableConvolution):
    """A separable convolution of (batch, steps, channels). Arguments as for SeparableConv2D, and padding="causal"."""

    rank = 1


class SeparableConv2D(SeparableConvolution):
    """A depthwise convolution, then one of width 1: images give (batch, new rows, new columns, filters).

    depthwise_kernel is (*kernel_size, channels, depth_multiplier), 1 by default; pointwise_kernel, which mixes the
    channels, (1, 1, channels * depth_multiplier, filters). bias and activation come last. The other arguments are
    those of Conv2D.
    """


Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D
Convolution1DTranspose, Convolution2DTranspose = Conv1DTranspose, Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D
