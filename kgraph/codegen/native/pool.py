"""Fork and join over native threads that never touch the GIL.

    i64 kg_parallel(i64 task, i64 *args, i64 extent, i64 grain, i64 threads)    a status of a failed chunk, or 0
    void kg_pool_reset()                                                       for the child of a fork

A task is `i64 task(i64 *args, i64 begin, i64 end)`. It is called for every chunk [i * grain, (i + 1) * grain) of the
extent, with the same bounds whatever the number of threads.

Chunks are handed out by compare-and-swap on a ticket: the number of the region (high half), and how many chunks of it
nobody has taken (low half). The caller takes chunks like everyone else, and at the end waits only for chunks that were
taken: a worker that sleeps or is preempted before it took one costs nothing. A caller that finds the pool busy, as
another thread's or a task's own call does, runs its chunks itself. Idle workers spin a while, then sleep in a futex.

Waking them takes the caller 2 us on one machine and 200 on another, where a processor of its own has to be woken too.
So the pool measures it, and wakes only for work that gains more than that: of one region, or of several in quick
succession, whose gains add up until it pays (the workers then stay awake as long as more comes).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from llvmlite import ir

from kgraph.codegen.native import emit
from kgraph.codegen.native.emit import I32, I64, NULL, PTR, VOID, at, number
from kgraph.codegen.native.host import Host, host

PARALLEL, RESET = "kg_parallel", "kg_pool_reset"
_WORK, _WORKER, _SERIAL, _GROW = "kg_pool_work", "kg_pool_worker", "kg_pool_serial", "kg_pool_grow"
_ROUSE = "kg_pool_rouse"

# The words of the pool, by cache line: what all write, what a region's caller writes, what helpers write.
_WORDS = 48
_TICKET = 0
_TASK, _ARGS, _EXTENT, _GRAIN, _CHUNKS, _HELPERS = 8, 9, 10, 11, 12, 13
_FINISHED, _STATUS = 16, 17
_SLEEPERS = 24
_BUSY, _WORKERS, _REFUSED = 32, 33, 34
_COST, _GAIN, _STARTED, _ENDED = 40, 41, 42, 43  # ns: of waking, missed since the last pause; of the last region

_LOW = (1 << 32) - 1
_MOST_CHUNKS = 1 << 31
_MOST_WORKERS = 255
_SPINS = 12000  # about 150 us: as long as waking may take
_YIELD_AFTER = 4000  # spins of a caller that waits for the last chunks
_CHUNK = 4000  # ns that a chunk takes, about: grains are chosen so
_PAUSE = 200_000  # ns without work after which regions are no longer in quick succession
_CHEAP = 20000  # ns that waking is taken for until it has been measured
_MONOTONIC = 1  # CLOCK_MONOTONIC
_SIGNAL_WORDS = 16  # of a sigset_t
_WAIT, _WAKE, _SET_MASK = 128, 129, 2  # FUTEX_WAIT_PRIVATE, FUTEX_WAKE_PRIVATE, SIG_SETMASK
_FUTEX = {"x86_64": 202, "aarch64": 98}  # the system call's number, by machine


def emit_pool(module: ir.Module) -> None:
    """Add the pool to a module; where there are no futexes, one that runs every chunk on its caller's thread."""
    _emit_serial(module)
    if not _has_threads(host()):
        _emit_without_threads(module)
        return
    state = ir.GlobalVariable(module, ir.ArrayType(I64, _WORDS), "kg_pool")
    state.initializer = ir.Constant(state.value_type, None)
    state.linkage = "internal"
    state.align = 64
    _emit_work(module)
    _emit_worker(module)
    _emit_grow(module)
    _emit_rouse(module)
    _emit_parallel(module)
    _emit_reset(module)


def _has_threads(cpu: Host) -> bool:
    """Whether this system has pthreads and futexes, as Linux does."""
    return sys.platform == "linux" and cpu.machine in _FUTEX


def _word(build: ir.IRBuilder, index: int) -> ir.Value:
    """The address of a word of the pool."""
    return at(build, build.module.globals["kg_pool"], index)


def _read(build: ir.IRBuilder, index: int, order: str = "monotonic") -> ir.Value:
    return emit.atomic_load(build, _word(build, index), order)


def _write(build: ir.IRBuilder, index: int, value: ir.Value | int, order: str = "monotonic") -> None:
    value = number(value) if isinstance(value, int) else value
    emit.atomic_store(build, value, _word(build, index), order)


def _pause(build: ir.IRBuilder) -> None:
    """Tell the CPU that this is a waiting loop."""
    if host().is_x86:
        emit.call(build, "llvm.x86.sse2.pause", VOID)
    else:
        emit.call(build, "llvm.aarch64.hint", VOID, number(1, I32))


def _futex(build: ir.IRBuilder, operation: int, value: ir.Value) -> None:
    """Sleep while the region's number is `value`, or wake so many sleepers."""
    call_number = number(_FUTEX[host().machine])
    region = at(build, _word(build, _TICKET), 1, I32)  # the high half: both machines are little endian
    zero = number(0)
    emit.call(build, "syscall", I64, call_number, region, number(operation), value, NULL, NULL, zero)


def _run_chunk(build: ir.IRBuilder, job: Sequence[ir.Value], chunk: ir.Value) -> ir.Value:
    """Call a task, given as (task, args, extent, grain), for one chunk; its status."""
    task, args, extent, grain = job
    begin = build.mul(chunk, grain)
    end = emit.smaller(build, extent, build.add(begin, grain))
    return emit.call_address(build, task, I64, args, begin, end)


def _emit_serial(module: ir.Module) -> None:
    """Run chunk after chunk on this thread, up to the first that fails."""
    made, build = emit.function(module, _SERIAL, I64, [I64, PTR, I64, I64, I64], internal=True)
    *job, chunks = made.args
    with emit.loop(build, number(0), chunks) as chunk:
        status = _run_chunk(build, job, chunk)
        emit.leave_if(build, build.icmp_signed("!=", status, number(0)), status)
    build.ret(number(0))


def _emit_work(module: ir.Module) -> None:
    """Take chunks and run them until none is left, or this helper is one more than the region asked for."""
    made, build = emit.function(module, _WORK, VOID, [I64], internal=True)
    again = made.append_basic_block("again")
    build.branch(again)
    build.position_at_end(again)
    ticket = _read(build, _TICKET, "acquire")
    left = build.and_(ticket, number(_LOW))
    surplus = build.icmp_signed(">=", made.args[0], _read(build, _HELPERS))
    with build.if_then(build.or_(surplus, build.icmp_signed("==", left, number(0)))):
        build.ret_void()
    # Read before the ticket is taken: if the swap succeeds, no other region can have replaced them meanwhile.
    task, args, extent, grain, chunks = (_read(build, index) for index in range(_TASK, _CHUNKS + 1))
    with build.if_then(emit.swap_if(build, _word(build, _TICKET), ticket, build.sub(ticket, number(1)))):
        job = (task, build.inttoptr(args, PTR), extent, grain)
        status = _run_chunk(build, job, build.sub(chunks, left))
        with build.if_then(build.icmp_signed("!=", status, number(0))):
            _write(build, _STATUS, status)
        emit.atomic_add(build, _word(build, _FINISHED), 1)
    build.branch(again)


def _emit_worker(module: ir.Module) -> None:
    """The life of a worker: help, spin, sleep. It ends with the process."""
    made, build = emit.function(module, _WORKER, PTR, [PTR], internal=True)
    index = build.ptrtoint(made.args[0], I64)
    spins = emit.variable(build, I64, number(0))
    again = made.append_basic_block("again")
    build.branch(again)
    build.position_at_end(again)
    ticket = _read(build, _TICKET, "acquire")
    left = build.and_(ticket, number(_LOW))
    welcome = build.icmp_signed("<", index, _read(build, _HELPERS))
    useful = build.and_(welcome, build.icmp_signed("!=", left, number(0)))
    with build.if_else(useful) as (help_out, idle):
        with help_out:
            emit.call(build, _WORK, VOID, index)
            emit.store(build, number(0), spins)
        with idle:
            _emit_idle(build, spins, build.lshr(ticket, number(32)))
    build.branch(again)


def _emit_idle(build: ir.IRBuilder, spins: ir.Value, region: ir.Value) -> None:
    """One turn of waiting for the region after this one."""
    _pause(build)
    count = build.add(emit.load(build, spins), number(1))
    emit.store(build, count, spins)
    with build.if_then(build.icmp_signed("==", count, number(_SPINS))):
        emit.atomic_add(build, _word(build, _SLEEPERS), 1, "seq_cst")
        _futex(build, _WAIT, region)
        emit.atomic_add(build, _word(build, _SLEEPERS), -1, "seq_cst")
        emit.store(build, number(0), spins)


def _emit_grow(module: ir.Module) -> None:
    """Create workers up to the number wanted; the caller holds the pool. After one refusal no more are asked for."""
    made, build = emit.function(module, _GROW, VOID, [I64], internal=True)
    made.attributes.add("noinline")
    thread, blocked, before = (build.alloca(I64, number(words)) for words in (1, _SIGNAL_WORDS, _SIGNAL_WORDS))
    wanted = emit.smaller(build, made.args[0], number(_MOST_WORKERS))
    for word in range(_SIGNAL_WORDS):
        emit.store(build, number(-1), at(build, blocked, word))
    emit.call(build, "pthread_sigmask", I32, number(_SET_MASK, I32), blocked, before)  # signals are Python's business
    with emit.loop(build, _read(build, _WORKERS), wanted) as index, build.if_then(_is_zero(build, _REFUSED)):
        worker = module.globals[_WORKER]
        refusal = emit.call(build, "pthread_create", I32, thread, NULL, worker, build.inttoptr(index, PTR))
        with build.if_else(build.icmp_signed("==", refusal, number(0, I32))) as (created, refused):
            with created:
                emit.call(build, "pthread_detach", I32, emit.load(build, thread))
                _write(build, _WORKERS, build.add(index, number(1)))
            with refused:
                _write(build, _REFUSED, 1)
    emit.call(build, "pthread_sigmask", I32, number(_SET_MASK, I32), before, NULL)
    build.ret_void()


def _is_zero(build: ir.IRBuilder, index: int) -> ir.Value:
    return build.icmp_signed("==", _read(build, index), number(0))


def _emit_parallel(module: ir.Module) -> None:
    """The entry: serial if one thread does, or the pool is busy; else publish the region, take part, wait."""
    made, build = emit.function(module, PARALLEL, I64, [I64, PTR, I64, I64, I64])
    *job, threads = made.args
    chunks = _count_chunks(build, job)
    serial = made.append_basic_block("serial")
    contend = made.append_basic_block("contend")
    parallel = made.append_basic_block("parallel")
    few = build.icmp_signed("<", emit.smaller(build, threads, chunks), number(2))
    many = build.icmp_signed(">=", chunks, number(_MOST_CHUNKS))
    build.cbranch(build.or_(few, many), serial, contend)
    build.position_at_end(contend)
    build.cbranch(emit.swap_if(build, _word(build, _BUSY), number(0), number(1)), parallel, serial)
    build.position_at_end(serial)
    build.ret(emit.call(build, _SERIAL, I64, *job, chunks))
    build.position_at_end(parallel)
    helpers = build.sub(emit.smaller(build, threads, chunks), number(1))
    missing = build.icmp_signed("<", _read(build, _WORKERS), helpers)
    with build.if_then(build.and_(missing, _is_zero(build, _REFUSED)), likely=False):
        emit.call(build, _GROW, VOID, helpers)
    _publish(build, job, chunks, helpers)
    emit.call(build, _WORK, VOID, number(-1))
    _wait(build, chunks)
    status = _read(build, _STATUS)
    _note_end(build, helpers)
    _write(build, _BUSY, 0, "release")
    build.ret(status)


def _count_chunks(build: ir.IRBuilder, job: Sequence[ir.Value]) -> ir.Value:
    """How many chunks an extent has; 0 or less if it is empty."""
    _, _, extent, grain = job
    return build.sdiv(build.add(extent, build.sub(grain, number(1))), grain)


def _publish(build: ir.IRBuilder, job: Sequence[ir.Value], chunks: ir.Value, helpers: ir.Value) -> None:
    """Write the region's facts, then its ticket, and wake sleepers if there are any."""
    task, args, extent, grain = job
    facts = (task, build.ptrtoint(args, I64), extent, grain, chunks, helpers)
    for index, fact in enumerate(facts, _TASK):
        _write(build, index, fact)
    _write(build, _FINISHED, 0)
    _write(build, _STATUS, 0)
    region = build.add(build.lshr(_read(build, _TICKET), number(32)), number(1))
    ticket = build.or_(build.shl(region, number(32)), chunks)
    build.atomic_rmw("xchg", _word(build, _TICKET), ticket, "seq_cst")
    asleep = build.icmp_signed("!=", _read(build, _SLEEPERS, "seq_cst"), number(0))
    with build.if_then(asleep):
        emit.call(build, _ROUSE, VOID, chunks, helpers)


def _emit_rouse(module: ir.Module) -> None:
    """Wake sleepers if what they would gain, now and in the regions just before, is worth what waking costs."""
    made, build = emit.function(module, _ROUSE, VOID, [I64, I64], internal=True)
    made.attributes.add("noinline")
    chunks, helpers = made.args
    now = _now(build)
    _write(build, _STARTED, now)
    with build.if_then(build.icmp_signed(">", build.sub(now, _read(build, _ENDED)), number(_PAUSE))):
        _write(build, _GAIN, 0)
    gain = build.add(_gain(build, build.mul(chunks, number(_CHUNK)), helpers), _read(build, _GAIN))
    cost = build.add(_read(build, _COST), number(_CHEAP))  # the word holds what it is more than that
    with build.if_else(build.icmp_signed(">", gain, build.mul(cost, number(2)))) as (worth_it, too_little):
        with worth_it:
            _futex(build, _WAKE, helpers)
            measured = build.sub(build.sub(_now(build), now), number(_CHEAP))
            _write(build, _COST, build.ashr(build.add(_read(build, _COST), measured), number(1)))
            _write(build, _GAIN, 0)
        with too_little:  # and forget slowly, since one measurement may have been of a bad moment
            known = _read(build, _COST)
            _write(build, _COST, build.sub(known, build.ashr(known, number(8))))
    build.ret_void()


def _gain(build: ir.IRBuilder, alone: ir.Value, helpers: ir.Value) -> ir.Value:
    """What helpers save of the time that a region takes its caller alone."""
    return build.sub(alone, build.sdiv(alone, build.add(helpers, number(1))))


def _note_end(build: ir.IRBuilder, helpers: ir.Value) -> None:
    """Where helpers slept, remember what they would have saved."""
    with build.if_then(build.icmp_signed("!=", _read(build, _SLEEPERS), number(0))):
        now = _now(build)
        missed = _gain(build, build.sub(now, _read(build, _STARTED)), helpers)
        _write(build, _GAIN, build.add(_read(build, _GAIN), missed))
        _write(build, _ENDED, now)


def _now(build: ir.IRBuilder) -> ir.Value:
    """Nanoseconds of a clock that only goes forward."""
    with build.goto_entry_block():
        time = build.alloca(I64, number(2))
    emit.call(build, "clock_gettime", I32, number(_MONOTONIC, I32), time)
    seconds, rest = (emit.load(build, at(build, time, word)) for word in (0, 1))
    return build.add(build.mul(seconds, number(10**9)), rest)


def _wait(build: ir.IRBuilder, chunks: ir.Value) -> None:
    """Until every chunk is finished; a chunk that takes long may need this very CPU, so give it away then."""
    again, done = (build.append_basic_block(name) for name in ("again", "done"))
    spins = emit.variable(build, I64, number(0))
    build.branch(again)
    build.position_at_end(again)
    with build.if_then(build.icmp_signed("==", _read(build, _FINISHED, "acquire"), chunks)):
        build.branch(done)
    _pause(build)
    count = build.add(emit.load(build, spins), number(1))
    emit.store(build, count, spins)
    with build.if_then(build.icmp_signed(">", count, number(_YIELD_AFTER))):
        emit.call(build, "sched_yield", I32)
    build.branch(again)
    build.position_at_end(done)


def _emit_reset(module: ir.Module) -> None:
    """Forget the workers: those of a parent process do not exist in its child."""
    _, build = emit.function(module, RESET, VOID, [])
    for index in range(_WORDS):
        _write(build, index, 0)
    build.ret_void()


def _emit_without_threads(module: ir.Module) -> None:
    """The same entries where every chunk runs on the caller's thread."""
    made, build = emit.function(module, PARALLEL, I64, [I64, PTR, I64, I64, I64])
    *job, _ = made.args
    build.ret(emit.call(build, _SERIAL, I64, *job, _count_chunks(build, job)))
    _, build = emit.function(module, RESET, VOID, [])
    build.ret_void()
