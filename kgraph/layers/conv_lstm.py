"""LSTMs whose products are convolutions (Shi et al. 2015), over sequences of lines, images and volumes."""

from __future__ import annotations

from typing import Any

from kgraph import activations, config, ops
from kgraph.errors import ArgumentError, ShapeError
from kgraph.layers.cells import Cell
from kgraph.layers.core import weight
from kgraph.layers.recurrent import CellLayer, by_name
from kgraph.ops.convolution import channels_first, several
from kgraph.tracing.trace import tracing


class ConvLSTMCell(Cell):
    """An LSTM cell for (batch, *sizes, channels): kernels are (*kernel_size, channels, 4 filters)."""

    gates = 4

    def __init__(
        self, rank: int, filters: int, kernel_size: Any, strides: Any = 1, padding: str = "valid",
        data_format: str | None = None, dilation_rate: Any = 1, activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid", use_bias: bool = True, unit_forget_bias: bool = True, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(filters, activation, use_bias, **options)
        self.rank, self.filters = rank, self.units
        self.kernel_size, self.strides = several(kernel_size, rank, "kernel_size"), several(strides, rank, "strides")
        self.padding = padding.lower()
        if self.padding not in ("valid", "same"):
            raise ArgumentError(f'padding is "valid" or "same", not {padding!r}')
        self.data_format = config.image_data_format() if data_format is None else data_format
        self._first = channels_first(self.data_format)
        self.dilation_rate = several(dilation_rate, rank, "dilation_rate")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ArgumentError(f"strides {self.strides} and dilation_rate {self.dilation_rate} cannot both be above 1")
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias
        self.state_size = [filters, filters]

    def build(self, input_shape: Any) -> None:
        channels = input_shape[1 if self._first else -1]
        if channels is None:
            raise ShapeError(f"layer {self.name!r} needs the number of channels; it was given {tuple(input_shape)}")
        self.kernel = weight(self, "kernel", (*self.kernel_size, channels, 4 * self.filters))
        self.recurrent_kernel = self.recurrent_weight((*self.kernel_size, self.filters, 4 * self.filters))
        self.bias = self._bias() if self.use_bias else None

    def _bias(self) -> Any:
        return self.forget_bias() if self.unit_forget_bias else super()._bias()

    def projected(self, x: Any, training: bool, bias: Any) -> Any:
        dropped = self.dropped(x, "dropout", training)
        made = ops.conv(dropped, self.kernel, self.strides, self.padding, self.data_format, self.dilation_rate)
        if bias is None:
            return made
        return ops.add(made, ops.reshape(bias, (-1, *(1,) * self.rank)) if self._first else bias)

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        h, c = states
        state = self.dropped(h, "recurrent_dropout", training)
        z = self.projected(inputs, training, self.bias)
        z = z + ops.conv(state, self.recurrent_kernel, 1, "same", self.data_format)
        return self.remembered(z, c, 1 if self._first else -1)


class ConvLSTM(CellLayer):
    """A ConvLSTMCell for each step of sequences (batch, steps, *sizes, channels); ConvLSTM2D says what it is given."""

    cell_class = ConvLSTMCell
    hidden = ("cell", "rank", "units", "unroll", "zero_output_for_mask")
    axes = 2  # of each step, between batch and channels

    def __init__(
        self, filters: int, kernel_size: Any, strides: Any = 1, padding: str = "valid", data_format: str | None = None,
        dilation_rate: Any = 1, activation: Any = "tanh", recurrent_activation: Any = "sigmoid", use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros", unit_forget_bias: bool = True, kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None, bias_regularizer: Any = None, activity_regularizer: Any = None,
        kernel_constraint: Any = None, recurrent_constraint: Any = None, bias_constraint: Any = None,
        dropout: float = 0.0, recurrent_dropout: float = 0.0, seed: int | None = None, return_sequences: bool = False,
        return_state: bool = False, go_backwards: bool = False, stateful: bool = False, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(rank=self.axes, **by_name(locals()))

    def _first(self, sequences: Any, given: Any) -> list[Any]:
        if given is not None or self.stateful:
            return super()._first(sequences, given)
        return self._zeros(sequences)

    def _zeros(self, sequences: Any) -> list[Any]:
        with tracing():  # only to see the shape of the state
            gates = self.cell.projected(sequences[:, 0], False, None)
        shape = list(ops.shape(gates))
        shape[1 if self.cell.data_format == "channels_first" else -1] = self.cell.filters
        return [ops.zeros(tuple(shape), dtype=self.compute_dtype) for _ in range(2)]


class ConvLSTM1D(ConvLSTM):
    """An LSTM that convolves, over (batch, steps, length, channels).

    What it gives, its arguments and its weights: ConvLSTM2D, with one size in the place of two.
    """

    axes = 1


class ConvLSTM2D(ConvLSTM):
    """An LSTM that convolves: sequences (batch, steps, rows, columns, channels).

    The result is the last output, (batch, new rows, new columns, filters), or with return_sequences all, (batch, steps,
    ...); with return_state the last states h and c follow. kernel_size, strides (1), padding ("valid"),
    dilation_rate (1) and data_format are those of a convolution of the inputs, which says what rows and columns become:
    Conv2D; that of the state keeps them. activation (tanh), recurrent_activation (sigmoid) and the arguments after
    them: LSTM. Weights: kernel (*kernel_size, channels, 4 filters), recurrent_kernel (*kernel_size, filters,
    4 filters), and with use_bias, as by default, bias (4 filters,).
    """


class ConvLSTM3D(ConvLSTM):
    """An LSTM that convolves, over (batch, steps, planes, rows, columns, channels).

    What it gives, its arguments and its weights: ConvLSTM2D, with three sizes in the place of two.
    """

    axes = 3
