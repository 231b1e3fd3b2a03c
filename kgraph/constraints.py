"""What weights are brought back to after every step of an optimizer."""

from __future__ import annotations

from typing import Any

from kgraph import config, ops
from kgraph.named import Configured, find, to_config


class Constraint(Configured):
    """A function of a weight that gives its allowed value. Subclasses define `__call__`."""

    def __call__(self, w: Any) -> Any:
        """The weight as it is allowed to be."""
        return w


class MaxNorm(Constraint):
    """Vectors along `axis` get a norm of at most max_value."""

    def __init__(self, max_value: float = 2, axis: Any = 0) -> None:
        self.max_value, self.axis = max_value, axis

    def __call__(self, w: Any) -> Any:
        norm = norms(w, self.axis)
        return w * (ops.clip(norm, 0, self.max_value) / (config.epsilon() + norm))


class NonNeg(Constraint):
    """Negative weights become 0."""

    def __call__(self, w: Any) -> Any:
        return ops.maximum(w, 0)


class UnitNorm(Constraint):
    """Vectors along `axis` get norm 1."""

    def __init__(self, axis: Any = 0) -> None:
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        return w / (config.epsilon() + norms(w, self.axis))


class MinMaxNorm(Constraint):
    """Norms of vectors along `axis` go towards [min_value, max_value], at once if rate is 1."""

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Any = 0) -> None:
        self.min_value, self.max_value, self.rate, self.axis = min_value, max_value, rate, axis

    def __call__(self, w: Any) -> Any:
        norm = norms(w, self.axis)
        wanted = self.rate * ops.clip(norm, self.min_value, self.max_value) + (1 - self.rate) * norm
        return w * (wanted / (config.epsilon() + norm))


def norms(w: Any, axis: Any) -> Any:
    """The Euclidean norms along an axis, which is kept."""
    return ops.sqrt(ops.sum(ops.square(w), axis=axis, keepdims=True))


max_norm, non_neg, unit_norm, min_max_norm = MaxNorm, NonNeg, UnitNorm, MinMaxNorm
NAMES: dict[str, Any] = {
    **{one.__name__: one for one in (MaxNorm, NonNeg, UnitNorm, MinMaxNorm)},
    "max_norm": MaxNorm,
    "non_neg": NonNeg,
    "unit_norm": UnitNorm,
    "min_max_norm": MinMaxNorm,
    "maxnorm": MaxNorm,
    "nonneg": NonNeg,
    "unitnorm": UnitNorm,
    "minmaxnorm": MinMaxNorm,
}


def get(identifier: Any) -> Any:
    """A constraint from its name, its config, a class or a function; None for None."""
    return find(identifier, NAMES, "constraint")


def serialize(constraint: Any) -> Any:
    """A description that `get` understands."""
    return to_config(constraint)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The constraint that `serialize` described."""
    return find(config, NAMES | (custom_objects or {}), "constraint")
