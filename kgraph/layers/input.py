"""Where data enters a model."""

from __future__ import annotations

from typing import Any

from kgraph import tree
from kgraph.errors import ArgumentError
from kgraph.graph.types import TensorType, standard_dtype
from kgraph.layers import naming
from kgraph.layers.calls import Call
from kgraph.layers.layer import Layer, is_shape, known_shape
from kgraph.tracing.origin import user_line
from kgraph.tracing.trace import Symbol, symbol_input


class InputLayer(Layer):
    """The layer behind an `Input`: it holds shape, dtype and name of one input of a model."""

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Any = None,
        input_tensor: Symbol | None = None,
        optional: bool = False,
        name: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name=name)
        if batch_shape is None:
            batch_shape = options.pop("batch_input_shape", None)
        if options:
            raise ArgumentError(f"Input does not know the argument(s) {', '.join(sorted(options))}")
        if sparse or ragged:
            raise ArgumentError(f"input {self.name!r}: sparse and ragged inputs are not supported; give dense arrays")
        if input_tensor is not None:
            shape, batch_shape, dtype = None, input_tensor.shape, dtype or input_tensor.dtype
        if (shape is None) == (batch_shape is None):
            raise ArgumentError("an Input wants its shape without the batch, or its batch_shape, and not both")
        if batch_shape is None:
            batch_shape = (batch_size, *shape) if isinstance(shape, (list, tuple)) else (batch_size, shape)
        elif batch_size is not None:
            raise ArgumentError("an Input with batch_shape takes no batch_size: it is the first of batch_shape")
        self.batch_shape = checked_shape(batch_shape, self.name)
        self._dtype = standard_dtype(dtype)
        self.optional = optional
        self.built = True
        if input_tensor is None:
            input_tensor = symbol_input(self.name, TensorType(known_shape(self.batch_shape), self._dtype))
        call = Call(self, (), {})
        fields = (input_tensor.type, self.name, user_line(), call)
        call.outputs = Symbol("input", (), {}, *fields)
        self.note_call(call)

    @property
    def dtype(self) -> str:
        """The dtype that data given for this input is converted to."""
        return self._dtype

    def call(self) -> None:
        """An input computes nothing."""

    def get_config(self) -> dict[str, Any]:
        return {
            "batch_shape": self.batch_shape,
            "dtype": self.dtype,
            "sparse": False,
            "ragged": False,
            "name": self.name,
            "optional": self.optional,
        }


def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Any = None,
    name: str | None = None,
    tensor: Any = None,
    optional: bool = False,
    **options: Any,
) -> Any:
    """A symbol for the data of one model input.

    shape leaves out the batch: Input((784,)), Input((None, 8)) for sequences of any length; batch_shape has it.
    dtype defaults to `config.floatx()`. ArgumentError for sparse, ragged or ready-made tensors.
    """
    if tensor is not None:
        raise ArgumentError("Input(tensor=...) is not supported: call the layer on the tensor instead")
    layer = InputLayer(
        shape=shape,
        batch_size=batch_size,
        dtype=dtype,
        sparse=sparse,
        ragged=ragged,
        batch_shape=batch_shape,
        name=name,
        optional=optional,
        **options,
    )
    return layer.output


class MakesSymbols(type):
    """Symbols are the instances of its classes, and calling one makes a symbol."""

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, Symbol)

    def __call__(
        cls,
        shape: Any,
        dtype: Any = "float32",
        sparse: bool = False,
        ragged: bool = False,
        record_history: bool = True,
        name: str | None = None,
    ) -> Symbol:
        name = name or naming.automatic_name("keras_tensor")
        if sparse or ragged:
            raise ArgumentError(f"symbol {name!r}: sparse and ragged tensors are not supported; use dense ones")
        return symbol_input(name, TensorType(known_shape(checked_shape(shape, name)), standard_dtype(dtype)))


class KerasTensor(metaclass=MakesSymbols):
    """What stands for a value that will exist later: KerasTensor(shape, dtype="float32", name=None) makes one.

    shape has None for what is not known. `compute_output_spec` takes and returns them.
    """


def checked_shape(shape: Any, name: str) -> tuple[int | None, ...]:
    """A shape of whole numbers and None; ArgumentError for anything else."""
    if not is_shape(shape) or any(size is not None and size < 0 for size in tree.flatten(shape)):
        raise ArgumentError(f"input {name!r}: a shape has whole numbers and None, not {shape!r}")
    return tuple(None if size is None else int(size) for size in shape)
