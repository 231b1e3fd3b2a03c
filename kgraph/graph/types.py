"""Shape and dtype of a value, and how dtypes combine."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, reduce
from typing import Any

import numpy as np

from kgraph import config
from kgraph.errors import DTypeError, MissingExtraError
from kgraph.graph.sizes import Dim, Shape, Size, product

HALF = ("float16", "bfloat16")
FLOATS = (*HALF, "float32", "float64")
SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
DTYPES = ("bool", *UNSIGNED, *SIGNED, *FLOATS)
WEAK = ("int", "float")  # Python numbers: they take the dtype of what they meet
_PREFIX = {"bool": "b", "bfloat": "bf", "float": "f", "uint": "u", "int": "i"}


@dataclass(frozen=True)
class TensorType:
    """Shape and dtype of a value. Prints as f32[N,784]; N is the batch."""

    shape: Shape
    dtype: str = "float32"

    def __str__(self) -> str:
        return f"{short(self.dtype)}[{','.join(str(n).replace(' ', '') for n in self.shape)}]"

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> Dim:
        """The number of elements."""
        return product(self.shape)

    @property
    def public_shape(self) -> tuple[int | None, ...]:
        """The shape as Keras shows it: None where the size is known only at the call."""
        return tuple(None if isinstance(n, Size) else n for n in self.shape)


def short(dtype: str) -> str:
    """f32 for float32, b1 for bool."""
    letters = dtype.rstrip("0123456789")
    return _PREFIX[letters] + (dtype[len(letters) :] or "1")


def is_float(dtype: str) -> bool:
    """Whether the dtype is a floating type, Python's weak float included."""
    return dtype in FLOATS or dtype == "float"


def is_floating(dtype: np.dtype) -> bool:
    """Whether numpy's dtype is a floating type; of bfloat16, numpy itself does not know that."""
    return dtype.kind == "f" or dtype.name == "bfloat16"


def numpy_dtype(dtype: str) -> np.dtype:
    """numpy's dtype of this name; bfloat16 needs the package ml_dtypes."""
    if dtype != "bfloat16":
        return np.dtype(dtype)
    try:
        import ml_dtypes
    except ImportError as error:
        raise MissingExtraError("bfloat16 arrays need ml_dtypes: pip install kgraph[half]") from error
    return np.dtype(ml_dtypes.bfloat16)


def float_limits(dtype: str) -> tuple[float, float]:
    """The smallest and the largest finite number of a floating dtype."""
    largest = 3.3895313892515355e38 if dtype == "bfloat16" else float(np.finfo(dtype).max)
    return -largest, largest


def ends_of(dtype: str) -> tuple[Any, Any]:
    """The least and the greatest value of a dtype, infinities among them: where a maximum and a minimum start."""
    if dtype == "bool":
        return False, True
    return (-math.inf, math.inf) if is_float(dtype) else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))


def memory_dtype(dtype: str) -> str:
    """The dtype of an element in memory as kernels see it: booleans are bytes there, and halves 16 bits."""
    return {"bool": "uint8", **dict.fromkeys(HALF, "uint16")}.get(dtype, dtype)


def standard_dtype(dtype: Any) -> str:
    """The name of a dtype given as a string, a numpy dtype or type, or None for `config.floatx()`."""
    if dtype is None:
        return config.floatx()
    if isinstance(dtype, str) and dtype in DTYPES:
        return dtype
    if isinstance(dtype, np.dtype):
        return _name_of(dtype)
    aliases = {bool: "bool", int: "int32", float: config.floatx(), "int": "int32", "float": config.floatx()}
    if isinstance(dtype, (str, type)) and dtype in aliases:
        return aliases[dtype]
    try:
        found = np.dtype(dtype)
    except TypeError:
        return _known(str(dtype), dtype)
    return _name_of(found)


@lru_cache(maxsize=256)
def _name_of(dtype: np.dtype) -> str:
    """The name of numpy's dtype, which numpy takes a microsecond to put together."""
    return _known(dtype.name, dtype)


def _known(name: str, dtype: Any) -> str:
    if name not in DTYPES:
        raise DTypeError(f"unknown dtype {dtype!r}; kgraph knows {', '.join(DTYPES)}")
    return name


def type_of(value: Any) -> TensorType:
    """The type of a numpy array, or of a Python number: shape () and a weak dtype."""
    if isinstance(value, bool):
        return TensorType((), "bool")
    if isinstance(value, (int, float)):
        return TensorType((), "int" if isinstance(value, int) else "float")
    return TensorType(tuple(value.shape), standard_dtype(value.dtype))


@lru_cache(maxsize=4096)
def promote(*dtypes: str) -> str:
    """The dtype in which these meet, by Keras's rules: int with float gives the float, Python numbers are weak."""
    return strong(reduce(_join, dtypes))


def strong(dtype: str) -> str:
    """The dtype of a value whose operands were all Python numbers."""
    return {"int": "int32", "float": config.floatx()}.get(dtype, dtype)


def _join(a: str, b: str) -> str:
    if a == b or b == "bool":
        return a
    if a == "bool":
        return b
    if is_float(a) != is_float(b):
        float_one, other = (a, b) if is_float(a) else (b, a)
        return config.floatx() if float_one == "float" and other != "int" else float_one
    if a in WEAK or b in WEAK:
        return b if a in WEAK else a
    if is_float(a):
        return "float32" if {a, b} == {"float16", "bfloat16"} else max(a, b, key=lambda t: (numpy_bits(t), t))
    return _join_integers(a, b)


def _join_integers(a: str, b: str) -> str:
    if (a in SIGNED) == (b in SIGNED):
        return max(a, b, key=numpy_bits)
    signed, unsigned = (a, b) if a in SIGNED else (b, a)
    if numpy_bits(signed) > numpy_bits(unsigned):
        return signed
    wider = numpy_bits(unsigned) * 2
    return f"int{wider}" if wider <= 64 else config.floatx()


def numpy_bits(dtype: str) -> int:
    """Bits of one element; a bool takes 8."""
    return 8 if dtype == "bool" else int(dtype.lstrip("abcdefghijklmnopqrstuvwxyz"))
