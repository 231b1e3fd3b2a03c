"""What printed CPU kernels call besides scalar functions: number constructors, scratch memory, the tile of a product.

Imported only when a kernel is compiled, since it needs numba.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kgraph.codegen.native import emit

I64 = ir.IntType(64)


def scratch(dtype: types.Type) -> Any:
    """An intrinsic `scratch(n)`: n elements on the stack, aligned for vectors; n is a constant."""

    @intrinsic(prefer_literal=True)
    def take(context: Any, count: Any) -> Any:
        size = int(count.literal_value)

        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            element = context.get_data_type(dtype)
            with builder.goto_entry_block():  # numba's own would fill it with zeros, one element at a time
                room = builder.alloca(ir.ArrayType(element, size))
            room.align = 64
            return builder.bitcast(room, element.as_pointer())

        return types.CPointer(dtype)(types.IntegerLiteral(size)), build

    return take


def room(dtype: types.Type) -> Any:
    """An intrinsic `room(n)`: n elements on the heap, aligned for vectors, or nowhere; `give_back` frees them."""
    pointer = types.CPointer(dtype)

    @intrinsic
    def take(context: Any, count: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            width = context.get_abi_sizeof(context.get_data_type(dtype))
            allocate = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(cgutils.voidptr_t, [I64]), "malloc"
            )
            size = builder.add(builder.mul(values[0], I64(width)), I64(2 * emit.LINE))
            found = builder.ptrtoint(builder.call(allocate, [size]), I64)
            place = builder.and_(builder.add(found, I64(2 * emit.LINE - 1)), I64(-emit.LINE))
            is_there = builder.icmp_unsigned("!=", found, I64(0))
            with builder.if_then(is_there):
                before = builder.inttoptr(builder.sub(place, I64(8)), I64.as_pointer())
                builder.store(found, before)
            chosen = builder.select(is_there, place, I64(0))
            return builder.inttoptr(chosen, context.get_value_type(pointer))

        return pointer(types.int64), build

    return take


@intrinsic
def is_nowhere(context: Any, pointer: Any) -> Any:
    """Whether there was no memory."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return cgutils.is_null(builder, values[0])

    return types.boolean(pointer), build


@intrinsic
def give_back(context: Any, pointer: Any) -> Any:
    """Free what `room` took."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        free = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t]), "free"
        )
        place = builder.ptrtoint(values[0], I64)
        found = builder.load(builder.inttoptr(builder.sub(place, I64(8)), I64.as_pointer()))
        builder.call(free, [builder.inttoptr(found, cgutils.voidptr_t)])
        return context.get_dummy_value()

    return types.void(pointer), build


def moved(dtype: types.Type) -> Any:
    """An intrinsic `moved(pointer, n)`: the pointer n elements further on."""
    pointer = types.CPointer(dtype)

    @intrinsic
    def move(context: Any, base: Any, count: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return builder.gep(values[0], [values[1]], source_etype=context.get_data_type(dtype))

        return pointer(pointer, types.int64), build

    return move


def multiply_tile(name: str, dtype: types.Type) -> Any:
    """An intrinsic that calls the micro-kernel `name`: see native/tile.py for what it is given."""
    pointer, size = types.CPointer(dtype), types.int64
    taken = (pointer, size, size, pointer, size, size, pointer, size, size, size, pointer)

    @intrinsic
    def multiply(
        context: Any, left: Any, row: Any, step: Any, panel: Any, panel_row: Any, depth: Any, tile: Any, tile_row: Any,
        height: Any, mode: Any, bias: Any,
    ) -> Any:  # fmt: skip
        def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, name), values)
            return context.get_dummy_value()

        return types.void(*taken), build

    return multiply


def extreme(name: str, sign: str) -> Any:
    """An intrinsic of two numbers: LLVM's own maximum or minimum, of which it makes vectors in reductions too."""

    @intrinsic
    def choose(context: Any, left: Any, right: Any) -> Any:
        kind = context.unify_types(left, right)

        def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            pair = [context.cast(builder, value, one, kind) for value, one in zip(values, signature.args, strict=True)]
            if not isinstance(kind, types.Float):
                compare = builder.icmp_signed if getattr(kind, "signed", False) else builder.icmp_unsigned
                return builder.select(compare(sign, *pair), *pair)
            element = pair[0].type
            llvm_name = f"llvm.{name}.f{kind.bitwidth}"
            callee = cgutils.get_or_insert_function(builder.module, ir.FunctionType(element, [element] * 2), llvm_name)
            return builder.call(callee, pair, fastmath=("nsz",))

        return kind(left, right), build

    return choose


@intrinsic
def greatest(context: Any, total: Any, value: Any) -> Any:
    """The larger of two numbers, neither of which is NaN; which zero it is does not matter."""
    kind = total if total == value else None

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        flags = ("nnan", "nsz")
        return builder.select(builder.fcmp_ordered("<", *values, flags=flags), values[1], values[0], flags=flags)

    return None if kind is None else (kind(total, value), build)


@intrinsic
def settled(context: Any, value: Any) -> Any:
    """The same number; where a promise about it was broken, some number, and the same one for all who read it."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        bits = ir.IntType(value.bitwidth)  # LLVM's own `freeze` would take back the promise instead
        return builder.bitcast(emit.opaque(builder, builder.bitcast(values[0], bits)), values[0].type)

    return value(value), build


@intrinsic
def apart(context: Any) -> Any:
    """Nothing; but LLVM cannot tell, and so makes no vectors across the turns of the loop that this stands in."""

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.asm(ir.FunctionType(ir.VoidType(), []), "", "", [], True)
        return context.get_dummy_value()

    return types.void(), build


def wanted(is_written: bool) -> Any:
    """An intrinsic of a pointer and a place: has the line of memory fetched that is soon read there, or written."""

    @intrinsic
    def fetch(context: Any, base: Any, place: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            pointer = builder.gep(values[0], [values[1]], source_etype=context.get_data_type(base.dtype))
            pointer = builder.bitcast(pointer, cgutils.voidptr_t)  # a kernel may fetch lines of several dtypes
            emit.fetch(builder, pointer, is_written)
            return context.get_dummy_value()

        return types.void(base, types.int64), build

    return fetch


@intrinsic
def added(context: Any, total: Any, value: Any) -> Any:
    """A sum of many numbers, one step: in any order, so that LLVM makes vectors of it."""
    kind = total if total == value else None

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.fadd(*values, flags=("reassoc", "nsz", "contract"))

    return None if kind is None else (kind(total, value), build)


@intrinsic
def turn_block(
    context: Any, target: Any, place: Any, target_row: Any, source: Any, source_place: Any, source_row: Any
) -> Any:
    """Copy a square block, rows becoming columns, through vector registers: 32 bytes a row."""
    pointer, size = source, types.int64

    def build(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        element = context.get_data_type(pointer.dtype)
        count = 32 * 8 // pointer.dtype.bitwidth
        vector = ir.VectorType(element, count)

        def at(where: Any, number: int) -> Any:
            base, start, row = where
            position = builder.add(start, builder.mul(row, I64(number)))
            return builder.bitcast(builder.gep(base, [position], source_etype=element), vector.as_pointer())

        align = pointer.dtype.bitwidth // 8
        rows = [builder.load(at(values[3:], k), typ=vector, align=align) for k in range(count)]
        mask = ir.VectorType(ir.IntType(32), count)
        halves = [[k // 2 + k % 2 * count + half * count // 2 for k in range(count)] for half in (0, 1)]
        for _ in range(count.bit_length() - 1):  # rows k and k + count / 2 shuffled, until they are columns
            pairs = zip(rows[: count // 2], rows[count // 2 :], strict=True)
            rows = [builder.shuffle_vector(a, b, ir.Constant(mask, half)) for a, b in pairs for half in halves]
        for k, row in enumerate(rows):
            builder.store(row, at(values[:3], k), align=align)
        return context.get_dummy_value()

    return types.void(target, size, size, source, size, size), build


_FLOATS = {"float32": types.float32, "float64": types.float64}
_NUMBERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")
NAMES: dict[str, Any] = {
    "__name__": "kgraph.codegen.generated",
    **{name: getattr(np, name) for name in _NUMBERS},
    "bool_": np.bool_,
    "inf": float("inf"),
    "nan": float("nan"),
    "added": added,
    "apart": apart,
    "turn_block": turn_block,
    "is_nowhere": is_nowhere,
    "give_back": give_back,
    "will_read": wanted(False),
    "will_write": wanted(True),
    "maximum": extreme("maximum", ">"),
    "minimum": extreme("minimum", "<"),
    "greatest": greatest,
    "settled": settled,
    "min": extreme("minimum", "<"),
    "max": extreme("maximum", ">"),
    **{f"scratch_{name}": scratch(getattr(types, name)) for name in _NUMBERS},
    **{f"room_{name}": room(dtype) for name, dtype in _FLOATS.items()},
    **{f"moved_{name}": moved(dtype) for name, dtype in _FLOATS.items()},
    **{
        f"multiply_tile_{name}x{vectors}": multiply_tile(f"kg_tile_f{name[5:]}x{vectors}", dtype)
        for name, dtype in _FLOATS.items()
        for vectors in (1, 2)
    },
}
