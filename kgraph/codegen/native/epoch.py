"""A plan run on batch after batch of arrays in memory, with no Python in between.

    i64 kg_epoch(i64 *job, i64 first, i64 last)

runs batches first to last - 1 and returns how many it completed. A job is a table of words; its STATUS is 0, or what
`runner.failure` takes apart when a batch was refused: nothing of that batch has changed any state. Where the samples
come in another order than that of the arrays, their rows are gathered into a place of the input's own, in parallel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from llvmlite import ir

from kgraph.codegen.native import emit
from kgraph.codegen.native.emit import I1, I64, PTR, VOID, at, number
from kgraph.codegen.native.pool import CHUNK, PARALLEL
from kgraph.codegen.native.runner import RUN
from kgraph.codegen.native.table import Change, change_words, emit_changes

EPOCH = "kg_epoch"
STATUS, CODE, STEPS, FRAME, THREADS, BATCH, ORDER, INPUTS, GIVEN, CHANGES, STATE = range(11)
SLOT, DATA, ROW, PLACE = range(4)  # of an input: its frame slot, its array, the bytes of a sample, where to gather
_RECORD = 4
_GATHER = "kg_gather"
_CHUNK = 1 << 16  # bytes that are worth handing to a thread
_AHEAD = 2  # rows between the one that is copied and the one that memory is asked for


@dataclass(frozen=True)
class Given:
    """An array whose batches are an input: its frame slot, its address, the bytes of a sample, where to gather."""

    slot: int
    data: int
    row: int
    place: int


class Job:
    """The table of `kg_epoch`. What its addresses point to must outlive it."""

    def __init__(
        self,
        code: np.ndarray,
        steps: int,
        frame: int,
        threads: int,
        batch: int,
        given: Sequence[Given],
        changes: Sequence[Change],
    ) -> None:
        self._given = np.array([(one.slot, one.data, one.row, one.place) for one in given], np.int64)
        self._state = change_words(changes)
        words = {
            STATUS: 0,
            CODE: code.ctypes.data,
            STEPS: steps,
            FRAME: frame,
            THREADS: threads,
            BATCH: batch,
            ORDER: 0,
            INPUTS: len(given),
            GIVEN: self._given.ctypes.data,
            CHANGES: len(changes),
            STATE: self._state.ctypes.data,
        }
        self._words = np.array([words[place] for place in range(len(words))], np.int64)
        self._code = code
        self._order: np.ndarray | None = None
        self.address = self._words.ctypes.data

    @property
    def status(self) -> int:
        """0, or why the last batch was refused."""
        return int(self._words[STATUS])

    def set_order(self, order: np.ndarray | None) -> None:
        """Take the samples in this order from now on: int64 in C order; None for that of the arrays."""
        self._order = order
        self._words[ORDER] = 0 if order is None else order.ctypes.data


def emit_epoch(module: ir.Module) -> None:
    """Add `kg_epoch` to a module that has the pool, the runner and the tables."""
    gather = _emit_gather(module)
    made, build = emit.function(module, EPOCH, I64, [PTR, I64, I64])
    job, first, last = made.args
    code, frame, order, given = (emit.load(build, at(build, job, word), PTR) for word in (CODE, FRAME, ORDER, GIVEN))
    words = (STEPS, THREADS, BATCH, INPUTS)
    steps, threads, batch, inputs = (emit.load(build, at(build, job, word)) for word in words)
    args = emit.space(build, 4)
    emit.store(build, number(0), at(build, job, STATUS))
    with emit.loop(build, first, last) as index:
        begin = build.mul(index, batch)
        with emit.loop(build, number(0), inputs) as which:
            record = at(build, given, build.mul(which, number(_RECORD)))
            slot, data, row, place = (emit.load(build, at(build, record, word)) for word in range(_RECORD))
            target = at(build, frame, slot)
            with build.if_else(emit.is_zero(build, order)) as (straight, shuffled):
                with straight:
                    emit.store(build, build.add(data, build.mul(begin, row)), target)
                with shuffled:
                    numbers = build.ptrtoint(at(build, order, begin), I64)
                    for word, value in enumerate((data, row, place, numbers)):
                        emit.store(build, value, at(build, args, word))
                    grain = build.add(build.sdiv(number(_CHUNK), build.add(row, number(1))), number(1))
                    emit.call(
                        build, PARALLEL, I64, build.ptrtoint(gather, I64), args, batch, grain, threads, number(CHUNK)
                    )
                    emit.store(build, place, target)
        status = emit.call(build, RUN, I64, code, steps, frame, threads)
        emit.store(build, status, at(build, job, STATUS))
        emit.leave_if(build, emit.not_zero(build, status), build.sub(index, first))
        state = emit.load(build, at(build, job, STATE), PTR)
        emit_changes(build, frame, state, emit.load(build, at(build, job, CHANGES)))
    build.ret(build.sub(last, first))


def _emit_gather(module: ir.Module) -> ir.Function:
    """A task: copy rows to places one after the other, while memory looks for the next ones."""
    made, build = emit.function(module, _GATHER, I64, [PTR, I64, I64], internal=True)
    args, begin, end = made.args
    data, row, place, numbers = (
        emit.load(build, at(build, args, word), kind) for word, kind in enumerate((PTR, I64, PTR, PTR))
    )
    last = build.sub(end, number(1))

    def row_at(index: ir.Value) -> ir.Value:
        return emit.moved(build, data, build.mul(emit.load(build, at(build, numbers, index)), row))

    with emit.loop(build, begin, end) as index:
        soon = row_at(emit.smaller(build, build.add(index, number(_AHEAD)), last))
        with emit.loop(build, number(0), row, emit.LINE) as place_in_row:
            emit.fetch(build, emit.moved(build, soon, place_in_row), is_written=False)
        source = row_at(index)
        target = emit.moved(build, place, build.mul(index, row))
        emit.call(build, "llvm.memcpy.p0.p0.i64", VOID, target, source, row, number(0, I1))
    build.ret(number(0))
    return made
