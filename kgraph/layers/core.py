"""Dense layers, embeddings, and functions as layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from kgraph import activations, constraints, initializers, ops, regularizers
from kgraph.errors import ArgumentError, SavingError, ShapeError
from kgraph.layers.equation import EinsumShapes
from kgraph.layers.layer import Layer
from kgraph.layers.lora import Adaptable
from kgraph.layers.spec import InputSpec
from kgraph.named import find
from kgraph.ops.gather import take
from kgraph.tracing.variable import Variable


class Dense(Adaptable):
    """activation(inputs @ kernel + bias) over the last axis.

    kernel is (inputs, units), bias (units,); any rank of at least 2, other axes stay. use_bias=False: no bias.
    lora_rank freezes the kernel and trains two factors of that rank, scaled by lora_alpha / lora_rank: `enable_lora`.
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **options)
        self._set_lora(lora_rank, lora_alpha)
        self.units = positive(units, "units", "Dense")
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        width = input_shape[-1]
        if width is None:
            raise ShapeError(f"layer {self.name!r} needs the size of the last axis; it was given {tuple(input_shape)}")
        self.kernel = weight(self, "kernel", (width, self.units))
        self.bias = None
        if self.use_bias:
            self.bias = weight(self, "bias", (self.units,))
        self.input_spec = InputSpec(min_ndim=2, axes={-1: width})
        if self.lora_rank:
            self.enable_lora(self.lora_rank, self.lora_alpha)

    def call(self, inputs: Any) -> Any:
        if self.trains_factors():
            a, b = self.factors
            x = ops.matmul(inputs, self.kernel) + ops.matmul(ops.matmul(inputs, a), b)
        else:
            x = ops.matmul(inputs, self.merged())
        if self.bias is not None:
            x = ops.add(x, self.bias)
        return x if self.activation is None else self.activation(x)


class EinsumDense(Adaptable):
    """activation(einsum(equation, inputs, kernel) + bias).

    The equation names the axes of inputs, kernel and output, "abc,cd->abd"; "..." stands for leading or trailing
    axes. output_shape has the sizes of the output without the batch, None where they follow from the input. bias_axes
    are the output axes that the bias has, "d"; None for no bias.
    """

    def __init__(
        self,
        equation: str,
        output_shape: Any,
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._set_lora(lora_rank, lora_alpha)
        self.equation = equation
        self.partial_output_shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        self.bias_axes = bias_axes
        self.activation = activations.get(activation)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, input_shape: Any) -> None:
        shapes = EinsumShapes.of(self.equation, self.bias_axes, input_shape, self.partial_output_shape)
        self.kernel = weight(self, "kernel", shapes.kernel)
        self.bias = None
        if shapes.bias is not None:
            self.bias = weight(self, "bias", shapes.bias)
        if self.lora_rank:
            self.enable_lora(self.lora_rank, self.lora_alpha)

    def call(self, inputs: Any) -> Any:
        x = ops.einsum(self.equation, inputs, self.merged())
        if self.bias is not None:
            x = ops.add(x, self.bias)
        return x if self.activation is None else self.activation(x)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "output_shape": self.partial_output_shape}


class Embedding(Adaptable):
    """Row `index` of a table (input_dim, output_dim) for every integer of the input: (...) gives (..., output_dim).

    The weight `embeddings` is the table, uniform from -0.05 to 0.05 at first. Floats are cast to integers. An index
    outside the table is a RangeError before anything is read. With mask_zero the index 0 is masked.
    """

    adapted = "embeddings"
    index_dtype = "int32"  # of the input that a Sequential model makes for it

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        **options: Any,
    ) -> None:
        length = options.pop("input_length", None)
        if length is not None and "input_shape" not in options:
            options["input_shape"] = tuple(length) if isinstance(length, (list, tuple)) else (length,)
        first = weights if weights is None or isinstance(weights, (list, tuple)) else [weights]
        super().__init__(weights=first, **options)
        self._set_lora(lora_rank, lora_alpha)
        self.input_dim = positive(input_dim, "input_dim", "Embedding")
        self.output_dim = positive(output_dim, "output_dim", "Embedding")
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = self.supports_masking = mask_zero
        self.autocast = False
        if first is not None:
            self.build()

    def build(self, input_shape: Any = None) -> None:
        self.embeddings = weight(self, "embeddings", (self.input_dim, self.output_dim))
        if self.lora_rank:
            self.enable_lora(self.lora_rank, self.lora_alpha)

    def call(self, inputs: Any) -> Any:
        if inputs.dtype not in ("int32", "int64"):
            inputs = ops.cast(inputs, "int32")
        found = take(self.embeddings, inputs, axis=0, wraps=False)
        if self.lora_enabled:  # few rows of the factors instead of a second table
            a, b = self.factors
            found = found + ops.matmul(take(a, inputs, axis=0, wraps=False), b)
        return ops.cast(found, self.compute_dtype)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return ops.not_equal(inputs, 0) if self.mask_zero else None

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("weights", None)
        return config


class Activation(Layer):
    """A function of kgraph.activations, by name or itself."""

    def __init__(self, activation: Any, **options: Any) -> None:
        super().__init__(**options)
        self.activation = activations.get(activation)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return self.activation(inputs)


class Identity(Layer):
    """The input, unchanged."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        return inputs


class Masking(Layer):
    """Steps whose features all equal mask_value (0) are masked, and set to 0."""

    def __init__(self, mask_value: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.mask_value = mask_value
        self.supports_masking = True

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs: Any) -> Any:
        kept = ops.any(ops.not_equal(inputs, self.mask_value), axis=-1, keepdims=True)
        return ops.multiply(inputs, ops.cast(kept, inputs.dtype))


class Lambda(Layer):
    """A function of the input written with kgraph.ops.

    `arguments` are given to it by name, and so are `mask` and `training` if it has parameters of these names.
    output_shape is taken for Keras's sake: shapes follow from the function.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: Any = None,
        arguments: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not callable(function):
            raise ArgumentError(f"Lambda wants a function, not {function!r}")
        self.function = function
        self.arguments = arguments or {}
        self.mask = mask
        self.supports_masking = mask is not None
        self._output_shape = output_shape
        self._accepts = accepted(function)

    def call(self, inputs: Any, mask: Any = None, training: Any = None) -> Any:
        options = {"mask": mask, "training": training}
        return self.function(inputs, **self.arguments, **{key: options[key] for key in options if key in self._accepts})

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "function": self.function, "arguments": dict(self.arguments)}
        config |= {"mask": self.mask, "output_shape": self._output_shape}
        return {key: value for key, value in config.items() if value is not None or key not in CALLED}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The layer of a configuration, which names functions that are registered, or activations.

        SavingError for the code of a function: it is never run.
        """
        return cls(**{key: known_function(value) if key in CALLED else value for key, value in config.items()})


CALLED = ("function", "mask", "output_shape")


def known_function(value: Any) -> Any:
    """The function that a configuration names; other values as they are."""
    described = isinstance(value, dict) and "class_name" in value
    if (described and value["class_name"] != "function") or (isinstance(value, list) and str in map(type, value)):
        raise SavingError(
            "the configuration of a Lambda holds code, which is never run here. Give the function a name, register it "
            "with @kgraph.saving.register_keras_serializable(), and build the model with it again"
        )
    return find(value, activations.NAMES, "function") if described or isinstance(value, str) else value


def accepted(function: Callable[..., Any]) -> frozenset[str]:
    """The names of a function's parameters; none where Python cannot tell."""
    try:
        return frozenset(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return frozenset()


def positive(value: Any, name: str, layer: str) -> int:
    """A whole number above 0; ArgumentError otherwise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value <= 0:
        raise ArgumentError(f"{layer} wants {name} to be a whole number above 0, not {value!r}")
    return int(value)


def weight(layer: Layer, name: str, shape: Any, **options: Any) -> Variable:
    """A new weight of a layer that keeps how to begin, to penalise and to constrain it in attributes of its name."""
    how = {what: getattr(layer, f"{name}_{what}") for what in ("initializer", "regularizer", "constraint")}
    return layer.add_weight(name=name, shape=shape, **how, **options)
