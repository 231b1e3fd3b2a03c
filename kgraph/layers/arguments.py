"""What a layer is called with: arguments matched with the parameters of its `call`, and the tensors among them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MethodType
from typing import Any

import numpy as np

from kgraph import tree
from kgraph.errors import DTypeError
from kgraph.tracing.trace import Symbol, active


@dataclass
class Arguments:
    """The arguments of one call, by the names that the layer's `call` gives them."""

    bound: inspect.BoundArguments
    training: bool | None
    tensors: dict[str, Any] = field(default_factory=dict)  # those arguments that are nests of tensors

    @property
    def first(self) -> Any:
        """The inputs proper: masks and shapes follow them."""
        return next(iter(self.bound.arguments.values()), None)

    @property
    def shapes(self) -> dict[str, Any]:
        """Shapes of the tensors as `build` gets them: {"inputs_shape": (None, 3)}."""
        return {f"{name}_shape": tree.map_structure(public_shape, value) for name, value in self.tensors.items()}


def is_tensor(value: Any) -> bool:
    """Whether it is a symbol, a variable or an array."""
    return isinstance(value, (Symbol, np.ndarray, np.generic)) or hasattr(value, "as_symbol")


def public_shape(value: Any) -> tuple[int | None, ...] | None:
    """The shape as Keras shows it; None for a tensor that is not there."""
    return None if value is None else tuple(value.shape)


def bind(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    """Match arguments with the parameters of the layer's `call`, and settle `training`."""
    signature = signature_of(layer.call)
    accepts = "training" in signature.parameters
    given = kwargs.get("training")
    if not accepts and "training" in kwargs:
        kwargs = {key: value for key, value in kwargs.items() if key != "training"}
    try:
        bound = signature.bind(*map(plain_array, args), **kwargs)
    except TypeError as error:
        raise DTypeError(f"layer {layer.name!r} ({type(layer).__name__}) cannot be called so: {error}") from None
    trace = active()
    if given is None and accepts:
        given = bound.arguments.get("training")
    if given is None and trace is not None:
        given = trace.training
    bound.apply_defaults()
    if accepts:
        given = bound.arguments["training"] if given is None else given
        bound.arguments["training"] = bool(given) if given is None or isinstance(given, (int, np.bool_)) else given
    arguments = Arguments(bound, None if given is None else bool(given))
    for name, value in bound.arguments.items():
        if name != "mask" and holds_tensors(layer, name, value):
            arguments.tensors[name] = value
    if not layer.takes_any_positional:
        refuse_others(layer, args, arguments)
    return arguments


def signature_of(call: Callable[..., Any]) -> inspect.Signature:
    """What a method takes; found out once for each class, for that takes as long as the rest of a call's beginning."""
    function = getattr(call, "__func__", None)
    return inspect.signature(call) if function is None else _signature_of_method(function)


@cache
def _signature_of_method(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(MethodType(function, function))


def plain_array(value: Any) -> Any:
    """Lists of numbers as an array; everything else as it is."""
    leaves = tree.flatten(value) if isinstance(value, (list, tuple)) else ()
    numbers = bool(leaves) and all(isinstance(leaf, (int, float)) for leaf in leaves)
    return np.asarray(value, None if any(isinstance(x, int) for x in leaves) else "float32") if numbers else value


def holds_tensors(layer: Any, name: str, value: Any) -> bool:
    """Whether an argument is a tensor or a nest of them."""
    leaves = [leaf for leaf in tree.flatten(value) if leaf is not None]
    found = [is_tensor(leaf) for leaf in leaves]
    if any(found) and not all(found) and name not in ("args", "kwargs"):
        raise DTypeError(f"layer {layer.name!r}: argument {name!r} mixes tensors and other values: {value!r:.100}")
    return bool(found) and all(found)


def refuse_others(layer: Any, args: Sequence[Any], arguments: Arguments) -> None:
    """What is given by position must be a tensor, as in Keras."""
    names = list(arguments.bound.signature.parameters)
    for name, value in zip(names, args, strict=False):
        for leaf in tree.flatten(plain_array(value)):
            if leaf is not None and not is_tensor(leaf):
                raise DTypeError(
                    f"layer {layer.name!r} wants a tensor and got {leaf!r:.60} of type {type(leaf).__name__}; "
                    f"give what is no tensor by name: {name}=..."
                )


def replace_arguments(bound: inspect.BoundArguments, values: dict[str, Any]) -> inspect.BoundArguments:
    """The same call with other values."""
    return inspect.BoundArguments(bound.signature, values)
