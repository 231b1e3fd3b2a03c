"""What llvmlite's IR builder leaves to its user: opaque pointers, loops, vectors, atomics and indirect calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from llvmlite import ir
from llvmlite.ir.instructions import StoreAtomicInstr

VOID = ir.VoidType()
I1, I8, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 32, 64))
F32, F64 = ir.FloatType(), ir.DoubleType()
PTR = ir.PointerType()
NULL = ir.Constant(PTR, None)
LINE = 64  # bytes that the memory sends at a time
SCALARS = {"float32": F32, "float64": F64}


def number(value: int, kind: ir.IntType = I64) -> ir.Constant:
    """A constant integer, 64 bits wide unless told otherwise."""
    return ir.Constant(kind, value)


def function(
    module: ir.Module, name: str, result: ir.Type, arguments: Sequence[ir.Type], internal: bool = False
) -> tuple[ir.Function, ir.IRBuilder]:
    """A new function, which may have been declared, and a builder at its entry."""
    made = declare(module, name, result, arguments)
    assert made.is_declaration, f"{name} is emitted twice"
    made.attributes.add("nounwind")
    if internal:
        made.linkage = "internal"
    return made, ir.IRBuilder(made.append_basic_block("entry"))


def declare(module: ir.Module, name: str, result: ir.Type, arguments: Sequence[ir.Type]) -> ir.Function:
    """The function of this name that lives elsewhere, declared at its first use."""
    if name in module.globals:
        return module.globals[name]
    return ir.Function(module, ir.FunctionType(result, arguments), name)


def call(build: ir.IRBuilder, name: str, result: ir.Type, *arguments: ir.Value) -> ir.Value:
    """Call a function or LLVM intrinsic by name."""
    return build.call(declare(build.module, name, result, [value.type for value in arguments]), arguments)


def call_address(build: ir.IRBuilder, address: ir.Value, result: ir.Type, *arguments: ir.Value) -> ir.Value:
    """Call the code at an address, given as a 64-bit integer."""
    signature = ir.FunctionType(result, [value.type for value in arguments])
    return build.call(build.inttoptr(address, signature.as_pointer()), arguments)


def fetch(build: ir.IRBuilder, pointer: ir.Value, is_written: bool) -> None:
    """Ask memory for the line at an address, which may lie anywhere: it is soon read, or written."""
    near, data = number(3 if is_written else 2, I32), number(1, I32)
    call(build, "llvm.prefetch.p0", VOID, pointer, number(int(is_written), I32), near, data)


def set_text_attribute(made: ir.Function, key: str, value: str) -> None:
    """Give a function an attribute that llvmlite has no name for."""
    set.add(made.attributes, f'"{key}"="{value}"')


def at(build: ir.IRBuilder, base: ir.Value, index: ir.Value | int, kind: ir.Type = I64) -> ir.Value:
    """The address of element `index` of an array of `kind`."""
    index = number(index) if isinstance(index, int) else index
    return build.gep(base, [index], inbounds=True, source_etype=kind)


def moved(build: ir.IRBuilder, base: ir.Value, bytes_on: ir.Value) -> ir.Value:
    """The address so many bytes further on, which may lie outside the array as long as nothing is read there."""
    return build.gep(base, [bytes_on], source_etype=I8)


def load(build: ir.IRBuilder, pointer: ir.Value, kind: ir.Type = I64) -> ir.Value:
    """Load a value; a vector may lie at any multiple of its element's size."""
    return build.load(pointer, typ=kind, align=width(kind))


def store(build: ir.IRBuilder, value: ir.Value, pointer: ir.Value) -> None:
    """Store a value; a vector may lie at any multiple of its element's size."""
    build.store(value, pointer, align=width(value.type))


def width(kind: ir.Type) -> int:
    """The bytes of a scalar, or of one lane of a vector."""
    lane = kind.element if isinstance(kind, ir.VectorType) else kind
    if isinstance(lane, ir.IntType):
        return max(1, lane.width // 8)
    return 4 if lane == F32 else 8


def space(build: ir.IRBuilder, words: int) -> ir.Value:
    """Words of the stack, for as long as the function runs."""
    with build.goto_entry_block():
        return build.alloca(I64, number(words))


def variable(build: ir.IRBuilder, kind: ir.Type, start: ir.Value) -> ir.Value:
    """A local variable, read with `load` and set with `store`; the optimiser keeps it in a register."""
    with build.goto_entry_block():
        slot = build.alloca(kind, number(1))
    store(build, start, slot)
    return slot


def opaque(build: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """The same pointer or integer, of which the optimiser cannot tell how it was computed: it is in one register."""
    return build.asm(ir.FunctionType(value.type, [value.type]), "", "=r,0", [value], False)


@contextmanager
def loop(build: ir.IRBuilder, start: ir.Value, stop: ir.Value, step: int = 1) -> Iterator[ir.Value]:
    """`for index in range(start, stop, step)`, signed."""
    head, body, done = (build.append_basic_block(name) for name in ("head", "body", "done"))
    before = build.block
    build.branch(head)
    build.position_at_end(head)
    index = build.phi(I64)
    index.add_incoming(start, before)
    build.cbranch(build.icmp_signed("<", index, stop), body, done)
    build.position_at_end(body)
    yield index
    index.add_incoming(build.add(index, number(step)), build.block)
    build.branch(head)
    build.position_at_end(done)


def leave_if(build: ir.IRBuilder, condition: ir.Value, result: ir.Value | None = None) -> None:
    """`if condition: return result`; without a result, from a function that has none."""
    with build.if_then(condition):
        build.ret(result) if result is not None else build.ret_void()


def need(build: ir.IRBuilder, condition: ir.Value, otherwise: ir.Block) -> None:
    """Go on if the condition holds, else to another block."""
    on = build.append_basic_block("on")
    build.cbranch(condition, on, otherwise)
    build.position_at_end(on)


def is_zero(build: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Whether an integer is 0, or an address null."""
    return build.icmp_signed("==", value, ir.Constant(value.type, None if value.type == PTR else 0))


def not_zero(build: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Whether an integer is other than 0, or an address than null."""
    return build.not_(is_zero(build, value))


def smaller(build: ir.IRBuilder, left: ir.Value, right: ir.Value) -> ir.Value:
    """The smaller of two signed integers."""
    return build.select(build.icmp_signed("<", left, right), left, right)


def splat(build: ir.IRBuilder, scalar: ir.Value, lanes: int) -> ir.Value:
    """A vector with the scalar in every lane."""
    nothing = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    first = build.insert_element(nothing, scalar, number(0, I32))
    return build.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes))


def multiply_add(build: ir.IRBuilder, left: ir.Value, right: ir.Value, total: ir.Value) -> ir.Value:
    """left * right + total, rounded once where the CPU has that instruction (elsewhere `fma` would call libm)."""
    kind = total.type
    bits = 8 * width(kind)
    suffix = f"v{kind.count}f{bits}" if isinstance(kind, ir.VectorType) else f"f{bits}"
    return call(build, f"llvm.fmuladd.{suffix}", kind, left, right, total)


def atomic_load(build: ir.IRBuilder, pointer: ir.Value, order: str = "acquire") -> ir.Value:
    """Load a shared 64-bit word."""
    return build.load_atomic(pointer, order, 8, typ=I64)


def atomic_store(build: ir.IRBuilder, value: ir.Value, pointer: ir.Value, order: str = "release") -> None:
    """Store a shared 64-bit word; llvmlite's own `store_atomic` raises on opaque pointers."""
    build._insert(StoreAtomicInstr(build.block, value, pointer, order, 8))


def atomic_add(build: ir.IRBuilder, pointer: ir.Value, amount: int, order: str = "acq_rel") -> ir.Value:
    """Add to a shared word; the value before."""
    return build.atomic_rmw("add", pointer, number(amount), order)


def swap_if(build: ir.IRBuilder, pointer: ir.Value, expected: ir.Value, new: ir.Value) -> ir.Value:
    """Replace a shared word if it still holds what is expected; whether it did."""
    return build.extract_value(build.cmpxchg(pointer, expected, new, "acq_rel", "acquire"), 1)
