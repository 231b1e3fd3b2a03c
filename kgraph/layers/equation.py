"""What an EinsumDense equation says about the shapes of kernel, bias and output."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kgraph.errors import ArgumentError, ShapeError

FORM = re.compile(
    r"(?P<left>\.{3})?(?P<x>[a-zA-Z]+)(?P<right>\.{3})?,(?P<w>[a-zA-Z]+)->(\.{3})?(?P<y>[a-zA-Z]+)(\.{3})?"
)
MaybeDim = int | None


@dataclass(frozen=True)
class EinsumShapes:
    """Shapes of the kernel, of the bias (None without one) and of the output."""

    kernel: tuple[MaybeDim, ...]
    bias: tuple[MaybeDim, ...] | None
    output: tuple[MaybeDim, ...]

    @classmethod
    def of(
        cls, equation: str, bias_axes: str | None, input_shape: Sequence[MaybeDim], output_shape: Sequence[MaybeDim]
    ) -> EinsumShapes:
        """The shapes for this input; output_shape lacks the batch and the axes that "..." stands for.

        ArgumentError for an equation of no supported form, ShapeError for sizes that contradict each other.
        """
        left, x, w, y, right = split(equation)
        hidden = len(input_shape) - len(x)
        if hidden < 0 or (hidden and not (left or right)):
            raise ShapeError(f"equation {equation!r} names {len(x)} axes and the input has shape {tuple(input_shape)}")
        start, end = (hidden, 0) if left else (0, hidden)
        sizes = dict(zip(x, input_shape[start : start + len(x)], strict=True))
        front = tuple(input_shape[:hidden]) if left and hidden else tuple(input_shape[:1])
        whole = (*front, *output_shape, *(tuple(input_shape[len(x) :]) if end else ()))
        if len(whole) != len(y) + hidden:
            raise ShapeError(f"equation {equation!r} gives {len(y) + hidden} axes, output_shape says {whole}")
        named = dict(zip(y, whole[start : start + len(y)], strict=True))
        for letter in y:
            if letter in sizes and named[letter] not in (None, sizes[letter]):
                raise ShapeError(
                    f"axis {letter!r} of equation {equation!r} is {sizes[letter]} in the input and "
                    f"{named[letter]} in output_shape"
                )
            if letter not in sizes and letter not in w:
                raise ArgumentError(f"axis {letter!r} of the output of {equation!r} is in neither input nor kernel")
        bias = bias_shape(equation, bias_axes, y, named)
        return cls(kernel_shape(equation, w, sizes, named), None if bias is None else (*bias, *[1] * end), whole)


def split(equation: str) -> tuple[bool, str, str, str, bool]:
    """Whether "..." leads, the letters of input, kernel and output, and whether "..." trails."""
    found = FORM.fullmatch(equation.replace(" ", ""))
    if found:
        left, right, out_left, out_right = found["left"], found["right"], found[5], found[7]
        if bool(left) == bool(out_left) and bool(right) == bool(out_right) and not (left and right):
            return bool(left), found["x"], found["w"], found["y"], bool(right)
    raise ArgumentError(f"equation {equation!r} has none of the forms 'X,W->Y', '...X,W->...Y' and 'X...,W->Y...'")


def kernel_shape(
    equation: str, letters: str, sizes: dict[str, MaybeDim], named: dict[str, MaybeDim]
) -> tuple[MaybeDim, ...]:
    """The kernel's sizes, from the output where that has the axis, else from the input."""
    shape = []
    for letter in letters:
        if letter not in named and letter not in sizes:
            raise ArgumentError(f"axis {letter!r} of the kernel of {equation!r} is in neither input nor output")
        shape.append(named[letter] if letter in named else sizes[letter])
    return tuple(shape)


def bias_shape(
    equation: str, axes: str | None, letters: str, named: dict[str, MaybeDim]
) -> tuple[MaybeDim, ...] | None:
    """The bias has its axes' sizes, and 1 for the output axes between and behind them."""
    if not axes:
        return None
    for letter in axes:
        if letter not in letters:
            raise ArgumentError(f"bias axis {letter!r} is no axis of the output of {equation!r}")
    first = min(letters.index(letter) for letter in axes)
    return tuple(named[letter] if letter in axes else 1 for letter in letters[first:])
