"""Variables and arrays by the names of Keras 2, random numbers included."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from kgraph import ops, random
from kgraph.config import floatx
from kgraph.errors import NotTracedError
from kgraph.graph.sizes import Dim, product
from kgraph.layers.naming import forget_names
from kgraph.ops.move import shape_of
from kgraph.tracing.trace import Symbol
from kgraph.tracing.variable import Variable


def variable(value: Any, dtype: Any = None, name: str | None = None, constraint: Any = None) -> Variable:
    """A Variable with this value; dtype defaults to `config.floatx()`."""
    return Variable(np.asarray(ops.convert_to_numpy(value)), dtype=dtype or floatx(), name=name, constraint=constraint)


def constant(value: Any, dtype: Any = None, shape: Sequence[int] | None = None, name: str | None = None) -> Any:
    """A tensor with this value, or filled with it; dtype defaults to `config.floatx()`."""
    made = ops.cast(ops.convert_to_tensor(value), dtype or floatx())
    if shape is None:
        return made
    given = shape_of(made)
    return ops.broadcast_to(made, shape) if product(given) == 1 else ops.reshape(made, shape)


def get_value(x: Any) -> np.ndarray:
    """The numbers of a variable or an array; NotTracedError for a symbol, which has none yet."""
    if isinstance(x, Symbol):
        raise NotTracedError(f"the value of {x} is known only at the call; call the model, or compile it")
    return x.numpy() if isinstance(x, Variable) else np.asarray(x)


eval = get_value


def set_value(x: Variable, value: Any) -> None:
    """Give a variable this value."""
    x.assign(np.asarray(value, x.numbers.dtype))


def batch_get_value(tensors: Iterable[Any]) -> list[np.ndarray]:
    """The numbers of several variables."""
    return [get_value(one) for one in tensors]


def batch_set_value(tuples: Iterable[tuple[Variable, Any]]) -> None:
    """Give several variables values: pairs (variable, value)."""
    for one, value in tuples:
        set_value(one, value)


def update(x: Variable, new_x: Any) -> Any:
    """Assign to a variable; in a traced call, at its end."""
    return x.assign(new_x)


def update_add(x: Variable, increment: Any) -> Any:
    """Add to a variable."""
    return x.assign_add(increment)


def update_sub(x: Variable, decrement: Any) -> Any:
    """Subtract from a variable."""
    return x.assign_sub(decrement)


def moving_average_update(x: Variable, value: Any, momentum: Any) -> Any:
    """x * momentum + value * (1 - momentum), assigned to x."""
    return x.assign(x * momentum + ops.cast(value, x.dtype) * (1.0 - momentum))


def count_params(x: Any) -> int:
    """The number of elements of a weight."""
    return math.prod(x.shape)


def clear_session(free_memory: bool = True) -> None:
    """Let automatic names start anew."""
    forget_names()


def reset_uids() -> None:
    """Let automatic names start anew."""
    forget_names()


def zeros(shape: Any, dtype: Any = None, name: str | None = None) -> Any:
    """A tensor of zeros."""
    return ops.zeros(shape, dtype)


def ones(shape: Any, dtype: Any = None, name: str | None = None) -> Any:
    """A tensor of ones."""
    return ops.ones(shape, dtype)


def zeros_like(x: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Zeros of x's shape."""
    return ops.zeros_like(x, dtype)


def ones_like(x: Any, dtype: Any = None, name: str | None = None) -> Any:
    """Ones of x's shape."""
    return ops.ones_like(x, dtype)


def eye(size: Dim | tuple[Dim, Dim], dtype: Any = None, name: str | None = None) -> Any:
    """The identity matrix, or the (rows, columns) part of it."""
    rows, columns = size if isinstance(size, (tuple, list)) else (size, size)
    return ops.eye(rows, columns, dtype=dtype)


def one_hot(indices: Any, num_classes: int) -> Any:
    """A last axis with a 1 at the class, and zeros."""
    return ops.one_hot(indices, num_classes)


def cast_to_floatx(x: Any) -> Any:
    """x in `config.floatx()`."""
    return ops.cast(x, floatx())


def random_uniform(
    shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: int | None = None
) -> Any:
    """Numbers from [minval, maxval)."""
    return random.uniform(shape, minval, maxval, dtype, seed)


def random_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: int | None = None
) -> Any:
    """Normally distributed numbers."""
    return random.normal(shape, mean, stddev, dtype, seed)


def truncated_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: int | None = None
) -> Any:
    """Normally distributed numbers within two deviations of the mean."""
    return random.truncated_normal(shape, mean, stddev, dtype, seed)


def random_bernoulli(shape: Any, p: float = 0.0, dtype: Any = None, seed: int | None = None) -> Any:
    """1 with probability p, else 0."""
    return random.bernoulli(shape, p, dtype, seed)


def random_uniform_variable(
    shape: Any, low: float, high: float, dtype: Any = None, name: str | None = None, seed: int | None = None
) -> Variable:
    """A variable of numbers from [low, high)."""
    return Variable(random.uniform(shape, low, high, dtype, seed), name=name)


def random_normal_variable(
    shape: Any, mean: float, scale: float, dtype: Any = None, name: str | None = None, seed: int | None = None
) -> Variable:
    """A variable of normally distributed numbers."""
    return Variable(random.normal(shape, mean, scale, dtype, seed), name=name)


def dropout(x: Any, level: float, noise_shape: Any = None, seed: int | None = None) -> Any:
    """x with elements set to 0 with probability level, and the others scaled up."""
    return random.dropout(x, level, noise_shape, seed)
