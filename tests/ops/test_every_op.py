"""Every row of OPS that computes: its type, its gradient, its scalar expression. A new row is tested by being there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from agreement import agrees, gradients_agree, kinds_of
from rows import BITS, LOGIC, LOOSE, MAPS, REDUCTIONS, RUNNING, SPECIAL, attributes, places, row, sample

from kgraph import ops
from kgraph.codegen.cpu import intrinsics
from kgraph.codegen.cuda.cubin import rebound
from kgraph.codegen.scalars.table import scalars
from kgraph.gradients.autodiff import pullback
from kgraph.graph.evaluate import evaluate
from kgraph.graph.op import OPS
from kgraph.graph.types import is_float
from kgraph.tracing.trace import trace

SHAPES = [((), ()), ((1,), (17,)), ((3, 1), (1, 17)), ((0, 3), (3,)), ((17, 3), (17, 3))]


def operands(name: str, shapes: Any, dtype: str) -> list[np.ndarray]:
    """Operands of a row of kind map, of these shapes in turn."""
    count = places(name)
    found = [sample(name, shapes[place % 2], dtype, seed=place) for place in range(count)]
    return [found[0] > 0, *found[1:]] if name == "where" else found


def kinds(name: str) -> list[str]:
    """The dtypes to try a row with."""
    return ["int32", "uint8"] if name in BITS else ["float32", "float64", "int32", "bool"]


@pytest.mark.parametrize("name", MAPS)
def test_types_tell_what_numpy_gives(name: str) -> None:
    for dtype in kinds(name):
        for shapes in SHAPES:
            if dtype == "bool" and name == "trunc":
                continue
            given = operands(name, shapes, dtype)
            agrees(row(name), row(name)(*given), *given)


@pytest.mark.parametrize("name", MAPS)
def test_gradients_are_differences(name: str) -> None:
    if name in BITS or OPS[name].type(*kinds_of(operands(name, SHAPES[0], "float64"))).dtype == "bool":
        pytest.skip("no floats come out")
    if name == "stop_gradient":
        pytest.skip("by what it is for")
    gradients_agree(row(name), *operands(name, ((3, 1), (1, 2)), "float64"))


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_have_the_type_that_numpy_gives(name: str) -> None:
    for dtype in ("float32", "int32", "bool"):
        x = sample(name, (3, 1, 17), dtype)
        for attrs in attributes(name):
            agrees(lambda x, attrs=attrs: row(name)(x, **attrs), row(name)(x, **attrs), x, shapes=[("N", 1, 17)])


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min"])
@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_gradients_of_reductions_are_differences(name: str, zeros: int) -> None:
    x = sample(name, (2, 3, 2), "float64")
    if name == "prod":
        x[0, :zeros, 1] = 0
    for attrs in attributes(name):
        gradients_agree(lambda x, attrs=attrs: row(name)(x, **attrs), x)


@pytest.mark.parametrize("name", RUNNING)
@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_running_reductions(name: str, zeros: int) -> None:
    x = sample(name, (2, 4, 3), "float64")
    x[0, 1 : 1 + zeros, 1] = 0
    for axis in range(3):
        agrees(lambda x, axis=axis: row(name)(x, axis=axis), getattr(np, name)(x, axis), x)
        gradients_agree(lambda x, axis=axis: row(name)(x, axis=axis), x)


def test_equal_extremes_share_the_gradient() -> None:
    x = np.array([[1.0, 3.0, 3.0, 2.0]])
    graph = trace(lambda x: ops.max(x, axis=1), *kinds_of([x]))
    (found,), _ = evaluate(pullback(graph, graph.outputs, graph.inputs), [x, np.ones(1)])
    np.testing.assert_allclose(found, [[0, 0.5, 0.5, 0]])
    pair = trace(ops.maximum, *kinds_of([x, x]))
    found, _ = evaluate(pullback(pair, pair.outputs, pair.inputs), [x, x, np.ones((1, 4))])
    np.testing.assert_allclose(found, np.full((2, 1, 4), 0.5))


# scalar expressions --------------------------------------------------------------------------------------------------

INTEGERS = ("add", "multiply", "floor_divide", "mod", "power", "sign", "maximum", "absolute", "negative")


def kernel(name: str, dtype: str, result: str) -> Callable[..., None]:
    """A loop around the row's expression, compiled by numba itself."""
    numba = pytest.importorskip("numba")
    template = OPS[name].scalar_of(dtype)
    assert template is not None
    first = "bool_" if name == "where" or dtype == "bool" else dtype
    made = "bool_" if result == "bool" else result
    text = template.format(*(f"in{place}[i]" for place in range(3)), T=made, A=first)
    if not is_float(result) and result != "bool":
        text = f"{made}({text})"
    meanings = scalars("float64" if dtype == "float64" else "float32")
    helpers = {name: one for name, one in meanings.items() if name not in intrinsics.NAMES}
    inlined = numba.njit(error_model="numpy", fastmath={"contract"}, forceinline=True)
    names = dict(rebound(intrinsics.NAMES, helpers, inlined))
    inputs = ", ".join(f"in{place}" for place in range(places(name)))
    exec(f"def kernel({inputs}, out):\n    for i in range(out.shape[0]):\n        out[i] = {text}\n", names)
    return numba.njit(error_model="numpy", fastmath={"contract", "nsz"})(names["kernel"])


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow), "int32"])
@pytest.mark.parametrize("name", MAPS)
def test_scalar_expressions_are_the_numpy_rows(name: str, dtype: str) -> None:
    if name in LOGIC:
        dtype = "bool"
    if (name in BITS) != (dtype == "int32") and dtype != "bool" and name not in INTEGERS:
        pytest.skip("not of this dtype")
    if name in BITS or dtype == "int32":
        line = (
            np.array([-7, -2, -1, 1, 2, 3, 7, 100], dtype) if name not in ("left_shift",) else np.arange(8, dtype=dtype)
        )
        line = np.abs(line) if "shift" in name else line
    else:
        line = np.concatenate([np.array(SPECIAL), np.linspace(-5, 5, 41), np.geomspace(1e-5, 1e5, 20)]).astype(dtype)
    given = [one.reshape(-1).copy() for one in np.meshgrid(*[line] * places(name))] if places(name) < 3 else [
        np.resize([True, False, False], line.size), line, line[::-1].copy()
    ]  # fmt: skip
    kind = OPS[name].type(*kinds_of(given)).dtype
    out = np.zeros(given[0].size, kind)
    kernel(name, dtype, kind)(*given, out)
    with np.errstate(all="ignore"):
        wide = [
            one.astype(np.float64) if one.dtype.kind == "f" and name not in ("floor_divide", "mod") else one
            for one in given
        ]
        wanted = np.asarray(OPS[name].numpy(*wide)).astype(kind)
    tolerance = LOOSE.get(name, 1e-6) if dtype == "float32" else 1e-13
    np.testing.assert_allclose(out, wanted, rtol=tolerance, atol=1e-6 if name in LOOSE else 1e-44)


@pytest.mark.parametrize("target", ["cpu", "cuda"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_name_in_an_expression_is_a_scalar_function(dtype: str, target: str) -> None:
    words = {"if", "else", "not", "T", "A", "dim"}
    for op in OPS.values():
        for template in filter(None, (op.scalar, op.combine, op.initial)):
            named = template.replace("{T}", dtype)
            used = set(re.findall(r"\b[a-z]\w+", re.sub(r"\{\w+\}", "", named))) - words - {"float32", "float64"}
            assert used <= scalars(dtype, target).keys(), f"{op.name}: {template}"


def ulps(have: np.ndarray, exact: np.ndarray) -> float:
    """The largest distance in units of the last place; infinities and NaN must agree."""
    wanted = exact.astype(np.float32)
    finite = np.isfinite(wanted) & np.isfinite(have)
    np.testing.assert_array_equal(have[~finite], wanted[~finite])
    return float((np.abs(have[finite] - exact[finite]) / np.spacing(np.abs(wanted[finite])).astype(np.float64)).max())


@pytest.mark.parametrize(
    ("name", "limit"),
    [("exp", 2), ("log", 2), ("sigmoid", 3), ("tanh", 3), ("expm1", 3), ("log1p", 3), ("softplus", 3), ("rsqrt", 2)],
)
def test_float32_functions_are_exact_to_the_last_places(name: str, limit: float) -> None:
    random = np.random.default_rng(0)
    anything = random.integers(0, 2**32, 400_000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    chosen = np.concatenate([np.linspace(-110, 95, 200_000), np.array(SPECIAL)]).astype(np.float32)
    x = np.concatenate([anything[~np.isnan(anything)], chosen])
    out = np.empty_like(x)
    kernel(name, "float32", "float32")(x, out)
    with np.errstate(all="ignore"):
        assert ulps(out, OPS[name].numpy(x.astype(np.float64))) <= limit


@pytest.mark.parametrize("name", ["exp", "tanh", "sigmoid", "erf", "log", "relu", "softplus", "expm1"])
def test_loops_around_float32_functions_become_vectors(name: str) -> None:
    made = kernel(name, "float32", "float32")
    made(np.ones(8, np.float32), np.ones(8, np.float32))
    (text,) = made.inspect_llvm().values()
    assert re.search(r"<(4|8|16) x float>", text), f"{name} is computed one by one"
