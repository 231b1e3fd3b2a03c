"""Python's operators and numpy's functions on values that become graphs, as ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kgraph.errors import NotTracedError
from kgraph.graph.op import FUNCTIONS


def _binary(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    return (lambda self, other: FUNCTIONS[name](self, other)), (lambda self, other: FUNCTIONS[name](other, self))


def _compared(name: str) -> Callable[..., Any]:
    """A comparison of elements; what is no tensor, such as None, is compared as Python does."""

    def compare(self: Any, other: Any) -> Any:
        is_tensor = isinstance(other, (bool, int, float, np.ndarray, np.generic, Operators))
        return FUNCTIONS[name](self, other) if is_tensor else NotImplemented

    return compare


class Operators:
    """Python's operators, as ops. Symbols and variables share them; in sets and as keys they are themselves."""

    __add__, __radd__ = _binary("add")
    __sub__, __rsub__ = _binary("subtract")
    __mul__, __rmul__ = _binary("multiply")
    __truediv__, __rtruediv__ = _binary("divide")
    __floordiv__, __rfloordiv__ = _binary("floor_divide")
    __mod__, __rmod__ = _binary("mod")
    __pow__, __rpow__ = _binary("power")
    __matmul__, __rmatmul__ = _binary("matmul")
    __and__, __rand__ = _binary("logical_and")
    __or__, __ror__ = _binary("logical_or")
    __xor__, __rxor__ = _binary("logical_xor")
    __lt__, __gt__ = _binary("less")[0], _binary("greater")[0]
    __le__, __ge__ = _binary("less_equal")[0], _binary("greater_equal")[0]
    __eq__, __ne__ = _compared("equal"), _compared("not_equal")
    __hash__ = object.__hash__

    def __neg__(self) -> Any:
        return FUNCTIONS["negative"](self)

    def __invert__(self) -> Any:
        return FUNCTIONS["logical_not"](self)

    def __abs__(self) -> Any:
        return FUNCTIONS["absolute"](self)

    def __round__(self, digits: int | None = None) -> Any:
        return FUNCTIONS["round"](self, digits or 0)

    def __getitem__(self, key: Any) -> Any:
        return FUNCTIONS["getitem"](self, key)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        name = {"conjugate": "conj", "matmul": "matmul"}.get(ufunc.__name__, ufunc.__name__)
        if method != "__call__" or options or name not in FUNCTIONS:
            return self._by_numpy(getattr(ufunc, method), f"{ufunc.__name__} ({method})", inputs, options)
        return FUNCTIONS[name](*inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function.__name__ not in FUNCTIONS:
            return self._by_numpy(function, function.__name__, args, options)
        return FUNCTIONS[function.__name__](*args, **options)

    def _by_numpy(self, function: Callable[..., Any], name: str, args: Any, options: Any) -> Any:
        """What is given to a function of numpy that kgraph does not have."""
        raise NotTracedError(f"np.{name} cannot be traced; look for its like in kgraph.ops")
