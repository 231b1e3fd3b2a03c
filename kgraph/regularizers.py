"""Penalties on weights and activations, added to the loss."""

from __future__ import annotations

import math
from typing import Any

from kgraph import ops
from kgraph.errors import ArgumentError, ShapeError
from kgraph.named import Configured, find, to_config


class Regularizer(Configured):
    """A function of a weight or an activation that gives a scalar penalty. Subclasses define `__call__`."""

    def __call__(self, x: Any) -> Any:
        """The penalty for x."""
        return 0.0


class L1L2(Regularizer):
    """l1 times the sum of magnitudes, plus l2 times the sum of squares; both factors default to 0."""

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1, self.l2 = checked(l1 or 0.0, "l1"), checked(l2 or 0.0, "l2")

    def __call__(self, x: Any) -> Any:
        penalty: Any = ops.cast(0.0, x.dtype)
        if self.l1:
            penalty = penalty + self.l1 * ops.sum(ops.absolute(x))
        if self.l2:
            penalty = penalty + self.l2 * ops.sum(ops.square(x))
        return penalty


class L1(Regularizer):
    """l1 (0.01) times the sum of magnitudes."""

    def __init__(self, l1: float = 0.01) -> None:
        self.l1 = checked(0.01 if l1 is None else l1, "l1")

    def __call__(self, x: Any) -> Any:
        return self.l1 * ops.sum(ops.absolute(x))


class L2(Regularizer):
    """l2 (0.01) times the sum of squares."""

    def __init__(self, l2: float = 0.01) -> None:
        self.l2 = checked(0.01 if l2 is None else l2, "l2")

    def __call__(self, x: Any) -> Any:
        return self.l2 * ops.sum(ops.square(x))


class OrthogonalRegularizer(Regularizer):
    """factor (0.01) times the mean |cosine| between different rows (or columns) of a matrix."""

    def __init__(self, factor: float = 0.01, mode: str = "rows") -> None:
        self.factor = checked(factor, "factor")
        if mode not in ("rows", "columns"):
            raise ArgumentError(f"mode must be 'rows' or 'columns', not {mode!r}")
        self.mode = mode

    def __call__(self, x: Any) -> Any:
        if len(x.shape) != 2:
            raise ShapeError(f"OrthogonalRegularizer wants a matrix and got shape {tuple(x.shape)}")
        rows = x if self.mode == "rows" else ops.transpose(x)
        norm = ops.sqrt(ops.maximum(ops.sum(ops.square(rows), axis=1, keepdims=True), 1e-12))
        rows = rows / norm
        size = rows.shape[0]
        products = ops.matmul(rows, ops.transpose(rows)) * (1.0 - ops.eye(size, dtype=x.dtype))
        return ops.sum(ops.absolute(products)) * (self.factor * 0.5 / (size * (size - 1.0) / 2.0))


def checked(value: Any, name: str) -> float:
    """A finite number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise ArgumentError(f"{name} must be a number that is not negative, not {value!r}")
    return float(value)


l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer
NAMES: dict[str, Any] = {
    **{one.__name__: one for one in (L1, L2, L1L2, OrthogonalRegularizer)},
    "l1": L1,
    "l2": L2,
    "l1_l2": lambda: L1L2(0.01, 0.01),
    "l1l2": L1L2,
    "orthogonal_regularizer": OrthogonalRegularizer,
    "orthogonal": OrthogonalRegularizer,
}


def get(identifier: Any) -> Any:
    """A regularizer from its name, its config, a class or a function; None for None."""
    found = find(identifier, NAMES, "regularizer")
    return found() if found is NAMES["l1_l2"] else found


def serialize(regularizer: Any) -> Any:
    """A description that `get` understands."""
    return to_config(regularizer)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The regularizer that `serialize` described."""
    return find(config, NAMES | (custom_objects or {}), "regularizer")
