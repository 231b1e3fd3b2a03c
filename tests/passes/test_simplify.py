"""Which arithmetic and which moves are simplified, and which are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from graphs import made, numbers, ops, same

from kgraph.graph.sizes import N
from kgraph.graph.types import TensorType
from kgraph.ops.arithmetic import cast, negative, reciprocal, square, where
from kgraph.ops.move import broadcast_to, concatenate, flip, pad, reshape, slice_, transpose
from kgraph.ops.reduce import max_row, sum_row
from kgraph.ops.transcendental import exp, power, sqrt, tanh
from kgraph.passes.rewrite import row
from kgraph.passes.simplify import simplify, simplify_all

F32 = TensorType((N, 4))
INT = TensorType((N, 4), "int32")
LONG = TensorType((N, 4), "int64")
ONES = np.ones(4, "float32")

FIRES: dict[str, tuple[Callable[..., Any], list[Any], list[str]]] = {
    "x + 0": (lambda x: tanh(x + 0), [F32], ["tanh"]),
    "0 + x": (lambda x: tanh(0.0 + x), [F32], ["tanh"]),
    "x - 0": (lambda x: tanh(x - 0), [F32], ["tanh"]),
    "0 - x": (lambda x: 0 - x, [F32], ["negative"]),
    "x * 1": (lambda x: tanh(x * 1), [F32], ["tanh"]),
    "x * ones": (lambda x: tanh(x * ONES), [F32], ["tanh"]),
    "x * -1": (lambda x: x * -1.0, [F32], ["negative"]),
    "x / 1": (lambda x: tanh(x / 1), [F32], ["tanh"]),
    "x * 0 of integers": (lambda x: x * 0, [INT], ["broadcast_to"]),
    "x // 1 of integers": (lambda x: -(x // 1), [INT], ["negative"]),
    "-(-x)": (lambda x: tanh(negative(negative(x))), [F32], ["tanh"]),
    "x + -y": (lambda x, y: x + -y, [F32, F32], ["subtract"]),
    "-y + x": (lambda x, y: -y + x, [F32, F32], ["subtract"]),
    "x - -y": (lambda x, y: x - -y, [F32, F32], ["add"]),
    "-x * -y": (lambda x, y: -x * -y, [F32, F32], ["multiply"]),
    "x * x": (lambda x: x * x, [F32], ["square"]),
    "square of -x": (lambda x: square(-x), [F32], ["square"]),
    "x ** 1": (lambda x: tanh(x**1), [F32], ["tanh"]),
    "x ** 2": (lambda x: x**2, [F32], ["square"]),
    "x ** 3": (lambda x: x**3.0, [F32], ["square", "multiply"]),
    "x ** 4": (lambda x: power(x, 4), [F32], ["square", "square"]),
    "x ** -1": (lambda x: x**-1.0, [F32], ["reciprocal"]),
    "1 / x": (lambda x: 1 / x, [F32], ["reciprocal"]),
    "1 / sqrt": (lambda x: 1 / sqrt(square(x)), [F32], ["square", "rsqrt"]),
    "reciprocal of sqrt": (lambda x: reciprocal(sqrt(square(x))), [F32], ["square", "rsqrt"]),
    "x / sqrt": (lambda x: x / sqrt(square(x)), [F32], ["square", "rsqrt", "multiply"]),
    "x / 8": (lambda x: x / 8.0, [F32], ["multiply"]),
    "x * 2 * 3": (lambda x: 3.0 * (x * 2.0), [F32], ["multiply"]),
    "where of equals": (lambda x, c: tanh(where(c, x, x)), [F32, TensorType((N, 4), "bool")], ["tanh"]),
    "where true": (lambda x, y: tanh(where(True, x, y)), [F32, F32], ["tanh"]),
    "where false": (lambda x, y: tanh(where(False, x, y)), [F32, F32], ["tanh"]),
    "cast to its own dtype": (lambda x: tanh(row("cast")(x, dtype="float32")), [F32], ["tanh"]),
    "cast there and back": (lambda x: tanh(cast(cast(x, "float64"), "float32")), [F32], ["tanh"]),
    "cast in two steps": (lambda x: cast(cast(x, "int64"), "float32"), [INT], ["cast"]),
    "transpose there and back": (
        lambda x: tanh(transpose(transpose(x, axes=(1, 2, 0)), axes=(2, 0, 1))), [(2, 3, 4)], ["tanh"]),
    "transposes": (lambda x: transpose(transpose(x, axes=(1, 2, 0)), axes=(1, 2, 0)), [(2, 3, 4)], ["transpose"]),
    "transpose in place": (lambda x: tanh(transpose(x, axes=(0, 1))), [F32], ["tanh"]),
    "transpose of an axis of size 1": (lambda x: transpose(x, axes=(0, 2, 1)), [(N, 1, 4)], ["reshape"]),
    "reshapes": (lambda x: reshape(reshape(x, shape=(4, N)), shape=(2, 2, N)), [F32], ["reshape"]),
    "reshape there and back": (lambda x: tanh(reshape(reshape(x, shape=(4, N)), shape=(N, 4))), [F32], ["tanh"]),
    "broadcast to its own shape": (lambda x: tanh(broadcast_to(x, shape=(N, 4))), [F32], ["tanh"]),
    "broadcasts": (lambda x: broadcast_to(broadcast_to(x, shape=(3, 4)), shape=(2, 3, 4)), [(4,)], ["broadcast_to"]),
    "broadcast of an operand": (lambda x, y: broadcast_to(x, shape=(N, 4)) - y, [(4,), F32], ["subtract"]),
    "broadcast of the other": (lambda x, y: y / broadcast_to(x, shape=(N, 4)), [(4,), F32], ["divide"]),
    "broadcasts of both, of which one makes the shape": (
        lambda x: broadcast_to(x, shape=(4, 4)) * broadcast_to(exp(x), shape=(4, 4)), [(4,)],
        ["exp", "broadcast_to", "multiply"]),
    "slice of everything": (lambda x: tanh(slice_(x, starts=(0, 0), sizes=(N, 4), steps=(1, 1))), [F32], ["tanh"]),
    "slices": (
        lambda x: slice_(slice_(x, starts=(1, 8), sizes=(8, 4), steps=(1, -2)), starts=(1, 2), sizes=(3, 2),
                         steps=(2, -1)), [(9, 9)], ["slice"]),
    "flip of nothing": (lambda x: tanh(flip(x, axes=())), [F32], ["tanh"]),
    "flip there and back": (lambda x: tanh(flip(flip(x, axes=(1,)), axes=(1,))), [F32], ["tanh"]),
    "pad by nothing": (lambda x: tanh(pad(x, 1.0, low=(0, 0), high=(0, 0), interior=(0, 0))), [F32], ["tanh"]),
    "concatenate of one": (lambda x: tanh(concatenate(x, axis=1)), [F32], ["tanh"]),
    "sum over no axes": (lambda x: tanh(sum_row(x, axes=(), keepdims=False)), [F32], ["tanh"]),
    "sum over an axis of size 1": (lambda x: sum_row(x, axes=(1,), keepdims=False), [(N, 1, 4)], ["reshape"]),
    "max over an axis of size 1": (lambda x: tanh(max_row(x, axes=(1,), keepdims=True)), [(N, 1)], ["tanh"]),
    "sums": (
        lambda x: sum_row(sum_row(x, axes=(1,), keepdims=False), axes=(0, 1), keepdims=False), [(N, 3, 4)], ["sum"]),
    "sums that keep axes": (
        lambda x: sum_row(sum_row(x, axes=(1,), keepdims=True), axes=(0,), keepdims=True), [(N, 3, 4)], ["sum"]),
}  # fmt: skip

STAYS: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "x * 0, for NaN * 0 is NaN": (lambda x: x * 0, [F32]),
    "x - x, for NaN - NaN is NaN": (lambda x: x - x, [F32]),
    "x + 1": (lambda x: x + 1, [F32]),
    "0 / x": (lambda x: 0 / x, [F32]),
    "1 - x": (lambda x: 1 - x, [F32]),
    "x + 0 that stretches x": (lambda x: x + np.zeros((3, 4), "float32"), [(4,)]),
    "x / 3, whose reciprocal is rounded": (lambda x: x / 3.0, [F32]),
    "x * y * z": (lambda x, y, z: x * y * z, [F32, F32, F32]),
    "x * 1e20 * 1e-38, which underflows as one number": (lambda x: x * 1e-20 * 1e-20, [F32]),
    "cast to less and back": (lambda x: cast(cast(x, "int32"), "float32"), [F32]),
    "cast to half and back": (lambda x: cast(cast(x, "float16"), "float32"), [F32]),
    "cast of large integers": (lambda x: cast(cast(x, "float32"), "float64"), [INT]),
    "cast of 64 bits to a float and back": (lambda x: cast(cast(x, "float64"), "int64"), [LONG]),
    "cast of 64 bits in two steps": (lambda x: cast(cast(x, "float64"), "float32"), [LONG]),
    "transpose": (lambda x: transpose(x, axes=(1, 0)), [F32]),
    "reshape": (lambda x: reshape(x, shape=(4, N)), [F32]),
    "slice of a part": (lambda x: slice_(x, starts=(0, 0), sizes=(N, 3), steps=(1, 1)), [F32]),
    "slice of everything backwards": (lambda x: slice_(x, starts=(0, 3), sizes=(N, 4), steps=(1, -1)), [F32]),
    "flips of other axes": (lambda x: flip(flip(x, axes=(1,)), axes=(0,)), [F32]),
    "concatenate of one twice": (lambda x: concatenate(x, x, axis=1), [F32]),
    "sum of max": (
        lambda x: sum_row(max_row(x, axes=(1,), keepdims=False), axes=(0,), keepdims=False), [(4, 4)]),
    "where with a number": (lambda x: where(x > 0, x, 0.0), [F32]),
    "stop_gradient before the gradients": (lambda x: row("stop_gradient")(x), [F32]),
}  # fmt: skip


@pytest.mark.parametrize("case", FIRES)
def test_it_is_simplified(case: str) -> None:
    call, shapes, wanted = FIRES[case]
    before = made(call, *shapes)
    assert ops(same(before, simplify(before))) == wanted


@pytest.mark.parametrize("case", STAYS)
def test_it_stays(case: str) -> None:
    call, shapes = STAYS[case]
    before = made(call, *shapes)
    assert ops(same(before, simplify(before))) == ops(before)


def test_stop_gradient_goes_once_the_gradients_are_there() -> None:
    before = made(lambda x: tanh(row("stop_gradient")(x)), F32)
    assert ops(same(before, simplify_all(before))) == ["tanh"]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0.0, 1e30, -1e-30])
def test_nan_and_infinity_come_out_as_before(value: float) -> None:
    for call, shapes, _ in FIRES.values():
        before = made(call, *shapes)
        given = [np.full_like(x, value) if x.dtype.kind == "f" else x for x in numbers(before)]
        same(before, simplify(before), given=given)


def test_simplifying_twice_changes_nothing_more() -> None:
    for call, shapes, _ in FIRES.values():
        once = simplify(made(call, *shapes))
        assert str(simplify(once)) == str(once)
