"""float16 and bfloat16 in kernels: 16 bits in memory, numbers of float32 in registers.

A kernel reads `from_float16(bits)` and writes `to_float16(number)`; `float16(number)` is the number as float16 has it,
the nearest one and of two the even one. GPUs have instructions for all of these, the emulation has numpy's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from llvmlite import ir

from kgraph.graph.types import HALF

AMPERE = (8, 0)  # the first compute capability with instructions for bfloat16, and for products of 16 x 8 x 16 halves
BITS, WORD, REAL = ir.IntType(16), ir.IntType(32), ir.FloatType()
QUIET = 0x7FFF  # the bits of NaN
Emitter = Callable[[ir.IRBuilder, ir.Value], ir.Value]


def intrinsics(tools: SimpleNamespace, capability: tuple[int, int]) -> dict[str, Any]:
    """The functions for numba-cuda, on a GPU of this compute capability."""
    types, found = tools.types, {}
    narrow = {"float16": _to_float16, "bfloat16": _to_bfloat16 if capability >= AMPERE else _to_bfloat16_by_integers}
    wide: Mapping[str, Emitter] = {"float16": _from_float16, "bfloat16": _from_bfloat16}
    for name in HALF:
        to, back = narrow[name], wide[name]
        found[f"from_{name}"] = _intrinsic(tools, back, types.uint16, types.float32)
        found[f"to_{name}"] = _intrinsic(tools, to, types.float32, types.uint16)
        found[name] = _intrinsic(tools, _rounding(to, back), types.float32, types.float32)
        found[f"mma_{name}"] = _multiplying(tools, {"float16": "f16", "bfloat16": "bf16"}[name])
    return found


def _multiplying(tools: SimpleNamespace, kind: str) -> Any:
    """The instruction of the tensor cores: four left pairs, two right ones, four sums; see `tensor`."""
    taken = [WORD] * 6 + [REAL] * 4
    code = f"mma.sync.aligned.m16n8k16.row.col.f32.{kind}.{kind}.f32"
    places = "{$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, {$10, $11, $12, $13};"
    constraints = ",".join(["=f"] * 4 + ["r"] * 6 + ["f"] * 4)
    kinds = [tools.types.uint32] * 6 + [tools.types.float32] * 4

    def emit(context: Any, builder: Any, typed: Any, arguments: Any) -> Any:
        given = [context.cast(builder, *one) for one in zip(arguments, typed.args, kinds, strict=True)]
        asm = ir.InlineAsm(
            ir.FunctionType(ir.LiteralStructType([REAL] * 4), taken), f"{code} {places}", constraints, side_effect=True
        )
        found = builder.call(asm, given)
        return context.make_tuple(builder, typed.return_type, [builder.extract_value(found, n) for n in range(4)])

    @tools.intrinsic
    def multiply(typing_context, a0, a1, a2, a3, b0, b1, c0, c1, c2, c3):  # type: ignore[no-untyped-def]
        result = tools.types.UniTuple(tools.types.float32, 4)
        return tools.signature(result, a0, a1, a2, a3, b0, b1, c0, c1, c2, c3), emit

    return multiply


def _intrinsic(tools: SimpleNamespace, emitter: Emitter, takes: Any, gives: Any) -> Any:
    """A function of one number, of whatever type, that is emitted in place."""

    def emit(context: Any, builder: Any, typed: Any, arguments: Any) -> Any:
        return emitter(builder, context.cast(builder, arguments[0], typed.args[0], takes))

    @tools.intrinsic
    def convert(typing_context, number):  # type: ignore[no-untyped-def]
        return tools.signature(gives, number), emit

    return convert


def _rounding(to: Emitter, back: Emitter) -> Emitter:
    return lambda builder, number: back(builder, to(builder, number))


def _from_float16(builder: ir.IRBuilder, bits: ir.Value) -> ir.Value:
    return builder.fpext(builder.bitcast(bits, ir.HalfType()), REAL)


def _to_float16(builder: ir.IRBuilder, number: ir.Value) -> ir.Value:
    return builder.bitcast(builder.fptrunc(number, ir.HalfType()), BITS)


def _from_bfloat16(builder: ir.IRBuilder, bits: ir.Value) -> ir.Value:
    """The upper half of a float32."""
    return builder.bitcast(builder.shl(builder.zext(bits, WORD), WORD(16)), REAL)


def _to_bfloat16(builder: ir.IRBuilder, number: ir.Value) -> ir.Value:
    code = ir.InlineAsm(ir.FunctionType(BITS, [REAL]), "cvt.rn.bf16.f32 $0, $1;", "=h,f", side_effect=False)
    return builder.call(code, [number])


def _to_bfloat16_by_integers(builder: ir.IRBuilder, number: ir.Value) -> ir.Value:
    """Half of the last place is added, or a little less where that place is even: what is carried over rounds up."""
    word = builder.bitcast(number, WORD)
    odd = builder.and_(builder.lshr(word, WORD(16)), WORD(1))
    near = builder.lshr(builder.add(builder.add(word, WORD(0x7FFF)), odd), WORD(16))
    is_number = builder.fcmp_ordered("ord", number, number)
    return builder.select(is_number, builder.trunc(near, BITS), BITS(QUIET))
