"""How calls, ranges and quotients become LLVM's instructions: without what numba adds for code that may raise.

numba's functions return a status beside their value, its ranges may have any step, and its quotients branch around
every case that a processor would trap. Kernels raise nothing and count upwards. What is here is a fraction of the
text, which LLVM would have to read and throw away.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.callconv import RETCODE_OK, BaseCallConv, Status
from numba.core.imputils import Registry

from kgraph.codegen.native.emit import I1, I64, number

registry = Registry("kgraph")
_NO, _YES = number(0, I1), number(1, I1)
_WELL = Status(RETCODE_OK, _YES, _NO, _NO, _NO, _NO, _NO, None)


class Plain(BaseCallConv):
    """Functions take values and return one."""

    def get_return_type(self, kind: types.Type) -> ir.Type:
        return self.context.data_model_manager[kind].get_return_type()

    def get_function_type(self, result: types.Type, arguments: Sequence[types.Type]) -> ir.FunctionType:
        taken = self._get_arg_packer(arguments).argument_types
        return ir.FunctionType(self.get_return_type(result), taken)

    def decorate_function(
        self, function: ir.Function, names: Sequence[str], kinds: Sequence[types.Type], noalias: bool = False
    ) -> None:
        self._get_arg_packer(kinds).assign_names(self.get_arguments(function), [f"arg.{name}" for name in names])

    def get_arguments(self, function: ir.Function) -> Sequence[ir.Value]:
        return function.args

    def return_value(self, build: ir.IRBuilder, value: ir.Value) -> None:
        build.ret(value)

    def call_function(
        self, build: ir.IRBuilder, function: ir.Function, result: types.Type, kinds: Sequence[types.Type], values: Any
    ) -> tuple[Status, ir.Value]:
        value = build.call(function, self._get_arg_packer(kinds).as_arguments(build, values))
        return _WELL, self.context.get_returned_value(build, result, value)

    def return_status_propagate(self, build: ir.IRBuilder, status: Status) -> None:
        """Nothing: all is well always."""

    def return_user_exc(self, build: ir.IRBuilder, *arguments: Any, **named: Any) -> None:
        build.unreachable()  # such as an index past the end of a tuple

    def _make_call_helper(self, build: ir.IRBuilder) -> None:
        return None


@registry.lower(range, types.int64)
@registry.lower(range, types.int64, types.int64)
@registry.lower(range, types.int64, types.int64, types.int64)
def lower_range(context: Any, build: ir.IRBuilder, signature: Any, given: Sequence[ir.Value]) -> ir.Value:
    """Start, stop and step; the step is positive."""
    bounds = given if len(given) > 1 else [number(0), *given]
    return cgutils.pack_struct(build, [*bounds, number(1)][:3])


@registry.lower("getiter", types.range_state64_type)
def lower_start(context: Any, build: ir.IRBuilder, signature: Any, given: Sequence[ir.Value]) -> ir.Value:
    """What numba's model of an iterator has: where the next value is, the stop, the step, and how many are left.

    The number of turns is what LLVM wants to know of a loop, and it has it here as it follows from the sizes.
    """
    start, stop, step = cgutils.unpack_tuple(build, given[0], 3)
    value, left = (cgutils.alloca_once(build, I64) for _ in range(2))
    build.store(start, value)
    longer = build.add(build.sub(stop, start), build.sub(step, number(1)))
    build.store(build.sdiv(longer, step), left)
    return cgutils.pack_struct(build, [value, stop, step, left])


@registry.lower("iternext", types.range_iter64_type)
def lower_next(context: Any, build: ir.IRBuilder, signature: Any, given: Sequence[ir.Value]) -> ir.Value:
    """The next value, and whether it is one."""
    value, _, step, left = cgutils.unpack_tuple(build, given[0], 4)
    now, turns = build.load(value), build.load(left)
    build.store(build.add(now, step, flags=["nsw"]), value)
    build.store(build.sub(turns, number(1), flags=["nsw"]), left)
    return cgutils.pack_struct(build, [now, build.icmp_signed(">", turns, number(0))])


@registry.lower(operator.floordiv, types.int64, types.int64)
def lower_quotient(context: Any, build: ir.IRBuilder, signature: Any, given: Sequence[ir.Value]) -> ir.Value:
    """The quotient rounded down; 0 where there is none, as in numpy."""
    value, divisor = given
    if not _is_positive(divisor):
        return _divided(build, value, divisor)[0]
    quotient = build.sdiv(value, divisor)
    return _corrected(build, build.srem(value, divisor), quotient, number(-1))


@registry.lower(operator.mod, types.int64, types.int64)
def lower_remainder(context: Any, build: ir.IRBuilder, signature: Any, given: Sequence[ir.Value]) -> ir.Value:
    """The remainder, with the sign of the divisor; 0 where there is none, as in numpy."""
    value, divisor = given
    if not _is_positive(divisor):
        return _divided(build, value, divisor)[1]
    rest = build.srem(value, divisor)
    corrected = _corrected(build, rest, rest, divisor)
    is_power = divisor.constant.bit_count() == 1
    return build.and_(value, number(divisor.constant - 1)) if is_power else corrected  # known to be less than that


def _corrected(build: ir.IRBuilder, rest: ir.Value, value: ir.Value, change: ir.Value) -> ir.Value:
    """The value, changed if the rest is negative. It has a block of its own, even where nothing comes of it: LLVM
    takes conditions together that have nothing between them, and then splits no loop at them."""
    place = cgutils.alloca_once_value(build, value)
    with build.if_then(build.icmp_signed("<", rest, number(0))):
        build.store(build.add(value, change), place)
    return build.load(place)


def _is_positive(divisor: ir.Value) -> bool:
    return isinstance(divisor, ir.Constant) and divisor.constant > 0


def _divided(build: ir.IRBuilder, value: ir.Value, divisor: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Quotient and remainder. The processor would trap without a divisor, and where the quotient is 2 ** 63."""
    least = build.icmp_signed("==", value, number(-(2**63)))
    traps = build.and_(least, build.icmp_signed("==", divisor, number(-1)))
    traps = build.or_(traps, build.icmp_signed("==", divisor, number(0)))
    safe = build.select(traps, number(1), divisor)
    quotient, rest = build.sdiv(value, safe), build.srem(value, safe)
    other_sign = build.icmp_signed("<", build.xor(rest, safe), number(0))
    up = build.and_(other_sign, build.icmp_signed("!=", rest, number(0)))
    quotient = build.sub(quotient, build.zext(up, I64))
    rest = build.add(rest, build.select(up, safe, number(0)))
    return build.select(traps, number(0), quotient), build.select(traps, number(0), rest)
