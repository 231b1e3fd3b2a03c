"""The interpreter of a compiled plan: it calls the kernels of a model one after the other, with no Python in between.

    i64 kg_run(i64 *code, i64 steps, i64 *frame, i64 threads)

A step is a record of words: the task's address, the slot of its extent, its grain, the number of its arguments and
their slots. Slots are indices into the frame, where the caller keeps addresses and sizes. A step whose extent is 0 or
less is skipped. The result is 0, or what `failure` takes apart if a chunk returned a status: nothing runs after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from llvmlite import ir

from kgraph.codegen.native import emit
from kgraph.codegen.native.emit import I64, PTR, at, number
from kgraph.codegen.native.pool import PARALLEL

RUN = "kg_run"
MOST_ARGUMENTS = 1024
_HEAD = 4  # words of a record before the slots of its arguments
_STATUS_BITS = 16


@dataclass(frozen=True)
class Step:
    """One kernel call of a plan."""

    task: int  # its address
    extent: int  # slot of the number of items
    grain: int  # items per chunk
    arguments: Sequence[int]  # slots

    def __post_init__(self) -> None:
        if len(self.arguments) > MOST_ARGUMENTS:
            raise ValueError(f"a step takes at most {MOST_ARGUMENTS} arguments, not {len(self.arguments)}")
        if self.grain < 1:
            raise ValueError(f"a chunk has at least 1 item, not {self.grain}")


def encode(steps: Iterable[Step]) -> np.ndarray:
    """The steps as `kg_run` reads them."""
    words: list[int] = []
    for step in steps:
        words += [step.task, step.extent, step.grain, len(step.arguments), *step.arguments]
    return np.array(words, np.int64)


def failure(result: int) -> tuple[int, int]:
    """The index of the step that failed, and the low 16 bits of its status."""
    return (result >> _STATUS_BITS) - 1, result & ((1 << _STATUS_BITS) - 1)


def emit_runner(module: ir.Module) -> None:
    """Add `kg_run` to a module that has the pool."""
    made, build = emit.function(module, RUN, I64, [PTR, I64, PTR, I64])
    code, steps, frame, threads = made.args
    args = build.alloca(I64, number(MOST_ARGUMENTS))
    record = emit.variable(build, PTR, code)
    with emit.loop(build, number(0), steps) as index:
        here = emit.load(build, record, PTR)
        task, slot, grain, count = (emit.load(build, at(build, here, word)) for word in range(_HEAD))
        slots = at(build, here, _HEAD)
        emit.store(build, at(build, slots, count), record)
        extent = emit.load(build, at(build, frame, slot))
        with build.if_then(build.icmp_signed(">", extent, number(0))):
            with emit.loop(build, number(0), count) as k:
                value = emit.load(build, at(build, frame, emit.load(build, at(build, slots, k))))
                emit.store(build, value, at(build, args, k))
            status = _run_step(build, task, args, extent, grain, threads)
            failed = build.icmp_signed("!=", status, number(0))
            emit.leave_if(build, failed, _report(build, index, status))
    build.ret(number(0))


def _run_step(
    build: ir.IRBuilder, task: ir.Value, args: ir.Value, extent: ir.Value, grain: ir.Value, threads: ir.Value
) -> ir.Value:
    """A step of one chunk is a plain call; others go through the pool."""
    status = emit.variable(build, I64, number(0))
    with build.if_else(build.icmp_signed("<=", extent, grain)) as (single, several):
        with single:
            emit.store(build, emit.call_address(build, task, I64, args, number(0), extent), status)
        with several:
            emit.store(build, emit.call(build, PARALLEL, I64, task, args, extent, grain, threads), status)
    return emit.load(build, status)


def _report(build: ir.IRBuilder, index: ir.Value, status: ir.Value) -> ir.Value:
    """(index + 1) * 65536 + the low bits of the status."""
    low = build.and_(status, number((1 << _STATUS_BITS) - 1))
    return build.add(build.shl(build.add(index, number(1)), number(_STATUS_BITS)), low)
