"""The base of all models, and models written as subclasses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from kgraph import tree
from kgraph.errors import ArgumentError, GraphError
from kgraph.graph.ir import Graph
from kgraph.graph.sizes import N
from kgraph.graph.types import TensorType, is_float
from kgraph.layers import calls, naming
from kgraph.layers.arguments import bind, plain_array
from kgraph.layers.layer import Layer, known_shape, map_shapes
from kgraph.layers.masks import find_masks
from kgraph.missing import METHODS
from kgraph.models.storing import Storing
from kgraph.models.summary import print_summary
from kgraph.models.traced import Traced
from kgraph.tracing.trace import Symbol, as_symbol, symbol_input, tracing
from kgraph.training.trainer import Trainer


class Model(Trainer, Storing):
    """Layers that belong together.

    Model(inputs, outputs) makes a functional model of symbols. A subclass makes its layers in `__init__` and uses
    them in `call`; it is traced at its first call, or when `trace` is given what its inputs are.
    """

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Of a method that Keras has and kgraph has not, say what does it."""
            if name in METHODS:
                raise AttributeError(f"kgraph.Model has no {name!r}: {METHODS[name]}")
            return super().__getattr__(name)

    functional: ClassVar[type[Model]]  # the class of Model(inputs, outputs); functional.py fills it in

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if cls is Model and is_functional(args, kwargs):
            cls = Model.functional
        return Layer.__new__(cls, *args, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if is_functional(args, kwargs):
            make_functional(type(self))
            Model.functional.__init__(self, *args, **kwargs)
            return
        if args:
            raise ArgumentError(
                f"{type(self).__name__} takes inputs and outputs, or options by name, not {args!r:.100}"
            )
        super().__init__(**kwargs)
        self._input_types: Any = None

    @property
    def builds_in_call(self) -> bool:  # type: ignore[override]
        """Whether tracing `call` is what makes the weights: always, unless the subclass has its own `build`."""
        return type(self).build is Model.build

    def build(self, input_shape: Any = None) -> None:
        """Make the weights of all layers by tracing `call` for inputs of this shape (or nest of shapes)."""
        self.built = True
        if input_shape is not None and type(self).call is not Layer.call:
            types = map_shapes(lambda shape: TensorType(known_shape(shape), self.compute_dtype), input_shape)
            self._input_types = self._input_types or types
            inputs = tree.map_structure(lambda kind: symbol_input("x", kind), types)
            calls.output_types(self, (inputs,), {})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        outputs = super().__call__(*args, **kwargs)
        if args and self.__dict__.get("_input_types") is None:
            given = tree.map_structure(plain_array, args[0])
            self._input_types = tree.map_structure(lambda leaf: None if leaf is None else self._open_type(leaf), given)
        return outputs

    def _open_type(self, value: Any) -> TensorType:
        """The type of an input, with the batch left open; floats in the dtype the model computes in."""
        kind = value.type if isinstance(value, Symbol) else calls.array_type(value, None)
        dtype = self.compute_dtype if is_float(kind.dtype) else kind.dtype
        return TensorType((N, *kind.shape[1:]) if kind.shape else (), dtype)

    # -- structure

    @property
    def layers(self) -> list[Layer]:
        """The layers the model is made of, in the order of its weights."""
        return list(self._sublayers)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of this name, or at this index. ArgumentError if there is none."""
        if (name is None) == (index is None):
            raise ArgumentError("get_layer wants a name or an index, and not both")
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ArgumentError(f"model {self.name!r} has {len(self.layers)} layers, and no layer at index {index}")
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        known = ", ".join(layer.name for layer in self.layers)
        raise ArgumentError(f"model {self.name!r} has no layer called {name!r}; its layers are {known}")

    @property
    def graph(self) -> Graph:
        """The layer graph: one node for each call of a layer, and one for each op between layers."""
        return self.trace().graph

    def trace(self, training: bool = False, inputs: Any = None) -> Traced:
        """Run `call` once on symbols. `inputs` is a nest of symbols or types; by default what the model is made for.

        GraphError for a subclassed model that was never called and is given no inputs.
        """
        entries = self._entries(inputs)
        with naming.outermost(), tracing(training=training) as found:
            found.autocast = self.autocast_dtype(found.autocast)
            arguments = bind(self, (entries,), {})
            calls.build(self, arguments)
            find_masks(arguments)
            outputs = self.call(*arguments.bound.args, **arguments.bound.kwargs)
            outputs = tree.map_structure(lambda leaf: None if leaf is None else as_symbol(leaf), outputs)
            losses = [as_symbol(loss) for loss in [*found.losses, *self.weight_losses()]]
        return Traced.of(entries, outputs, losses, found)

    def _entries(self, inputs: Any) -> Any:
        """Fresh symbols for the model's inputs."""
        nest = inputs if inputs is not None else self.__dict__.get("_input_types")
        if nest is None:
            raise GraphError(
                f"model {self.name!r} does not know its inputs yet: call it on data or on kgraph.Input once, "
                "or give inputs=[kgraph.Input(...)]"
            )
        leaves = [leaf if isinstance(leaf, Symbol) else None for leaf in tree.flatten(nest)]
        numbers = iter(range(len(leaves)))

        def entry(leaf: Any) -> Symbol:
            number = next(numbers)
            if isinstance(leaf, Symbol):
                return symbol_input(leaf.stem or f"x{number}", leaf.type)
            return symbol_input("x" if len(leaves) == 1 else f"x{number}", leaf)

        return tree.map_structure(entry, nest)

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Callable[..., Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Any = None,
    ) -> None:
        """Print a table of the layers, their output shapes and numbers of weights.

        line_length is the width in characters; print_fn gets the text instead of the terminal; layer_range is a pair of
        names, the first and the last layer to show. `positions` is accepted and without effect.
        """
        print_summary(self, line_length, print_fn, expand_nested, show_trainable, layer_range)


def is_functional(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether these are the arguments of a functional model: inputs and outputs."""
    return len(args) >= 2 or (len(args) == 1 and "outputs" in kwargs) or ("inputs" in kwargs and "outputs" in kwargs)


def make_functional(cls: type) -> None:
    """Put the functional class in the place of Model among the ancestors, for super().__init__(inputs, outputs)."""
    if issubclass(cls, Model.functional):
        return
    for ancestor in cls.__mro__:
        if Model in ancestor.__bases__:
            ancestor.__bases__ = tuple(Model.functional if base is Model else base for base in ancestor.__bases__)
            return
