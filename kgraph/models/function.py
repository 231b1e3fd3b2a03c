"""What leads from symbols to symbols, as a function of its own."""

from __future__ import annotations

from typing import Any

from kgraph import tree
from kgraph.errors import ArgumentError
from kgraph.graph.types import TensorType
from kgraph.layers import calls
from kgraph.layers.layer import known_shape, map_shapes
from kgraph.layers.operation import Operation
from kgraph.layers.spec import InputSpec, check_inputs
from kgraph.models.steps import Ends, Step, find_steps, retaken
from kgraph.tracing.trace import Symbol, symbol_input


class Function(Ends, Operation):
    """The calls of layers, and ops, that lead from `inputs` to `outputs`; both are symbols or nests of them.

    Called on other symbols or on arrays, in a nest like that of the inputs, it makes the same calls again, and gives a
    nest like that of the outputs. It has no weights of its own: the layers keep theirs. See `Model` for one that has.

    Raises ArgumentError for what is no symbol, or an empty nest; GraphError for outputs that need something else than
    the inputs. Source: Keras 3.
    """

    _steps: list[Step]

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None) -> None:
        super().__init__(name=name)
        for what, nest in (("inputs", inputs), ("outputs", outputs)):
            odd = [leaf for leaf in tree.flatten(nest) if not isinstance(leaf, Symbol)]
            if odd or not tree.flatten(nest):
                got = f"{odd[0]!r:.80} is none" if odd else "there are none"
                raise ArgumentError(f"function {self.name!r}: its {what} must be symbols, and {got}")
        self._nested_inputs, self._nested_outputs = inputs, outputs
        self._steps = sorted(find_steps(self.inputs, self.outputs), key=lambda step: step.symbol.serial)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs for other inputs. ArgumentError or ShapeError for inputs that do not fit."""
        return calls.call_layer(self, args, kwargs)

    def call(self, inputs: Any) -> Any:
        """Make the calls of the definition on these symbols."""
        flat = retaken(self._steps, self.inputs, tree.flatten(inputs), self.outputs)
        return tree.pack_sequence_as(self._nested_outputs, flat)

    def check_input(self, inputs: Any) -> None:
        """Raise ArgumentError or ShapeError unless there is a fitting tensor for each input."""
        flat, wanted = tree.flatten(inputs), self.inputs
        if len(flat) != len(wanted):
            raise ArgumentError(f"function {self.name!r} wants {len(wanted)} input(s), and got {len(flat)}")
        check_inputs([InputSpec(shape=(None, *one.shape[1:]) if one.shape else ()) for one in wanted], flat, self.name)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape (or nest of shapes) of the outputs for inputs of this shape (or nest of shapes)."""
        dtypes = iter([symbol.dtype for symbol in self.inputs])

        def entry(shape: Any) -> Symbol:
            return symbol_input("x", TensorType(known_shape(shape), next(dtypes)))

        inputs = map_shapes(entry, input_shape)
        return tree.map_structure(lambda symbol: symbol.shape, self.compute_output_spec(inputs))
