"""The scalar functions that rows name in their expressions (placeholder until the vectorised ones are in)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kgraph.codegen.philox import philox


def maximum(a, b): return a if a >= b or a != a else b
def minimum(a, b): return a if a <= b or a != a else b
def absolute(x): return abs(x)
def square(x): return x * x
def isnan(x): return x != x
def isinf(x): return math.isinf(x)
def isfinite(x): return math.isfinite(x)
def sqrt(x): return math.sqrt(x)
def exp(x): return math.exp(x)
def expm1(x): return math.expm1(x)
def log(x): return math.log(x)
def log1p(x): return math.log1p(x)
def sin(x): return math.sin(x)
def cos(x): return math.cos(x)
def tan(x): return math.tan(x)
def tanh(x): return math.tanh(x)
def erf(x): return math.erf(x)
SCALARS = {name: value for name, value in list(globals().items()) if callable(value) and getattr(value, "__module__", "") == __name__}
SCALARS["philox"] = philox


def scalars(dtype: str, target: str = "cpu") -> dict[str, Callable[..., Any]]:
    return SCALARS
