"""The packing of a contraction's right operand as native code: generic in every size, so compiled once per machine.

A task of the pool over the panels of all batches. Its arguments: source, target, the width of a panel (a multiple of
a vector's lanes), the columns and the stride between them, then extent and stride of two summed axes, the stride of
the outer batch axis, and extent and stride of the inner one. Panels hold `width` columns for each summed index;
columns past the last are zero.

An operand whose summed index runs fastest is transposed in registers, a square of lanes by lanes at a time.
"""

from __future__ import annotations

from llvmlite import ir

from kgraph.codegen.native import emit
from kgraph.codegen.native.emit import I32, I64, PTR, SCALARS, number
from kgraph.codegen.native.host import host

PACKERS = {"kg_pack_f32": "float32", "kg_pack_f64": "float64"}
MOST_INNER, MOST_BATCH = 2, 2


def packer_name(dtype: str) -> str:
    """The symbol of the packing task for this dtype."""
    return next(name for name, made_for in PACKERS.items() if made_for == dtype)


def emit_packer(module: ir.Module, name: str) -> None:
    """Add a packing task to a module."""
    kind, lanes = SCALARS[PACKERS[name]], host().lanes(PACKERS[name])
    made, build = emit.function(module, name, I64, [PTR, I64, I64])
    args, begin, end = made.args
    source, target = (emit.load(build, emit.at(build, args, slot), PTR) for slot in (0, 1))
    words = [emit.load(build, emit.at(build, args, slot)) for slot in range(2, 12)]
    width, columns, step, outer, outer_step, inner, inner_step, batch_step, batches, small_step = words
    panels = build.sdiv(build.add(columns, build.sub(width, number(1))), width)
    size = build.mul(build.mul(outer, inner), width)
    squares = build.icmp_signed("==", inner_step, number(1))
    with emit.loop(build, begin, end) as part:
        start, batch = build.mul(build.srem(part, panels), width), build.sdiv(part, panels)
        large, small = build.sdiv(batch, batches), build.srem(batch, batches)
        place = build.add(build.mul(large, batch_step), build.mul(small, small_step))
        place = build.add(place, build.mul(start, step))
        count = emit.smaller(build, width, build.sub(columns, start))
        row = emit.at(build, target, build.mul(part, size), kind)
        whole = build.and_(squares, build.icmp_signed("==", count, width))
        first = build.select(whole, build.sub(inner, build.srem(inner, number(lanes))), number(0))
        with emit.loop(build, number(0), outer) as i:
            read = emit.at(build, source, build.add(place, build.mul(i, outer_step)), kind)
            written = emit.at(build, row, build.mul(build.mul(i, inner), width), kind)
            with emit.loop(build, number(0), first, lanes) as j, emit.loop(build, number(0), width, lanes) as c:
                corner = emit.at(build, read, build.add(build.mul(c, step), j), kind)
                _transpose(
                    build,
                    corner,
                    step,
                    emit.at(build, written, build.add(build.mul(j, width), c), kind),
                    width,
                    kind,
                    lanes,
                )
            with emit.loop(build, first, inner) as j:
                _copy_line(build, emit.at(build, read, build.mul(j, inner_step), kind), step,
                           emit.at(build, written, build.mul(j, width), kind), width, count, kind)  # fmt: skip
    build.ret(number(0))


def _copy_line(
    build: ir.IRBuilder,
    read: ir.Value,
    step: ir.Value,
    written: ir.Value,
    width: ir.Value,
    count: ir.Value,
    kind: ir.Type,
) -> None:
    """One line of a panel: `count` elements, then zeros."""
    with emit.loop(build, number(0), count) as c:
        value = emit.load(build, emit.at(build, read, build.mul(c, step), kind), kind)
        emit.store(build, value, emit.at(build, written, c, kind))
    with emit.loop(build, count, width) as c:
        emit.store(build, ir.Constant(kind, 0.0), emit.at(build, written, c, kind))


def _transpose(
    build: ir.IRBuilder, read: ir.Value, step: ir.Value, written: ir.Value, width: ir.Value, kind: ir.Type, lanes: int
) -> None:
    """written[j, c] = read[c, j] for `lanes` rows and columns, in log2(lanes) rounds of perfect shuffles."""
    vector = ir.VectorType(kind, lanes)
    rows = [emit.load(build, emit.at(build, read, build.mul(step, number(r)), kind), vector) for r in range(lanes)]
    half = lanes // 2
    masks = [
        ir.Constant(
            ir.VectorType(I32, lanes), [lane for pair in range(from_, from_ + half) for lane in (pair, lanes + pair)]
        )
        for from_ in (0, half)
    ]
    for _ in range(lanes.bit_length() - 1):
        rows = [build.shuffle_vector(rows[r], rows[r + half], mask) for r in range(half) for mask in masks]
    for r, one in enumerate(rows):
        emit.store(build, one, emit.at(build, written, build.mul(width, number(r)), kind))
