"""What public functions take for tensors, and the functions that convert to them and ask about them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from kgraph.errors import DTypeError, NotTracedError
from kgraph.op import FUNCTIONS
from kgraph.ops.arithmetic import cast
from kgraph.ops.axes import is_pattern
from kgraph.ops.creating import dtype_of
from kgraph.trace import Symbol, as_array, function, is_symbolic
from kgraph.types import is_float, numpy_dtype, promote, standard_dtype


def tensor(x: Any) -> Any:
    """x as something with a shape and a dtype: lists and numbers become arrays of the dtype that Keras gives them."""
    return x if hasattr(x, "dtype") or is_symbolic((x,)) else np.asarray(as_array(x), numpy_dtype(dtype_of(x)))


def floating(x: Any) -> Any:
    """The same, and integers as `config.floatx()`."""
    if is_pattern(x):
        return x
    x = tensor(x)
    dtype = dtype_of(x)
    return x if is_float(dtype) else cast(x, promote(dtype, "float"))


def composed(call: Callable[..., Any]) -> Callable[..., Any]:
    """Put a function into the table of public ones; on arrays, numpy warns of no overflow, as it does not in rows."""

    @wraps(call)
    def quiet(*args: Any, **options: Any) -> Any:
        with np.errstate(all="ignore"):
            return call(*args, **options)

    return function(quiet)


@function
def convert_to_tensor(x: Any, dtype: Any = None, sparse: bool | None = None, ragged: bool | None = None) -> Any:
    """x as an array (a symbol stays one), in `dtype` where that is given."""
    if sparse or ragged:
        raise DTypeError("convert_to_tensor: there are no sparse and no ragged tensors here")
    if hasattr(x, "as_symbol"):
        x = x.as_symbol() if is_symbolic((x,)) else x.numpy()
    x = tensor(x)
    return x if dtype is None or is_pattern(x) else cast(x, dtype)


@function
def convert_to_numpy(x: Any) -> np.ndarray:
    """A copy of x as an array; NotTracedError for a symbol, whose value is known only at the call."""
    if isinstance(x, Symbol):
        raise NotTracedError(f"the value of {x} is known only at the call")
    return np.array(tensor(x.numpy() if hasattr(x, "as_symbol") else x))


@function
def is_tensor(x: Any) -> bool:
    """Whether x is an array or a symbol."""
    return isinstance(x, (Symbol, np.ndarray, np.generic))


@function
def array(x: Any, dtype: Any = None) -> Any:
    """x as an array."""
    return convert_to_tensor(x, dtype)


@function
def copy(x: Any) -> Any:
    """x again; a change of the one array leaves the other alone."""
    return x if isinstance(x, Symbol) else np.array(tensor(x))


@function
def dtype(x: Any) -> str:
    """The name of x's dtype."""
    return dtype_of(x)


@function
def view(x: Any, dtype: Any = None) -> Any:
    """The bytes of an array taken for numbers of another dtype."""
    if isinstance(x, Symbol):
        raise NotTracedError("ops.view works on arrays; there is no row for it")
    return np.asarray(x).view(numpy_dtype(standard_dtype(dtype)))


FUNCTIONS["asarray"] = array
