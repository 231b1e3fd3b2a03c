"""What public functions take for tensors."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from kgraph.graph.types import HALF, is_float, numpy_dtype, promote
from kgraph.ops.arithmetic import cast
from kgraph.ops.axes import is_pattern
from kgraph.ops.creating import dtype_of
from kgraph.tracing.trace import as_array, function, is_symbolic, stacked


def tensor(x: Any) -> Any:
    """x as something with a shape and a dtype: lists and numbers become arrays of the dtype that Keras gives them.

    A list in which there are symbols becomes a symbol.
    """
    x = stacked(x)
    return x if hasattr(x, "dtype") or is_symbolic((x,)) else np.asarray(as_array(x), numpy_dtype(dtype_of(x)))


def floating(x: Any) -> Any:
    """The same, and integers as `config.floatx()`."""
    if is_pattern(x):
        return x
    x = tensor(x)
    dtype = dtype_of(x)
    return x if is_float(dtype) else cast(x, promote(dtype, "float"))


def roomy(x: Any) -> Any:
    """x, and halves as float32: what is added up of many of them has no room in 16 bits."""
    return x if is_pattern(x) or dtype_of(x) not in HALF else cast(x, "float32")


def narrowed(value: Any, x: Any) -> Any:
    """What was computed of `roomy(x)`, in x's dtype."""
    return value if is_pattern(x) or dtype_of(value) == dtype_of(x) else cast(value, dtype_of(x))


def composed(call: Callable[..., Any]) -> Callable[..., Any]:
    """Put a function into the table of public ones; on arrays, numpy warns of no overflow, as it does not in rows."""

    @wraps(call)
    def quiet(*args: Any, **options: Any) -> Any:
        with np.errstate(all="ignore"):
            return call(*args, **options)

    return function(quiet)
