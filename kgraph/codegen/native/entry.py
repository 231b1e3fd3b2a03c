"""From Python straight into machine code: a C function that takes numpy arrays, runs a program and returns new arrays.

    PyObject *kg_entry(PyObject *self, PyObject **args, i64 count, PyObject *keywords)    METH_FASTCALL | METH_KEYWORDS

self is a tuple: an array of words, the first of them the address of a `Table` or 0, and a callable. Where the arguments
are arrays as the table describes them, or can be converted without a question, and a context is ready, the call is made
here. All else (lists, errors, sizes that are new, weights that have changed, an index that points outside) is left to
the callable, with the same arguments.

Keywords are `out=`, or what is known to ask for nothing, such as `verbose=0`: names and values that are the very
objects whose addresses are in the array.
"""

from __future__ import annotations

import ctypes
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from kgraph.codegen.native import emit
from kgraph.codegen.native import python_abi as abi
from kgraph.codegen.native import table as tables
from kgraph.codegen.native.arrays import ARRAYS_LIKE, CONVERTED, DROP, IS_ARRAY, OUT, PACKED, RESULTS
from kgraph.codegen.native.contexts import BUSY, IDLE, LONG, MOST_SIZES, SWAP, TAKE
from kgraph.codegen.native.emit import I32, I64, NULL, PTR, VOID, at, number
from kgraph.codegen.native.python_abi import field, python
from kgraph.codegen.native.table import COMPUTE, FIT, FRESH, MOST_TENSORS, UPDATE, Table, word

ENTRY, _TRY, _IDLE = "kg_entry", "kg_try", "kg_idle"
TABLE, PAIRS, FIRST_PAIR = range(3)  # words of an entry: of pairs, how many, and each one's name and value
_TAKES_OUT = -1  # in place of how many
_FASTCALL, _KEYWORDS = 0x80, 0x02


class _Method(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_methods: dict[str, _Method] = {}


class _Self(tuple):
    """The self of a function. It pickles as the method's own, so that the function is found again by its name."""

    __slots__ = ()

    def __reduce__(self) -> Any:
        return _same, (self[1].__self__,)


def _same(thing: Any) -> Any:
    return thing


class Entry:
    """A native function in front of a Python method. `function` is what to call."""

    def __init__(
        self, method: Callable[..., Any], address: int, idle: Mapping[str, Sequence[Any]] | None = None
    ) -> None:
        """method: what is called where native code does not serve. address: of `kg_entry`.

        idle: the values by keyword that ask for nothing beyond the plain call, where the method takes no `out`.
        """
        pairs = [(sys.intern(name), value) for name, values in (idle or {}).items() for value in values]
        count = _TAKES_OUT if idle is None else len(pairs)
        self._words = np.array([0, count, *(id(one) for pair in pairs for one in pair)], np.int64)
        self._tables: list[Table] = []  # all that were ever in use: another thread may have just read an address
        new = ctypes.pythonapi.PyCFunction_NewEx
        new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
        this = _Self((self._words, method, self._tables, pairs))
        self.function = new(ctypes.addressof(_definition(method, address)), this, None)

    def use(self, table: Table) -> None:
        """Serve calls by this table from now on."""
        if self._words[TABLE] != table.address:
            if table not in self._tables:
                self._tables.append(table)
            self._words[TABLE] = table.address


def _definition(method: Callable[..., Any], address: int) -> _Method:
    """The function's name and flags, and the method's signature and docstring as Python's own functions have them."""
    key = method.__qualname__
    if key not in _methods:
        signature = inspect.signature(method)
        parameters = [one.replace(annotation=one.empty) for one in signature.parameters.values()]
        plain = str(signature.replace(parameters=parameters, return_annotation=signature.empty))
        text = f"{method.__name__}($self, {plain[1:]}\n--\n\n{inspect.getdoc(method) or ''}"
        made = _Method(method.__name__.encode(), address, _FASTCALL | _KEYWORDS, text.encode())
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(made))  # functions read it when they end, at exit after this module
        _methods[key] = made
    return _methods[key]


def emit_entry(module: ir.Module) -> None:
    """Add `kg_entry` to a module that has the contexts, the tables and the arrays."""
    _emit_try(module)
    _emit_idle(module)
    made, build = emit.function(module, ENTRY, PTR, [PTR, PTR, I64, PTR])
    this, args, count, keywords = made.args
    slow, given = made.append_basic_block("slow"), emit.space(build, MOST_TENSORS)
    holder = python(build, PTR, abi.TUPLE_ITEM, this, number(0))
    words = emit.load(build, field(build, holder, abi.DATA), PTR)
    table = _table(build, words, count, slow)
    asked = _asked(build, words, at(build, args, count), keywords, slow)
    with emit.loop(build, number(0), count) as index:
        emit.store(build, emit.load(build, at(build, args, index)), at(build, given, index))
    result = emit.call(build, _TRY, PTR, table, given, args, asked)
    with emit.loop(build, number(0), count) as index:
        one = emit.load(build, at(build, given, index), PTR)
        converted = build.icmp_signed("!=", one, emit.load(build, at(build, args, index), PTR))
        with build.if_then(converted, likely=False):
            python(build, VOID, abi.RELEASE, one)
    emit.need(build, build.icmp_signed("!=", result, _handed_over()), slow)
    build.ret(result)
    build.position_at_end(slow)
    method = python(build, PTR, abi.TUPLE_ITEM, this, number(1))
    build.ret(python(build, PTR, abi.CALL, method, args, count, keywords))


def _handed_over() -> ir.Value:
    """What `kg_try` returns where the method must serve: no address of an object."""
    return number(1).inttoptr(PTR)


def _table(build: ir.IRBuilder, words: ir.Value, count: ir.Value, slow: ir.Block) -> ir.Value:
    """The table, if there is one and it is for so many inputs."""
    table = build.inttoptr(emit.atomic_load(build, at(build, words, TABLE)), PTR)
    emit.need(build, emit.not_zero(build, table), slow)
    emit.need(build, build.icmp_signed("==", count, word(build, table, tables.INPUTS)), slow)
    return table


def _asked(build: ir.IRBuilder, words: ir.Value, values: ir.Value, keywords: ir.Value, slow: ir.Block) -> ir.Value:
    """The names of keywords, or null where they ask for nothing; all that an entry knows not to take is handed over."""
    asked = emit.variable(build, PTR, keywords)
    takes_out = build.icmp_signed("==", word(build, words, PAIRS), number(_TAKES_OUT))
    with build.if_then(build.not_(build.or_(emit.is_zero(build, keywords), takes_out)), likely=False):
        emit.need(build, emit.not_zero(build, emit.call(build, _IDLE, I64, words, values, keywords)), slow)
        emit.store(build, NULL, asked)
    return emit.load(build, asked, PTR)


def _emit_idle(module: ir.Module) -> None:
    """Whether each keyword is one of an entry's pairs."""
    made, build = emit.function(module, _IDLE, I64, [PTR, PTR, PTR], internal=True)
    words, values, keywords = made.args
    pairs = at(build, words, FIRST_PAIR)
    end = build.mul(word(build, words, PAIRS), number(2))
    with emit.loop(build, number(0), python(build, I64, abi.TUPLE_SIZE, keywords)) as index:
        name = build.ptrtoint(python(build, PTR, abi.TUPLE_ITEM, keywords, index), I64)
        value, found = word(build, values, index), emit.variable(build, I64, number(0))
        emit.store(build, number(0), found)
        with emit.loop(build, number(0), end, 2) as place:
            pair = at(build, pairs, place)
            is_name, is_value = (
                build.icmp_signed("==", word(build, pair, part), one) for part, one in enumerate((name, value))
            )
            same = build.zext(build.and_(is_name, is_value), I64)
            emit.store(build, build.or_(emit.load(build, found), same), found)
        emit.leave_if(build, emit.is_zero(build, emit.load(build, found)), number(0))
    build.ret(number(1))


def _emit_try(module: ir.Module) -> None:
    """The call itself. Where an input had to be converted, the new array takes its place in `given`."""
    made, build = emit.function(module, _TRY, PTR, [PTR, PTR, PTR, PTR], internal=True)
    table, given, args, keywords = made.args
    decline, slow = made.append_basic_block("decline"), made.append_basic_block("slow")
    key, addresses, objects = (emit.space(build, words) for words in (MOST_SIZES, MOST_TENSORS, MOST_TENSORS))
    _check_inputs(build, table, given, key, addresses, slow)
    context = emit.call(build, TAKE, PTR, word(build, table, tables.CONTEXTS, PTR), key)
    emit.need(build, emit.not_zero(build, context), slow)
    results = at(build, addresses, word(build, table, tables.INPUTS))
    with build.if_else(emit.is_zero(build, keywords)) as (new, into):
        with new:
            ready = emit.call(build, RESULTS, I64, table, context, objects, results, emit.space(build, 1))
            with build.if_then(emit.is_zero(build, ready), likely=False):
                emit.call(build, SWAP, I64, context, number(BUSY), number(IDLE))
                build.ret(NULL)
        with into:
            target = emit.load(build, at(build, args, word(build, table, tables.INPUTS)), PTR)
            out = emit.call(build, OUT, PTR, table, context, given, target, keywords, results)
            emit.need(build, emit.not_zero(build, out), decline)
            emit.store(build, build.ptrtoint(out, I64), objects)
    status = _run(build, table, context, addresses)
    with build.if_then(emit.not_zero(build, status), likely=False):
        emit.call(build, DROP, VOID, objects, word(build, table, tables.OUTPUTS))
        build.branch(decline)
    emit.call(build, UPDATE, VOID, table, context)
    emit.call(build, SWAP, I64, context, number(BUSY), number(IDLE))
    build.ret(emit.call(build, PACKED, PTR, table, objects, results))
    build.position_at_end(decline)
    emit.call(build, SWAP, I64, context, number(BUSY), number(IDLE))
    build.branch(slow)
    build.position_at_end(slow)
    build.ret(_handed_over())


def _check_inputs(
    build: ir.IRBuilder, table: ir.Value, given: ir.Value, key: ir.Value, addresses: ir.Value, slow: ir.Block
) -> None:
    """Go on if all inputs are as the table says and the weights are ready; fills in the key and the addresses."""
    tables.new_key(build, table, key)
    with emit.loop(build, number(0), word(build, table, tables.INPUTS)) as index:
        place = at(build, given, index)
        tensor = tables.record(build, word(build, table, tables.GIVEN, PTR), index)
        is_array = emit.call(build, IS_ARRAY, I64, emit.load(build, place, PTR), tensor, number(ARRAYS_LIKE, I32))
        with build.if_then(emit.is_zero(build, is_array), likely=False):
            converted = emit.call(build, CONVERTED, PTR, emit.load(build, place, PTR), tensor)
            emit.need(build, emit.not_zero(build, converted), slow)
            emit.store(build, converted, place)
        array = emit.load(build, place, PTR)
        fits = emit.call(build, FIT, I64, tensor, emit.load(build, field(build, array, abi.DIMS), PTR), key)
        emit.need(build, emit.not_zero(build, fits), slow)
        emit.store(build, emit.load(build, field(build, array, abi.DATA)), at(build, addresses, index))
    fresh = emit.call(build, FRESH, I64, word(build, table, tables.WEIGHTS, PTR))
    emit.need(build, emit.not_zero(build, fresh), slow)


def _run(build: ir.IRBuilder, table: ir.Value, context: ir.Value, addresses: ir.Value) -> ir.Value:
    """Run the plan, without the GIL if it takes long; the status."""
    status = emit.variable(build, I64, number(0))
    with build.if_else(emit.is_zero(build, word(build, context, LONG)), likely=True) as (short, long):
        with short:
            emit.store(build, emit.call(build, COMPUTE, I64, table, context, addresses), status)
        with long:
            thread = python(build, PTR, abi.SAVE_THREAD)
            emit.store(build, emit.call(build, COMPUTE, I64, table, context, addresses), status)
            python(build, VOID, abi.RESTORE_THREAD, thread)
    return emit.load(build, status)
