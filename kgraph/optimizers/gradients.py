"""What happens to gradients before a step: missing ones left out, large ones clipped."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from kgraph import ops
from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.types import type_of
from kgraph.tracing.trace import Symbol
from kgraph.tracing.variable import Variable


def present(gradients: Sequence[Any], variables: Sequence[Variable]) -> list[tuple[Any, Variable]]:
    """The gradients that are there, each with its variable, after a warning that names the others.

    Raises ArgumentError if there are none, and ShapeError for one that does not fit its variable.
    """
    pairs = list(zip(gradients, variables, strict=True))
    missing = [variable.path for gradient, variable in pairs if gradient is None]
    if len(missing) == len(pairs):
        raise ArgumentError(f"no variable has a gradient: all {len(pairs)} are None")
    if missing:
        warnings.warn(
            f"no gradients for {', '.join(missing)}, which stay as they are; does the loss depend on them?",
            stacklevel=4,
        )
    return [(fitting(gradient, variable), variable) for gradient, variable in pairs if gradient is not None]


def fitting(gradient: Any, variable: Variable) -> Any:
    """A gradient as a tensor of its variable's shape, which sizes known only at the call may have; else ShapeError."""
    gradient = ops.convert_to_tensor(gradient)
    kind = gradient.type if isinstance(gradient, Symbol) else type_of(gradient)
    fits = kind.rank == variable.ndim and all(
        size == wanted for size, wanted in zip(kind.shape, variable.shape, strict=True) if isinstance(size, int)
    )
    if not fits:
        raise ShapeError(f"the gradient of {variable.path} is {kind}, the variable {variable.type}")
    return gradient


def norm(gradient: Any) -> Any:
    """The Euclidean norm of all elements."""
    return ops.sqrt(ops.sum(ops.square(gradient)))


def clip_by_norm(gradient: Any, largest: float) -> Any:
    """The gradient, scaled down to this norm if its own is larger."""
    return gradient * (largest / ops.maximum(norm(gradient), largest))


def clip_by_global_norm(gradients: Sequence[Any], largest: float) -> list[Any]:
    """The gradients, scaled down together if the norm of all their elements is larger; NaN if it is not finite."""
    squares = [ops.sum(ops.square(gradient)) for gradient in gradients]
    together = ops.sqrt(sum(squares[1:], squares[0]))
    scale = ops.where(ops.isfinite(together), largest / ops.maximum(together, largest), float("nan"))
    return [gradient * scale for gradient in gradients]
