"""The memory of the pool of threads: what its words mean, and how native code reads and writes them."""

from __future__ import annotations

import sys

from llvmlite import ir

from kgraph.codegen.native import emit
from kgraph.codegen.native.emit import I32, I64, NULL, at, number
from kgraph.codegen.native.host import Host, host

# By cache line: what all write, what a region's caller writes, what helpers write.
WORDS = 64
TICKET = 0
TASK, ARGS, EXTENT, GRAIN, CHUNKS, TOGETHER, PLACES, HELPERS = range(8, 16)
FINISHED, STATUS = 16, 17
SLEEPERS = 24
LENT = 25  # whether workers were put on the caller's processor, to end their chunks
BUSY, WORKERS, REFUSED = 32, 33, 34
HOME = 35  # the processor that workers keep away from, plus 1
COST, GAIN, STARTED, ENDED = 40, 41, 42, 43  # ns: of waking, missed since the last pause; of the last region
HANDLES = 48  # of the first workers
AT_WORK = 56  # whether these have a chunk; the last word is that of all others

WAIT, WAKE = 128, 129  # FUTEX_WAIT_PRIVATE, FUTEX_WAKE_PRIVATE
_FUTEX = {"x86_64": 202, "aarch64": 98}  # the system call's number, by machine


def has_threads(cpu: Host) -> bool:
    """Whether this system has pthreads and futexes, as Linux does."""
    return sys.platform == "linux" and cpu.machine in _FUTEX


def add(module: ir.Module) -> None:
    """Put the pool's memory into a module, zero at first."""
    state = ir.GlobalVariable(module, ir.ArrayType(I64, WORDS), "kg_pool")
    state.initializer = ir.Constant(state.value_type, None)
    state.linkage = "internal"
    state.align = 64


def word(build: ir.IRBuilder, index: int) -> ir.Value:
    """The address of a word of the pool."""
    return at(build, build.module.globals["kg_pool"], index)


def read(build: ir.IRBuilder, index: int, order: str = "monotonic") -> ir.Value:
    return emit.atomic_load(build, word(build, index), order)


def write(build: ir.IRBuilder, index: int, value: ir.Value | int, order: str = "monotonic") -> None:
    value = number(value) if isinstance(value, int) else value
    emit.atomic_store(build, value, word(build, index), order)


def futex(build: ir.IRBuilder, operation: int, value: ir.Value) -> None:
    """Sleep while the region's number is `value`, or wake so many sleepers."""
    call_number = number(_FUTEX[host().machine])
    region = at(build, word(build, TICKET), 1, I32)  # the high half: both machines are little endian
    zero = number(0)
    emit.call(build, "syscall", I64, call_number, region, number(operation), value, NULL, NULL, zero)
