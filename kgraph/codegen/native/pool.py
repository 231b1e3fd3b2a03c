"""Fork and join over native threads that never touch the GIL.

    i64 kg_parallel(i64 task, i64 *args, i64 extent, i64 grain, i64 threads, i64 ns)    a failed chunk's status, or 0
    void kg_pool_reset()                                                               for the child of a fork

A task is `i64 task(i64 *args, i64 begin, i64 end)`. It is called for every chunk [i * grain, (i + 1) * grain) of the
extent, with the same bounds whatever the number of threads. ns: the nanoseconds that a chunk takes, about; it decides
whether sleeping workers are woken, and nothing else.

The caller takes the first half of the chunks, and helpers the second, each from its beginning; who is done goes on with
the other's last ones. So the same call next time, and the kernel that reads what this one wrote, finds most lines in
the cache of the processor that takes them. They take by compare-and-swap on a ticket: the number of the region (high
half), and the two ends of the places that nobody has taken (low half). A place is a chunk, or several neighbours where
chunks are too many.

The caller at the end waits only for chunks that were taken: a worker that sleeps or is preempted before it took one
costs nothing. A caller that finds the pool busy, as another thread's or a task's own call does, runs its chunks itself.
Idle workers spin a while, then sleep in a futex.

How it gets on with others on the same machine is in pool_manners.py, its memory in pool_words.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from kgraph.codegen.native import emit
from kgraph.codegen.native import pool_words as words
from kgraph.codegen.native.emit import I32, I64, NULL, PTR, VOID, at, number
from kgraph.codegen.native.host import host
from kgraph.codegen.native.pool_manners import (
    FEW_WORKERS,
    OFFER,
    ROUSE,
    at_work,
    emit_manners,
    handle_of,
    keep_away,
    lend_if_late,
    note_end,
    take_back,
    yield_if_lent,
)

PARALLEL, RESET = "kg_parallel", "kg_pool_reset"
CHUNK = 4000  # ns that a chunk of a kernel takes, about: grains are chosen so
_HELP, _WORKER, _RUN, _GROW = "kg_pool_help", "kg_pool_worker", "kg_pool_run", "kg_pool_grow"

_END = 16  # bits of each end in a ticket
_MOST = (1 << _END) - 1
_MOST_WORKERS = 255
_SPINS = 12000  # about 150 us: as long as waking may take
_YIELD_AFTER = 4000  # spins of a caller that waits for the last chunks
_SIGNAL_WORDS = 16  # of a sigset_t
_SET_MASK = 2  # SIG_SETMASK


def emit_pool(module: ir.Module) -> None:
    """Add the pool to a module; where there are no futexes, one that runs every chunk on its caller's thread."""
    _emit_run(module)
    if not words.has_threads(host()):
        _emit_without_threads(module)
        return
    words.add(module)
    emit_manners(module)
    _emit_help(module)
    _emit_worker(module)
    _emit_grow(module)
    _emit_parallel(module)
    _emit_reset(module)


def _pause(build: ir.IRBuilder) -> None:
    """Tell the CPU that this is a waiting loop."""
    if host().is_x86:
        emit.call(build, "llvm.x86.sse2.pause", VOID)
    else:
        emit.call(build, "llvm.aarch64.hint", VOID, number(1, I32))


def _emit_run(module: ir.Module) -> None:
    """Run the chunks [first, last) one after the other, up to the first that fails."""
    made, build = emit.function(module, _RUN, I64, [I64, PTR, I64, I64, I64, I64], internal=True)
    task, args, extent, grain, first, last = made.args
    with emit.loop(build, first, last) as chunk:
        begin = build.mul(chunk, grain)
        end = emit.smaller(build, extent, build.add(begin, grain))
        status = emit.call_address(build, task, I64, args, begin, end)
        emit.leave_if(build, build.icmp_signed("!=", status, number(0)), status)
    build.ret(number(0))


def _run_taken(build: ir.IRBuilder, region: Sequence[ir.Value], place: ir.Value) -> None:
    """Run the chunks at a place, and note their status. Helpers take places downwards, so the second half is turned."""
    *facts, chunks, together, places = region
    half = build.lshr(places, number(1))
    turned = build.sub(build.add(half, build.sub(places, number(1))), place)
    place = build.select(build.icmp_signed("<", place, half), place, turned)
    first = build.mul(place, together)
    last = emit.smaller(build, chunks, build.add(first, together))
    status = emit.call(build, _RUN, I64, *facts, first, last)
    with build.if_then(build.icmp_signed("!=", status, number(0)), likely=False):
        words.write(build, words.STATUS, status)


def _ends(build: ir.IRBuilder, ticket: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The first chunk that nobody has taken, and the end of those."""
    return build.and_(build.lshr(ticket, number(_END)), number(_MOST)), build.and_(ticket, number(_MOST))


def _emit_help(module: ir.Module) -> None:
    """Take chunks from the end and run them until none is left, or this helper is surplus to the region."""
    made, build = emit.function(module, _HELP, VOID, [I64, PTR], internal=True)
    again = made.append_basic_block("again")
    build.branch(again)
    build.position_at_end(again)
    emit.call(build, OFFER, VOID, made.args[1])
    ticket = words.read(build, words.TICKET, "acquire")
    low, high = _ends(build, ticket)
    surplus = build.icmp_signed(">=", made.args[0], words.read(build, words.HELPERS))
    emit.leave_if(build, build.or_(surplus, build.icmp_signed("==", low, high)))
    # Read before the ticket is taken: if the swap succeeds, no other region can have replaced them meanwhile.
    task, args, *rest = (words.read(build, index) for index in range(words.TASK, words.PLACES + 1))
    with build.if_then(emit.swap_if(build, words.word(build, words.TICKET), ticket, build.sub(ticket, number(1)))):
        at_work_here = at_work(build, made.args[0])
        emit.atomic_store(build, number(1), at_work_here, "monotonic")
        _run_taken(build, (task, build.inttoptr(args, PTR), *rest), build.sub(high, number(1)))
        emit.atomic_store(build, number(0), at_work_here, "monotonic")
        emit.atomic_add(build, words.word(build, words.FINISHED), 1)
        yield_if_lent(build)
    build.branch(again)


def _take_part(build: ir.IRBuilder, region: Sequence[ir.Value]) -> ir.Value:
    """Take chunks from the beginning and run them until none is left; how many places of the ticket that were."""
    again, take, done = (build.append_basic_block(name) for name in ("again", "take", "done"))
    build.branch(again)
    build.position_at_end(again)
    ticket = words.read(build, words.TICKET, "acquire")
    low, high = _ends(build, ticket)
    build.cbranch(build.icmp_signed("==", low, high), done, take)
    build.position_at_end(take)
    with build.if_then(
        emit.swap_if(build, words.word(build, words.TICKET), ticket, build.add(ticket, number(1 << _END)))
    ):
        _run_taken(build, region, low)
    build.branch(again)
    build.position_at_end(done)
    return low


def _emit_worker(module: ir.Module) -> None:
    """The life of a worker: help, spin, sleep. It ends with the process."""
    made, build = emit.function(module, _WORKER, PTR, [PTR], internal=True)
    index = build.ptrtoint(made.args[0], I64)
    spins = emit.variable(build, I64, number(0))
    times = build.alloca(I64, number(2))
    for place in range(2):
        emit.store(build, number(0), at(build, times, place))
    again = made.append_basic_block("again")
    build.branch(again)
    build.position_at_end(again)
    ticket = words.read(build, words.TICKET, "acquire")
    low, high = _ends(build, ticket)
    welcome = build.icmp_signed("<", index, words.read(build, words.HELPERS))
    useful = build.and_(welcome, build.icmp_signed("!=", low, high))
    with build.if_else(useful) as (help_out, idle):
        with help_out:
            emit.call(build, _HELP, VOID, index, times)
            emit.store(build, number(0), spins)
        with idle:
            _emit_idle(build, spins, build.lshr(ticket, number(32)))
    build.branch(again)


def _emit_idle(build: ir.IRBuilder, spins: ir.Value, region: ir.Value) -> None:
    """One turn of waiting for the region after this one."""
    _pause(build)
    yield_if_lent(build)
    count = build.add(emit.load(build, spins), number(1))
    emit.store(build, count, spins)
    with build.if_then(build.icmp_signed("==", count, number(_SPINS))):
        emit.atomic_add(build, words.word(build, words.SLEEPERS), 1, "seq_cst")
        words.futex(build, words.WAIT, region)
        emit.atomic_add(build, words.word(build, words.SLEEPERS), -1, "seq_cst")
        emit.store(build, number(0), spins)


def _emit_grow(module: ir.Module) -> None:
    """Create workers up to the number wanted; the caller holds the pool. After one refusal no more are asked for."""
    made, build = emit.function(module, _GROW, VOID, [I64], internal=True)
    made.attributes.add("noinline")
    thread, blocked, before = (build.alloca(I64, number(size)) for size in (1, _SIGNAL_WORDS, _SIGNAL_WORDS))
    wanted = emit.smaller(build, made.args[0], number(_MOST_WORKERS))
    for place in range(_SIGNAL_WORDS):
        emit.store(build, number(-1), at(build, blocked, place))
    emit.call(build, "pthread_sigmask", I32, number(_SET_MASK, I32), blocked, before)  # signals are Python's business
    with (
        emit.loop(build, words.read(build, words.WORKERS), wanted) as index,
        build.if_then(_is_zero(build, words.REFUSED)),
    ):
        worker = module.globals[_WORKER]
        refusal = emit.call(build, "pthread_create", I32, thread, NULL, worker, build.inttoptr(index, PTR))
        with build.if_else(build.icmp_signed("==", refusal, number(0, I32))) as (accepted, refused):
            with accepted:
                handle = emit.load(build, thread)
                with build.if_then(build.icmp_signed("<", index, number(FEW_WORKERS))):
                    emit.atomic_store(build, handle, handle_of(build, index), "monotonic")
                emit.call(build, "pthread_detach", I32, handle)
                words.write(build, words.WORKERS, build.add(index, number(1)))
                words.write(build, words.HOME, 0)
            with refused:
                words.write(build, words.REFUSED, 1)
    emit.call(build, "pthread_sigmask", I32, number(_SET_MASK, I32), before, NULL)
    build.ret_void()


def _is_zero(build: ir.IRBuilder, index: int) -> ir.Value:
    return build.icmp_signed("==", words.read(build, index), number(0))


def _emit_parallel(module: ir.Module) -> None:
    """The entry: serial if one thread does, or the pool is busy; else publish the region, take part, wait."""
    made, build = emit.function(module, PARALLEL, I64, [I64, PTR, I64, I64, I64, I64])
    *job, threads, each = made.args
    chunks = _count_chunks(build, job[2], job[3])
    serial, contend, parallel = (made.append_basic_block(name) for name in ("serial", "contend", "parallel"))
    few = build.icmp_signed("<", emit.smaller(build, threads, chunks), number(2))
    build.cbranch(few, serial, contend)
    build.position_at_end(contend)
    build.cbranch(emit.swap_if(build, words.word(build, words.BUSY), number(0), number(1)), parallel, serial)
    build.position_at_end(serial)
    build.ret(emit.call(build, _RUN, I64, *job, number(0), chunks))
    build.position_at_end(parallel)
    helpers = build.sub(emit.smaller(build, threads, chunks), number(1))
    missing = build.icmp_signed("<", words.read(build, words.WORKERS), helpers)
    with build.if_then(build.and_(missing, _is_zero(build, words.REFUSED)), likely=False):
        emit.call(build, _GROW, VOID, helpers)
    keep_away(build)
    together = _count_chunks(build, chunks, number(_MOST))
    places = _count_chunks(build, chunks, together)
    region = (*job, chunks, together, places)
    _publish(build, (*region, helpers), build.mul(chunks, each))
    own = _take_part(build, region)
    _wait(build, build.sub(places, own))
    status = words.read(build, words.STATUS)
    note_end(build, helpers)
    words.write(build, words.BUSY, 0, "release")
    build.ret(status)


def _count_chunks(build: ir.IRBuilder, extent: ir.Value, grain: ir.Value) -> ir.Value:
    """How many chunks an extent has; 0 or less if it is empty."""
    return build.sdiv(build.add(extent, build.sub(grain, number(1))), grain)


def _publish(build: ir.IRBuilder, facts: Sequence[ir.Value], alone: ir.Value) -> None:
    """Write the region's facts, then its ticket, and wake sleepers if there are any."""
    task, args, *rest, places, helpers = facts
    for index, fact in enumerate((task, build.ptrtoint(args, I64), *rest, places, helpers), words.TASK):
        words.write(build, index, fact)
    words.write(build, words.FINISHED, 0)
    words.write(build, words.STATUS, 0)
    region = build.add(build.lshr(words.read(build, words.TICKET), number(32)), number(1))
    ticket = build.or_(build.shl(region, number(32)), places)
    build.atomic_rmw("xchg", words.word(build, words.TICKET), ticket, "seq_cst")
    asleep = build.icmp_signed("!=", words.read(build, words.SLEEPERS, "seq_cst"), number(0))
    with build.if_then(asleep):
        emit.call(build, ROUSE, VOID, alone, helpers)


def _wait(build: ir.IRBuilder, taken: ir.Value) -> None:
    """Until helpers finished what they took; one that takes long may need this very CPU, so give it away then."""
    again, done = (build.append_basic_block(name) for name in ("again", "done"))
    spins, asked = (emit.variable(build, I64, number(0)) for _ in range(2))
    build.branch(again)
    build.position_at_end(again)
    with build.if_then(build.icmp_signed("==", words.read(build, words.FINISHED, "acquire"), taken)):
        build.branch(done)
    _pause(build)
    count = build.add(emit.load(build, spins), number(1))
    emit.store(build, count, spins)
    with build.if_then(build.icmp_signed(">", count, number(_YIELD_AFTER))):
        lend_if_late(build, asked)
    build.branch(again)
    build.position_at_end(done)
    take_back(build)


def _emit_reset(module: ir.Module) -> None:
    """Forget the workers: those of a parent process do not exist in its child."""
    _, build = emit.function(module, RESET, VOID, [])
    for index in range(words.WORDS):
        words.write(build, index, 0)
    build.ret_void()


def _emit_without_threads(module: ir.Module) -> None:
    """The same entries where every chunk runs on the caller's thread."""
    made, build = emit.function(module, PARALLEL, I64, [I64, PTR, I64, I64, I64, I64])
    *job, _, _ = made.args
    build.ret(emit.call(build, _RUN, I64, *job, number(0), _count_chunks(build, job[2], job[3])))
    _, build = emit.function(module, RESET, VOID, [])
    build.ret_void()
