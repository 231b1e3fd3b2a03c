"""The base of all layers: weights, sublayers, configuration. What a call does stands in calls.py."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from kgraph import constraints, dtype_policies, initializers, regularizers, tree
from kgraph.errors import ArgumentError, GraphError, ShapeError
from kgraph.graph.sizes import N, fresh_axis
from kgraph.graph.types import TensorType, is_float, standard_dtype
from kgraph.layers import calls, describe, history, naming, remembered, spec
from kgraph.layers.arguments import public_shape
from kgraph.layers.operation import Operation
from kgraph.layers.owner import Owner, unique
from kgraph.named import home
from kgraph.tracing.scope import stands
from kgraph.tracing.stateless import StatelessScope, paired
from kgraph.tracing.trace import Symbol, active, as_symbol, suspended, symbol_input
from kgraph.tracing.variable import Variable

LAYERS: dict[str, type] = {}  # kgraph's own, by their names in configurations


def building(build: Callable[..., None]) -> Callable[..., None]:
    """`build` as every layer runs it: in the layer's name scope, outside of any trace, and once."""

    @wraps(build)
    def inside(layer: Layer, *args: Any, **kwargs: Any) -> None:
        if layer._building:
            build(layer, *args, **kwargs)
            return
        layer._building = True
        try:
            with suspended(), naming.name_scope(layer.name, layer):
                layer._path = naming.path_here()
                build(layer, *args, **kwargs)
        finally:
            layer._building = False
        layer._build_shapes = dict(list(inspect.signature(build).bind(layer, *args, **kwargs).arguments.items())[1:])
        layer._after_build()

    return inside


class Layer(Owner, Operation):
    """Weights and a call.

    A subclass makes its weights in `build(input_shape)` with `add_weight`, and computes in `call(inputs)` with
    `kgraph.ops`. `call` is traced: on symbols the layer becomes one node of a graph, on arrays the graph is evaluated.

    name defaults to the class name with a number; dtype is a dtype or policy name, `config.floatx()` by default.
    As in Keras 2, input_shape (without the batch), input_dim, batch_input_shape and initial weights may be given.
    """

    _losses: list[Any]
    _first_shapes: Any

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        layer = super().__new__(cls, *args, **kwargs)
        object.__setattr__(layer, "_losses", [])
        object.__setattr__(layer, "_remembered", None)
        object.__setattr__(layer, "_first_shapes", None)
        return layer

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith("kgraph."):
            LAYERS[cls.__name__] = LAYERS[home(cls)[1]] = cls
        if "build" in cls.__dict__:
            cls.build = building(cls.__dict__["build"])  # type: ignore[method-assign]

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **options: Any,
    ) -> None:
        self._name = naming.checked_name(name, type(self).__name__)
        self.dtype_policy = dtype_policies.get(dtype)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self.autocast = autocast
        self.built = False
        self._path: str | None = None
        self.input_spec: Any = None
        self.supports_masking = type(self).compute_mask is not Layer.compute_mask
        self.takes_any_positional = False
        self._build_shapes: dict[str, Any] = {}
        if not isinstance(trainable, (bool, np.bool_)):
            raise ArgumentError(f"layer {self.name!r}: trainable must be True or False, not {trainable!r}")
        self._trainable = bool(trainable)
        self._batch_shape_argument = batch_shape_argument(options)
        self._first_weights = options.pop("weights", None)
        if options.get("quantization_config", 0) is None:
            del options["quantization_config"]  # in every configuration that Keras writes
        if options:
            raise ArgumentError(f"{type(self).__name__} does not know the argument(s) {', '.join(sorted(options))}")

    # -- dtypes

    @property
    def dtype(self) -> str:
        """The dtype of the weights."""
        return self.dtype_policy.variable_dtype

    variable_dtype = dtype

    @property
    def compute_dtype(self) -> str:
        """The dtype that floating inputs are converted to."""
        return self.dtype_policy.compute_dtype

    input_dtype = compute_dtype

    # -- building

    @property
    def path(self) -> str | None:
        """The names of the layers that this one was built inside of, and its own, joined by slashes; None before."""
        return self.name if self._path is None and self.built else self._path

    def build(self, input_shape: Any) -> None:
        """Make the weights; for subclasses to define. input_shape has None for what is not known, such as the batch."""
        self.built = True

    def _after_build(self) -> None:
        self.built = True
        self.lock_state()
        if self._first_weights is not None and self.weights:
            values, self._first_weights = self._first_weights, None
            self.set_weights(values)

    def add_weight(self, *args: Any, **options: Any) -> Variable:
        """A new weight, filled by its initializer.

        Called add_weight(shape, initializer, dtype, ...) as in Keras 3, or add_weight(name, shape, dtype,
        initializer, ...) as in Keras 2. shape defaults to (), dtype to the layer's, initializer to "glorot_uniform"
        for floats and "zeros" otherwise; trainable, regularizer, constraint and name are given by name.
        """
        return self._track_weight(**weight_arguments(args, options))

    add_variable = add_weight

    def _track_weight(
        self,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        name: str | None = None,
        **options: Any,
    ) -> Variable:
        known = standard_dtype(dtype) if dtype is not None else self.variable_dtype
        shape = () if shape is None else (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(shape)
        if any(size is None for size in shape):
            raise ShapeError(f"layer {self.name!r}: weight {name!r} of shape {shape} needs every size to be known")
        fill = initializers.get(initializer or ("glorot_uniform" if is_float(known) else "zeros"))
        with suspended(), naming.name_scope(self.name, self):
            name = name or naming.automatic_name("variable")
            penalty, limit = regularizers.get(regularizer), constraints.get(constraint)
            variable = Variable(fill, shape, known, trainable, name, penalty, limit, **options)
            variable.path, variable.given_label = naming.path_of(name), naming.label_of(name)
        self._track(variable)
        return variable

    # -- what the layer owns

    def count_params(self) -> int:
        """The number of numbers in the weights."""
        if not self.built:
            raise GraphError(f"layer {self.name!r} has no weights to count before it is built: call layer.build(shape)")
        return sum(math.prod(weight.shape) for weight in self.weights)

    def flat_layers(self) -> list[Layer]:
        """The sublayers and theirs, at any depth, each once."""
        return unique([part for layer in self._sublayers for part in [layer, *layer.flat_layers()]])

    # -- calls

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return remembered.call(self, args, kwargs)

    def after_call(self, outputs: Any) -> None:
        """Take on no more weights; remember of what shapes the outputs of the first call were, for `summary`."""
        self.lock_state()
        if self._first_shapes is None:
            object.__setattr__(self, "_first_shapes", tree.map_structure(public_shape, outputs))

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The mask of the output, where the layer supports masking: that of the input."""
        return previous_mask

    def check_input(self, inputs: Any) -> None:
        """Raise ShapeError or DTypeError unless the inputs are what `input_spec` wants."""
        if self.input_spec is not None and self.input_spec != []:
            spec.check_inputs(self.input_spec, inputs, self.name)

    def convert_input(self, symbol: Symbol) -> Symbol:
        """An input in the dtype the layer computes in."""
        return calls.cast_float(symbol, self.compute_dtype) if self.autocast else symbol

    def autocast_dtype(self, outer: str | None) -> str | None:
        """The float type in which variables are read in a call of the layer; None: in their own. Source: Keras."""
        inner = self.compute_dtype
        if outer is None:
            return inner if inner != self.variable_dtype else None
        return inner if self.autocast and is_float(inner) else None

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape that `call` gives for inputs of this shape (or nest of shapes), found by tracing it."""
        inputs = map_shapes(lambda shape: self._placeholder(shape), input_shape)
        types = calls.output_types(self, (inputs,), {})
        return tree.map_structure(lambda kind: None if kind is None else kind.public_shape, types)

    def _placeholder(self, shape: Any) -> Symbol:
        return symbol_input("x", TensorType(known_shape(shape), self.compute_dtype))

    @property
    def input_shape(self) -> Any:
        """The shape (or list) the layer was called on, if it was the same in all calls."""
        return history.only_shape(self, "input shape")

    @property
    def output_shape(self) -> Any:
        """The shape (or list) the layer gave, if it was the same in all calls."""
        return history.only_shape(self, "output shape")

    def get_input_at(self, node_index: int) -> Any:
        """The symbol (or list) of the call with this index."""
        return history.inputs_of(history.call_at(self, node_index, "input"))

    def get_output_at(self, node_index: int) -> Any:
        """The result (or list) of the call with this index."""
        return history.outputs_of(history.call_at(self, node_index, "output"))

    def get_input_shape_at(self, node_index: int) -> Any:
        """The input shape (or list) of the call with this index."""
        return history.shapes_of(history.inputs_of(history.call_at(self, node_index, "input shape")))

    def get_output_shape_at(self, node_index: int) -> Any:
        """The output shape (or list) of the call with this index."""
        return history.shapes_of(history.outputs_of(history.call_at(self, node_index, "output shape")))

    def stateless_call(
        self,
        trainable_variables: Sequence[Any],
        non_trainable_variables: Sequence[Any],
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> Any:
        """A call with these values for the variables, which are left as they are.

        Returns (outputs, new values of `non_trainable_variables`), and `losses` as a third with return_losses. args and
        kwargs are those of a call. GraphError before the layer is built, ArgumentError for a wrong number of values.
        """
        if not self.built:
            raise GraphError(f"layer {self.name!r} has no variables before it is built: call it, or layer.build(shape)")
        weights = paired(self.trainable_variables, trainable_variables, f"trainable variables of layer {self.name!r}")
        state = paired(self.non_trainable_variables, non_trainable_variables, f"other variables of layer {self.name!r}")
        with StatelessScope([*weights, *state], collect_losses=return_losses) as scope:
            outputs = self(*args, **kwargs)
            losses = self.losses if return_losses else []
        after = [scope.get_current_value(variable) for variable, _ in state]
        return (outputs, after, losses) if return_losses else (outputs, after)

    # -- losses

    def add_loss(self, loss: Any) -> None:
        """Add a scalar (or several) to the loss of the model that the layer is part of; called inside `call`."""
        trace = active()
        if trace is None:
            if any(isinstance(one, Symbol) for one in tree.flatten(loss)):
                raise GraphError(
                    f"layer {self.name!r}: add_loss takes a symbol only inside `call`; put the loss into the call of "
                    "a layer, or give the model an output for it and compile(loss=...) a function"
                )
            self.keep_losses([np.asarray(one) for one in tree.flatten(loss)], begin=False)
        else:
            trace.losses.extend(as_symbol(one) for one in tree.flatten(loss))

    def keep_losses(self, losses: list[Any], begin: bool = True) -> None:
        """Remember the losses of the eager call that just ended, instead of those before; begin=False: besides them."""
        scope = stands()
        if scope is not None:
            for loss in losses:
                scope.add_loss(loss)
            return
        for layer in [self, *self.flat_layers()] if begin else ():
            layer._losses.clear()
        self._losses.extend(losses)

    @property
    def losses(self) -> list[Any]:
        """What `add_loss` and activity regularizers gave in the last call, and the penalties of the weights."""
        source = active() or stands()
        if source is not None:
            return [*source.losses, *self.weight_losses()]
        return [*self._losses, *(one for layer in self.flat_layers() for one in layer._losses), *self.weight_losses()]

    def weight_losses(self) -> list[Any]:
        """The penalties of the trainable weights that have a regularizer."""
        return [weight.regularizer(weight) for weight in self.trainable_weights if weight.regularizer is not None]

    # -- configuration

    def get_config(self) -> dict[str, Any]:
        """Plain data that `from_config` makes an equal layer from, without its weights."""
        return describe.config_of(self, Layer)

    def get_build_config(self) -> dict[str, Any] | None:
        """The shapes the layer was built with."""
        shapes = self._build_shapes
        if len(shapes) < 2:
            return {"input_shape": next(iter(shapes.values()))} if shapes else None
        return {"shapes_dict": shapes}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build with the shapes of `get_build_config`."""
        if config and "input_shape" in config:
            self.build(config["input_shape"])
        elif config:
            self.build(**config["shapes_dict"])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_building": False, "_remembered": None}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.__dict__.get('_name')}, built={self.__dict__.get('built')}>"


Layer.build = building(Layer.build)  # type: ignore[method-assign]


def batch_shape_argument(options: dict[str, Any]) -> tuple[int | None, ...] | None:
    """The shape, batch first, that Keras 2's input_shape=, input_dim= or batch_input_shape= ask for."""
    batch = options.pop("batch_size", None)
    whole, shape, width = (options.pop(name, None) for name in ("batch_input_shape", "input_shape", "input_dim"))
    length = options.pop("input_length", None) if width is not None else None
    if whole is not None:
        return tuple(whole)
    if shape is None and width is not None:
        shape = (width,) if length is None else (length, width)
    if shape is None:
        return None
    return (batch, *(shape if isinstance(shape, (list, tuple)) else (shape,)))


def weight_arguments(args: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `add_weight` by name, in Keras 3's order or, when the first is a name, Keras 2's."""
    by_name = ("name", "shape", "dtype", "initializer", "regularizer", "trainable", "constraint")
    order = by_name if args and isinstance(args[0], str) else ("shape", "initializer", "dtype")
    if len(args) > len(order):
        raise ArgumentError(f"add_weight takes at most {len(order)} positional arguments, not {len(args)}")
    given = dict(zip(order, args, strict=False))
    twice = given.keys() & options.keys()
    if twice:
        raise ArgumentError(f"add_weight was given {', '.join(sorted(twice))} twice, by position and by name")
    return given | options


def known_shape(shape: Iterable[Any]) -> tuple[Any, ...]:
    """A shape with N for an unknown batch and named axes for other unknown sizes."""
    sizes = list(shape)
    return tuple(size if size is not None else N if axis == 0 else fresh_axis() for axis, size in enumerate(sizes))


def is_shape(value: Any) -> bool:
    """Whether it is one shape, and no nest of shapes."""
    return isinstance(value, (list, tuple)) and all(
        size is None or isinstance(size, (int, np.integer)) for size in value
    )


def map_shapes(function: Callable[[Any], Any], shapes: Any) -> Any:
    """The nest with `function` applied to each shape in it."""
    if shapes is None or is_shape(shapes):
        return None if shapes is None else function(shapes)
    if isinstance(shapes, dict):
        return {key: map_shapes(function, shape) for key, shape in shapes.items()}
    return type(shapes)(map_shapes(function, shape) for shape in shapes)
