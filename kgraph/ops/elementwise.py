"""What rows of kind map share: their types, and the public functions made of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from kgraph.graph.op import FUNCTIONS, Op
from kgraph.graph.sizes import broadcast_shapes
from kgraph.graph.types import TensorType, promote
from kgraph.tracing.trace import primitive

Grad = tuple[Any, ...]
Function = Callable[..., Any]


def met(*xs: TensorType) -> TensorType:
    """Operands are broadcast; the result has their dtype (of `where`: that of the values)."""
    return TensorType(broadcast_shapes(*(x.shape for x in xs)), xs[-1].dtype)


def truth(*xs: TensorType) -> TensorType:
    """Operands are broadcast; the result is bool."""
    return TensorType(broadcast_shapes(*(x.shape for x in xs)), "bool")


def nothing(*args: Any, **attrs: Any) -> Grad:
    """No operand has a gradient. (A vjp takes g and y before the operands.)"""
    return (None,) * (len(args) - 2)


def no_bools(*dtypes: str) -> Sequence[str]:
    """Operands meet in one dtype, booleans as int32."""
    met_in = promote(*dtypes)
    return ("int32" if met_in == "bool" else met_in,) * len(dtypes)


def all_bools(*dtypes: str) -> Sequence[str]:
    """Operands are taken for conditions."""
    return ("bool",) * len(dtypes)


def elementwise(doc: str, parameters: str = "x", *, name: str, **fields: Any) -> Callable[..., Any]:
    """Put a row of kind map into the table; the public function has these parameters, and this docstring."""
    fields.setdefault("vjp", nothing)
    fields.setdefault("type", met)
    row = primitive(Op(name=name, kind="map", **fields))
    operands = parameters.split()

    def call(*args: Any, **named: Any) -> Any:
        if named:
            args = (*args, *(named.pop(operand) for operand in operands[len(args) :] if operand in named))
        if named or len(args) != len(operands):
            raise TypeError(f"{name}({', '.join(operands)}) called with {len(args)} operands and {sorted(named)}")
        return row(*args)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = doc
    kinds = [inspect.Parameter(operand, inspect.Parameter.POSITIONAL_OR_KEYWORD) for operand in operands]
    call.__signature__ = inspect.Signature(kinds)  # type: ignore[attr-defined]
    FUNCTIONS[name] = call
    return call
