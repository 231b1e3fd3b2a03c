"""The packing of a contraction's right operand as native code: generic in every size, so compiled once per machine.

A task of the pool over the panels of all batches. Its arguments: source, target, the width of a panel, the columns and
the stride between them, then extent and stride of two summed axes, the stride of the outer batch axis, and extent and
stride of the inner one. Panels hold `width` columns for each summed index; columns past the last are zero.
"""

from __future__ import annotations

from llvmlite import ir

from kgraph.codegen.native import emit
from kgraph.codegen.native.emit import I64, PTR, SCALARS, number

PACKERS = {"kg_pack_f32": "float32", "kg_pack_f64": "float64"}
MOST_INNER, MOST_BATCH = 2, 2


def packer_name(dtype: str) -> str:
    """The symbol of the packing task for this dtype."""
    return next(name for name, made_for in PACKERS.items() if made_for == dtype)


def emit_packers(module: ir.Module) -> None:
    """Add the packing tasks to a module."""
    for name, dtype in PACKERS.items():
        _emit_packer(module, name, SCALARS[dtype])


def _emit_packer(module: ir.Module, name: str, kind: ir.Type) -> None:
    made, build = emit.function(module, name, I64, [PTR, I64, I64])
    args, begin, end = made.args
    source, target = (emit.load(build, emit.at(build, args, slot), PTR) for slot in (0, 1))
    words = [emit.load(build, emit.at(build, args, slot)) for slot in range(2, 12)]
    width, columns, step, outer, outer_step, inner, inner_step, batch_step, batches, small_step = words
    panels = build.sdiv(build.add(columns, build.sub(width, number(1))), width)
    size = build.mul(build.mul(outer, inner), width)
    with emit.loop(build, begin, end) as part:
        start, batch = build.mul(build.srem(part, panels), width), build.sdiv(part, panels)
        large, small = build.sdiv(batch, batches), build.srem(batch, batches)
        place = build.add(build.mul(large, batch_step), build.mul(small, small_step))
        place = build.add(place, build.mul(start, step))
        count = emit.smaller(build, width, build.sub(columns, start))
        row = emit.at(build, target, build.mul(part, size), kind)
        with emit.loop(build, number(0), outer) as i, emit.loop(build, number(0), inner) as j:
            offset = build.add(build.mul(i, outer_step), build.mul(j, inner_step))
            read = emit.at(build, source, build.add(place, offset), kind)
            line = build.mul(build.add(build.mul(i, inner), j), width)
            written = emit.at(build, row, line, kind)
            with emit.loop(build, number(0), count) as c:
                value = emit.load(build, emit.at(build, read, build.mul(c, step), kind), kind)
                emit.store(build, value, emit.at(build, written, c, kind))
            with emit.loop(build, count, width) as c:
                emit.store(build, ir.Constant(kind, 0.0), emit.at(build, written, c, kind))
    build.ret(number(0))
