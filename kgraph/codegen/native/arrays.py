"""What native code does with numpy's arrays: it looks whether they fit, makes new ones, and hands them to Python.

    i64 kg_is_array(object, record, flags)                         an ndarray of that dtype and rank with these flags?
    PyObject *kg_converted(object, record)                         a copy that is one, where no number changes; or null
    PyObject *kg_out(table, context, args, out, keywords, address)  a new reference to out=, if that can take the result
    i64 kg_results(table, context, objects, addresses, cell)       make the results; 0, and an error set, without memory
    PyObject *kg_packed(table, objects, addresses)                 what the call returns; takes over the references
    void kg_drop(objects, count)                                   release references

None of these runs without the GIL. References are counted by Python's own functions alone.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from kgraph.codegen.native import emit
from kgraph.codegen.native import python_abi as abi
from kgraph.codegen.native import table as tables
from kgraph.codegen.native.contexts import DIMS
from kgraph.codegen.native.emit import I1, I8, I32, I64, NULL, PTR, VOID, at, number
from kgraph.codegen.native.python_abi import field, known, python
from kgraph.codegen.native.table import record, word

IS_ARRAY, CONVERTED, OUT = "kg_is_array", "kg_converted", "kg_out"
RESULTS, PACKED, DROP = "kg_results", "kg_packed", "kg_drop"
ARRAYS_LIKE = abi.C_ORDER | abi.ALIGNED  # what kernels read
_BYTES, _IS_APART, _IS_NARROW = "kg_bytes", "kg_is_apart", "kg_is_narrow"
_FLOATS = [np.dtype(name).num for name in ("float16", "float32", "float64")]
_LAST_NUMBER = np.dtype(np.float64).num  # up to this: bool, integers, floats


def emit_arrays(module: ir.Module) -> None:
    """Add these functions to a module that has the contexts and the tables."""
    abi.emit_words(module)
    _emit_is_array(module)
    _emit_bytes(module)
    _emit_is_narrow(module)
    _emit_converted(module)
    _emit_is_apart(module)
    _emit_out(module)
    _emit_drop(module)
    _emit_results(module)
    _emit_packed(module)


def _emit_is_array(module: ir.Module) -> None:
    made, build = emit.function(module, IS_ARRAY, I64, [PTR, PTR, I32], internal=True)
    given, tensor, wanted = made.args
    no = _no(build)
    kind = emit.load(build, field(build, given, abi.TYPE))
    emit.need(build, build.icmp_signed("==", kind, known(build, abi.ARRAY_TYPE)), no)
    flags = build.and_(emit.load(build, field(build, given, abi.FLAGS), I32), wanted)
    emit.need(build, build.icmp_signed("==", flags, wanted), no)
    rank = build.sext(emit.load(build, field(build, given, abi.RANK), I32), I64)
    emit.need(build, build.icmp_signed("==", rank, word(build, tensor, tables.RANK)), no)
    dtype, same = emit.load(build, field(build, given, abi.DTYPE), PTR), word(build, tensor, tables.NUMBER)
    emit.need(build, build.icmp_signed("==", _dtype_number(build, given), same), no)
    order = emit.load(build, field(build, dtype, abi.BYTE_ORDER), I8)
    emit.need(build, build.icmp_signed("!=", order, number(abi.FOREIGN_ORDER, I8)), no)
    build.ret(number(1))


def _emit_bytes(module: ir.Module) -> None:
    """The bytes of an array with a record's rank and dtype."""
    made, build = emit.function(module, _BYTES, I64, [PTR, PTR], internal=True)
    array, tensor = made.args
    dims = emit.load(build, field(build, array, abi.DIMS), PTR)
    size = emit.variable(build, I64, word(build, tensor, tables.BYTES))
    with emit.loop(build, number(0), word(build, tensor, tables.RANK)) as axis:
        emit.store(build, build.mul(emit.load(build, size), emit.load(build, at(build, dims, axis))), size)
    build.ret(emit.load(build, size))


def _emit_is_narrow(module: ir.Module) -> None:
    """Whether an array of int64, like `narrow` in all but its dtype, has no number that int32 has not."""
    made, build = emit.function(module, _IS_NARROW, I64, [PTR, PTR], internal=True)
    array, narrow = made.args
    no, numbers = _no(build), emit.load(build, field(build, array, abi.DATA), PTR)
    flags = build.and_(emit.load(build, field(build, array, abi.FLAGS), I32), number(ARRAYS_LIKE, I32))
    emit.need(build, build.icmp_signed("==", flags, number(ARRAYS_LIKE, I32)), no)
    order = emit.load(build, field(build, emit.load(build, field(build, array, abi.DTYPE), PTR), abi.BYTE_ORDER), I8)
    emit.need(build, build.icmp_signed("!=", order, number(abi.FOREIGN_ORDER, I8)), no)
    count = build.udiv(emit.call(build, _BYTES, I64, array, narrow), word(build, narrow, tables.BYTES))
    lost = emit.variable(build, I64, number(0))
    with emit.loop(build, number(0), count) as index:
        one = emit.load(build, at(build, numbers, index))
        changed = build.xor(one, build.sext(build.trunc(one, I32), I64))
        emit.store(build, build.or_(emit.load(build, lost), changed), lost)
    build.ret(build.zext(emit.is_zero(build, emit.load(build, lost)), I64))


def _emit_converted(module: ir.Module) -> None:
    """The conversions that `arrays.as_input` makes without looking at the numbers, and int64 to int32."""
    made, build = emit.function(module, CONVERTED, PTR, [PTR, PTR], internal=True)
    given, tensor = made.args
    no, convert = _no(build, NULL), build.append_basic_block("convert")
    kind = emit.load(build, field(build, given, abi.TYPE))
    emit.need(build, build.icmp_signed("==", kind, known(build, abi.ARRAY_TYPE)), no)
    rank = build.sext(emit.load(build, field(build, given, abi.RANK), I32), I64)
    emit.need(build, build.icmp_signed("==", rank, word(build, tensor, tables.RANK)), no)
    have = _dtype_number(build, given)
    is_float, is_number = number(0, I1), build.icmp_unsigned("<=", have, number(_LAST_NUMBER))
    for kind in _FLOATS:
        is_float = build.or_(is_float, build.icmp_signed("==", have, number(kind)))
    fits = build.icmp_signed("==", have, word(build, tensor, tables.NUMBER))
    for condition, which in ((is_float, tables.TAKES_FLOATS), (is_number, tables.TAKES_NUMBERS)):
        fits = build.or_(fits, build.and_(condition, emit.not_zero(build, word(build, tensor, which))))
    with build.if_then(fits):
        build.branch(convert)
    emit.need(build, build.icmp_signed("==", have, word(build, tensor, tables.TAKES_NARROWED)), no)
    build.cbranch(emit.not_zero(build, emit.call(build, _IS_NARROW, I64, given, tensor)), convert, no)
    build.position_at_end(convert)
    dtype = word(build, tensor, tables.DTYPE, PTR)
    python(build, VOID, abi.REFER, dtype)  # the cast takes a reference over
    new = python(build, PTR, abi.CAST_ARRAY, given, dtype, number(0, I32))
    with build.if_then(emit.is_zero(build, new), likely=False):
        python(build, VOID, abi.FORGET_ERROR)  # the method will meet it again
    build.ret(new)


def _emit_is_apart(module: ir.Module) -> None:
    """Whether a result's array shares no memory with the inputs."""
    made, build = emit.function(module, _IS_APART, I64, [PTR, PTR, PTR], internal=True)
    table, args, out = made.args
    no, count = _no(build), word(build, table, tables.INPUTS)
    start = emit.load(build, field(build, out, abi.DATA))
    end = build.add(start, emit.call(build, _BYTES, I64, out, word(build, table, tables.MADE, PTR)))
    with emit.loop(build, number(0), count) as index:
        given = emit.load(build, at(build, args, index), PTR)
        first = emit.load(build, field(build, given, abi.DATA))
        size = emit.call(build, _BYTES, I64, given, record(build, word(build, table, tables.GIVEN, PTR), index))
        before = build.icmp_signed("<=", end, first)
        after = build.icmp_signed("<=", build.add(first, size), start)
        emit.need(build, build.or_(before, after), no)
    build.ret(number(1))


def _emit_out(module: ir.Module) -> None:
    made, build = emit.function(module, OUT, PTR, [PTR, PTR, PTR, PTR, PTR, PTR], internal=True)
    table, context, args, out, keywords, address = made.args
    no = _no(build, NULL)
    is_one = build.icmp_signed("==", python(build, I64, abi.TUPLE_SIZE, keywords), number(1))
    emit.need(build, is_one, no)
    name = build.ptrtoint(python(build, PTR, abi.TUPLE_ITEM, keywords, number(0)), I64)
    emit.need(build, build.icmp_signed("==", name, known(build, abi.OUT)), no)
    emit.need(build, build.icmp_signed("==", word(build, table, tables.FORM), number(tables.ARRAY)), no)
    emit.need(build, emit.is_zero(build, word(build, table, tables.STAGED)), no)
    tensor, flags = word(build, table, tables.MADE, PTR), number(ARRAYS_LIKE | abi.WRITEABLE, I32)
    emit.need(build, emit.not_zero(build, emit.call(build, IS_ARRAY, I64, out, tensor, flags)), no)
    dims, wanted = emit.load(build, field(build, out, abi.DIMS), PTR), word(build, context, DIMS, PTR)
    with emit.loop(build, number(0), word(build, tensor, tables.RANK)) as axis:
        have, want = (emit.load(build, at(build, base, axis)) for base in (dims, wanted))
        emit.need(build, build.icmp_signed("==", have, want), no)
    emit.need(build, emit.not_zero(build, emit.call(build, _IS_APART, I64, table, args, out)), no)
    emit.store(build, emit.load(build, field(build, out, abi.DATA)), address)
    python(build, VOID, abi.REFER, out)
    build.ret(out)


def _emit_drop(module: ir.Module) -> None:
    made, build = emit.function(module, DROP, VOID, [PTR, I64], internal=True)
    objects, count = made.args
    with emit.loop(build, number(0), count) as index:
        _release(build, emit.load(build, at(build, objects, index), PTR))
    build.ret_void()


def _emit_results(module: ir.Module) -> None:
    """The value of a `VALUE_AND_ARRAYS` is computed into `cell`, and has no object yet."""
    made, build = emit.function(module, RESULTS, I64, [PTR, PTR, PTR, PTR, PTR], internal=True)
    table, context, objects, addresses, cell = made.args
    dims = emit.variable(build, PTR, word(build, context, DIMS, PTR))
    emit.store(build, NULL, objects)
    emit.store(build, build.ptrtoint(cell, I64), addresses)
    none = number(0, I32)
    with emit.loop(build, _first_array(build, table), word(build, table, tables.OUTPUTS)) as index:
        tensor = record(build, word(build, table, tables.MADE, PTR), index)
        kind, here = build.inttoptr(known(build, abi.ARRAY_TYPE), PTR), emit.load(build, dims, PTR)
        rank, dtype = (build.trunc(word(build, tensor, which), I32) for which in (tables.RANK, tables.NUMBER))
        new = python(build, PTR, abi.NEW_ARRAY, kind, rank, here, dtype, NULL, NULL, none, none, NULL)
        with build.if_then(emit.is_zero(build, new), likely=False):
            emit.call(build, DROP, VOID, objects, index)
            build.ret(number(0))
        emit.store(build, new, at(build, objects, index))
        emit.store(build, emit.load(build, field(build, new, abi.DATA)), at(build, addresses, index))
        emit.store(build, at(build, here, word(build, tensor, tables.RANK)), dims)
    build.ret(number(1))


def _emit_packed(module: ir.Module) -> None:
    made, build = emit.function(module, PACKED, PTR, [PTR, PTR, PTR], internal=True)
    table, objects, addresses = made.args
    form, count, first = word(build, table, tables.FORM), word(build, table, tables.OUTPUTS), _first_array(build, table)
    emit.leave_if(build, build.icmp_signed("==", form, number(tables.ARRAY)), emit.load(build, objects, PTR))
    items = python(build, PTR, abi.NEW_LIST, build.sub(count, first))
    with build.if_then(emit.is_zero(build, items), likely=False):
        emit.call(build, DROP, VOID, objects, count)
        build.ret(NULL)
    with emit.loop(build, first, count) as index:
        one = emit.load(build, at(build, objects, index), PTR)
        python(build, I32, abi.SET_LIST, items, build.sub(index, first), one)
    emit.leave_if(build, build.icmp_signed("==", form, number(tables.ARRAYS)), items)
    dtype = word(build, word(build, table, tables.MADE, PTR), tables.DTYPE, PTR)
    value = python(build, PTR, abi.NEW_SCALAR, emit.load(build, addresses, PTR), dtype, NULL)
    pair = python(build, PTR, abi.NEW_TUPLE, number(2))
    with build.if_then(build.or_(emit.is_zero(build, value), emit.is_zero(build, pair)), likely=False):
        for one in (items, value, pair):
            _release(build, one)
        build.ret(NULL)
    for place, one in enumerate((value, items)):
        python(build, I32, abi.SET_TUPLE, pair, number(place), one)
    build.ret(pair)


def _no(build: ir.IRBuilder, result: ir.Constant | None = None) -> ir.Block:
    """A block that returns 0, or another constant."""
    block = build.append_basic_block("no")
    with build.goto_block(block):
        build.ret(number(0) if result is None else result)
    return block


def _dtype_number(build: ir.IRBuilder, array: ir.Value) -> ir.Value:
    dtype = emit.load(build, field(build, array, abi.DTYPE), PTR)
    return build.sext(emit.load(build, field(build, dtype, abi.NUMBER), I32), I64)


def _first_array(build: ir.IRBuilder, table: ir.Value) -> ir.Value:
    """The index of the first result that is an array: a value comes before it or not."""
    is_value = build.icmp_signed("==", word(build, table, tables.FORM), number(tables.VALUE_AND_ARRAYS))
    return build.zext(is_value, I64)


def _release(build: ir.IRBuilder, one: ir.Value) -> None:
    with build.if_then(emit.not_zero(build, one)):
        python(build, VOID, abi.RELEASE, one)
