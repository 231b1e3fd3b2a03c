"""Models given by their inputs and outputs."""

from __future__ import annotations

from typing import Any

from kgraph import tree
from kgraph.errors import ArgumentError
from kgraph.layers.describe import of_arguments
from kgraph.layers.history import shapes_of, single
from kgraph.layers.layer import Layer
from kgraph.layers.spec import InputSpec
from kgraph.models.configuration import Writer, takes_inputs_and_outputs
from kgraph.models.model import Model
from kgraph.models.steps import Ends, Step, check_names, find_steps, layers_in_order, retaken
from kgraph.tracing.trace import Symbol


class Functional(Model, Ends):
    """The calls of layers, and ops, that lead from `inputs` to `outputs`; both are symbols or nests of them.

    Called on other symbols or on arrays, the model makes the same calls again. GraphError for outputs that need
    something else than the inputs, and for two layers of one name.
    """

    _steps: list[Step]
    _layers_in_order: list[Layer]
    _locks = False

    def __init__(
        self, inputs: Any, outputs: Any, name: str | None = None, trainable: bool | None = None, **options: Any
    ) -> None:
        Layer.__init__(self, name=name, **options)
        self._input_types = None
        for what, nest in (("inputs", inputs), ("outputs", outputs)):
            for leaf in tree.flatten(nest):
                if not isinstance(leaf, Symbol):
                    raise ArgumentError(f"model {self.name!r}: all {what} must be symbols, and {leaf!r:.80} is none")
        keep = object.__setattr__
        keep(self, "_nested_inputs", inputs)
        keep(self, "_nested_outputs", outputs)
        steps = find_steps(self.inputs, self.outputs)
        keep(self, "_steps", sorted(steps, key=lambda step: step.symbol.serial))
        layers = layers_in_order(find_steps(self.inputs, self.outputs, as_written=True), self.inputs)
        check_names(layers, self.name)
        keep(self, "_layers_in_order", layers)
        for layer in layers:
            self._track(layer)
        for step in steps:
            if step.symbol.op == "param":
                self._track(step.symbol.attrs["variable"])
        self.takes_any_positional = True
        self.autocast = False
        self.built = True
        self.input_spec = self._specs()
        self.output_names = [symbol_name(symbol) for symbol in self.outputs]
        self.input_names = [symbol.name for symbol in self.inputs]
        if trainable is not None:
            self.trainable = trainable

    @property
    def layers(self) -> list[Layer]:
        """The layers in Keras's order, from inputs to outputs; inputs count as layers."""
        return list(self._layers_in_order)

    @property
    def input(self) -> Any:
        """The inputs as they were given."""
        return self._nested_inputs

    @property
    def output(self) -> Any:
        """The outputs as they were given."""
        return self._nested_outputs

    @property
    def input_shape(self) -> Any:
        """The shape of the input, or the list of shapes."""
        return single(shapes_of(self.inputs))

    @property
    def output_shape(self) -> Any:
        """The shape of the output, or the list of shapes."""
        return single(shapes_of(self.outputs))

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """Make the calls of the definition on these symbols."""
        flat = retaken(self._steps, self.inputs, self._matched(inputs), self.outputs)
        packed = tree.pack_sequence_as(self._nested_outputs, flat)
        return packed[0] if isinstance(packed, (list, tuple)) and len(packed) == 1 else packed

    def _matched(self, inputs: Any) -> list[Any]:
        """The values for the model's inputs, in order, from a nest like its own, a flat list or a dict of names."""
        if isinstance(inputs, dict) and not isinstance(self._nested_inputs, dict):
            missing = [symbol.name for symbol in self.inputs if symbol.name not in inputs]
            if missing:
                raise ArgumentError(f"model {self.name!r} wants inputs {self.input_names}; {missing[0]!r} is missing")
            return [inputs[symbol.name] for symbol in self.inputs]
        if isinstance(inputs, dict):
            extra = {key: value for key, value in inputs.items() if key in self._nested_inputs}
            return tree.flatten(extra)
        return tree.flatten(inputs)

    def check_input(self, inputs: Any) -> None:
        """Raise ArgumentError or ShapeError unless there is a fitting tensor for each input."""
        flat = self._matched(inputs)
        if len(flat) != len(self.inputs):
            raise ArgumentError(
                f"model {self.name!r} wants {len(self.inputs)} input(s), {self.input_names}; got {len(flat)}"
            )
        super().check_input(flat)

    def _specs(self) -> list[InputSpec]:
        return [
            InputSpec(shape=(None, *symbol.shape[1:]) if symbol.shape else (), allow_last_axis_squeeze=True)
            for symbol in self.inputs
        ]

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """Masks are found by making the calls."""
        return None

    def _entries(self, inputs: Any) -> Any:
        return super()._entries(self._nested_inputs if inputs is None else inputs)

    def get_config(self) -> dict[str, Any]:
        if takes_inputs_and_outputs(type(self)):
            return Writer(self).config()
        config = {"name": self.name, "trainable": self.trainable, "dtype": self.dtype_policy.name}
        return of_arguments(self, config) if type(self).get_config is Functional.get_config else config

    def get_build_config(self) -> dict[str, Any] | None:
        """None: the inputs say it all."""
        return None


Model.functional = Functional


def symbol_name(symbol: Symbol) -> str:
    """The name of the layer (or op) that an output comes from."""
    made = symbol.inputs[0] if symbol.op == "item" else symbol
    return made.call.layer.name if made.call is not None else made.name
