"""One step of a recurrent layer: simple, GRU and LSTM cells, and cells on top of each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kgraph import activations, constraints, initializers, ops, random, regularizers, tree
from kgraph.errors import ArgumentError
from kgraph.layers.arguments import signature_of
from kgraph.layers.core import positive, weight
from kgraph.layers.layer import Layer
from kgraph.layers.nested import deserialize, serialize


class Cell(Layer):
    """What cells have in common: `kernel` for the inputs, `recurrent_kernel` for the state, `bias`, and dropout.

    dropout and recurrent_dropout are shares of the inputs and of the state that are set to 0 while training, the same
    ones in every step of a sequence.
    """

    gates = 1
    recurrent_activation: Any
    _masks: dict[str, Any]  # of the sequence under way

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        options.pop("implementation", None)  # of Keras: how it is computed, not what
        super().__init__(**options)
        self.units = positive(units, "units", type(self).__name__)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.dropout, self.recurrent_dropout = min(1.0, max(0.0, dropout)), min(1.0, max(0.0, recurrent_dropout))
        self.seed = seed
        self.seed_generator = random.SeedGenerator(seed)
        self.state_size: Any = self.units
        self.output_size = self.units
        object.__setattr__(self, "_masks", {})

    def build(self, input_shape: Any) -> None:
        width = self.gates * self.units
        self.kernel = weight(self, "kernel", (input_shape[-1], width))
        self.recurrent_kernel = self.recurrent_weight((self.units, width))
        self.bias = self._bias() if self.use_bias else None

    def _bias(self) -> Any:
        return weight(self, "bias", (self.gates * self.units,))

    def recurrent_weight(self, shape: Any) -> Any:
        """The kernel of the state."""
        how = {what: getattr(self, f"recurrent_{what}") for what in ("initializer", "regularizer", "constraint")}
        return self.add_weight(name="recurrent_kernel", shape=shape, **how)

    def remembered(self, z: Any, c: Any, axis: int) -> Any:
        """What an LSTM's gates, the four parts of z along an axis, make of its memory c: the output, and the states."""
        i, f, g, o = ops.split(z, 4, axis=axis)
        act: Any = activations.linear if self.activation is None else self.activation
        c = self.recurrent_activation(f) * c + self.recurrent_activation(i) * act(g)
        h = self.recurrent_activation(o) * act(c)
        return h, [h, c]

    def forget_bias(self) -> Any:
        """A bias of four gates, of which the second begins at 1."""
        begin: Any = self.bias_initializer
        units = self.units

        def begins(shape: Any, dtype: Any = None) -> Any:
            parts = [begin((units,), dtype=dtype), ops.ones((units,), dtype=dtype), begin((2 * units,), dtype=dtype)]
            return ops.concatenate(parts)

        how = {"regularizer": self.bias_regularizer, "constraint": self.bias_constraint}
        return self.add_weight(name="bias", shape=(4 * units,), initializer=begins, **how)

    def get_initial_state(self, batch_size: Any = None) -> Any:
        """Zeros for each state."""
        sizes = tree.flatten(self.state_size)
        return [ops.zeros((batch_size, size), dtype=self.compute_dtype) for size in sizes]

    def reset_dropout_masks(self) -> None:
        """Forget the masks: the next step draws others."""
        self._masks.clear()

    def dropped(self, x: Any, what: str, training: bool) -> Any:
        """`x` with the share of it that `what`, "dropout" or "recurrent_dropout", names set to 0."""
        rate = getattr(self, what)
        if not training or rate == 0:
            return x
        if what not in self._masks:
            self._masks[what] = random.dropout(ops.ones_like(x), rate, seed=self.seed_generator)
        return x * self._masks[what]

    def draw_masks(self, x: Any, state: Any, training: bool) -> None:
        """Draw the masks for all steps of a sequence, whose first step these are the inputs of."""
        self.reset_dropout_masks()
        self.dropped(x, "dropout", training)
        self.dropped(state, "recurrent_dropout", training)

    def projected(self, x: Any, training: bool, bias: Any) -> Any:
        """What the inputs contribute to all gates."""
        made = ops.matmul(self.dropped(x, "dropout", training), self.kernel)
        return made if bias is None else ops.add(made, bias)


class SimpleRNNCell(Cell):
    """One step: h = activation(x @ kernel + bias + h @ recurrent_kernel).

    Inputs (batch, features) and a state (batch, units) give an output (batch, units), which is the new state. units is
    a whole number above 0; activation is tanh by default. Weights: kernel (features, units), recurrent_kernel (units,
    units), and with use_bias, as by default, bias (units,). dropout and recurrent_dropout, 0 by default, are shares of
    the inputs and of the state that are set to 0 while training.
    """

    def call(self, sequence: Any, states: Any, training: bool = False) -> Any:
        before = states[0] if isinstance(states, (list, tuple)) else states
        state = self.dropped(before, "recurrent_dropout", training)
        h = self.projected(sequence, training, self.bias) + ops.matmul(state, self.recurrent_kernel)
        h = h if self.activation is None else self.activation(h)
        return h, [h] if isinstance(states, (list, tuple)) else h


class GRUCell(Cell):
    """One step of a gated recurrent unit (Cho et al. 2014): h = z h + (1 - z) h', with gates z (update), r (reset).

    Inputs (batch, features) and a state (batch, units) give an output (batch, units), which is the new state. By
    default h' has tanh as its activation, and the gates have the sigmoid as recurrent_activation. Weights, for z, r
    and h': kernel (features, 3 units), recurrent_kernel (units, 3 units), and with use_bias, as by default, bias. With
    reset_after, as by default, the reset gate is applied after the product with the state (as cuDNN does), and bias is
    (2, 3 units), for the inputs and for the state; without, (3 units,). dropout and recurrent_dropout: SimpleRNNCell.
    """

    gates = 3

    def __init__(
        self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid", use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros", kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None, bias_regularizer: Any = None, kernel_constraint: Any = None,
        recurrent_constraint: Any = None, bias_constraint: Any = None, dropout: float = 0.0,
        recurrent_dropout: float = 0.0, reset_after: bool = True, seed: int | None = None, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, recurrent_constraint,
            bias_constraint, dropout, recurrent_dropout, seed, **options,
        )  # fmt: skip
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = reset_after

    def _bias(self) -> Any:
        return weight(self, "bias", (2, 3 * self.units) if self.reset_after else (3 * self.units,))

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        before = states[0] if isinstance(states, (list, tuple)) else states
        biases: Any = (None, None)
        if self.bias is not None:
            biases = (self.bias[0], self.bias[1]) if self.reset_after else (self.bias, None)
        x_z, x_r, x_h = ops.split(self.projected(inputs, training, biases[0]), 3, axis=-1)
        state, kernel, units = self.dropped(before, "recurrent_dropout", training), self.recurrent_kernel, self.units
        if self.reset_after:
            inner = ops.matmul(state, kernel)
            inner = inner if biases[1] is None else ops.add(inner, biases[1])
            h_z, h_r, h_h = ops.split(inner, 3, axis=-1)
        else:
            h_z, h_r = ops.split(ops.matmul(state, kernel[:, : 2 * units]), 2, axis=-1)
        z, r = self.recurrent_activation(x_z + h_z), self.recurrent_activation(x_r + h_r)
        new = x_h + (r * h_h if self.reset_after else ops.matmul(r * state, kernel[:, 2 * units :]))
        new = new if self.activation is None else self.activation(new)
        h = z * before + (1 - z) * new
        return h, [h] if isinstance(states, (list, tuple)) else h


class LSTMCell(Cell):
    """One step of long short-term memory (Hochreiter and Schmidhuber 1997): c = f c + i g, h = o activation(c).

    Inputs (batch, features) and states h and c, both (batch, units), give an output (batch, units), which is the new h,
    and [h, c]. By default activation, of g and c, is tanh, and recurrent_activation, of the gates, the sigmoid.
    Weights, for i, f, g, o: kernel (features, 4 units), recurrent_kernel (units, 4 units), and with use_bias, as by
    default, bias (4 units,), of which with unit_forget_bias, as by default, the part of f begins at 1. dropout and
    recurrent_dropout: SimpleRNNCell.
    """

    gates = 4

    def __init__(
        self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid", use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros", unit_forget_bias: bool = True, kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None, bias_regularizer: Any = None, kernel_constraint: Any = None,
        recurrent_constraint: Any = None, bias_constraint: Any = None, dropout: float = 0.0,
        recurrent_dropout: float = 0.0, seed: int | None = None, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(
            units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, recurrent_constraint,
            bias_constraint, dropout, recurrent_dropout, seed, **options,
        )  # fmt: skip
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias
        self.state_size = [self.units, self.units]

    def _bias(self) -> Any:
        return self.forget_bias() if self.unit_forget_bias else super()._bias()

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        h, c = states
        state = self.dropped(h, "recurrent_dropout", training)
        z = self.projected(inputs, training, self.bias) + ops.matmul(state, self.recurrent_kernel)
        return self.remembered(z, c, -1)


class StackedRNNCells(Layer):
    """Cells one after the other, as one cell:

    each gets what the one before gives. Its state is the list of their states.
    """

    def __init__(self, cells: Sequence[Any], **options: Any) -> None:
        super().__init__(**options)
        for cell in cells:
            for what in ("call", "state_size"):
                if not hasattr(cell, what):
                    raise ArgumentError(f"StackedRNNCells wants cells with {what!r}; {cell!r:.60} has none")
        self.cells = list(cells)

    @property
    def state_size(self) -> list[Any]:
        """The sizes of the states of each cell."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> int:
        """The size of what the last cell gives."""
        return output_size_of(self.cells[-1])

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """The first state of each cell."""
        return [first_state(cell, batch_size, self.compute_dtype) for cell in self.cells]

    def build(self, input_shape: Any) -> None:
        for cell in self.cells:
            if isinstance(cell, Layer) and not cell.built:
                cell.build(input_shape)
            input_shape = (input_shape[0], output_size_of(cell))

    def call(self, inputs: Any, states: Any, training: bool = False) -> Any:
        made = []
        for cell, state in zip(self.cells, states, strict=True):
            inputs, new = step_of(cell, inputs, state, training)
            made.append(new)
        return inputs, made

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cells": [serialize(cell) for cell in self.cells]}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        cells = [deserialize(cell, custom_objects) for cell in config["cells"]]
        return cls(cells, **{key: value for key, value in config.items() if key != "cells"})


def output_size_of(cell: Any) -> int:
    """The size of what a cell gives: that of its first state, unless it says another."""
    size = getattr(cell, "output_size", None)
    return tree.flatten(cell.state_size)[0] if size is None else size


def first_state(cell: Any, batch: Any, dtype: Any) -> Any:
    """The state of a cell before the first step, zeros unless the cell says otherwise."""
    if hasattr(cell, "get_initial_state"):
        return cell.get_initial_state(batch_size=batch)
    sizes = cell.state_size
    if isinstance(sizes, int):
        return ops.zeros((batch, sizes), dtype=dtype)
    return [ops.zeros((batch, size) if isinstance(size, int) else (batch, *size), dtype=dtype) for size in sizes]


def step_of(cell: Any, inputs: Any, state: Any, training: Any) -> Any:
    """What a cell gives for one step, and its new state, in a nest like that of the old one."""
    run = cell.call if isinstance(cell, Layer) or not callable(cell) else cell
    given = list(state) if isinstance(state, (list, tuple)) else [state]
    options = {"training": training} if "training" in signature_of(run).parameters else {}
    output, new = run(inputs, given, **options)
    new = list(new) if isinstance(new, (list, tuple)) else [new]
    return output, new if isinstance(state, (list, tuple)) else new[0]
