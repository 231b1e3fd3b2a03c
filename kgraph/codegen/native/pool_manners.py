"""How the pool of threads shares the machine with others: whom it wakes, where workers run, and for how long.

Waking workers takes the caller 10 us on a quiet machine and 200 on a busy one. So the pool measures it, and wakes only
for work that gains more than that: of one region, or of several in quick succession, whose gains add up until it pays
(the workers then stay awake as long as more comes).

On a machine with few processors, all but one of them busy, the system likes to put a woken worker where its caller
runs, and nothing is gained. So where workers are few, they may run everywhere but there.

A worker that is sent away while it works on a chunk keeps its caller waiting for milliseconds. So it offers its
processor of its own accord, between chunks, before its turn is over. Where it is sent away all the same, the caller,
which has nothing else to do, lends it its own.
"""

from __future__ import annotations

from llvmlite import ir

from kgraph.codegen.native import emit
from kgraph.codegen.native import pool_words as words
from kgraph.codegen.native.emit import I32, I64, PTR, VOID, at, number

ROUSE, OFFER, LEND = "kg_pool_rouse", "kg_pool_offer", "kg_pool_lend"
_AVOID = "kg_pool_avoid"

FEW_WORKERS = 7  # more find a free processor by themselves
_MASK_WORDS = 16  # of a cpu_set_t
_MASK_BYTES = 8 * _MASK_WORDS
_CHEAP = 20_000  # ns that waking is taken for until it has been measured
_PAUSE = 200_000  # ns without work after which regions are no longer in quick succession
_TURN = 1_000_000  # ns that a worker runs before it offers its processor to others: systems give turns of some ms
_AWAY = 300_000  # ns between two looks at the clock, from which on a worker has not been running
_PATIENCE = 50_000  # ns between two looks at whether those who are waited for run
_MOMENT = 10_000  # ns in which one that is running runs
_MONOTONIC = 1  # CLOCK_MONOTONIC


def emit_manners(module: ir.Module) -> None:
    """Add these functions to a module that has the pool's memory."""
    _emit_offer(module)
    _emit_avoid(module)
    _emit_rouse(module)
    _emit_lend(module)


def _emit_rouse(module: ir.Module) -> None:
    """Wake sleepers if what they would gain, now and in the regions just before, is worth what waking costs.

    The first argument is how many nanoseconds a region takes its caller alone.
    """
    made, build = emit.function(module, ROUSE, VOID, [I64, I64], internal=True)
    made.attributes.add("noinline")
    alone, helpers = made.args
    now = _now(build)
    words.write(build, words.STARTED, now)
    with build.if_then(build.icmp_signed(">", build.sub(now, words.read(build, words.ENDED)), number(_PAUSE))):
        words.write(build, words.GAIN, 0)
    gain = build.add(_gain(build, alone, helpers), words.read(build, words.GAIN))
    cost = build.add(words.read(build, words.COST), number(_CHEAP))  # the word holds what it is more than that
    with build.if_else(build.icmp_signed(">", gain, build.mul(cost, number(2)))) as (worth_it, too_little):
        with worth_it:
            words.futex(build, words.WAKE, words.read(build, words.WORKERS))  # whoever is surplus sleeps again
            measured = build.sub(build.sub(_now(build), now), number(_CHEAP))
            words.write(build, words.COST, build.ashr(build.add(words.read(build, words.COST), measured), number(1)))
            words.write(build, words.GAIN, 0)
        with too_little:  # and forget slowly, since one measurement may have been of a bad moment
            known = words.read(build, words.COST)
            words.write(build, words.COST, build.sub(known, build.ashr(known, number(8))))
    build.ret_void()


def _gain(build: ir.IRBuilder, alone: ir.Value, helpers: ir.Value) -> ir.Value:
    """What helpers save of the time that a region takes its caller alone."""
    return build.sub(alone, build.sdiv(alone, build.add(helpers, number(1))))


def note_end(build: ir.IRBuilder, helpers: ir.Value) -> None:
    """Where helpers slept, remember what they would have saved."""
    with build.if_then(build.icmp_signed("!=", words.read(build, words.SLEEPERS), number(0))):
        now = _now(build)
        missed = _gain(build, build.sub(now, words.read(build, words.STARTED)), helpers)
        words.write(build, words.GAIN, build.add(words.read(build, words.GAIN), missed))
        words.write(build, words.ENDED, now)


def _emit_avoid(module: ir.Module) -> None:
    """Let the workers run on any processor that the caller may use but this one, if there is another."""
    made, build = emit.function(module, _AVOID, VOID, [I64], internal=True)
    made.attributes.add("noinline")
    cpu = made.args[0]
    words.write(build, words.HOME, build.add(cpu, number(1)))
    mask = _empty_mask(build)
    emit.call(build, "sched_getaffinity", I32, number(0, I32), number(_MASK_BYTES), mask)
    its = at(build, mask, build.lshr(cpu, number(6)))
    emit.store(build, build.and_(emit.load(build, its), build.not_(_bit_of(build, cpu))), its)
    others = emit.load(build, mask)
    for index in range(1, _MASK_WORDS):
        others = build.or_(others, emit.load(build, at(build, mask, index)))
    emit.leave_if(build, build.icmp_signed("==", others, number(0)))
    with emit.loop(build, number(0), words.read(build, words.WORKERS)) as index:
        handle = emit.atomic_load(build, handle_of(build, index), "monotonic")
        emit.call(build, "pthread_setaffinity_np", I32, handle, number(_MASK_BYTES), mask)
    build.ret_void()


def _bit_of(build: ir.IRBuilder, cpu: ir.Value) -> ir.Value:
    return build.shl(number(1), build.and_(cpu, number(63)))


def _this_cpu(build: ir.IRBuilder) -> tuple[ir.Value, ir.Value]:
    """The processor that this thread is on, and whether masks have a place for it."""
    cpu = build.sext(emit.call(build, "sched_getcpu", I32), I64)
    return cpu, build.icmp_unsigned("<", cpu, number(64 * _MASK_WORDS))


def _empty_mask(build: ir.IRBuilder) -> ir.Value:
    """A cpu_set_t without processors."""
    mask = build.alloca(I64, number(_MASK_WORDS))
    for place in range(_MASK_WORDS):
        emit.store(build, number(0), at(build, mask, place))
    return mask


def keep_away(build: ir.IRBuilder) -> None:
    """Where there are few workers, see that none of them runs where the caller does."""
    with build.if_then(build.icmp_signed("<=", words.read(build, words.WORKERS), number(FEW_WORKERS))):
        cpu, known = _this_cpu(build)
        moved = build.icmp_signed("!=", build.add(cpu, number(1)), words.read(build, words.HOME))
        with build.if_then(build.and_(moved, known)):
            emit.call(build, _AVOID, VOID, cpu)


def _emit_lend(module: ir.Module) -> None:
    """Put workers that have a chunk, and no processor, on the caller's, which yields to them; they do when they are
    done."""
    made, build = emit.function(module, LEND, VOID, [], internal=True)
    made.attributes.add("noinline")
    cpu, known = _this_cpu(build)
    emit.leave_if(build, build.not_(known))
    mask = _empty_mask(build)
    emit.store(build, _bit_of(build, cpu), at(build, mask, build.lshr(cpu, number(6))))
    with emit.loop(build, number(0), words.read(build, words.WORKERS)) as index:
        has_chunk = emit.atomic_load(build, at_work(build, index), "monotonic")
        with build.if_then(build.icmp_signed("!=", has_chunk, number(0))):
            handle = emit.atomic_load(build, handle_of(build, index), "monotonic")
            with build.if_then(_stands_still(build, handle)):
                words.write(build, words.LENT, 1)
                emit.call(build, "pthread_setaffinity_np", I32, handle, number(_MASK_BYTES), mask)
    build.ret_void()


def _stands_still(build: ir.IRBuilder, handle: ir.Value) -> ir.Value:
    """Whether a worker has had no processor for a moment: the time that it has run does not grow."""
    with build.goto_entry_block():
        clock = build.alloca(I32)
    emit.call(build, "pthread_getcpuclockid", I32, handle, clock)
    before = _time(build, emit.load(build, clock, I32))
    until = build.add(_now(build), number(_MOMENT))
    again, done = (build.append_basic_block(name) for name in ("again", "done"))
    build.branch(again)
    build.position_at_end(again)
    build.cbranch(build.icmp_signed("<", _now(build), until), again, done)
    build.position_at_end(done)
    return build.icmp_signed("==", _time(build, emit.load(build, clock, I32)), before)


def lend_if_late(build: ir.IRBuilder, asked: ir.Value) -> None:
    """Give this processor away for a moment; now and then, lend it to workers that have lost their own.

    asked: where the time is kept at which the caller last looked for such; 0 when it begins to wait.
    """
    emit.call(build, "sched_yield", I32)
    few = build.icmp_signed("<=", words.read(build, words.WORKERS), number(FEW_WORKERS))
    with build.if_then(build.and_(few, build.icmp_signed("==", words.read(build, words.LENT), number(0)))):
        now, before = _now(build), emit.load(build, asked)
        is_due = build.icmp_signed(">", build.sub(now, before), number(_PATIENCE))
        with build.if_then(build.and_(emit.not_zero(build, before), is_due)):
            emit.call(build, LEND, VOID)
        with build.if_then(build.or_(emit.is_zero(build, before), is_due)):
            emit.store(build, _now(build), asked)


def take_back(build: ir.IRBuilder) -> None:
    """Send workers away again that were lent the caller's processor."""
    with build.if_then(build.icmp_signed("!=", words.read(build, words.LENT), number(0)), likely=False):
        words.write(build, words.LENT, 0)
        words.write(build, words.HOME, 0)
        keep_away(build)


def yield_if_lent(build: ir.IRBuilder) -> None:
    """A worker on its caller's processor leaves it whenever it has nothing to do."""
    with build.if_then(build.icmp_signed("!=", words.read(build, words.LENT), number(0)), likely=False):
        emit.call(build, "sched_yield", I32)


def at_work(build: ir.IRBuilder, index: ir.Value) -> ir.Value:
    """Where it says whether a worker has a chunk."""
    return at(build, words.word(build, words.AT_WORK), emit.smaller(build, index, number(FEW_WORKERS)))


def handle_of(build: ir.IRBuilder, index: ir.Value) -> ir.Value:
    """Where the pthread_t of a worker is kept."""
    return at(build, words.word(build, words.HANDLES), index)


def _emit_offer(module: ir.Module) -> None:
    """Let others run if this worker has run for a while; it keeps two times: when it began, and when it last looked."""
    made, build = emit.function(module, OFFER, VOID, [PTR], internal=True)
    began, looked = at(build, made.args[0], 0), at(build, made.args[0], 1)
    now = emit.variable(build, I64, _now(build))
    away = build.sub(emit.load(build, now), emit.load(build, looked))
    with build.if_then(build.icmp_signed(">", away, number(_AWAY))):
        emit.store(build, emit.load(build, now), began)
    turn = build.sub(emit.load(build, now), emit.load(build, began))
    with build.if_then(build.icmp_signed(">", turn, number(_TURN))):
        emit.call(build, "sched_yield", I32)
        emit.store(build, _now(build), now)
        emit.store(build, emit.load(build, now), began)
    emit.store(build, emit.load(build, now), looked)
    build.ret_void()


def _now(build: ir.IRBuilder) -> ir.Value:
    """Nanoseconds of a clock that only goes forward."""
    return _time(build, number(_MONOTONIC, I32))


def _time(build: ir.IRBuilder, clock: ir.Value) -> ir.Value:
    """Nanoseconds of a clock."""
    with build.goto_entry_block():
        time = build.alloca(I64, number(2))
    emit.call(build, "clock_gettime", I32, clock, time)
    seconds, rest = (emit.load(build, at(build, time, place)) for place in (0, 1))
    return build.add(build.mul(seconds, number(10**9)), rest)
