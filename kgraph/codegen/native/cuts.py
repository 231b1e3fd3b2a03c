"""Loops that are cut along the batch, and what tells how: each part of the samples by itself, in a frame of its own.

    i64 kg_part(i64 *args, i64 begin, i64 end)      parts of a loop; args: its record, the frame, threads for each part

A part's frame is a copy in which sizes are those of the part, and addresses where it begins. What nobody reads after a
part lies in a room, an arena as large as one part needs, which it takes when it begins and leaves at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llvmlite import ir

from kgraph.codegen.native import emit
from kgraph.codegen.native.emit import I1, I64, PTR, VOID, at, number
from kgraph.codegen.native.pool import PARALLEL

PART = "kg_part"
_ARGUMENTS = 3
_PARTS, _TIME, _LENGTH, _SIZES, _PLACES, _LOCALS, _DOORS, _ROOMS, _STRIDE, _OWN = range(10)  # words before the tables
_SIZE, _PLACE = 3, 2  # words of an entry
_ALIGNED = 8  # bytes of a word
_SHORT = 50_000  # ns of a part, below which there is little in it to share


@dataclass(frozen=True)
class Cut:
    """How a loop is cut in parts; all numbers but `nanoseconds` and `rooms` are slots of the frame."""

    parts: int  # of how many there are
    nanoseconds: int  # that one takes a thread, about
    length: int  # of how many words a frame has
    sizes: Sequence[tuple[int, int, int]]  # sizes, what they are in all parts but the last, and in that one
    places: Sequence[tuple[int, int]]  # addresses, and how many bytes on the next part begins
    locals: Sequence[int] = ()  # addresses in the first room
    doors: int = 0  # the first of the words that say which rooms are taken
    rooms: int = 0  # how many there are
    stride: int = 0  # of the bytes from one room to the next

    @property
    def words(self) -> list[int]:
        counts = [len(self.sizes), len(self.places), len(self.locals)]
        own = [self.parts, self.nanoseconds, self.length, *counts, self.doors, self.rooms, self.stride]
        return own + [word for one in (*self.sizes, *self.places) for word in one] + list(self.locals)


def emit_parts(build: ir.IRBuilder, record: ir.Value, cut: ir.Value, frame: ir.Value, threads: ir.Value) -> None:
    """Return from the function with all parts done, if there are several.

    Threads share the parts where most of them get as many as others, or half of them one each, or where parts are
    short; else they share what is in each part.
    """
    parts, rooms = held(build, frame, _word(build, cut, _PARTS)), _word(build, cut, _ROOMS)
    each = _word(build, cut, _TIME)
    with build.if_then(build.icmp_signed(">", parts, number(1))):
        two = number(2)
        many = build.icmp_signed(">=", parts, build.mul(threads, two))
        even = emit.is_zero(build, build.srem(parts, threads))
        half = build.icmp_signed(">=", build.mul(parts, two), threads)
        enough = build.and_(half, build.icmp_signed("<", parts, threads))
        short = build.icmp_signed("<", each, number(_SHORT))
        shared = build.or_(build.or_(emit.is_zero(build, rooms), short), build.or_(build.or_(many, even), enough))
        inside = build.select(shared, number(1), threads)
        args = emit.space(build, _ARGUMENTS)
        for place, value in enumerate((build.ptrtoint(record, I64), build.ptrtoint(frame, I64), inside)):
            emit.store(build, value, at(build, args, place))
        with build.if_then(shared):
            task = build.ptrtoint(build.module.globals[PART], I64)
            build.ret(emit.call(build, PARALLEL, I64, task, args, parts, number(1), threads, each))
        build.ret(emit.call(build, PART, I64, args, number(0), parts))


def emit_part(module: ir.Module, cut_of: str, stepwise: str) -> None:
    """Add `kg_part`. No step in a part may refuse input."""
    made, build = emit.function(module, PART, I64, [PTR, I64, I64])
    args, begin, end = made.args
    record, frame, threads = (emit.load(build, at(build, args, place)) for place in range(_ARGUMENTS))
    record, frame = build.inttoptr(record, PTR), build.inttoptr(frame, PTR)
    cut = emit.call(build, cut_of, PTR, record)
    sizes, places, locals_ = (_word(build, cut, word) for word in (_SIZES, _PLACES, _LOCALS))
    words = held(build, frame, _word(build, cut, _LENGTH))
    own = build.alloca(I64, words)
    final = build.sub(held(build, frame, _word(build, cut, _PARTS)), number(1))
    room = _enter(build, cut, frame)
    with emit.loop(build, begin, end) as part:
        emit.call(build, "llvm.memcpy.p0.p0.i64", VOID, own, frame, build.mul(words, number(_ALIGNED)), number(0, I1))
        table = at(build, cut, _OWN)
        with emit.loop(build, number(0), sizes) as k:
            slot, usual, last = fields(build, table, k, _SIZE)
            chosen = build.select(build.icmp_signed("==", part, final), last, usual)
            emit.store(build, held(build, frame, chosen), at(build, own, slot))
        table = at(build, table, build.mul(sizes, number(_SIZE)))
        with emit.loop(build, number(0), places) as k:
            slot, stride = fields(build, table, k, _PLACE)
            emit.store(build, _on(build, frame, slot, part, held(build, frame, stride)), at(build, own, slot))
        table = at(build, table, build.mul(places, number(_PLACE)))
        with emit.loop(build, number(0), locals_) as k:
            slot = emit.load(build, at(build, table, k))
            stride = held(build, frame, _word(build, cut, _STRIDE))
            emit.store(build, _on(build, frame, slot, room, stride), at(build, own, slot))
        emit.call(build, stepwise, I64, record, own, threads)
    with build.if_then(emit.not_zero(build, _word(build, cut, _ROOMS))):
        emit.atomic_store(build, number(0), _door(build, cut, frame, room))
    build.ret(number(0))


def _enter(build: ir.IRBuilder, cut: ir.Value, frame: ir.Value) -> ir.Value:
    """The number of a free room, which is taken now. There are as many rooms as threads, so one is free."""
    rooms = _word(build, cut, _ROOMS)
    found = emit.variable(build, I64, number(0))
    look, taken, done = (build.append_basic_block(name) for name in ("look", "taken", "done"))
    build.cbranch(emit.is_zero(build, rooms), done, look)
    build.position_at_end(look)
    room = emit.load(build, found)
    build.cbranch(emit.swap_if(build, _door(build, cut, frame, room), number(0), number(1)), done, taken)
    build.position_at_end(taken)
    more = build.add(room, number(1))
    emit.store(build, build.select(build.icmp_signed("==", more, rooms), number(0), more), found)
    build.branch(look)
    build.position_at_end(done)
    return emit.load(build, found)


def _door(build: ir.IRBuilder, cut: ir.Value, frame: ir.Value, room: ir.Value) -> ir.Value:
    return at(build, frame, build.add(_word(build, cut, _DOORS), room))


def _on(build: ir.IRBuilder, frame: ir.Value, slot: ir.Value, count: ir.Value, stride: ir.Value) -> ir.Value:
    """An address, so many strides on."""
    return build.add(held(build, frame, slot), build.mul(count, stride))


def _word(build: ir.IRBuilder, cut: ir.Value, word: int) -> ir.Value:
    return emit.load(build, at(build, cut, word))


def held(build: ir.IRBuilder, frame: ir.Value, slot: ir.Value) -> ir.Value:
    """What a slot of a frame holds."""
    return emit.load(build, at(build, frame, slot))


def fields(build: ir.IRBuilder, table: ir.Value, index: ir.Value, words: int) -> list[ir.Value]:
    """The words of one entry of a table."""
    here = at(build, table, build.mul(index, number(words)))
    return [emit.load(build, at(build, here, k)) for k in range(words)]
