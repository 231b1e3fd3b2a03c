"""Values of any kind as tensors, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from kgraph.errors import NotTracedError
from kgraph.ops.arithmetic import cast
from kgraph.trace import Symbol, as_array, function
from kgraph.types import numpy_dtype, strong, type_of


@function
def convert_to_tensor(x: Any, dtype: Any = None, sparse: bool | None = None, ragged: bool | None = None) -> Any:
    """The value as a tensor: a symbol stays one, numbers and lists become arrays.

    sparse and ragged are there for Keras programs that pass them, and change nothing.
    """
    if isinstance(x, Symbol) or hasattr(x, "as_symbol"):
        return x if dtype is None else cast(x, dtype)
    array = as_array(x)
    array = np.asarray(array, numpy_dtype(strong(type_of(array).dtype)))
    return array if dtype is None else cast(array, dtype)


@function
def convert_to_numpy(x: Any) -> np.ndarray:
    """The value as a numpy array; NotTracedError for a symbol, whose value is known only at the call."""
    if isinstance(x, Symbol):
        raise NotTracedError(f"the value of {x} is known only at the call")
    return np.asarray(as_array(x))


@function
def is_tensor(x: Any) -> bool:
    """Whether it is a symbol, a variable or an array."""
    return isinstance(x, (Symbol, np.ndarray)) or hasattr(x, "as_symbol")
