"""The grammar of einsum: from what users write to the row's spec, which has letters only and names its result."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_letters
from typing import Any

from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.sizes import Shape, shown


def canonical(subscripts: str, shapes: Sequence[Shape]) -> str:
    """The spec of an equation on operands of these shapes: "...a, ab" on (2, 3) and (3, 4) gives "ca,ab->cb".

    The grammar is numpy's: spaces are skipped, "..." stands for axes that broadcast, and without "->" the result has
    these axes and then, in alphabetical order, the labels that occur once.
    """
    text = subscripts.replace(" ", "")
    inputs, arrow, output = text.partition("->")
    terms = inputs.split(",")
    _check(subscripts, terms, output, len(shapes))
    stretch = _ellipsis_labels(subscripts, terms, shapes)
    most = max(stretch, key=len, default="")
    spelled = [term.replace("...", labels) for term, labels in zip(terms, stretch, strict=True)]
    if not arrow:
        once = [label for label in sorted(set(inputs) - {",", "."}) if inputs.count(label) == 1]
        output = "..." * ("." in inputs) + "".join(once)
    if most and "..." not in output:
        raise ArgumentError(f"einsum {subscripts!r}: '...' is {len(most)} axes of the operands, but not in the result")
    return f"{','.join(spelled)}->{output.replace('...', most)}"


def _check(subscripts: str, terms: list[str], output: str, operands: int) -> None:
    for term in [*terms, output]:
        if not re.fullmatch(r"[A-Za-z]*(\.\.\.)?[A-Za-z]*", term):
            raise ArgumentError(f"einsum {subscripts!r}: {term!r} is not made of letters and at most one '...'")
    if len(terms) != operands:
        raise ArgumentError(f"einsum {subscripts!r} takes {len(terms)} operands, and got {operands}")
    for label in output.replace(".", ""):
        if output.count(label) > 1:
            raise ArgumentError(f"einsum {subscripts!r}: the result has {label!r} twice")
        if not any(label in term for term in terms):
            raise ArgumentError(f"einsum {subscripts!r}: {label!r} of the result is in no operand")


def _ellipsis_labels(subscripts: str, terms: list[str], shapes: Sequence[Shape]) -> list[str]:
    """What "..." stands for in each operand: the last of a row of letters that are not used otherwise."""
    counts = []
    for term, shape in zip(terms, shapes, strict=True):
        named = len(term.replace("...", ""))
        if len(shape) < named or (len(shape) > named and "..." not in term):
            raise ShapeError(
                f"einsum {subscripts!r}: {term!r} names {named} axes, the operand has shape {shown(shape)}"
            )
        counts.append(len(shape) - named)
    used = set("".join(terms))
    free = [letter for letter in ascii_letters if letter not in used]
    if len(free) < max(counts, default=0):
        raise ArgumentError(f"einsum {subscripts!r}: more axes than letters")
    row = "".join(free[: max(counts, default=0)])
    return [row[len(row) - count :] for count in counts]


def from_lists(arguments: Sequence[Any]) -> tuple[str, list[Any]]:
    """numpy's other form, einsum(x, [0, 1], y, [1, 2], [0, 2]), as an equation and operands."""
    count = len(arguments) // 2
    operands, lists = list(arguments[0 : 2 * count : 2]), list(arguments[1 : 2 * count : 2])
    text = ",".join(map(_letters, lists))
    return (f"{text}->{_letters(arguments[-1])}" if len(arguments) % 2 else text), operands


def _letters(labels: Any) -> str:
    return "".join("..." if label is Ellipsis else ascii_letters[label] for label in labels)
