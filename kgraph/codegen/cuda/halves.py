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

AMPERE = (8, 0)  # the first compute capability with an instruction that makes bfloat16 of float32
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
    return found


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
