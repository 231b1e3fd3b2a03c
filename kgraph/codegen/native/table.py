"""What a native caller must know of a program: a table of words, and the functions that read it.

    i64 kg_fit(i64 *tensor, i64 *dims, i64 *key)              whether an input has the dims that its record asks for
    i64 kg_fresh(i64 *weights)                                 whether no weight has changed since it was made ready
    i64 kg_begin(i64 *table, i64 **dims)                       a context for inputs of these dims; REFUSED or FAILED
    i64 kg_compute(i64 *table, i64 *context, i64 *addresses)   run the plan on inputs and results; what `kg_run` returns
    i64 kg_finish(i64 *table, i64 *context, i64 *addresses)    the same, and give the context back
    void kg_update(i64 *table, i64 *context)                   let the state have its new values, under the GIL

`kg_begin` asks Python to prepare where no context is ready. A record's dims are sizes, or ~k for word k of the key,
which is -1 until the first input that has this size sets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_int64
from dataclasses import dataclass

import numpy as np
from llvmlite import ir

from kgraph.codegen.native import emit
from kgraph.codegen.native.contexts import BUSY, FRAME, IDLE, MOST_SIZES, SWAP, TAKE, Contexts
from kgraph.codegen.native.emit import I1, I64, PTR, VOID, at, number
from kgraph.codegen.native.runner import RUN

FIT, FRESH, BEGIN, FINISH = "kg_fit", "kg_fresh", "kg_begin", "kg_finish"
COMPUTE, UPDATE = "kg_compute", "kg_update"
MOST_TENSORS = 256  # inputs and results together

# The words of a table, and of the record of an input or result in it.
INPUTS, OUTPUTS, FORM, STAGED, GIVEN, MADE, CONTEXTS, SIZES = range(8)
CODE, STEPS, THREADS, WEIGHTS, CHANGES, STATE, PREPARE = range(8, 15)
NUMBER, RANK, SLOT, BYTES, WANTED, DTYPE, TAKES_FLOATS, TAKES_NUMBERS, TAKES_NARROWED = range(9)
_RECORD = 9
PLACE, VALUE, LENGTH, VERSION = range(4)  # of a change
ARRAY, ARRAYS, VALUE_AND_ARRAYS = range(3)  # forms of the whole result; a value is a scalar of numpy
REFUSED, FAILED = 0, -1  # in place of a context: the dims do not fit; Python could not prepare
_NO_SLOT = _NO_DTYPE = -1


@dataclass(frozen=True)
class Tensor:
    """An input or result: its dtype, its dims (~k for word k of the key; of results only how many), its frame slot."""

    dtype: np.dtype
    dims: Sequence[int]
    slot: int | None


@dataclass(frozen=True)
class Change:
    """State that a call changes: the frame slot with the address of its new value, and where it and its version are."""

    slot: int
    value: int
    length: int  # in bytes
    version: int


class Weights:
    """The weights that something is made from ahead of calls: where their versions are, and those it was made from."""

    def __init__(self, cells: Sequence[int]) -> None:
        """cells: the addresses of the versions."""
        self._words = np.array([len(cells), *cells, *[-1] * len(cells)], np.int64)
        self.seen = self._words[1 + len(cells) :]
        self.address = self._words.ctypes.data

    def versions(self) -> list[int]:
        """The versions of this moment."""
        return [c_int64.from_address(cell).value for cell in self._words[1 : 1 + len(self.seen)].tolist()]


class Table:
    """The table of a program, for one form of its result. It must outlive every function that has its address.

    staged: whether a call may be refused after it has begun, so that results never go straight into a user's array.
    prepare: the address of `i64 prepare(i64 *key)`, which makes a context ready for these sizes, or returns 1.
    """

    def __init__(
        self,
        form: int,
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        changes: Sequence[Change],
        weights: Weights,
        contexts: Contexts,
        code: np.ndarray,
        steps: int,
        threads: int,
        staged: bool,
        prepare: int = 0,
    ) -> None:
        converts = form != VALUE_AND_ARRAYS  # targets of other kinds are another program's
        given, made = ([_record(one, converts) for one in tensors] for tensors in (inputs, outputs))
        state = change_words(changes)
        records = [np.array([words for words, _ in part], np.int64) for part in (given, made)]
        words = {
            FORM: form,
            STAGED: staged,
            INPUTS: len(inputs),
            OUTPUTS: len(outputs),
            GIVEN: records[0].ctypes.data,
            MADE: records[1].ctypes.data,
            CONTEXTS: contexts.address,
            SIZES: contexts.sizes,
            CODE: code.ctypes.data,
            STEPS: steps,
            THREADS: threads,
            WEIGHTS: weights.address,
            CHANGES: len(changes),
            STATE: state.ctypes.data,
            PREPARE: prepare,
        }
        self._words = np.array([words[place] for place in range(len(words))], np.int64)
        self._alive = (inputs, outputs, weights, contexts, code, state, records, given, made)
        self.address = self._words.ctypes.data


def change_words(changes: Sequence[Change]) -> np.ndarray:
    """The records of changes, as `emit_changes` reads them."""
    return np.array([(one.slot, one.value, one.length, one.version) for one in changes], np.int64)


def _record(tensor: Tensor, converts: bool) -> tuple[list[int], np.ndarray]:
    """The words of a record, and the array of dims that one of them is the address of."""
    dims = np.array(tensor.dims, np.int64)
    slot = _NO_SLOT if tensor.slot is None else tensor.slot
    dtype, is_float = tensor.dtype, tensor.dtype.kind == "f"
    narrowed = np.dtype(np.int64).num if dtype == np.int32 else _NO_DTYPE
    words = [dtype.num, len(dims), slot, dtype.itemsize, dims.ctypes.data, id(dtype)]
    return [*words, is_float, is_float and converts, narrowed], dims


def emit_table(module: ir.Module) -> None:
    """Add the functions that read tables to a module that has the contexts and the runner."""
    _emit_fit(module)
    _emit_fresh(module)
    _emit_begin(module)
    _emit_compute(module)
    _emit_finish(module)
    _emit_update(module)


def word(build: ir.IRBuilder, base: ir.Value, index: int, kind: ir.Type = I64) -> ir.Value:
    """A word of a table, or of a record."""
    return emit.load(build, at(build, base, index), kind)


def record(build: ir.IRBuilder, records: ir.Value, index: ir.Value) -> ir.Value:
    """The address of a record."""
    return at(build, records, build.mul(index, number(_RECORD)))


def new_key(build: ir.IRBuilder, table: ir.Value, key: ir.Value) -> None:
    """Set the words of a key to "not known yet"."""
    with emit.loop(build, number(0), word(build, table, SIZES)) as index:
        emit.store(build, number(-1), at(build, key, index))


def _emit_fit(module: ir.Module) -> None:
    made, build = emit.function(module, FIT, I64, [PTR, PTR, PTR])
    tensor, dims, key = made.args
    wanted = word(build, tensor, WANTED, PTR)
    with emit.loop(build, number(0), word(build, tensor, RANK)) as axis:
        want, have = (emit.load(build, at(build, base, axis)) for base in (wanted, dims))
        is_named = build.icmp_signed("<", want, number(0))
        with build.if_else(is_named) as (named, fixed):
            with named:
                place = at(build, key, build.not_(want))
                known = emit.load(build, place)
                with build.if_else(build.icmp_signed("==", known, number(-1))) as (first, again):
                    with first:
                        emit.store(build, have, place)
                    with again:
                        emit.leave_if(build, build.icmp_signed("!=", known, have), number(0))
            with fixed:
                emit.leave_if(build, build.icmp_signed("!=", want, have), number(0))
    build.ret(number(1))


def _emit_fresh(module: ir.Module) -> None:
    made, build = emit.function(module, FRESH, I64, [PTR])
    count, cells = emit.load(build, made.args[0]), at(build, made.args[0], 1)
    seen = at(build, cells, count)
    with emit.loop(build, number(0), count) as index:
        now = emit.atomic_load(build, emit.load(build, at(build, cells, index), PTR))
        changed = build.icmp_signed("!=", now, emit.atomic_load(build, at(build, seen, index)))
        emit.leave_if(build, changed, number(0))
    build.ret(number(1))


def _emit_begin(module: ir.Module) -> None:
    made, build = emit.function(module, BEGIN, I64, [PTR, PTR])
    table, dims = made.args
    key = emit.space(build, MOST_SIZES)
    new_key(build, table, key)
    with emit.loop(build, number(0), word(build, table, INPUTS)) as index:
        tensor = record(build, word(build, table, GIVEN, PTR), index)
        fits = emit.call(build, FIT, I64, tensor, emit.load(build, at(build, dims, index), PTR), key)
        emit.leave_if(build, emit.is_zero(build, fits), number(REFUSED))
    again = made.append_basic_block("again")
    build.branch(again)
    build.position_at_end(again)
    fresh = emit.call(build, FRESH, I64, word(build, table, WEIGHTS, PTR))
    with build.if_then(emit.not_zero(build, fresh)):
        context = emit.call(build, TAKE, PTR, word(build, table, CONTEXTS, PTR), key)
        emit.leave_if(build, emit.not_zero(build, context), build.ptrtoint(context, I64))
    failed = emit.call_address(build, word(build, table, PREPARE), I64, key)
    emit.leave_if(build, emit.not_zero(build, failed), number(FAILED))
    build.branch(again)


def _emit_finish(module: ir.Module) -> None:
    made, build = emit.function(module, FINISH, I64, [PTR, PTR, PTR])
    status = emit.call(build, COMPUTE, I64, *made.args)
    emit.call(build, SWAP, I64, made.args[1], number(BUSY), number(IDLE))
    build.ret(status)


def _emit_update(module: ir.Module) -> None:
    made, build = emit.function(module, UPDATE, VOID, [PTR, PTR])
    table, context = made.args
    emit_changes(build, word(build, context, FRAME, PTR), word(build, table, STATE, PTR), word(build, table, CHANGES))
    build.ret_void()


def emit_changes(build: ir.IRBuilder, frame: ir.Value, state: ir.Value, count: ir.Value) -> None:
    """Let the state have its new values, where it does not have them yet, and count the change."""
    with emit.loop(build, number(0), count) as index:
        change = at(build, state, build.mul(index, number(4)))
        new = emit.load(build, at(build, frame, word(build, change, PLACE)), PTR)
        value, length = word(build, change, VALUE, PTR), word(build, change, LENGTH)
        emit.call(build, "llvm.memcpy.p0.p0.i64", VOID, value, new, length, number(0, I1))
        emit.atomic_add(build, word(build, change, VERSION, PTR), 1)  # after the numbers: who reads it reads them too


def _emit_compute(module: ir.Module) -> None:
    made, build = emit.function(module, COMPUTE, I64, [PTR, PTR, PTR])
    table, context, addresses = made.args
    frame = word(build, context, FRAME, PTR)
    address = emit.variable(build, PTR, addresses)
    for count, records in ((INPUTS, GIVEN), (OUTPUTS, MADE)):
        with emit.loop(build, number(0), word(build, table, count)) as index:
            here = emit.load(build, address, PTR)
            slot = word(build, record(build, word(build, table, records, PTR), index), SLOT)
            with build.if_then(build.icmp_signed("!=", slot, number(_NO_SLOT))):
                emit.store(build, emit.load(build, here), at(build, frame, slot))
            emit.store(build, at(build, here, 1), address)
    code, steps, threads = word(build, table, CODE, PTR), word(build, table, STEPS), word(build, table, THREADS)
    build.ret(emit.call(build, RUN, I64, code, steps, frame, threads))
