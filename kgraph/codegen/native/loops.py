"""Loops in a compiled plan: the same steps again and again, on addresses that move.

    i64 kg_loop(i64 *record, i64 *frame, i64 threads)       what `kg_run` returns for the step that failed, or 0
    i64 kg_loop_steps(i64 *record, i64 *frame, i64 threads) the same, in one part

Before each step of a loop the addresses that move are set: a slice of an array lies at base + step * stride. What is
carried is read where the step before has written it. It is written in turn to two places, or, if each step's value is
kept, to a slice; after the last step it is copied to where the result of the loop shall be.

A loop whose samples do not know each other is cut in parts (cuts.py), which threads share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

from kgraph.codegen.native import emit
from kgraph.codegen.native.cuts import Cut, emit_part, emit_parts, fields, held
from kgraph.codegen.native.emit import I1, I8, I64, PTR, VOID, at, number

LOOP, _STEPWISE, _CUT_OF = "kg_loop", "kg_loop_steps", "kg_loop_cut"
HEAD = (
    4  # words of a record before its own: 0 in place of a task, the slot of the count, steps inside, words that follow
)
_STEPS, _REVERSE, _CONDITION, _WANTED, _MOVES, _CARRIES, _CUT, _OWN = range(8)
_MOVE, _CARRY = 3, 7  # words of each
NOWHERE = -1


@dataclass(frozen=True)
class Move:
    """An address that moves: slot = base + step * stride, the last two in slots of the frame as well."""

    slot: int
    base: int
    stride: int

    @property
    def words(self) -> tuple[int, ...]:
        return self.slot, self.base, self.stride


@dataclass(frozen=True)
class Carry:
    """A value that goes from step to step; all are slots of the frame, and NOWHERE where there is none."""

    read: int  # where a step reads it
    written: int  # and writes it
    first: int  # where it is before the first step
    one: int = NOWHERE  # the two places that are written in turn, unless `written` moves
    other: int = NOWHERE
    result: int = NOWHERE  # where it shall be after the last step
    size: int = 0  # in bytes

    @property
    def words(self) -> tuple[int, ...]:
        return self.read, self.written, self.first, self.one, self.other, self.result, self.size


def head(
    count: int, total: int, code: Sequence[int], steps: int, moves: Sequence[Move], carries: Sequence[Carry],
    reverse: bool = False, condition: int = NOWHERE, wanted: bool = True, cut: Cut | None = None,
) -> list[int]:  # fmt: skip
    """The record of a loop. count: a slot; total: all steps inside; code and steps: as for `kg_run`.

    condition: the slot with the address of a boolean that must be as wanted for another step to be done.
    """
    parts = cut.words if cut else []
    own = [steps, int(reverse), condition, int(wanted), len(moves), len(carries), len(parts)]
    own += [word for move in moves for word in move.words]
    own += [word for carry in carries for word in carry.words]
    own += parts
    return [0, count, total, len(own) + len(code), *own, *code]


def emit_loops(module: ir.Module, run: str) -> None:
    """Add `kg_loop` to a module that has the pool; run: the name of `kg_run`."""
    _emit_cut_of(module)
    _emit_stepwise(module, run)
    emit_part(module, _CUT_OF, _STEPWISE)
    made, build = emit.function(module, LOOP, I64, [PTR, PTR, I64])
    record, frame, threads = made.args
    with build.if_then(emit.not_zero(build, emit.load(build, at(build, record, HEAD + _CUT)))):
        emit_parts(build, record, emit.call(build, _CUT_OF, PTR, record), frame, threads)
    build.ret(emit.call(build, _STEPWISE, I64, record, frame, threads))


def _emit_cut_of(module: ir.Module) -> None:
    """Where a record says how the loop is cut."""
    made, build = emit.function(module, _CUT_OF, PTR, [PTR])
    own = at(build, made.args[0], HEAD)
    moves, carries = (emit.load(build, at(build, own, word)) for word in (_MOVES, _CARRIES))
    words = build.add(build.mul(moves, number(_MOVE)), build.mul(carries, number(_CARRY)))
    build.ret(at(build, at(build, own, _OWN), words))


def _emit_stepwise(module: ir.Module, run: str) -> None:
    made, build = emit.function(module, _STEPWISE, I64, [PTR, PTR, I64])
    record, frame, threads = made.args
    count = held(build, frame, emit.load(build, at(build, record, 1)))
    own = at(build, record, HEAD)
    steps, reverse, condition, wanted, moves, carries, cut = (emit.load(build, at(build, own, k)) for k in range(_OWN))
    moving = at(build, own, _OWN)
    carried = at(build, moving, build.mul(moves, number(_MOVE)))
    code = at(build, carried, build.add(build.mul(carries, number(_CARRY)), cut))
    _start(build, frame, carried, carries)
    done = made.append_basic_block("ended")
    with emit.loop(build, number(0), count) as index:
        with build.if_then(build.icmp_signed("!=", condition, number(NOWHERE))):
            flag = emit.load(build, build.inttoptr(held(build, frame, condition), PTR), I8)
            is_true = build.zext(build.icmp_signed("!=", flag, number(0, I8)), I64)
            with build.if_then(build.icmp_signed("!=", is_true, wanted)):
                build.branch(done)
        back = build.sub(build.sub(count, number(1)), index)
        step = build.select(emit.not_zero(build, reverse), back, index)
        with emit.loop(build, number(0), moves) as k:
            slot, base, stride = fields(build, moving, k, _MOVE)
            place = build.add(held(build, frame, base), build.mul(step, held(build, frame, stride)))
            emit.store(build, place, at(build, frame, slot))
        status = emit.call(build, run, I64, code, steps, frame, threads)
        emit.leave_if(build, emit.not_zero(build, status), status)
        _pass_on(build, frame, carried, carries)
    build.branch(done)
    build.position_at_end(done)
    with emit.loop(build, number(0), carries) as k:
        read, _, _, _, _, result, size = fields(build, carried, k, _CARRY)
        with build.if_then(build.icmp_signed("!=", result, number(NOWHERE))):
            places = [build.inttoptr(held(build, frame, slot), PTR) for slot in (result, read)]
            emit.call(build, "llvm.memmove.p0.p0.i64", VOID, *places, held(build, frame, size), number(0, I1))
    build.ret(number(0))


def _start(build: ir.IRBuilder, frame: ir.Value, carried: ir.Value, count: ir.Value) -> None:
    with emit.loop(build, number(0), count) as k:
        read, written, first, one, _, _, _ = fields(build, carried, k, _CARRY)
        emit.store(build, held(build, frame, first), at(build, frame, read))
        with build.if_then(build.icmp_signed("!=", one, number(NOWHERE))):
            emit.store(build, held(build, frame, one), at(build, frame, written))


def _pass_on(build: ir.IRBuilder, frame: ir.Value, carried: ir.Value, count: ir.Value) -> None:
    """What a step has written is what the next one reads."""
    with emit.loop(build, number(0), count) as k:
        read, written, *_ = fields(build, carried, k, _CARRY)
        emit.store(build, held(build, frame, written), at(build, frame, read))
    with emit.loop(build, number(0), count) as k:
        _, written, _, one, other, _, _ = fields(build, carried, k, _CARRY)
        last = held(build, frame, written)
        with build.if_then(build.icmp_signed("!=", one, number(NOWHERE))):
            both = build.add(held(build, frame, one), held(build, frame, other))
            emit.store(build, build.sub(both, last), at(build, frame, written))
