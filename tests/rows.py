"""Samples for sweeps over OPS: numbers that each row takes, and calls of it with sizes known only at the call.

Rows of kind map, reduce and cumulate are sampled by being there; CALLS has what those of other kinds are given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

import kgraph.ops  # noqa: F401  (fills the tables)
from kgraph.errors import ShapeError
from kgraph.graph.op import FUNCTIONS, OPS
from kgraph.graph.sizes import Dim, N, Shape, axis, resolve
from kgraph.graph.types import TensorType, is_float, numpy_dtype
from kgraph.tracing.trace import Symbol, primitive, record

T = axis("T")
MAPS = sorted(name for name, op in OPS.items() if op.kind == "map" and name not in ("size", "cast"))
REDUCTIONS = sorted(name for name, op in OPS.items() if op.kind == "reduce")
RUNNING = sorted(name for name, op in OPS.items() if op.kind == "cumulate")

# Where a row is defined and smooth; everything else takes numbers around 0.
DOMAINS = {
    "log": (0.1, 4.0), "sqrt": (0.1, 4.0), "rsqrt": (0.1, 4.0), "reciprocal": (0.3, 4.0), "log1p": (-0.9, 4.0),
    "arcsin": (-0.9, 0.9), "arccos": (-0.9, 0.9), "arctanh": (-0.9, 0.9), "erfinv": (-0.9, 0.9), "arccosh": (1.1, 4.0),
    "power": (0.2, 2.0), "divide": (0.3, 2.0), "mod": (0.3, 2.0), "floor_divide": (0.3, 2.0), "cast": (0.2, 4.0),
    "prod": (0.6, 1.6), "cumprod": (0.6, 1.6),
}  # fmt: skip
LOGIC = ("logical_and", "logical_not", "logical_or", "logical_xor")
BITS = ("bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "left_shift", "right_shift")
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.5, 1e-40, 1e30, -1e30, 88.9, -88.9, -104.0]
MATRICES = ("cholesky", "solve", "solve_triangular", "det", "log_of_det", "sign_of_det")
LOOSE = {"erf": 3e-6, "erfinv": 2e-6}  # how far float32 may be off, where that is more than a few last places


def places(name: str) -> int:
    """How many operands a row of kind map takes."""
    template = OPS[name].scalar
    assert template is not None
    return 1 + max((int(place) for place in re.findall(r"\{(\d)", template)), default=-1)


def row(name: str) -> Callable[..., Any]:
    """The row itself, without what the public function of its name adds."""
    return lambda *xs, **attrs: record(OPS[name], xs, attrs) if isinstance(xs[0], Symbol) else eager(name, xs, attrs)


def eager(name: str, xs: Any, attrs: Any) -> Any:
    """The row on arrays."""
    known = FUNCTIONS[name]
    call = primitive(OPS[name])
    FUNCTIONS[name] = known
    return call(*xs, **attrs)


def sample(name: str, shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    """Numbers a row takes; none of them near a step of it."""
    random = np.random.default_rng(seed)
    if dtype == "bool":
        return random.integers(0, 2, shape).astype(bool)
    if not is_float(dtype):
        return random.integers(1, 5, shape).astype(dtype)
    low, high = DOMAINS.get(name, (-2.0, 2.0))
    found = random.uniform(low, high, shape) + 1e-3
    if name in MATRICES and len(shape) > 1 and shape[-1] == shape[-2]:  # symmetric and positive definite
        found = found + np.swapaxes(found, -1, -2) + 4 * shape[-1] * np.eye(shape[-1])
    return found.astype(numpy_dtype(dtype))


def attributes(name: str) -> list[dict[str, Any]]:
    """Attributes to try a reduction of three axes with."""
    axes: Any = [(0,), (1,), (2,)] if name.startswith("arg") else [(0,), (2,), (0, 2), (1, 2), (0, 1, 2)]
    return [{"axes": one, "keepdims": keepdims} for one in axes for keepdims in (False, True)]


# calls with sizes known only at the call -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Operand:
    """What a row is given at one place. No dtype: the one under test. below: the size of the axis that it indexes."""

    shape: Shape
    dtype: str = ""
    below: Dim | None = None

    def numbers(self, name: str, dtype: str, sizes: Mapping[str, int], seed: int) -> np.ndarray:
        """A sample for the row of this name."""
        shape = resolve(self.shape, sizes)
        if self.below is None:
            return sample(name, shape, self.dtype or dtype, seed)
        size, kind = resolve(self.below, sizes), numpy_dtype(self.dtype)
        least = 0 if kind.kind == "u" else -size
        return np.random.default_rng(seed).integers(least, max(size, least + 1), shape).astype(kind)


@dataclass(frozen=True, eq=False)
class Call:
    """One use of a row."""

    name: str
    operands: tuple[Operand, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)

    def kinds(self, dtype: str) -> list[TensorType]:
        """The types of the operands."""
        return [TensorType(one.shape, one.dtype or dtype) for one in self.operands]

    def numbers(self, dtype: str, sizes: Mapping[str, int]) -> list[np.ndarray]:
        """Arrays for the operands."""
        return [one.numbers(self.name, dtype, sizes, place) for place, one in enumerate(self.operands)]

    def on(self, xs: Sequence[Symbol]) -> Symbol:
        """The symbol of the result."""
        return record(OPS[self.name], xs, self.attrs)

    def means_something(self, dtype: str, sizes: Mapping[str, int]) -> bool:
        """Whether there is a result for these sizes: there is no maximum of nothing."""
        kinds = [TensorType(resolve(kind.shape, sizes), kind.dtype) for kind in self.kinds(dtype)]
        try:
            OPS[self.name].type(*kinds, **{key: resolve(value, sizes) for key, value in self.attrs.items()})
        except ShapeError:
            return False
        return True

    def __str__(self) -> str:
        shapes = ", ".join(str(TensorType(one.shape, one.dtype or "float32")) for one in self.operands)
        return f"{self.name}({', '.join([shapes, *(f'{key}={value}' for key, value in self.attrs.items())])})"


def x(*shape: Dim) -> Operand:
    return Operand(shape)


def at(*shape: Dim, below: Dim, dtype: str = "int32") -> Operand:
    return Operand(shape, dtype, below)


def window(axes: int, **more: Any) -> dict[str, Any]:
    """The attributes of a convolution."""
    zeros, ones = (0,) * axes, (1,) * axes
    return {"strides": ones, "low": zeros, "high": zeros, "spread": ones, "dilations": ones, "groups": 1} | more


SEED = Operand((2,), "uint32")
CALLS: list[Call] = [
    Call(name, operands, attrs)  # type: ignore[arg-type]
    for name, operands, attrs in (
        ("size", (), {"dim": N}),
        ("size", (), {"dim": N * T + 1}),
        ("reshape", (x(N, 6),), {"shape": (N, 2, 3)}),
        ("reshape", (x(N, T, 6),), {"shape": (N * T, 2, 3)}),
        ("reshape", (x(N, T, 6),), {"shape": (N, 6, T)}),
        ("reshape", (x(N, 1),), {"shape": (N,)}),
        ("transpose", (x(N, 3, 4),), {"axes": (2, 0, 1)}),
        ("transpose", (x(N, T, 2),), {"axes": (1, 2, 0)}),
        ("transpose", (x(N, 40),), {"axes": (1, 0)}),
        ("flip", (x(N, 3, 2),), {"axes": (0, 1)}),
        ("flip", (x(N, T),), {"axes": (1,)}),
        ("broadcast_to", (x(N, 1),), {"shape": (2, N, T)}),
        ("broadcast_to", (x(),), {"shape": (N, 3)}),
        ("slice", (x(N, 6),), {"starts": (0, 5), "sizes": (N, 3), "steps": (1, -2)}),
        ("slice", (x(N, T),), {"starts": (0, T - 1), "sizes": (N, T), "steps": (1, -1)}),
        ("slice", (x(N * 2 + 1, 4),), {"starts": (1, 1), "sizes": (N, 2), "steps": (2, 1)}),
        ("pad", (x(N, 3), x()), {"low": (1, 0), "high": (0, 2), "interior": (0, 1)}),
        ("pad", (x(N, 3), x()), {"low": (1, 2), "high": (2, 0), "interior": (2, 0)}),
        ("pad", (x(N, T), x()), {"low": (T, 0), "high": (0, N), "interior": (0, 1)}),
        ("pad", (x(N, T), x()), {"low": (0, 0), "high": (0, 0), "interior": (0, 0)}),
        ("concatenate", (x(N, 3), x(N, 1), x(N, 2)), {"axis": 1}),
        ("concatenate", (x(N, 2), x(T, 2), x(N, 2)), {"axis": 0}),
        ("concatenate", (x(N, 2),), {"axis": 0}),
        ("iota", (), {"shape": (N, T, 2), "axis": 1, "dtype": "int32"}),
        ("iota", (), {"shape": (N, 3), "axis": 0, "dtype": "float32"}),
        ("iota", (), {"shape": (2, N), "axis": 1, "dtype": "uint8"}),
        ("diagonal", (x(N, 3, 4),), {"axis1": 1, "axis2": 2}),
        ("diagonal", (x(N, 2, N),), {"axis1": 2, "axis2": 0}),
        ("diagonal", (x(N, T),), {"axis1": 0, "axis2": 1}),
        ("take", (x(4, 3), at(N, 2, below=4)), {"axis": 0}),
        ("take", (x(N, 4, 3), at(2, below=4, dtype="uint8")), {"axis": 1}),
        ("take", (x(N, 3), at(below=3)), {"axis": 1}),
        ("take", (x(T, 2), at(N, below=T, dtype="int64")), {"axis": 0}),
        ("take", (x(N, 2), at(N, below=N, dtype="int8")), {"axis": 0}),
        ("take_along_axis", (x(N, T), at(N, 2, below=T)), {"axis": 1}),
        ("take_along_axis", (x(N, 4), at(N, 1, below=4)), {"axis": 1}),
        ("take_along_axis", (x(1, 4), at(N, 2, below=4, dtype="uint8")), {"axis": 1}),
        ("take_along_axis", (x(N, 4), at(1, 2, below=4)), {"axis": 1}),
        ("take_along_axis", (x(4, N), at(3, N, below=4, dtype="int64")), {"axis": 0}),
        ("argsort", (x(N, 70),), {}),
        ("argsort", (x(2, N, T),), {}),
        ("argsort", (x(N),), {}),
        ("cholesky", (x(N, 4, 4),), {}),
        ("cholesky", (x(T, T),), {}),
        ("solve", (x(N, 3, 3), x(N, 3, 2)), {}),
        ("solve", (x(T, T), x(N, T, 2)), {}),
        ("solve_triangular", (x(N, 3, 3), x(N, 3, 2)), {"lower": True}),
        ("solve_triangular", (x(N, 3, 3), x(3, 2)), {"lower": False}),
        ("det", (x(N, 3, 3),), {}),
        ("log_of_det", (x(N, 3, 3),), {}),
        ("sign_of_det", (x(T, T),), {}),
        ("random_bits", (SEED,), {"shape": (N, T)}),
        ("random_bits", (SEED,), {"shape": (3, N, 7)}),
        (
            "random_part",
            (SEED, at(below=5, dtype="uint8"), at(below=3, dtype="uint8")),
            {"shape": (4, N), "whole": (3, 9, N), "row": 1, "sample_axis": 0},
        ),
        (
            "random_part",
            (SEED, at(below=5, dtype="uint8"), at(below=3, dtype="uint8")),
            {"shape": (4, N), "whole": (9, N), "row": 0, "sample_axis": None},
        ),
        ("scatter_add", (x(4, 3), at(N, below=4), x(N, 3)), {"axis": 0}),
        ("scatter_add", (x(N, 4, 2), at(6, below=4, dtype="uint8"), x(N, 6, 2)), {"axis": 1}),
        ("scatter_add", (x(T, 3), at(N, 2, below=T, dtype="int64"), x(N, 2, 3)), {"axis": 0}),
        ("scatter_add", (x(N), at(N, below=N), x(N)), {"axis": 0}),
        ("scatter_add", (x(4, N), at(below=4), x(N)), {"axis": 0}),
        ("scatter_set", (x(4, 3), at(N, below=4), x(N, 3)), {"axis": 0}),
        ("scatter_set", (x(N, 4, 2), at(6, below=4, dtype="uint8"), x(N, 6, 2)), {"axis": 1}),
        ("scatter_set", (x(T, 3), at(N, 2, below=T, dtype="int64"), x(N, 2, 3)), {"axis": 0}),
        ("scatter_set", (x(N), at(N, below=N), x(N)), {"axis": 0}),
        ("scatter_set", (x(4, N), at(below=4), x(N)), {"axis": 0}),
        ("windows", (x(N, 7, 3),), {"widths": (3,), "strides": (2,), "dilations": (2,)}),
        ("windows", (x(N, T + 2, 5),), {"widths": (3,), "strides": (1,), "dilations": (1,)}),
        ("windows", (x(N, 5, 4, 2),), {"widths": (2, 3), "strides": (1, 1), "dilations": (1, 1)}),
        ("convolution", (x(N, 7, 3), x(3, 3, 4)), window(1)),
        ("convolution", (x(N, T + 2, 24), x(3, 24, 20)), window(1)),
        ("convolution", (x(N, 6, 5, 8), x(3, 3, 8, 4)), window(2, low=(1, 2), high=(1, 0))),
        ("convolution", (x(N, 6, 5, 8), x(3, 3, 8, 4)), window(2, strides=(2, 1), low=(0, 1), dilations=(1, 2))),
        ("convolution", (x(N, 3, 2, 8), x(2, 3, 8, 4)), window(2, spread=(2, 3), low=(1, 1), high=(2, 1))),
        ("convolution", (x(N, 6, 5, 8), x(3, 1, 8, 4)), window(2, low=(-1, 0), high=(0, -2))),
        ("convolution", (x(N, 5, 6), x(3, 2, 9)), window(1, groups=3)),
        ("convolution", (x(N, 5, 6), x(3, 1, 6)), window(1, groups=6)),
        ("convolution", (x(N, 5, 3), x(3, 1, 6)), window(1, groups=3, strides=(2,))),
        ("convolution", (x(N, 5, 6), x(1, 6, 4)), window(1, strides=(2,))),
        ("convolution", (x(N, 3, 4, 2, 3), x(2, 2, 1, 3, 2)), window(3)),
        ("tile_max", (x(N, 6, 4),), {"widths": (2,)}),
        ("tile_max", (x(N, 6, 8, 3),), {"widths": (3, 4)}),
        ("softmax", (x(N, 17),), {"axes": (1,)}),
        ("softmax", (x(N, T),), {"axes": (1,)}),
        ("softmax", (x(N, 4, 3),), {"axes": (1,)}),
        ("softmax", (x(N, 4, 3),), {"axes": (0, 2)}),
        ("log_softmax", (x(N, 17),), {"axes": (1,)}),
        ("log_softmax", (x(N, T),), {"axes": (1,)}),
        ("log_softmax", (x(N, 4, 3),), {"axes": (1,)}),
        ("log_softmax", (x(N, 4, 3),), {"axes": (0, 2)}),
        ("einsum", (x(N, 19), x(19, 11)), {"spec": "ab,bc->ac"}),
        ("einsum", (x(N, 4), x(5, 4)), {"spec": "ab,cb->ac"}),
        ("einsum", (x(N, 4), x(N, 5)), {"spec": "ab,ac->bc"}),
        ("einsum", (x(4, N), x(5, 4)), {"spec": "ba,cb->ac"}),
        ("einsum", (x(N, 3, 4), x(4, 5)), {"spec": "abc,cd->abd"}),
        ("einsum", (x(N, T, 2, 4), x(N, 5, 2, 4)), {"spec": "btnh,bsnh->bnts"}),
        ("einsum", (x(N, 3, 4), x(N, 4, T)), {"spec": "bij,bjk->bik"}),
        ("einsum", (x(N, 4), x(4)), {"spec": "ij,j->i"}),
        ("einsum", (x(N), x(N)), {"spec": "i,i->"}),
        ("einsum", (x(N), x(T)), {"spec": "i,j->ij"}),
        ("einsum", (x(N, T),), {"spec": "ba->ab"}),
        ("einsum", (x(N, T),), {"spec": "ij->"}),
        ("einsum", (x(N, T),), {"spec": "ij->j"}),
        ("einsum", (x(N, N),), {"spec": "ii->"}),
        ("einsum", (x(N, N, 4),), {"spec": "iij->ji"}),
        ("einsum", (x(N, 4, N), x(4, 2, 2)), {"spec": "iji,jkk->k"}),
        ("einsum", (x(N, 4), x(2, 5)), {"spec": "ij,kl->il"}),
        ("einsum", (x(N, 1), x(4, 5)), {"spec": "ij,jk->ik"}),
        ("einsum", (x(1, 4), x(N, 1)), {"spec": "ij,ij->ij"}),
        ("einsum", (x(2, N), x(N, 4), x(4, T)), {"spec": "ij,jk,kl->il"}),
        ("einsum", (x(N, 3), x(N, 3, 4), x(4)), {"spec": "ab,abc,c->"}),
        ("einsum", (x(), x(N, 4)), {"spec": ",ij->ij"}),
    )
]


@cache
def calls_of(name: str) -> list[Call]:
    """Uses of the row in which N and T are sizes known only at the call."""
    kind = OPS[name].kind
    if name == "cast":
        targets = ("bool", "uint8", "int8", "int32", "int64", "uint32", "float32", "float64")
        return [Call(name, (x(N, 7),), {"dtype": dtype}) for dtype in targets]
    if kind == "map" and places(name):
        shapes: list[tuple[Shape, ...]] = [((N, 7), (N, 7)), ((N, 1, 5), (3, 1)), ((), (N,))]
        return [_map(name, pair) for pair in shapes[: 1 if places(name) == 1 else None]]
    if kind == "reduce":
        few = attributes(name)
        return [Call(name, (x(N, 4, 17),), attrs) for attrs in few[0::4] + few[3::4]] + [
            Call(name, (x(N, T),), {"axes": (1,), "keepdims": False})
        ]
    if kind == "cumulate":
        return [Call(name, (x(N, 4, 3),), {"axis": axis}) for axis in range(3)] + [Call(name, (x(N, T),), {"axis": 1})]
    return [call for call in CALLS if call.name == name]


def _map(name: str, shapes: tuple[Shape, ...]) -> Call:
    given = [Operand(shapes[place % 2], "") for place in range(places(name))]
    return Call(name, (Operand(shapes[0], "bool"), *given[1:]) if name == "where" else tuple(given))


def takes(call: Call, dtype: str) -> bool:
    """Whether the row is defined for operands of a dtype; one without operands of any is sampled as float32."""
    if all(one.dtype for one in call.operands):
        return dtype == "float32"
    if dtype == "bool":
        return call.name not in ("trunc", *MATRICES)
    if call.name in MATRICES:
        return is_float(dtype)
    return not (is_float(dtype) and call.name in BITS)
