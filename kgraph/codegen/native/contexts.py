"""The memory of calls: for the sizes of a call, a frame and an arena that one caller at a time may use.

    i64 *kg_take(i64 *contexts, i64 *key)          an idle context for these sizes, which is the caller's now; or null
    i64 kg_swap(i64 *word, i64 old, i64 new)       replace a word if it holds what is expected; whether it did

The table of a program's contexts lies at one address for the life of the program. It has `PLACES` places, which Python
fills and empties under a lock, and callers take and give back with a compare-and-swap: threads of Python, with or
without the GIL, and threads that Python does not know. A key has a word for each size that a call brings.
"""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass, field
from weakref import WeakSet

import numpy as np
from llvmlite import ir

from kgraph.codegen.native import emit
from kgraph.codegen.native.emit import I64, NULL, PTR, at, number
from kgraph.codegen.native.objects import lock

TAKE, SWAP = "kg_take", "kg_swap"
PLACES = 32  # contexts that are kept for the next call
MOST_SIZES = 16
STATE, FRAME, LONG, DIMS, KEY = range(5)  # words of a place; after KEY the words of the key
IDLE, BUSY, EMPTY = range(3)
_HEAD = 8  # words before the places: how many words a key has, and how many a place
_LINE = 8  # words of a cache line: callers of two places do not disturb each other


@dataclass
class Context:
    """The memory of one call under way: the arena, and the frame of addresses and sizes that kernels read."""

    frame: np.ndarray
    frame_at: int  # its address
    arena: np.ndarray
    dims: np.ndarray  # the shapes of the results, one after the other
    is_long: bool  # whether a call takes so long that other Python threads should run meanwhile
    updates: list[np.ndarray | None] = field(default_factory=list)  # for new values of state that are copied
    place: int = 0  # the address of its place in the table; 0 if it has none


class Natives:
    """The two functions, called from Python with the addresses of tables, keys and words."""

    def __init__(self, symbols: dict[str, int]) -> None:
        word = ctypes.c_int64
        self.take = ctypes.CFUNCTYPE(word, word, word)(symbols[TAKE])
        self.swap = ctypes.CFUNCTYPE(word, word, word, word)(symbols[SWAP])


class Contexts:
    """The table of a program's contexts, as Python sees it."""

    def __init__(self, sizes: int, natives: Natives) -> None:
        self.sizes, self._natives = sizes, natives
        stride = -(-(KEY + sizes) // _LINE) * _LINE
        self._words = aligned(8 * (_HEAD + PLACES * stride)).view(np.int64)
        self._words[:_HEAD] = sizes, stride, *[0] * (_HEAD - 2)
        self._places = self._words[_HEAD:].reshape(PLACES, stride)
        self._places[:] = 0
        self._places[:, STATE] = EMPTY
        self._held: list[Context | None] = [None] * PLACES
        self._next = 0
        self.address, self._first = self._words.ctypes.data, self._places.ctypes.data
        _all.add(self)

    def take(self, key: int) -> Context | None:
        """An idle context for the sizes at this address, which is the caller's until it is given back."""
        place = self._natives.take(self.address, key)
        return self._held[(place - self._first) // self._places.strides[0]] if place else None

    def give(self, context: Context) -> None:
        """Give a context back."""
        if context.place:
            self._natives.swap(context.place, BUSY, IDLE)

    def add(self, key: np.ndarray, context: Context) -> None:
        """Find a place for a context that the caller is using: an empty one, or the next idle one's, or none."""
        with lock:
            index = self._freed()
            if index is None:
                return
            words = self._places[index]
            words[FRAME], words[LONG], words[DIMS] = context.frame_at, context.is_long, context.dims.ctypes.data
            words[KEY : KEY + len(key)] = key
            context.place, self._held[index] = words.ctypes.data, context
            self._natives.swap(context.place, EMPTY, BUSY)

    def _freed(self) -> int | None:
        for index in ((self._next + step) % PLACES for step in range(PLACES)):
            if self._places[index, STATE] == EMPTY or self._natives.swap(self._places[index].ctypes.data, IDLE, EMPTY):
                self._next = (index + 1) % PLACES
                return index
        return None

    def forget_callers(self) -> None:
        """Give up what other threads have taken: in the child of a fork they do not exist.

        Its memory is as they left it, half way: rooms are taken that nobody leaves, so no call may have it again. The
        thread that forked may be in the middle of its own, which has no place any more.
        """
        for index in np.flatnonzero(self._places[:, STATE] == BUSY):
            held, self._held[index] = self._held[index], None
            if held is not None:
                held.place = 0
            self._places[index, STATE] = EMPTY


_all: WeakSet[Contexts] = WeakSet()


def _forget_callers() -> None:
    for contexts in _all:
        contexts.forget_callers()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_callers)


def aligned(size: int) -> np.ndarray:
    """Uninitialised bytes at an address that vectors like."""
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size]


def emit_contexts(module: ir.Module) -> None:
    """Add `kg_take` and `kg_swap` to a module."""
    _emit_swap(module)
    _emit_equal(module)
    made, build = emit.function(module, TAKE, PTR, [PTR, PTR])
    contexts, key = made.args
    count, stride = emit.load(build, contexts), emit.load(build, at(build, contexts, 1))
    with emit.loop(build, number(0), number(PLACES)) as index:
        place = at(build, at(build, contexts, _HEAD), build.mul(index, stride))
        idle = build.icmp_signed("==", emit.atomic_load(build, place), number(IDLE))
        with build.if_then(build.and_(idle, _equal(build, place, key, count))):
            taken = emit.swap_if(build, place, number(IDLE), number(BUSY))
            with build.if_then(taken):
                emit.leave_if(build, _equal(build, place, key, count), place)
                emit.atomic_store(build, number(IDLE), place)  # it was given to other sizes meanwhile
    build.ret(NULL)


def _emit_swap(module: ir.Module) -> None:
    made, build = emit.function(module, SWAP, I64, [PTR, I64, I64])
    build.ret(build.zext(emit.swap_if(build, *made.args), I64))


def _emit_equal(module: ir.Module) -> None:
    """Whether a place is for the sizes of this key."""
    made, build = emit.function(module, "kg_same_key", I64, [PTR, PTR, I64], internal=True)
    place, key, count = made.args
    with emit.loop(build, number(0), count) as index:
        kept = emit.load(build, at(build, at(build, place, KEY), index))
        emit.leave_if(build, build.icmp_signed("!=", kept, emit.load(build, at(build, key, index))), number(0))
    build.ret(number(1))


def _equal(build: ir.IRBuilder, place: ir.Value, key: ir.Value, count: ir.Value) -> ir.Value:
    return emit.not_zero(build, emit.call(build, "kg_same_key", I64, place, key, count))
