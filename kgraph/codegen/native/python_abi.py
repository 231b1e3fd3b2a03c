"""What native code may assume of Python's and numpy's objects, checked on real ones before it is relied upon.

Where an assumption does not hold, as in another Python, a build without the GIL or a future numpy, `api` is None, and
calls go through Python.
"""

from __future__ import annotations

import ctypes
import struct
import sys
import sysconfig
from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir

from kgraph.codegen.native import emit
from kgraph.codegen.native.emit import at, moved, number

# Offsets in an object of numpy: what it is, and the fields of an array and of a dtype, in bytes.
TYPE = 8
DATA, RANK, DIMS, DTYPE, FLAGS = 16, 24, 32, 56, 64
BYTE_ORDER, NUMBER = 26, 28
C_ORDER, ALIGNED, WRITEABLE = 0x1, 0x100, 0x400
FOREIGN_ORDER = ord(">" if sys.byteorder == "little" else "<")

# The words that native code is given: addresses of functions and objects.
(
    ARRAY_TYPE, NEW_ARRAY, NEW_SCALAR, TUPLE_ITEM, TUPLE_SIZE, NEW_TUPLE, SET_TUPLE, NEW_LIST, SET_LIST,
    SAVE_THREAD, RESTORE_THREAD, CALL, REFER, RELEASE, FORGET_ERROR, CAST_ARRAY, OUT,
) = range(17)  # fmt: skip

_FUNCTIONS = {
    TUPLE_ITEM: "PyTuple_GetItem",
    TUPLE_SIZE: "PyTuple_Size",
    NEW_TUPLE: "PyTuple_New",
    SET_TUPLE: "PyTuple_SetItem",
    NEW_LIST: "PyList_New",
    SET_LIST: "PyList_SetItem",
    SAVE_THREAD: "PyEval_SaveThread",
    RESTORE_THREAD: "PyEval_RestoreThread",
    CALL: "PyObject_Vectorcall",
    REFER: "Py_IncRef",
    RELEASE: "Py_DecRef",
    FORGET_ERROR: "PyErr_Clear",
}
_NUMPY_VERSION, _NUMPY_TYPE, _NUMPY_CAST, _NUMPY_SCALAR, _NUMPY_NEW = 0, 2, 49, 60, 93  # places in numpy's table
_OUT = sys.intern("out")
_POINTER_BYTES = 8
PYTHON, _GLOBAL = "kg_python", "kg_python_words"


@lru_cache(maxsize=1)
def api() -> np.ndarray | None:
    """The words for native code; None where objects are not as native code would read them."""
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return None
    if (
        struct.calcsize("P") != _POINTER_BYTES
        or np.ndarray.__basicsize__ < FLAGS + 4
        or np.dtype.__basicsize__ < NUMBER + 4
    ):
        return None
    with suppress(AttributeError, TypeError, ValueError):
        words = _words()
        if words is not None and all(map(_reads_as_it_is, _samples())) and _makes_arrays(words):
            return words
    return None


def _words() -> np.ndarray | None:
    """The addresses, if numpy's table is the one that is known."""
    capsule = np._core._multiarray_umath._ARRAY_API  # type: ignore[attr-defined]
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = (ctypes.c_void_p * (_NUMPY_NEW + 1)).from_address(pointer(capsule, None))
    version = ctypes.CFUNCTYPE(ctypes.c_uint)(table[_NUMPY_VERSION] or 0)() >> 24
    if table[_NUMPY_TYPE] != id(np.ndarray) or version != 2:
        return None
    functions = {NEW_ARRAY: _NUMPY_NEW, NEW_SCALAR: _NUMPY_SCALAR, CAST_ARRAY: _NUMPY_CAST}
    words: dict[int, Any] = {place: table[index] for place, index in functions.items()}
    words |= {ARRAY_TYPE: id(np.ndarray), OUT: id(_OUT)}
    for place, name in _FUNCTIONS.items():
        words[place] = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value
    found = [words[place] for place in range(len(words))]
    return np.array(found, np.int64) if all(found) else None


def _samples() -> list[np.ndarray]:
    """Arrays that differ in every field that is read."""
    base = np.zeros((3, 5, 4), np.float32)
    frozen = np.ones(7)
    frozen.flags.writeable = False
    unaligned = np.zeros(9, np.uint8)[1:].view(np.float64)
    kinds = [np.zeros((2, 3), name) for name in ("bool", "uint8", "int32", "int64", "float64", "float32", "f2")]
    swapped = [np.zeros(2, kind).view(kind.newbyteorder()) for kind in (np.dtype("f4"), np.dtype("i8"))]
    return [base, base.T, base[:, ::2], base[1], base[0, 0, :3], np.zeros(()), frozen, unaligned, *kinds, *swapped]


def _reads_as_it_is(array: np.ndarray) -> bool:
    """Whether the fields lie where native code reads them."""
    word, half, byte = ctypes.c_int64, ctypes.c_int32, ctypes.c_char
    at, dtype = id(array), array.dtype
    shape = [word.from_address(word.from_address(at + DIMS).value + 8 * axis).value for axis in range(array.ndim)]
    flags = half.from_address(at + FLAGS).value
    order = byte.from_address(id(dtype) + BYTE_ORDER).value.decode()
    return (
        word.from_address(at + TYPE).value == id(type(array))
        and word.from_address(at + DATA).value == array.ctypes.data
        and half.from_address(at + RANK).value == array.ndim
        and tuple(shape) == array.shape
        and word.from_address(at + DTYPE).value == id(dtype)
        and bool(flags & C_ORDER) == array.flags.c_contiguous
        and bool(flags & ALIGNED) == array.flags.aligned
        and bool(flags & WRITEABLE) == array.flags.writeable
        and order == dtype.byteorder
        and (ord(order) != FOREIGN_ORDER) == bool(dtype.isnative)
        and half.from_address(id(dtype) + NUMBER).value == dtype.num
    )


def _makes_arrays(words: np.ndarray) -> bool:
    """Whether numpy's functions make what is expected of them, and keep count of references."""
    pointer, word, half, thing = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32, ctypes.py_object
    new = ctypes.PYFUNCTYPE(thing, pointer, half, pointer, half, pointer, pointer, half, half, pointer)(
        int(words[NEW_ARRAY])
    )
    scalar = ctypes.PYFUNCTYPE(thing, pointer, pointer, pointer)(int(words[NEW_SCALAR]))
    cast = ctypes.PYFUNCTYPE(thing, pointer, thing, half)(int(words[CAST_ARRAY]))
    refer = ctypes.PYFUNCTYPE(None, pointer)(int(words[REFER]))
    wide = np.arange(6.0).reshape(2, 3).T
    dims, value, dtype = (word * 2)(3, 4), ctypes.c_float(2.5), np.dtype(np.float32)
    before = sys.getrefcount(dtype)
    for _ in range(20):
        made = new(id(np.ndarray), 2, ctypes.addressof(dims), dtype.num, None, None, 0, 0, None)
        one = scalar(ctypes.addressof(value), id(dtype), None)
        right: Any = type(made) is np.ndarray and made.shape == (3, 4) and made.dtype is dtype and made.flags.owndata
        if not right or not made.flags.carray or type(one) is not np.float32 or one != 2.5:
            return False
        refer(id(dtype))  # cast takes a reference over
        narrow = cast(id(wide), dtype, 0)
        if narrow.dtype is not dtype or not narrow.flags.carray or not np.array_equal(narrow, wide):
            return False
        if sys.getrefcount(made) > 2 or sys.getrefcount(narrow) > 2:
            return False
        del made, one, narrow
    return abs(sys.getrefcount(dtype) - before) <= 2


def emit_words(module: ir.Module) -> None:
    """Add the words of `api` to a module, and `kg_python`, which says where they are to be written."""
    words = ir.GlobalVariable(module, ir.ArrayType(emit.I64, OUT + 1), _GLOBAL)
    words.initializer, words.linkage = ir.Constant(words.value_type, None), "internal"
    _, build = emit.function(module, PYTHON, emit.PTR, [])
    build.ret(words)


def tell(address: int) -> bool:
    """Write the words where native code looks for them; False where there are none."""
    words = api()
    if words is not None:
        (ctypes.c_int64 * len(words)).from_address(address)[:] = words.tolist()
    return words is not None


def field(build: ir.IRBuilder, base: ir.Value, offset: int) -> ir.Value:
    """The address of a field of an object."""
    return moved(build, base, number(offset))


def known(build: ir.IRBuilder, index: int) -> ir.Value:
    """A word of `api`."""
    return emit.load(build, at(build, build.module.globals[_GLOBAL], index))


def python(build: ir.IRBuilder, kind: ir.Type, index: int, *arguments: ir.Value) -> ir.Value:
    """Call a function of Python's or numpy's."""
    return emit.call_address(build, known(build, index), kind, *arguments)
