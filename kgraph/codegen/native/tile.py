"""The inner kernels of every contraction: a small tile of the product, held in vector registers.

    void kg_tile_f32x2(float *a, i64 row_stride, i64 k_stride, float *panel, i64 panel_stride, i64 k,
                       float *tile, i64 tile_stride, i64 rows, i64 mode, float *bias)

    tile[r, c] = sum over j < k of a[r, j] * panel[j, c]     for r < rows and every column c

Strides count elements, from one row to the next and, in a, from one k to the next. The panel may be packed or lie in a
matrix, the tile in scratch memory or in the result. `rows` lies between 1 and the rows of `tile_shape`. `mode` is a sum
of what shall happen to the tile before it is stored: ACCUMULATE adds what was there, BIAS then bias[c], and RELU puts
0 in the place of negative numbers. There is a kernel for float32 and for float64, one and two vectors wide; each is a
jump to a body unrolled for the number of rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llvmlite import ir

from kgraph.codegen.native import emit
from kgraph.codegen.native.emit import I64, PTR, VOID, number
from kgraph.codegen.native.host import host

TILES = {
    "kg_tile_f32x1": ("float32", 1),
    "kg_tile_f32x2": ("float32", 2),
    "kg_tile_f64x1": ("float64", 1),
    "kg_tile_f64x2": ("float64", 2),
}
ACCUMULATE, BIAS, RELU = 1, 2, 4
_ARGUMENTS = (PTR, I64, I64, PTR, I64, I64, PTR, I64, I64, I64, PTR)
_ROWS = 8  # which of them
_GROUP = 4  # rows that share one address register: x86 reaches base + 0, 1, 2 and (with one more register) 3 strides


def tile_name(dtype: str, vectors: int) -> str:
    """The symbol of the tile kernel for this dtype and width."""
    return next(name for name, made_for in TILES.items() if made_for == (dtype, vectors))


def emit_tile(module: ir.Module, name: str) -> None:
    """Add the kernel users call: it passes its arguments on to the body for this many rows."""
    dtype, vectors = TILES[name]
    made, build = emit.function(module, name, VOID, _ARGUMENTS)
    impossible = made.append_basic_block("impossible")
    choice = build.switch(made.args[_ROWS], impossible)
    for rows in range(1, host().rows + 1):
        body = Body(module, f"{name}_rows{rows}", dtype, vectors, rows).emit()
        case = made.append_basic_block(f"rows{rows}")
        choice.add_case(number(rows), case)
        build.position_at_end(case)
        build.call(body, made.args, tail="musttail")
        build.ret_void()
    build.position_at_end(impossible)
    build.unreachable()


@dataclass
class Body:
    """One kernel while it is emitted: a tile whose number of rows is known."""

    module: ir.Module
    name: str
    dtype: str
    vectors: int
    rows: int
    bases: list[ir.Value] = field(default_factory=list)  # variables: where each group of rows stands in a
    sums: list[ir.Value] = field(default_factory=list)  # variables: `splits` sets of rows * vectors

    def __post_init__(self) -> None:
        cpu = host()
        self.scalar = emit.SCALARS[self.dtype]
        self.lanes = cpu.lanes(self.dtype)
        self.vector = ir.VectorType(self.scalar, self.lanes)
        self.splits = 1  # sums per element: a short chain of additions waits for itself
        while 2 * self.splits * self.rows * self.vectors <= 2 * cpu.rows:
            self.splits *= 2

    def emit(self) -> ir.Function:
        """The function: sum over k, in steps of `splits`, then one by one; add the sums up; store."""
        made, build = emit.function(self.module, self.name, VOID, _ARGUMENTS, internal=True)
        made.attributes.add("noinline")
        emit.set_text_attribute(made, "prefer-vector-width", str(host().bits))
        self.build = build
        self.a, self.row_stride, self.k_stride, panel, self.panel_stride, self.k = made.args[:6]
        self.tile, self.tile_stride, _, self.mode, self.bias = made.args[6:]
        for pointer in (self.a, panel, self.tile):
            pointer.add_attribute("noalias")
        self._start(panel)
        self._sum()
        self._finish()
        return made

    def _start(self, panel: ir.Value) -> None:
        """Set the variables; from here on strides count bytes, so that a step is one short addition."""
        build = self.build
        size = number(emit.width(self.scalar))
        self.row_stride, self.k_stride = build.mul(self.row_stride, size), build.mul(self.k_stride, size)
        self.panel_stride, self.tile_stride = build.mul(self.panel_stride, size), build.mul(self.tile_stride, size)
        for first in range(0, self.rows, _GROUP):
            base = emit.moved(build, self.a, build.mul(self.row_stride, number(first)))
            self.bases.append(emit.variable(build, PTR, base))
        self.panel = emit.variable(build, PTR, panel)
        for place in self._places():
            emit.fetch(build, place, is_written=True)
        zero = ir.Constant(self.vector, None)
        count = self.splits * self.rows * self.vectors
        self.sums = [emit.variable(build, self.vector, zero) for _ in range(count)]

    def _sum(self) -> None:
        build = self.build
        rest = build.and_(self.k, number(self.splits - 1))
        with emit.loop(build, number(0), build.sub(self.k, rest), self.splits):
            for split in range(self.splits):
                self._step(split)
        if self.splits > 1:
            with emit.loop(build, number(0), rest):
                self._step(0)

    def _step(self, split: int) -> None:
        """One value of k: a row of the panel times a column of a, into one set of sums."""
        build = self.build
        panel = emit.load(build, self.panel, PTR)
        columns = [
            emit.load(build, emit.at(build, panel, v * self.lanes, self.scalar), self.vector)
            for v in range(self.vectors)
        ]
        emit.store(build, emit.moved(build, panel, self.panel_stride), self.panel)
        for row in range(self.rows):
            factor = emit.splat(build, emit.load(build, self._address(row), self.scalar), self.lanes)
            for v, column in enumerate(columns):
                total = self.sums[(split * self.rows + row) * self.vectors + v]
                emit.store(build, emit.multiply_add(build, factor, column, emit.load(build, total, self.vector)), total)
        for base in self.bases:  # opaque: else a register for each sum of strides, and most of them on the stack
            following = emit.moved(build, emit.load(build, base, PTR), self.k_stride)
            emit.store(build, emit.opaque(build, following), base)

    def _address(self, row: int) -> ir.Value:
        base = emit.load(self.build, self.bases[row // _GROUP], PTR)
        offset = self.build.mul(self.row_stride, number(row % _GROUP))
        return emit.moved(self.build, base, offset)

    def _finish(self) -> None:
        """Add the sets of sums in a fixed order, do what the mode asks for, and store."""
        build = self.build
        totals = [emit.load(build, total, self.vector) for total in self.sums]
        while len(totals) > self.rows * self.vectors:
            half = len(totals) // 2
            totals = [build.fadd(low, high) for low, high in zip(totals[:half], totals[half:], strict=True)]
        sums = self.sums[: len(totals)]
        for total, held in zip(totals, sums, strict=True):
            emit.store(build, total, held)
        places = self._places()
        with self._asked(ACCUMULATE):
            for held, place in zip(sums, places, strict=True):
                self._add(held, emit.load(build, place, self.vector))
        with self._asked(BIAS):
            own = [emit.at(build, self.bias, v * self.lanes, self.scalar) for v in range(self.vectors)]
            biases = [emit.load(build, place, self.vector) for place in own]
            for held, bias in zip(sums, biases * self.rows, strict=True):
                self._add(held, bias)
        with self._asked(RELU):
            zero = ir.Constant(self.vector, None)
            for held in sums:
                total = emit.load(build, held, self.vector)
                emit.store(build, build.select(build.fcmp_ordered("<", total, zero), zero, total), held)
        for held, place in zip(sums, places, strict=True):
            emit.store(build, emit.load(build, held, self.vector), place)
        build.ret_void()

    def _places(self) -> list[ir.Value]:
        """The addresses of the vectors of the tile, row by row."""
        build, places = self.build, []
        for row in range(self.rows):
            line = emit.moved(build, self.tile, build.mul(self.tile_stride, number(row)))
            places += [emit.at(build, line, v * self.lanes, self.scalar) for v in range(self.vectors)]
        return places

    def _asked(self, what: int) -> Any:
        """What is emitted inside happens if the mode asks for it."""
        return self.build.if_then(emit.not_zero(self.build, self.build.and_(self.mode, number(what))))

    def _add(self, held: ir.Value, more: ir.Value) -> None:
        emit.store(self.build, self.build.fadd(emit.load(self.build, held, self.vector), more), held)
