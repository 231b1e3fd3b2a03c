"""Pooling of windows, and of everything."""

from __future__ import annotations

from typing import Any

from kgraph import config, ops
from kgraph.layers.convolution import Windowed
from kgraph.layers.layer import Layer
from kgraph.layers.spec import InputSpec
from kgraph.ops.convolution import channels_first, several


class Pooling(Windowed):
    """One element for every window of `pool_size`; strides default to pool_size."""

    pool: Any = None

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        self.pool_size = several(pool_size, self.rank, "pool_size")
        self._set_windows(self.pool_size if strides is None else strides, padding, data_format)

    def call(self, inputs: Any) -> Any:
        return type(self).pool(inputs, self.pool_size, self.strides, self.padding, self.data_format)


class MaxPooling(Pooling):
    """The largest element of every window."""

    pool: Any = staticmethod(ops.max_pool)


class MaxPooling1D(MaxPooling):
    """The largest element of every window of (batch, steps, channels). Arguments: MaxPooling2D."""

    rank = 1


class MaxPooling2D(MaxPooling):
    """The largest element of every window of images (batch, rows, columns, channels), for each channel.

    pool_size (2) and strides (pool_size): an integer, or one for rows and one for columns. padding: "valid" has windows
    inside the image only, (rows - pool_size) // stride + 1 of them; "same" ceil(rows / stride), with what lies outside
    left out. data_format: as in Conv2D.
    """

    rank = 2


class MaxPooling3D(MaxPooling):
    """The largest element of every window of (batch, planes, rows, columns, channels). Arguments: MaxPooling2D."""

    rank = 3


class AveragePooling(Pooling):
    """The mean of every window, of the elements that are inside."""

    pool: Any = staticmethod(ops.average_pool)


class AveragePooling1D(AveragePooling):
    """The mean of every window of (batch, steps, channels). Arguments: AveragePooling2D."""

    rank = 1


class AveragePooling2D(AveragePooling):
    """The mean of every window of images (batch, rows, columns, channels), of those elements inside, for each channel.

    pool_size (2) and strides (pool_size): an integer, or one for rows and one for columns. padding: "valid" has windows
    inside the image only, (rows - pool_size) // stride + 1 of them; "same" ceil(rows / stride), with what lies outside
    left out. data_format: as in Conv2D.
    """

    rank = 2


class AveragePooling3D(AveragePooling):
    """The mean of every window of (batch, planes, rows, columns, channels). Arguments: AveragePooling2D."""

    rank = 3


class GlobalPooling(Layer):
    """One element for every channel; with keepdims the axes stay, with size 1."""

    rank = 2
    reduce: Any = None

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.data_format = config.image_data_format() if data_format is None else data_format
        self.keepdims = keepdims
        first = channels_first(self.data_format)
        self._axes = tuple(range(2, self.rank + 2) if first else range(1, self.rank + 1))
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs: Any) -> Any:
        return type(self).reduce(inputs, axis=self._axes, keepdims=self.keepdims)


class GlobalMaxPooling(GlobalPooling):
    """The largest element of every channel."""

    reduce: Any = staticmethod(ops.max)


class GlobalMaxPooling1D(GlobalMaxPooling):
    """The largest element of every channel of (batch, steps, channels): (batch, channels).

    With keepdims=True the result is (batch, 1, channels). data_format: as in Conv2D.
    """

    rank = 1


class GlobalMaxPooling2D(GlobalMaxPooling):
    """The largest element of every channel of (batch, rows, columns, channels): (batch, channels).

    With keepdims=True the result is (batch, 1, 1, channels). data_format: as in Conv2D.
    """

    rank = 2


class GlobalMaxPooling3D(GlobalMaxPooling):
    """The largest element of every channel of (batch, planes, rows, columns, channels): (batch, channels).

    With keepdims=True the result is (batch, 1, 1, 1, channels). data_format: as in Conv2D.
    """

    rank = 3


class GlobalAveragePooling(GlobalPooling):
    """The mean of every channel."""

    reduce: Any = staticmethod(ops.mean)


class GlobalAveragePooling1D(GlobalAveragePooling):
    """The mean of every channel of (batch, steps, channels), of the steps that the mask leaves in: (batch, channels).

    With keepdims=True the result is (batch, 1, channels). data_format: as in Conv1D.
    """

    rank = 1

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **options: Any) -> None:
        super().__init__(data_format, keepdims, **options)
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            return super().call(inputs)
        (axis,) = self._axes
        weights = ops.expand_dims(ops.cast(mask, inputs.dtype), 2 if axis == 1 else 1)
        total = ops.sum(inputs * weights, axis=axis, keepdims=self.keepdims)
        return total / ops.sum(weights, axis=axis, keepdims=self.keepdims)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return None


class GlobalAveragePooling2D(GlobalAveragePooling):
    """The mean of every channel of (batch, rows, columns, channels): (batch, channels).

    With keepdims=True the result is (batch, 1, 1, channels). data_format: as in Conv2D.
    """

    rank = 2


class GlobalAveragePooling3D(GlobalAveragePooling):
    """The mean of every channel of (batch, planes, rows, columns, channels): (batch, channels).

    With keepdims=True the result is (batch, 1, 1, 1, channels). data_format: as in Conv2D.
    """

    rank = 3


class AdaptivePooling(Layer):
    """As many blocks along each spatial axis as output_size says; spatial sizes must be known."""

    rank = 2
    pool: Any = None

    def __init__(self, output_size: Any, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.output_size = (output_size,) * self.rank if isinstance(output_size, int) else tuple(output_size)
        self.data_format = config.image_data_format() if data_format is None else data_format
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs: Any) -> Any:
        return type(self).pool(inputs, self.output_size, data_format=self.data_format)


class AdaptiveMaxPooling(AdaptivePooling):
    """The largest element of every block."""

    pool: Any = staticmethod(ops.adaptive_max_pool)


class AdaptiveMaxPooling1D(AdaptiveMaxPooling):
    """The largest element of every block of (batch, steps, channels): (batch, output_size, channels).

    output_size: how many blocks there are, an integer. Their sizes differ by 1 at most.
    """

    rank = 1


class AdaptiveMaxPooling2D(AdaptiveMaxPooling):
    """The largest element of every block of (batch, rows, columns, channels): (batch, *output_size, channels).

    output_size: how many blocks there are, an integer, or one for rows and one for columns. Sizes differ by 1 at most.
    """

    rank = 2


class AdaptiveMaxPooling3D(AdaptiveMaxPooling):
    """The largest element of every block of (batch, planes, rows, columns, channels): (batch, *output_size, channels).

    output_size: how many blocks there are, an integer, or three. Their sizes differ by 1 at most.
    """

    rank = 3


class AdaptiveAveragePooling(AdaptivePooling):
    """The mean of every block."""

    pool: Any = staticmethod(ops.adaptive_average_pool)


class AdaptiveAveragePooling1D(AdaptiveAveragePooling):
    """The mean of every block of (batch, steps, channels): (batch, output_size, channels).

    output_size: how many blocks there are, an integer. Their sizes differ by 1 at most.
    """

    rank = 1


class AdaptiveAveragePooling2D(AdaptiveAveragePooling):
    """The mean of every block of (batch, rows, columns, channels): (batch, *output_size, channels).

    output_size: how many blocks there are, an integer, or one for rows and one for columns. Sizes differ by 1 at most.
    """

    rank = 2


class AdaptiveAveragePooling3D(AdaptiveAveragePooling):
    """The mean of every block of (batch, planes, rows, columns, channels): (batch, *output_size, channels).

    output_size: how many blocks there are, an integer, or three. Their sizes differ by 1 at most.
    """

    rank = 3


MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
GlobalMaxPool1D, GlobalMaxPool2D, GlobalMaxPool3D = GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D
GlobalAvgPool1D, GlobalAvgPool2D = GlobalAveragePooling1D, GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
