"""The `read` of every row of kind "move" names, for each element of the result, what the numpy row puts there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import kgraph.ops  # noqa: F401  (fills the tables)
from kgraph.graph.index import Apply, Choose, Condition, Floor, Index, Loop, Operand, Read
from kgraph.graph.op import OPS
from kgraph.graph.sizes import axis, resolve
from kgraph.graph.types import TensorType, standard_dtype
from kgraph.ops.random import philox

N, T = axis("N"), axis("T")
SIZES = {"N": 3, "T": 4}


@dataclass
class Reader:
    """Evaluates expressions of kgraph.index on arrays, at one point of the loops."""

    arrays: list[np.ndarray]
    point: Mapping[str, int]

    def value(self, expression: Any) -> Any:
        if isinstance(expression, Read):
            at = tuple(self.number(one) for one in expression.at)
            shape = self.arrays[expression.slot].shape
            assert all(0 <= one < size for one, size in zip(at, shape, strict=True)), f"{at} is outside {shape}"
            return self.arrays[expression.slot][at]
        if isinstance(expression, Choose):
            return self.value(expression.then if self.holds(expression.condition) else expression.other)
        if isinstance(expression, Apply):
            assert expression.template == "philox({0}, {1}, {2})"
            first, second, place = (int(self.value(part)) for part in expression.arguments)
            return philox(np.array([[place // 4, 0, 0, 0]], np.uint64), (first, second))[0, place % 4]
        return self.number(expression)

    def number(self, index: Index) -> int:
        return resolve(index.offset, SIZES) + sum(
            self.atom(atom) * resolve(factor, SIZES) for atom, factor in index.terms
        )

    def atom(self, atom: Any) -> int:
        if isinstance(atom, Loop):
            return self.point[atom.name]
        if isinstance(atom, Floor):
            value, divisor = self.number(atom.value), resolve(atom.divisor, SIZES)
            return value % divisor if atom.rest else value // divisor
        return int(self.value(atom))

    def holds(self, condition: Condition) -> bool:
        if condition.sign == "and":
            return all(self.holds(part) for part in condition.parts)
        left, right = map(self.number, condition.parts)
        return {"<": left < right, ">=": left >= right, "==": left == right}[condition.sign]


def array(*shape: int) -> np.ndarray:
    return np.arange(1, 1 + int(np.prod(shape)), dtype=np.float64).reshape(shape)


def ints(values: Any, dtype: str = "int32") -> np.ndarray:
    return np.asarray(values, dtype)


CASES: list[tuple[str, list[np.ndarray], dict[str, Any], list[Any] | None]] = [
    ("reshape", [array(3, 8)], {"shape": (4, 6)}, None),
    ("reshape", [array(3, 4, 6)], {"shape": (N * T, 2, 3)}, [(N, T, 6)]),
    ("reshape", [array(3, 4, 6)], {"shape": (N, 6, T)}, [(N, T, 6)]),
    ("reshape", [array(12, 6)], {"shape": (N, T, 6)}, [(N * T, 6)]),
    ("reshape", [array(1, 1)], {"shape": ()}, None),
    ("transpose", [array(2, 3, 4)], {"axes": (2, 0, 1)}, None),
    ("transpose", [array(3, 4, 2)], {"axes": (1, 2, 0)}, [(N, T, 2)]),
    ("broadcast_to", [array(3, 1)], {"shape": (2, 3, 4)}, None),
    ("broadcast_to", [array(3, 1)], {"shape": (2, N, T)}, [(N, 1)]),
    ("slice", [array(5, 6)], {"starts": (1, 5), "sizes": (2, 3), "steps": (2, -2)}, None),
    ("slice", [array(3, 4)], {"starts": (0, T - 1), "sizes": (N, T), "steps": (1, -1)}, [(N, T)]),
    ("pad", [array(2, 3), np.float64(9)], {"low": (1, 0), "high": (2, 1), "interior": (0, 0)}, None),
    ("pad", [array(2, 3), np.float64(9)], {"low": (1, 2), "high": (0, 1), "interior": (2, 1)}, None),
    ("pad", [array(3, 4), np.float64(9)], {"low": (T, 0), "high": (0, N), "interior": (0, 1)}, [(N, T), ()]),
    ("pad", [array(2, 3), np.float64(9)], {"low": (0, 0), "high": (0, 0), "interior": (0, 0)}, None),
    ("windows", [array(2, 7, 3)], {"widths": (3,), "strides": (2,), "dilations": (2,)}, None),
    ("windows", [array(2, 5, 4)], {"widths": (2, 3), "strides": (1, 1), "dilations": (1, 1)}, None),
    ("windows", [array(3, 4, 2)], {"widths": (2,), "strides": (1,), "dilations": (1,)}, [(N, T, 2)]),
    ("flip", [array(2, 3, 2)], {"axes": (0, 1)}, None),
    ("flip", [array(3, 4)], {"axes": (1,)}, [(N, T)]),
    ("concatenate", [array(2, 3), -array(2, 1), array(2, 2)], {"axis": 1}, None),
    ("concatenate", [array(3, 2), -array(4, 2), array(3, 2)], {"axis": 0}, [(N, 2), (T, 2), (N, 2)]),
    ("take", [array(4, 3), ints([[0, -1], [3, -4]])], {"axis": 0}, None),
    ("take", [array(2, 4, 3), ints([2, 0], "uint8")], {"axis": 1}, None),
    ("take", [array(2, 3), ints(-1)], {"axis": 1}, None),
    ("take", [array(4, 2), ints([0, -4, 2])], {"axis": 0}, [(T, 2), (N,)]),
    ("take_along_axis", [array(3, 4), ints([[0, -1], [1, 2], [3, -4]])], {"axis": 1}, [(N, T), (N, 2)]),
    ("take_along_axis", [array(3, 4), ints([[0], [-1], [3]])], {"axis": 1}, None),
    ("take_along_axis", [array(1, 4), ints([[0, 1], [-1, 2]])], {"axis": 1}, None),
    ("take_along_axis", [array(3, 4), ints([[0, 2]])], {"axis": 1}, None),
    ("iota", [], {"shape": (2, 5), "axis": 1, "dtype": "int32"}, None),
    ("iota", [], {"shape": (N, T, 2), "axis": 1, "dtype": "int32"}, []),
    ("diagonal", [array(3, 4)], {"axis1": 0, "axis2": 1}, None),
    ("diagonal", [array(3, 2, 3)], {"axis1": 2, "axis2": 0}, [(N, 2, N)]),
    ("random_bits", [ints([7, 2], "uint32")], {"shape": (3, 7)}, None),
    ("random_bits", [ints([7, 2], "uint32")], {"shape": (N, T)}, [(2,)]),
    (
        "random_part",
        [ints([7, 2], "uint32"), ints(3), ints(1)],
        {"shape": (2, 4, T), "whole": (2, 2, 9, T), "row": 2, "sample_axis": 0},
        None,
    ),
    (
        "random_part",
        [ints([7, 2], "uint32"), ints(3), ints(0)],
        {"shape": (4, 3), "whole": (9, 3), "row": 0, "sample_axis": None},
        None,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{number}-{case[0]}" for number, case in enumerate(CASES)])
def test_read_agrees_with_the_numpy_row(case: tuple[str, list[np.ndarray], dict[str, Any], list[Any] | None]) -> None:
    name, arrays, attrs, shapes = case
    op = OPS[name]
    assert op.read is not None
    given = shapes if shapes is not None else [one.shape for one in arrays]
    kinds = [TensorType(tuple(shape), standard_dtype(one.dtype)) for shape, one in zip(given, arrays, strict=True)]
    kind = op.type(*kinds, **attrs)
    wanted = np.asarray(op.numpy(*arrays, **{key: resolve(value, SIZES) for key, value in attrs.items()}))
    assert resolve(kind.shape, SIZES) == wanted.shape
    loops = [Loop(f"i{place}", size) for place, size in enumerate(kind.shape)]
    expression = op.read(
        [Index(((loop, 1),)) for loop in loops], *(Operand(slot, one) for slot, one in enumerate(kinds)), **attrs
    )
    for at in np.ndindex(wanted.shape):
        reader = Reader(arrays, {loop.name: place for loop, place in zip(loops, at, strict=True)})
        assert reader.value(expression) == wanted[at], f"{name} at {at}: {expression}"


def test_every_move_row_is_read() -> None:
    assert {name for name, op in OPS.items() if op.kind == "move"} == {case[0] for case in CASES}


def test_a_reshape_that_moves_axes_of_size_1_reads_at_the_same_indices() -> None:
    at = [Index(((Floor(Index(((Loop("i", 2 * N * T), 1),)), 2, False), 1),)), Index(), Index(((Loop("j", T), 1),))]
    read = OPS["reshape"].read
    assert read is not None
    assert read(at, Operand(0, TensorType((1, N * T, T))), shape=(N * T, 1, T)).at == (Index(), at[0], at[2])


def test_a_reshape_that_splits_an_axis_needs_no_division() -> None:
    i, j, k = (Index(((Loop(name, size), 1),)) for name, size in (("i", N), ("j", 12), ("k", 64)))
    read = OPS["reshape"].read
    assert read is not None
    split = read([i, j, k], Operand(0, TensorType((N, 768))), shape=(N, 12, 64))
    assert split.at == (i, j * 64 + k)
