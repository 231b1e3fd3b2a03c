"""State that lives between calls: weights, moving statistics, seeds."""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np

from kgraph import tree
from kgraph.allowance import spend
from kgraph.errors import NotTracedError, ShapeError
from kgraph.graph.op import FUNCTIONS
from kgraph.graph.types import HALF, TensorType, is_float, numpy_dtype, standard_dtype
from kgraph.tracing.recording import recorded, recorder
from kgraph.tracing.scope import stands
from kgraph.tracing.trace import INSTEAD_OF_PYTHON, Operators, Symbol, active, as_symbol, is_symbolic, numbers_of

_numbers = count()
_writing = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child must not inherit it from a thread that writes and is not there
    os.register_at_fork(before=_writing.acquire, after_in_parent=_writing.release, after_in_child=_writing.release)


class Variable(Operators):
    """An array with a name that layers read, optimizers change and `assign` in a traced `call` updates.

    initializer is an array, a number, or a function of (shape, dtype); dtype defaults to `config.floatx()`. The array
    stays at one address for the life of the variable, so compiled code reads the current numbers; `version` counts
    the changes. regularizer and constraint are for who trains it. autocast: whether layers that compute in another
    float type read it in that one. Other arguments that Keras knows, such as aggregation, are taken and have no effect.

    Variables of half precision are kept in float32, in which kernels compute; who reads one gets the rounded numbers.
    """

    def __init__(
        self,
        initializer: Any,
        shape: tuple[int, ...] | None = None,
        dtype: Any = None,
        trainable: bool = True,
        name: str | None = None,
        regularizer: Any = None,
        constraint: Any = None,
        autocast: bool = True,
        **_: Any,
    ) -> None:
        value, known = initial_value(initializer, shape, dtype)
        first = np.asarray(value, numpy_dtype(known))
        self._value = np.array(first, np.float32 if known in HALF else first.dtype, order="C")
        self.dtype = known
        self.trainable = trainable
        self.name = name or f"variable_{next(_numbers)}"
        self.path = self.name
        self.given_label = ""
        self._version = np.zeros(1, np.int64)
        self._symbol: Symbol | None = None
        self.regularizer, self.constraint, self.autocast = regularizer, constraint, autocast

    @property
    def value(self) -> Any:
        """What who reads the variable gets: the numbers, read only; change them with `assign`.

        Inside a traced `call` or step it is their symbol, and under a GradientTape an array that has gradients.
        """
        if active() is not None:
            return self.as_symbol()
        return self.numbers if recorder() is None else recorded(self.numbers, self.as_param())

    @property
    def numbers(self) -> np.ndarray:
        """The numbers themselves, read only, whatever is traced. In half precision, a copy of them."""
        other = self._other()
        if other is not None:
            view = other.view()
        else:
            view = self._value.astype(numpy_dtype(self.dtype)) if self.dtype in HALF else self._value.view()
        view.flags.writeable = False
        return view

    def _other(self) -> np.ndarray | None:
        """The numbers that stand for its own in a StatelessScope."""
        scope = stands()
        return None if scope is None else scope.value_of(self)

    @property
    def kept(self) -> np.ndarray:
        """The memory that compiled code reads and writes."""
        return self._value

    @property
    def shape(self) -> tuple[int, ...]:
        return self._value.shape

    @property
    def ndim(self) -> int:
        return self._value.ndim

    @property
    def type(self) -> TensorType:
        return TensorType(self._value.shape, self.dtype)

    @property
    def version(self) -> int:
        """How often the numbers have been changed."""
        return int(self._version[0])

    @property
    def version_address(self) -> int:
        """Where compiled code reads the version: an int64, at one address for the life of the variable."""
        return self._version.ctypes.data

    def numpy(self) -> np.ndarray:
        """A copy of the numbers. NotTracedError inside a traced call, which would keep them for ever."""
        self._needs_numbers()
        other = self._other()
        if other is not None:
            return np.array(other)
        copy = np.empty_like(self._value)
        _bytes(copy)[:] = _bytes(self._value)
        return copy.astype(numpy_dtype(self.dtype)) if self.dtype in HALF else copy

    def write(self, value: np.ndarray) -> None:
        """Take on these numbers now; compiled code computes with them from its next call on.

        A call that another thread is at may read some of the old numbers and some of the new.
        """
        value = np.asarray(value)
        if value.shape != self.shape:
            raise ShapeError(f"variable {self.path} has shape {self.shape}, the new value {value.shape}")
        scope = stands()
        if scope is not None:
            scope.add_update((self, value))
            return
        with _writing:  # two threads that write at once are two changes
            _bytes(self._value)[:] = _bytes(np.ascontiguousarray(value, self._value.dtype))
            np.add(self._version, 1, out=self._version)  # after the numbers: who reads this version reads them too

    def touch(self) -> None:
        """Note that compiled code has changed the numbers."""
        with _writing:
            np.add(self._version, 1, out=self._version)

    def assign(self, value: Any) -> Any:
        """Change the value: at once, or, inside a traced `call`, at the end of every call of the compiled function."""
        trace = active()
        if trace is None and not is_symbolic((value,)):
            self.write(np.asarray(value.numbers if isinstance(value, Variable) else value))
            return self
        if trace is None:
            raise NotTracedError(
                f"variable {self.path} cannot take on a symbol here: it has no numbers until a call. Assign it inside "
                "the `call` of a layer or a function that kgraph.compile or kgraph.jit traces, or assign numbers"
            )
        symbol = as_symbol(value, self.dtype)
        have = tuple(symbol.type.shape)
        known = [isinstance(one, int) and one != other for one, other in zip(have, self.shape, strict=False)]
        if len(have) != len(self.shape) or any(known):
            raise ShapeError(f"variable {self.path} has shape {self.shape}, the new value {symbol.type}")
        if have != self.shape:  # whether it fits, only the call can tell
            symbol = FUNCTIONS["broadcast_to"](symbol, self.shape)
        trace.updates[self] = symbol
        return symbol

    def assign_add(self, value: Any) -> Any:
        """Add to the value."""
        return self.assign(self + value)

    def assign_sub(self, value: Any) -> Any:
        """Subtract from the value."""
        return self.assign(self - value)

    def as_symbol(self) -> Symbol:
        """What a traced function reads: `current`, in the float type that the layer whose call it is computes in."""
        symbol, trace = self.current(), active()
        wanted = trace.autocast if trace is not None and self.autocast and is_float(self.dtype) else None
        return symbol if wanted in (None, self.dtype) else FUNCTIONS["cast"](symbol, wanted)

    def current(self) -> Symbol:
        """The value at the start of the traced call, or what it was assigned since."""
        trace = active()
        return trace.updates[self] if trace is not None and self in trace.updates else self.as_param()

    def as_param(self) -> Symbol:
        """The one symbol of the variable's value at the start of a call."""
        if self._symbol is None or self._symbol.stem != self.label:
            self._symbol = Symbol("param", (), {"variable": self}, self.type, self.label)
        return self._symbol

    @property
    def label(self) -> str:
        """What graphs call it: hidden.kernel, beside hidden/einsum, which is a value of the layer's call."""
        return self.given_label or self.path.replace("/", ".")

    def _by_numpy(self, function: Callable[..., Any], name: str, args: Any, options: Any) -> Any:
        """What numpy makes of the numbers; in a traced call, as of symbols, NotTracedError."""
        if active() is not None:
            return super()._by_numpy(function, name, args, options)
        numbers = [one.numpy() if isinstance(one, Variable) else one for one in tree.flatten([args, options])]
        args, options = tree.pack_sequence_as([args, options], numbers)
        return function(*args, **options)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        self._needs_numbers()
        return np.array(self.numbers, dtype)

    def __float__(self) -> float:
        self._needs_numbers()
        return float(self.numbers)

    def __int__(self) -> int:
        self._needs_numbers()
        return int(self.numbers)

    def _needs_numbers(self) -> None:
        if active() is not None:
            raise NotTracedError(
                f"the value of variable {self.path} is known only at the call, so it is no number yet; compute with "
                "the variable itself, by operators and kgraph.ops"
            )

    def __bool__(self) -> bool:
        raise NotTracedError(
            f"variable {self.path} is no condition: Python cannot branch on it in a traced call. {INSTEAD_OF_PYTHON}; "
            "outside of calls, compare variable.numpy()"
        )

    def __index__(self) -> int:
        self._needs_numbers()
        return operator.index(self.numbers.item() if self.ndim == 0 else self.numbers)

    def __len__(self) -> int:
        if not self.shape:
            raise ShapeError(
                f"variable {self.path} is a single number, so it has no length and no elements to go through"
            )
        return len(self._value)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_symbol": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for name in ("_value", "_version"):  # pickle's buffers out of band may be memory of others, and read only
            kept = state[name]
            if not (kept.flags.owndata and kept.flags.carray):
                self.__dict__[name] = np.array(kept, order="C")

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}>"


def _bytes(array: np.ndarray) -> memoryview:
    """The bytes of an array in C order. numpy copies large arrays without the GIL; memoryviews copy in one go.

    So native code that has the GIL, and writes here itself, finds no copy half way.
    """
    return array.reshape(-1).view(np.uint8).data


def initial_value(initializer: Any, shape: tuple[int, ...] | None, dtype: Any) -> tuple[Any, str]:
    """The first value of a variable, and its dtype."""
    if isinstance(initializer, Callable):  # type: ignore[arg-type]
        if shape is None:
            raise ShapeError("a variable made by an initializer needs a shape")
        name = standard_dtype(dtype)
        spend(shape, numpy_dtype(name).itemsize)
        return initializer(tuple(shape), dtype=name), name
    value = numbers_of(initializer)
    if shape is not None and tuple(shape) != value.shape:
        raise ShapeError(f"the initial value has shape {value.shape}, the variable {tuple(shape)}")
    has_dtype = isinstance(initializer, (np.ndarray, np.generic)) or value.dtype.kind in "b"
    return value, standard_dtype(dtype if dtype is not None or not has_dtype else value.dtype)
