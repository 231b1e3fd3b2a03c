"""What is computed at once on arrays, and remembered as symbols: gradients can be asked for afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from kgraph.graph.op import FUNCTIONS, Op
from kgraph.tracing.trace import Operators, Symbol, as_symbol, constant, keeping, record


class Recorded(Operators, np.ndarray):
    """An array that knows how it was computed. Operators, ops and numpy's functions on it give others."""

    symbol: Symbol
    __hash__ = None  # type: ignore[assignment, misc]  # like other arrays
    # `loss += penalty` gives the name to a new value, as with symbols: what was recorded of the old one still holds
    __iadd__, __isub__, __imul__, __itruediv__ = (
        Operators.__add__, Operators.__sub__, Operators.__mul__, Operators.__truediv__,
    )  # fmt: skip
    __ifloordiv__, __imod__, __ipow__, __imatmul__ = (
        Operators.__floordiv__, Operators.__mod__, Operators.__pow__, Operators.__matmul__,
    )  # fmt: skip

    def __array_finalize__(self, _: Any) -> None:
        """What numpy makes of it by itself, such as a slice, is not recorded."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method == "__call__" and not options and ufunc.__name__ in FUNCTIONS:
            return FUNCTIONS[ufunc.__name__](*inputs)
        return getattr(ufunc, method)(*_plain_nest(inputs), **_plain_nest(options))

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if function.__name__ in FUNCTIONS and function.__name__ not in ("shape", "size", "ndim"):
            return FUNCTIONS[function.__name__](*args, **options)
        return function(*_plain_nest(args), **_plain_nest(options))

    def __iter__(self) -> Any:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return repr(_plain(self))

    __str__ = __repr__

    def __reduce__(self) -> Any:
        return _plain(self).__reduce__()


def recorded(value: np.ndarray, symbol: Symbol) -> Recorded:
    """The array, knowing that this symbol stands for it."""
    made = value.view(Recorded)
    made.symbol = symbol
    return made


class Recorder:
    """Remembers what is computed. `watched` has the symbols of arrays that came from outside, by identity."""

    def __init__(self) -> None:
        self.watched: dict[int, Symbol] = {}
        self._kept: list[Any] = []  # arrays that are watched: another could get their identity

    def watch(self, value: Any) -> None:
        """Let there be gradients with respect to this array."""
        if isinstance(value, np.ndarray) and not isinstance(value, Recorded) and id(value) not in self.watched:
            self.watched[id(value)] = constant(value.copy())
            self._kept.append(value)

    def known(self, value: Any) -> Any:
        """The symbol of an array that is watched or was recorded; anything else as it is."""
        if isinstance(value, Recorded) and hasattr(value, "symbol"):
            return value.symbol
        return self.watched.get(id(value), value)

    def symbol(self, value: Any) -> Symbol:
        """The symbol of a value: of an array that was not recorded, a constant."""
        return value.as_param() if hasattr(value, "as_param") else as_symbol(self.known(value))

    def __call__(self, op: Op, args: Sequence[Any], attrs: Mapping[str, Any], made: np.ndarray) -> Recorded:
        """What an op computed, recorded."""
        operands = [arg if isinstance(arg, (bool, int, float)) else self.symbol(arg) for arg in args]
        return recorded(made, record(op, operands, attrs))

    @contextmanager
    def on(self) -> Iterator[None]:
        """Inside the block, this recorder is told of what is computed."""
        token = keeping.set(self)
        try:
            yield
        finally:
            keeping.reset(token)


def recorder() -> Recorder | None:
    """The recorder that is told of what is computed now."""
    found = keeping.get()
    return found if isinstance(found, Recorder) else None


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, Recorded) else value


def _plain_nest(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain_nest, value))
    if isinstance(value, dict):
        return {key: _plain_nest(one) for key, one in value.items()}
    return _plain(value)
