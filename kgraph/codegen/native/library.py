"""The function that a shared library exports, and what it needs beside kernels: a plan without Python.

    int name(const void *input..., int64_t size..., void *output...)       0, or one of the statuses

The library has code words as `kg_run` reads them, in which the loader puts the kernels' addresses; weights, as bytes
that the assembler reads from a file; and the frame as it is before sizes are known. A call takes a block of memory for
itself: a head with the sizes that the block is ready for, a frame, and an arena behind it. The last caller's block is
kept for the next, who finds sizes and addresses ready if the sizes are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llvmlite import ir

from kgraph.codegen.native import emit
from kgraph.codegen.native.emit import I1, I8, I32, I64, NULL, PTR, VOID, at, number
from kgraph.codegen.native.pool import RESET
from kgraph.codegen.native.runner import RUN
from kgraph.codegen.native.sizes import Sizes
from kgraph.graph.sizes import Dim

DONE, BAD_SIZE, BAD_INDEX, NO_MEMORY = range(4)
ALIGNMENT = 64  # of weights and of buffers in the arena
_DATA, _CODE, _FRAME, _KEPT, _READY, _START = "kg_data", "kg_code", "kg_frame", "kg_kept", "kg_ready", "kg_start"
_LINE = ALIGNMENT // 8  # words
_CAPACITY, _KEY = 0, 1  # words of the head of a block


@dataclass(frozen=True)
class Weight:
    """The address of an array among the weights."""

    offset: int


@dataclass(frozen=True)
class Arena:
    """How the memory of a call is shared out."""

    places: Sequence[Sequence[tuple[int, Dim]]]  # of each the buffers: frame slots, and bytes
    axis: str | None = None  # of a plan that is cut along the batch
    samples: int = 0  # of a part
    parts: Dim = 1  # how many there are
    stride: int | None = None  # the slot for the bytes of a room
    most: int = 1  # rooms, of parts that are under way together


@dataclass(frozen=True)
class Blueprint:
    """Everything that the function knows of its program; slots are those of the frame."""

    name: str
    axes: Sequence[str]
    equal: Sequence[tuple[Dim, Dim]]  # sizes that must be equal
    inputs: Sequence[int | None]  # slots; None where no step reads it
    outputs: Sequence[int | None]
    code: Sequence[int | str]  # the plan; a text is the name of a kernel
    steps: int
    threads: int
    frame: Sequence[int | Weight]  # what is the same in every call
    sizes: Mapping[int, Dim]  # slots of sizes that a call decides
    derived: Mapping[str, Dim]  # axes that are not given, but follow from those that are
    arena: Arena

    @property
    def head(self) -> int:
        """The words of a block before its frame."""
        return _whole_lines(_KEY + len(self.axes))

    @property
    def before(self) -> int:
        """The words of a block before its arena."""
        return self.head + _whole_lines(len(self.frame))


def library_ir(plan: Blueprint, data: str) -> str:
    """The LLVM IR of the library, but for kernels and runtime. data: the path of a file with the weights."""
    module = ir.Module(f"kgraph_library_{plan.name}")
    _add_memory(module, plan)
    _emit_start(module)
    _emit_ready(module, plan)
    _emit_entry(module, plan)
    return f"{module}\n{_included(data)}\n"


def _included(path: str) -> str:
    """A line that has the assembler put a file into the object."""
    quoted = path.replace("\\", "\\\\").replace('"', '\\"')
    lines = (
        '.section .rodata.kgraph,"a",@progbits',
        f".p2align {ALIGNMENT.bit_length() - 1}",
        f".hidden {_DATA}",
        f".globl {_DATA}",
        f"{_DATA}:",
        f'.incbin "{quoted}"',
        ".byte 0",  # so that there is something, and the last array ends inside of it
        ".text",
    )
    text = "".join(chr(byte) if chr(byte).isalnum() else f"\\{byte:02X}" for byte in "\n".join(lines).encode())
    return f'module asm "{text}"'


def _add_memory(module: ir.Module, plan: Blueprint) -> None:
    data = ir.GlobalVariable(module, ir.ArrayType(I8, 0), _DATA)
    data.storage_class = "hidden"
    code = [
        number(word) if isinstance(word, int) else emit.declare(module, word, I64, [PTR, I64, I64]).ptrtoint(I64)
        for word in plan.code
    ]
    frame = [
        number(word) if isinstance(word, int) else data.gep([number(0), number(word.offset)]).ptrtoint(I64)
        for word in plan.frame
    ]
    _add_constant(module, _CODE, code)
    _add_constant(module, _FRAME, frame)
    kept = ir.GlobalVariable(module, I64, _KEPT)
    kept.initializer, kept.linkage, kept.align = number(0), "internal", ALIGNMENT


def _add_constant(module: ir.Module, name: str, words: Sequence[ir.Constant]) -> None:
    made = ir.GlobalVariable(module, ir.ArrayType(I64, len(words)), name)
    made.initializer = ir.Constant(made.value_type, list(words))
    made.linkage, made.global_constant, made.align = "internal", True, ALIGNMENT


def _emit_start(module: ir.Module) -> None:
    """When the library is loaded, see that the child of a fork forgets the workers, if the system can tell of one."""
    made, build = emit.function(module, _START, VOID, [], internal=True)
    reset = emit.declare(module, RESET, VOID, [])
    glibc = emit.declare(module, "__register_atfork", I32, [PTR, PTR, PTR, PTR])
    others = emit.declare(module, "pthread_atfork", I32, [PTR, PTR, PTR])
    glibc.linkage = others.linkage = "extern_weak"
    there, elsewhere = (build.icmp_unsigned("!=", one, NULL) for one in (glibc, others))
    with build.if_else(there) as (first, second):
        with first:
            build.call(glibc, [NULL, NULL, reset, NULL])
        with second, build.if_then(elsewhere):
            build.call(others, [NULL, NULL, reset])
    build.ret_void()
    entry = ir.LiteralStructType([I32, PTR, PTR])
    table = ir.GlobalVariable(module, ir.ArrayType(entry, 1), "llvm.global_ctors")
    table.linkage = "appending"
    table.initializer = ir.Constant(table.value_type, [ir.Constant(entry, [number(65535, I32), made, NULL])])


def _emit_ready(module: ir.Module, plan: Blueprint) -> None:
    """`kg_ready(block or null, sizes)`: a block for a call with these sizes, or the status why there is none."""
    made, build = emit.function(module, _READY, I64, [PTR, *[I64] * len(plan.axes)], internal=True)
    made.attributes.add("noinline")
    old, *given = made.args
    impossible, too_large = (made.append_basic_block(name) for name in ("impossible", "too_large"))
    held = emit.variable(build, PTR, old)  # what to free where there is no way on
    axes = dict(zip(plan.axes, given, strict=True))
    sizes = Sizes(build, axes, impossible, too_large)
    axes |= {name: sizes.value(size) for name, size in plan.derived.items()}
    for one, other in plan.equal:
        emit.need(build, build.icmp_signed("==", sizes.value(one), sizes.value(other)), impossible)
    values = {slot: sizes.value(size) for slot, size in plan.sizes.items()}
    offsets, room = _shared_out(build, plan.arena, axes, (impossible, too_large))
    parts = emit.smaller(build, sizes.value(plan.arena.parts), number(plan.arena.most))
    rooms = build.select(build.icmp_signed("<", parts, number(1)), number(1), parts)
    total = sizes.sum(number(8 * plan.before), sizes.product(room, rooms))
    block = _with_room(build, held, total, too_large)
    for place, value in enumerate(given, _KEY):
        emit.store(build, value, at(build, block, place))
    frame, arena = at(build, block, plan.head), build.ptrtoint(at(build, block, plan.before), I64)
    length = number(8 * len(plan.frame))
    emit.call(build, "llvm.memcpy.p0.p0.i64", VOID, frame, module.globals[_FRAME], length, number(0, I1))
    values |= {slot: build.add(arena, offset) for slot, offset in offsets.items()}
    if plan.arena.stride is not None:
        values[plan.arena.stride] = room
    for slot, value in values.items():
        emit.store(build, value, at(build, frame, slot))
    build.ret(build.ptrtoint(block, I64))
    for way, status in ((impossible, BAD_SIZE), (too_large, NO_MEMORY)):
        build.position_at_end(way)
        emit.call(build, "free", VOID, emit.load(build, held, PTR))
        build.ret(number(status))


def _shared_out(
    build: ir.IRBuilder, arena: Arena, axes: Mapping[str, ir.Value], ways_out: Sequence[ir.Block]
) -> tuple[dict[int, ir.Value], ir.Value]:
    """The offset of each buffer in a room, by slot, and the bytes of the room."""
    if arena.axis is not None:
        axes = {**axes, arena.axis: emit.smaller(build, axes[arena.axis], number(arena.samples))}
    sizes, offsets = Sizes(build, axes, *ways_out), {}
    end: ir.Value = number(0)
    for place in arena.places:
        most: ir.Value = number(0)
        for slot, size in place:
            offsets[slot] = end
            bytes_of = sizes.value(size)
            most = build.select(build.icmp_signed(">", bytes_of, most), bytes_of, most)
        whole = build.and_(sizes.sum(most, number(ALIGNMENT - 1)), number(-ALIGNMENT))
        end = sizes.sum(end, whole)
    return offsets, end


def _with_room(build: ir.IRBuilder, held: ir.Value, total: ir.Value, too_large: ir.Block) -> ir.Value:
    """The block that is held if it is large enough, else a new one in its place."""
    capacity = emit.variable(build, I64, number(-1))
    old = emit.load(build, held, PTR)
    with build.if_then(emit.not_zero(build, old)):
        emit.store(build, emit.load(build, at(build, old, _CAPACITY)), capacity)
    with build.if_then(build.icmp_signed("<", emit.load(build, capacity), total)):
        emit.call(build, "free", VOID, old)
        emit.store(build, emit.call(build, "aligned_alloc", PTR, number(ALIGNMENT), total), held)
        new = emit.load(build, held, PTR)
        emit.need(build, emit.not_zero(build, new), too_large)
        emit.store(build, total, at(build, new, _CAPACITY))
    return emit.load(build, held, PTR)


def _emit_entry(module: ir.Module, plan: Blueprint) -> None:
    """The public function."""
    inputs, sizes, outputs = (len(part) for part in (plan.inputs, plan.axes, plan.outputs))
    made, build = emit.function(module, plan.name, I32, [*[PTR] * inputs, *[I64] * sizes, *[PTR] * outputs])
    given, axes, results = made.args[:inputs], made.args[inputs : inputs + sizes], made.args[inputs + sizes :]
    for value in axes:
        emit.leave_if(build, build.icmp_signed("<", value, number(0)), number(BAD_SIZE, I32))
    kept = module.globals[_KEPT]
    old = build.atomic_rmw("xchg", kept, number(0), "acq_rel")
    block = emit.variable(build, I64, old)
    with build.if_then(build.not_(_is_ready(build, old, axes))):
        emit.store(build, emit.call(build, _READY, I64, build.inttoptr(old, PTR), *axes), block)
    found = emit.load(build, block)
    emit.leave_if(build, build.icmp_unsigned("<=", found, number(NO_MEMORY)), build.trunc(found, I32))
    words = build.inttoptr(found, PTR)
    frame = at(build, words, plan.head)
    for slot, pointer in zip((*plan.inputs, *plan.outputs), (*given, *results), strict=True):
        if slot is not None:
            emit.store(build, build.ptrtoint(pointer, I64), at(build, frame, slot))
    code, steps, threads = module.globals[_CODE], number(plan.steps), number(plan.threads)
    failed = emit.call(build, RUN, I64, code, steps, frame, threads)
    other = build.atomic_rmw("xchg", kept, found, "acq_rel")
    with build.if_then(emit.not_zero(build, other)):
        emit.call(build, "free", VOID, build.inttoptr(other, PTR))
    build.ret(build.select(emit.is_zero(build, failed), number(DONE, I32), number(BAD_INDEX, I32)))


def _is_ready(build: ir.IRBuilder, block: ir.Value, axes: Sequence[ir.Value]) -> ir.Value:
    """Whether there is a block, and it is ready for these sizes."""
    ready = emit.variable(build, I1, number(0, I1))
    with build.if_then(emit.not_zero(build, block)):
        words, equal = build.inttoptr(block, PTR), number(1, I1)
        for place, value in enumerate(axes, _KEY):
            equal = build.and_(equal, build.icmp_signed("==", emit.load(build, at(build, words, place)), value))
        emit.store(build, equal, ready)
    return emit.load(build, ready, I1)


def _whole_lines(words: int) -> int:
    return -(-words // _LINE) * _LINE
