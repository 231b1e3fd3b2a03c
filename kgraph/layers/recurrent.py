"""Layers that go through a sequence step by step: `RNN` around any cell, and SimpleRNN, GRU and LSTM."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from kgraph import ops, tree
from kgraph.errors import ArgumentError, ShapeError
from kgraph.layers.cells import Cell, GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells, first_state, step_of
from kgraph.layers.describe import arguments_of
from kgraph.layers.layer import Layer
from kgraph.layers.nested import deserialize, serialize
from kgraph.named import snake_case
from kgraph.tracing.trace import Symbol, tracing
from kgraph.tracing.variable import Variable


class RNN(Layer):
    """A cell applied to each step of sequences of shape (batch, steps, ...).

    cell has `state_size`, an integer or a list of them, and `call(inputs, states)`, which returns its output and the
    new states; and, if it wants, `output_size` and `get_initial_state(batch_size)`. A list of cells is stacked. The
    result is the last output, or with return_sequences all of them, (batch, steps, size); with return_state the last
    states follow. go_backwards begins at the last step, and gives outputs in that order. stateful keeps the states
    for the next call, until `reset_state`. In steps that the mask, (batch, steps), leaves out, states stay and the
    output is the one before, or zeros with zero_output_for_mask. unroll writes the steps one after the other into the
    graph: no loop, and a graph as long as the sequence.
    """

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        cell = StackedRNNCells(cell) if isinstance(cell, (list, tuple)) else cell
        if not hasattr(cell, "call") and not callable(cell):
            raise ArgumentError(f"the cell of an RNN has a `call` method; {cell!r:.60} has none")
        if not isinstance(getattr(cell, "state_size", None), (int, np.integer, list, tuple)):
            raise ArgumentError(
                f"the cell of an RNN has `state_size`, an integer or a list of them; {cell!r:.60} has not"
            )
        self.cell = cell
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards, self.stateful, self.unroll = go_backwards, stateful, unroll
        self.zero_output_for_mask = zero_output_for_mask
        self.supports_masking = True
        self.states: Any = None
        single = isinstance(cell.state_size, (int, np.integer))
        self.state_size = [cell.state_size] if single else list(cell.state_size)

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        if len(sequences_shape) < 3:
            raise ShapeError(f"layer {self.name!r} wants (batch, steps, ...), at least 3 axes, not {sequences_shape}")
        if isinstance(self.cell, Layer) and not self.cell.built:
            self.cell.build((sequences_shape[0], *sequences_shape[2:]))
        if self.stateful and self.states is None:
            batch = sequences_shape[0]
            if batch is None:
                raise ShapeError(
                    f"layer {self.name!r} is stateful, so its batch must be known: Input(batch_shape=(32, ...))"
                )
            first = [np.asarray(one) for one in tree.flatten(self.get_initial_state(batch))]
            states = [Variable(value, trainable=False, name="rnn_state") for value in first]
            object.__setattr__(self, "states", states)  # not among the weights, as in Keras

    def get_initial_state(self, batch_size: Any) -> list[Any]:
        """The states before the first step."""
        first = first_state(self.cell, batch_size, self.compute_dtype)
        return list(first) if isinstance(first, (list, tuple)) else [first]

    def reset_state(self) -> None:
        """Begin with zeros again."""
        for state in self.states or ():
            state.assign(np.zeros(state.shape, state.numbers.dtype))

    reset_states = reset_state

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        masks = tree.flatten(previous_mask) if previous_mask is not None else [None]
        mask = masks[0] if self.return_sequences else None
        return [mask, *[None] * len(tree.flatten(self.state_size))] if self.return_state else mask

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        starts_at_zero = initial_state is None and not self.stateful and isinstance(self.cell, (Cell, StackedRNNCells))
        state = self._first(sequences, initial_state)
        if mask is not None:
            mask = mask[0] if isinstance(mask, (list, tuple)) else mask
            mask = ops.cast(mask, "bool")
        draw_masks(self.cell, sequences[:, 0], state, training)
        steps = self._unrolled if self.unroll else self._looped
        last, outputs, state = steps(sequences, state, mask, training, starts_at_zero)
        forget_masks(self.cell)
        if self.stateful:
            for variable, value in zip(self.states, tree.flatten(state), strict=True):
                variable.assign(value)
        result = outputs if self.return_sequences else last
        return (result, *state) if self.return_state else result

    def _first(self, sequences: Any, given: Any) -> list[Any]:
        if given is None and self.stateful:
            if sequences.shape[0] not in (None, self.states[0].shape[0]):
                raise ShapeError(
                    f"layer {self.name!r} is stateful with a batch of {len(self.states[0])}, not {sequences.shape[0]}"
                )
            return list(tree.pack_sequence_as(self.state_size, self.states))
        if given is None:
            return self.get_initial_state(ops.shape(sequences)[0])
        given = list(given) if isinstance(given, (list, tuple)) else [given]
        if len(tree.flatten(given)) != len(tree.flatten(self.state_size)):
            raise ArgumentError(
                f"layer {self.name!r} has {len(tree.flatten(self.state_size))} states; "
                f"initial_state has {len(tree.flatten(given))}"
            )
        return tree.map_structure(lambda one: ops.cast(one, self.compute_dtype), given)

    def _step(self, x: Any, keep: Any, carried: Any, training: bool) -> tuple[Any, Any]:
        """One step; keep is the mask of this step, carried the output before and the states."""
        before, state = carried
        output, new = step_of(self.cell, x, state, training)
        if keep is None:
            return output, new
        rest = ops.zeros_like(output) if self.zero_output_for_mask or before is None else before
        return _where(keep, output, rest), tree.map_structure(lambda a, b: _where(keep, a, b), new, state)

    def _looped(self, sequences: Any, state: Any, mask: Any, training: bool, starts_at_zero: bool) -> Any:
        xs = [_time_first(sequences)] + ([] if mask is None else [_time_first(mask)])
        first = self._output_before(sequences, state)
        same: list[bool] = []

        def step(carried: Any, slices: Any) -> Any:
            keep = slices[1] if mask is not None else None
            output, new = self._step(slices[0], keep, carried, training)
            flat = tree.flatten(new)
            is_state = isinstance(output, Symbol) and output is flat[0]
            same.append(is_state and (mask is None or (starts_at_zero and not self.zero_output_for_mask)))
            return [output, new], output

        (last, state), outputs = ops.scan(step, [first, state], xs, reverse=self.go_backwards)
        last = tree.flatten(state)[0] if same[-1] else last
        if self.return_sequences and self.go_backwards:
            outputs = ops.flip(outputs, 0)
        return last, _time_first(outputs), state

    def _output_before(self, sequences: Any, state: Any) -> Any:
        """Zeros in the place of the output of a step before the first."""
        with tracing():  # only to see its shape and dtype
            output, _ = step_of(self.cell, sequences[:, 0], state, False)
        return ops.zeros(ops.shape(output), dtype=output.dtype)

    def _unrolled(self, sequences: Any, state: Any, mask: Any, training: bool, starts_at_zero: bool) -> Any:
        count = sequences.shape[1]
        if count is None:
            raise ShapeError(f"layer {self.name!r} cannot unroll sequences whose length is not known")
        places = range(count)[::-1] if self.go_backwards else range(count)
        outputs, last = [], None
        for place in places:
            keep = None if mask is None else mask[:, place]
            last, state = self._step(sequences[:, place], keep, (last, state), training)
            outputs.append(last)
        return last, ops.stack(outputs, axis=1), state

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "cell": serialize(self.cell)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        cell = deserialize(config["cell"], custom_objects)
        return cls(cell, **{key: value for key, value in config.items() if key != "cell"})


class CellLayer(RNN):
    """An RNN that makes its own cell, whose arguments are the layer's."""

    cell_class: type[Cell]
    hidden: tuple[str, ...] = ("cell",)  # what is not in the configuration

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in cell_arguments(cls.cell_class):
            setattr(cls, name, property(partial(_of_cell, name)))

    def __init__(self, **options: Any) -> None:
        kind: Any = self.cell_class
        own = {name: options.pop(name) for name in (*cell_arguments(kind), "implementation") if name in options}
        options.pop("use_cudnn", None)  # of Keras: how it is computed, not what
        shared = {name: options[name] for name in ("dtype", "trainable") if name in options}
        super().__init__(kind(**own, **shared, name=snake_case(kind.__name__)), **options)

    def get_config(self) -> dict[str, Any]:
        return {key: value for key, value in super().get_config().items() if key not in self.hidden}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
        return cls(**config)


def _of_cell(name: str, layer: Any) -> Any:
    return getattr(layer.cell, name)


def by_name(arguments: dict[str, Any]) -> dict[str, Any]:
    """What a constructor was given, from its `locals()`."""
    given = {name: value for name, value in arguments.items() if name not in ("self", "options", "__class__")}
    return given | arguments["options"]


def cell_arguments(kind: type) -> list[str]:
    """The arguments of a cell's constructor, its base's included."""
    classes = [one for one in reversed(kind.__mro__) if issubclass(one, Cell)]
    return list(dict.fromkeys(name for one in classes for name in arguments_of(one)))


class SimpleRNN(CellLayer):
    """SimpleRNNCell for each step of sequences (batch, steps, features): by default the last output, (batch, units).

    Arguments: those of SimpleRNNCell, which says what they and the weights are, and those of RNN: with
    return_sequences all outputs, (batch, steps, units); with return_state the last state, (batch, units), follows;
    go_backwards, stateful, unroll and zero_output_for_mask. All of these are False by default.
    """

    cell_class = SimpleRNNCell

    def __init__(
        self, units: int, activation: Any = "tanh", use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros", kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None, bias_regularizer: Any = None, activity_regularizer: Any = None,
        kernel_constraint: Any = None, recurrent_constraint: Any = None, bias_constraint: Any = None,
        dropout: float = 0.0, recurrent_dropout: float = 0.0, return_sequences: bool = False,
        return_state: bool = False, go_backwards: bool = False, stateful: bool = False, unroll: bool = False,
        seed: int | None = None, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(**by_name(locals()))


class GRU(CellLayer):
    """GRUCell for each step of sequences (batch, steps, features): by default the last output, (batch, units).

    Arguments: those of GRUCell, which says what they and the weights are, and those of RNN: with return_sequences all
    outputs, (batch, steps, units); with return_state the last state, (batch, units), follows; go_backwards, stateful,
    unroll and zero_output_for_mask. All of these are False by default. use_cudnn is taken for Keras's sake.
    """

    cell_class = GRUCell

    def __init__(
        self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid", use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros", kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None, bias_regularizer: Any = None, activity_regularizer: Any = None,
        kernel_constraint: Any = None, recurrent_constraint: Any = None, bias_constraint: Any = None,
        dropout: float = 0.0, recurrent_dropout: float = 0.0, seed: int | None = None, return_sequences: bool = False,
        return_state: bool = False, go_backwards: bool = False, stateful: bool = False, unroll: bool = False,
        reset_after: bool = True, use_cudnn: Any = "auto", **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(**by_name(locals()))


class LSTM(CellLayer):
    """LSTMCell for each step of sequences (batch, steps, features): by default the last output, (batch, units).

    Arguments: those of LSTMCell, which says what they and the weights are, and those of RNN: with return_sequences all
    outputs, (batch, steps, units); with return_state the last states h and c, both (batch, units), follow;
    go_backwards, stateful, unroll and zero_output_for_mask. All of these are False by default. use_cudnn is taken for
    Keras's sake.
    """

    cell_class = LSTMCell

    def __init__(
        self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid", use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform", recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros", unit_forget_bias: bool = True, kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None, bias_regularizer: Any = None, activity_regularizer: Any = None,
        kernel_constraint: Any = None, recurrent_constraint: Any = None, bias_constraint: Any = None,
        dropout: float = 0.0, recurrent_dropout: float = 0.0, seed: int | None = None, return_sequences: bool = False,
        return_state: bool = False, go_backwards: bool = False, stateful: bool = False, unroll: bool = False,
        use_cudnn: Any = "auto", **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(**by_name(locals()))


def draw_masks(cell: Any, x: Any, state: Any, training: bool) -> None:
    """Let a cell, or each of a stack, draw what it drops in all steps."""
    if isinstance(cell, StackedRNNCells):
        for one, own in zip(cell.cells, state, strict=True):
            draw_masks(one, x, own if isinstance(own, (list, tuple)) else [own], training)
            flat = tree.flatten(own)
            x = flat[0]  # of the size of what the cell gives
    elif isinstance(cell, Cell):
        cell.draw_masks(x, state[0], training)


def forget_masks(cell: Any) -> None:
    """Let a cell, or each of a stack, draw others in the next call."""
    for one in cell.cells if isinstance(cell, StackedRNNCells) else [cell]:
        if isinstance(one, Cell):
            one.reset_dropout_masks()


def _where(keep: Any, new: Any, old: Any) -> Any:
    """new in the rows to keep, else old."""
    shape = (
        (-1, *(1,) * (new.ndim - 1)) if isinstance(keep, np.ndarray) else (keep.type.shape[0], *(1,) * (new.ndim - 1))
    )
    return ops.where(ops.reshape(keep, shape), new, old)


def _time_first(x: Any) -> Any:
    """Steps before the batch, and back again."""
    return ops.transpose(x, (1, 0, *range(2, x.ndim)))
