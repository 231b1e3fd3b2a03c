"""Values of any kind as tensors and back, and questions about them."""

from __future__ import annotations

from typing import Any

import numpy as np

from kgraph.errors import NotTracedError
from kgraph.graph.op import FUNCTIONS
from kgraph.graph.types import numpy_dtype, standard_dtype
from kgraph.ops.arithmetic import cast
from kgraph.ops.axes import is_pattern
from kgraph.ops.creating import dtype_of
from kgraph.ops.tensors import tensor
from kgraph.tracing.recording import recorded, recorder
from kgraph.tracing.trace import Symbol, function, is_symbolic


@function
def convert_to_tensor(x: Any, dtype: Any = None, sparse: bool | None = None, ragged: bool | None = None) -> Any:
    """x as a tensor, in `dtype` where that is given: a symbol stays one, numbers and lists become arrays.

    sparse and ragged are there for Keras programs that pass them, and change nothing.
    """
    if hasattr(x, "as_symbol"):
        keep = recorder()
        x = x.as_symbol() if is_symbolic((x,)) else x.numpy() if keep is None else recorded(x.numpy(), x.as_param())
    x = tensor(x)
    return x if dtype is None or is_pattern(x) else cast(x, dtype)


@function
def convert_to_numpy(x: Any) -> np.ndarray:
    """x as an array; NotTracedError for a symbol, whose value is known only at the call."""
    if isinstance(x, Symbol):
        raise NotTracedError(f"the value of {x} is known only at the call")
    return np.asarray(tensor(x.numpy() if hasattr(x, "as_symbol") else x))


@function
def is_tensor(x: Any) -> bool:
    """Whether x is an array, a variable or a symbol."""
    return isinstance(x, (Symbol, np.ndarray, np.generic)) or hasattr(x, "as_symbol")


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
