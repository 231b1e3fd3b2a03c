"""The interpreter of a compiled plan: it calls the kernels of a model one after the other, with no Python in between.

    i64 kg_run(i64 *code, i64 steps, i64 *frame, i64 threads)

A step is a record of words: the task's address, the slots of its extent and its grain, the number of its arguments and
their slots. Slots are indices into the frame, where the caller keeps addresses and sizes. A step whose extent is 0 or
less is skipped. The result is 0, or what `failure` takes apart if a chunk returned a status: nothing runs after it.
Where a record begins with 0 there is a loop (loops.py), with the records of its steps in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from llvmlite import ir

from kgraph.codegen.native import emit, loops
from kgraph.codegen.native.cuts import Cut
from kgraph.codegen.native.emit import I64, PTR, at, number
from kgraph.codegen.native.pool import CHUNK, PARALLEL

RUN = "kg_run"
MOST_ARGUMENTS = 1024
_HEAD = 4  # words of a record before the slots of its arguments
_STATUS_BITS = 16
STATUS = (1 << _STATUS_BITS) - 1  # the bits of a result that hold it


@dataclass(frozen=True)
class Loop:
    """Steps that are done again and again."""

    count: int  # slot of how often
    steps: Sequence[Step | Loop]
    moves: Sequence[loops.Move] = ()
    carries: Sequence[loops.Carry] = ()
    reverse: bool = False
    condition: int = loops.NOWHERE  # slot of the address of a boolean
    wanted: bool = True  # what that must be for another step
    cut: Cut | None = None  # in parts that threads share

    @property
    def total(self) -> int:
        """How many steps are in it, loops counted as one and their steps besides."""
        return _total(self.steps)

    def words(self) -> list[int]:
        """The record."""
        code, size = _words(self.steps), len(self.steps)
        options = (self.moves, self.carries, self.reverse, self.condition, self.wanted, self.cut)
        return loops.head(self.count, self.total, code, size, *options)


@dataclass(frozen=True)
class Step:
    """One kernel call of a plan."""

    task: int  # its address
    extent: int  # slot of the number of items
    grain: int  # slot of the items per chunk, 1 or more
    arguments: Sequence[int]  # slots

    def __post_init__(self) -> None:
        if len(self.arguments) > MOST_ARGUMENTS:
            raise ValueError(f"a step takes at most {MOST_ARGUMENTS} arguments, not {len(self.arguments)}")

    def words(self) -> list[int]:
        """The record."""
        return [self.task, self.extent, self.grain, len(self.arguments), *self.arguments]


def encode(steps: Iterable[Step | Loop]) -> np.ndarray:
    """The steps as `kg_run` reads them."""
    return np.array(_words(steps), np.int64)


def _words(steps: Iterable[Step | Loop]) -> list[int]:
    return [word for step in steps for word in step.words()]


def _total(steps: Iterable[Step | Loop]) -> int:
    return sum(1 + (step.total if isinstance(step, Loop) else 0) for step in steps)


def failure(result: int) -> tuple[int, int]:
    """The index of the step that failed, where the steps in a loop follow it; and the low 16 bits of its status."""
    return (result >> _STATUS_BITS) - 1, result & STATUS


def emit_runner(module: ir.Module) -> None:
    """Add `kg_run` to a module that has the pool."""
    made, build = emit.function(module, RUN, I64, [PTR, I64, PTR, I64])
    code, steps, frame, threads = made.args
    args = build.alloca(I64, number(MOST_ARGUMENTS))
    record, place = emit.variable(build, PTR, code), emit.variable(build, I64, number(0))
    with emit.loop(build, number(0), steps):
        here = emit.load(build, record, PTR)
        task, slot, grain, count = (emit.load(build, at(build, here, word)) for word in range(_HEAD))
        slots = at(build, here, _HEAD)
        emit.store(build, at(build, slots, count), record)
        index = emit.load(build, place)
        emit.store(build, build.add(index, number(1)), place)
        with build.if_then(emit.is_zero(build, task)):
            emit.store(build, build.add(build.add(index, number(1)), grain), place)
            inside = emit.call(build, loops.LOOP, I64, here, frame, threads)
            before = build.shl(build.add(index, number(1)), number(_STATUS_BITS))
            emit.leave_if(build, emit.not_zero(build, inside), build.add(inside, before))
        extent = build.select(emit.is_zero(build, task), number(0), emit.load(build, at(build, frame, slot)))
        with build.if_then(build.icmp_signed(">", extent, number(0))):
            with emit.loop(build, number(0), count) as k:
                value = emit.load(build, at(build, frame, emit.load(build, at(build, slots, k))))
                emit.store(build, value, at(build, args, k))
            size = emit.load(build, at(build, frame, grain))
            status = _run_step(build, task, args, extent, size, threads)
            failed = build.icmp_signed("!=", status, number(0))
            emit.leave_if(build, failed, _report(build, index, status))
    build.ret(number(0))
    loops.emit_loops(module, RUN)


def _run_step(
    build: ir.IRBuilder, task: ir.Value, args: ir.Value, extent: ir.Value, grain: ir.Value, threads: ir.Value
) -> ir.Value:
    """A step of one chunk is a plain call; others go through the pool."""
    status = emit.variable(build, I64, number(0))
    with build.if_else(build.icmp_signed("<=", extent, grain)) as (single, several):
        with single:
            emit.store(build, emit.call_address(build, task, I64, args, number(0), extent), status)
        with several:
            emit.store(
                build, emit.call(build, PARALLEL, I64, task, args, extent, grain, threads, number(CHUNK)), status
            )
    return emit.load(build, status)


def _report(build: ir.IRBuilder, index: ir.Value, status: ir.Value) -> ir.Value:
    """(index + 1) * 65536 + the low bits of the status."""
    low = build.and_(status, number((1 << _STATUS_BITS) - 1))
    return build.add(build.shl(build.add(index, number(1)), number(_STATUS_BITS)), low)
