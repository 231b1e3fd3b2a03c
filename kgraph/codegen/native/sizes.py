"""Sizes as native code computes them: the polynomials of graph/sizes.py, of the axes that a call brings."""

from __future__ import annotations

from collections.abc import Mapping

from llvmlite import ir

from kgraph.codegen.native import emit
from kgraph.codegen.native.emit import number
from kgraph.graph.sizes import Dim, Least, Quotient, Size


class Sizes:
    """What emits the values of sizes, each once, one after the other on the way that every call takes.

    It leaves that way for the block `impossible` where a divisor is 0, and for `too_large` where a value does not
    fit 64 bits.
    """

    def __init__(
        self, build: ir.IRBuilder, axes: Mapping[str, ir.Value], impossible: ir.Block, too_large: ir.Block
    ) -> None:
        self._build, self._axes = build, axes
        self._impossible, self._too_large = impossible, too_large
        self._known: dict[Size, ir.Value] = {}

    def value(self, size: Dim) -> ir.Value:
        """The value of a size."""
        if not isinstance(size, Size):
            return number(int(size))
        if size not in self._known:
            total: ir.Value | None = None
            for atoms, factor in size.terms:
                term: ir.Value = number(factor)
                for atom in atoms:
                    term = self.product(term, self._atom(atom))
                total = term if total is None else self.sum(total, term)
            self._known[size] = number(0) if total is None else total
        return self._known[size]

    def sum(self, left: ir.Value, right: ir.Value) -> ir.Value:
        """left + right."""
        return self._checked(self._build.sadd_with_overflow(left, right))

    def product(self, left: ir.Value, right: ir.Value) -> ir.Value:
        """left * right."""
        return self._checked(self._build.smul_with_overflow(left, right))

    def _checked(self, pair: ir.Value) -> ir.Value:
        build = self._build
        emit.need(build, build.not_(build.extract_value(pair, 1)), self._too_large)
        return build.extract_value(pair, 0)

    def _atom(self, atom: str | Quotient | Least) -> ir.Value:
        if isinstance(atom, str):
            return self._axes[atom]
        if isinstance(atom, Least):
            return emit.smaller(self._build, self.value(atom.value), number(0))
        return self._quotient(self.value(atom.value), self.value(atom.divisor))

    def _quotient(self, value: ir.Value, divisor: ir.Value) -> ir.Value:
        """value // divisor, rounded down as in Python."""
        build = self._build
        emit.need(build, emit.not_zero(build, divisor), self._impossible)
        towards_zero, rest = build.sdiv(value, divisor), build.srem(value, divisor)
        differs = build.icmp_signed("<", build.xor(rest, divisor), number(0))
        is_above = build.and_(emit.not_zero(build, rest), differs)
        return build.sub(towards_zero, build.zext(is_above, towards_zero.type))
