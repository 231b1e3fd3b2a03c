"""The float32 functions of the CPU: how exact they are, what they do at the ends, and that loops become vectors."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from loops import GENERIC, HERE, assembly, loop

from kgraph.codegen.native.host import host
from kgraph.graph.op import OPS

# Units of the last place that a function may be off. A row without a limit is judged with the others, loosely.
LIMITS = {
    "exp": 1.2, "expm1": 1.6, "log": 1, "log1p": 1.6, "sigmoid": 3, "softplus": 2, "tanh": 3, "erf": 1.3, "erfinv": 2.5,
    "sin": 0.6, "cos": 0.6, "tan": 1.6, "arcsin": 1.8, "arccos": 1.6, "arctan": 1.7, "sinh": 1.8, "cosh": 1.7,
    "arcsinh": 0.6, "arccosh": 0.6, "arctanh": 0.6, "rsqrt": 1.5, "sqrt": 0.5, "reciprocal": 0.5,
}  # fmt: skip
OF_PAIRS = {"power": 0.7, "arctan2": 1.8, "divide": 0.5}
SPECIAL = np.array(
    [np.nan, np.inf, 0.0, 1e-45, 1e-40, 1.17549435e-38, 1e-10, 0.25, 0.5, 0.9999999, 1.0, 1.0000001, 1.5, 2.0, 3.0, 5.0,
     16777215.0, 8388607.5, 16777216.0, 33554432.0, 88.72283, 89.5, 104.0, 1e30, 3.4028235e38], np.float32,
)  # fmt: skip
SPECIAL = np.concatenate([SPECIAL, -SPECIAL])
STEP = 2.0**104  # between the largest number and the next that there would be:
NEXT = 2.0**128
CPUS = [HERE, GENERIC]


def all_patterns(step: int) -> Iterator[np.ndarray]:
    """Every step-th float32, by its bits, in parts."""
    for start in range(0, 1 << 32, step << 20):
        bits = np.arange(start, min(1 << 32, start + (step << 20)), step, dtype=np.uint64)
        yield bits.astype(np.uint32).view(np.float32)


def edges(around: int) -> np.ndarray:
    """The special numbers and the powers of two, and so many numbers before and after each of them."""
    chosen = np.concatenate([SPECIAL.view(np.uint32), np.arange(0, 1 << 32, 1 << 23).astype(np.uint32)])
    return (chosen[:, None] + np.arange(-around, around + 1).astype(np.uint32)).view(np.float32).ravel()


def places_off(have: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """How many units of the last place; infinity where a NaN, an infinity or the sign of a zero is another.

    Beyond the largest number, infinity stands for the next one.
    """
    with np.errstate(all="ignore"):
        wanted = exact.astype(np.float32)
        held, meant = (np.clip(one.astype(np.float64), -NEXT, NEXT) for one in (have, exact))
        unit = np.where(np.isinf(wanted), STEP, np.spacing(np.abs(wanted)))
        off = np.abs(held - meant) / unit
        off[np.isnan(have) & np.isnan(wanted)] = 0
        off[(np.isnan(have) != np.isnan(wanted)) | ((have == 0) & (np.signbit(have) != np.signbit(wanted)))] = np.inf
    return off


def judge(name: str, limit: float, *arrays: np.ndarray, cpu: str) -> None:
    """Compare with the row, computed in float64."""
    function = loop(expression(name), *["float32"] * (len(arrays) + 1), cpu=cpu)
    with np.errstate(all="ignore"):
        exact = OPS[name].numpy(*(array.astype(np.float64) for array in arrays))
        have = function(*arrays)
    off = places_off(have, exact)
    worst = int(np.argmax(off))
    shown = [float(array[worst]) for array in (*arrays, have, exact)]
    assert off[worst] <= limit, f"{name} is off by {off[worst]:.2f} units: arguments, result and exact value {shown}"


def expression(name: str) -> str:
    template = OPS[name].scalar
    assert template is not None
    return template.format("x", "y", T="float32", A="float32")


@pytest.mark.parametrize("cpu", CPUS, ids=["here", "generic"])
@pytest.mark.parametrize("name", LIMITS)
def test_functions_are_exact_to_the_last_places(name: str, cpu: str) -> None:
    judge(name, LIMITS[name], SPECIAL, cpu=cpu)
    judge(name, LIMITS[name], np.linspace(-110, 110, 200_001, dtype=np.float32), cpu=cpu)
    judge(name, LIMITS[name], np.linspace(-1.25, 1.25, 200_001, dtype=np.float32), cpu=cpu)
    for x in all_patterns(13_007):
        judge(name, LIMITS[name], x, cpu=cpu)


@pytest.mark.slow
@pytest.mark.parametrize("cpu", CPUS, ids=["here", "generic"])
@pytest.mark.parametrize("name", LIMITS)
def test_functions_are_exact_everywhere(name: str, cpu: str) -> None:
    judge(name, LIMITS[name], edges(4096), cpu=cpu)
    for x in all_patterns(17):  # 1 judges every number there is, for more than an hour
        judge(name, LIMITS[name], x, cpu=cpu)


@pytest.mark.parametrize("cpu", CPUS, ids=["here", "generic"])
@pytest.mark.parametrize("name", OF_PAIRS)
def test_functions_of_pairs_are_exact_to_the_last_places(name: str, cpu: str) -> None:
    x, y = (one.ravel() for one in np.meshgrid(SPECIAL, SPECIAL))
    judge(name, OF_PAIRS[name], x, y, cpu=cpu)
    random = np.random.default_rng(5)
    x, y = (random.integers(0, 1 << 32, 300_000).astype(np.uint32).view(np.float32) for _ in range(2))
    judge(name, OF_PAIRS[name], x, y, cpu=cpu)
    y = random.normal(0, 30, x.size).astype(np.float32)
    judge(name, OF_PAIRS[name], np.exp(random.normal(0, 1, x.size)).astype(np.float32), y, cpu=cpu)
    judge(name, OF_PAIRS[name], random.normal(0, 9, x.size).astype(np.float32).round(), y.round(), cpu=cpu)


@pytest.mark.slow
def test_powers_are_exact_wherever_they_are_finite() -> None:
    random = np.random.default_rng(6)
    for _ in range(100):
        x = np.abs(random.integers(0, 1 << 32, 1 << 20).astype(np.uint32).view(np.float32))
        with np.errstate(all="ignore"):
            y = (random.uniform(-151, 129, x.size) / np.log2(x.astype(np.float64))).astype(np.float32)
        judge("power", OF_PAIRS["power"], x, y, cpu=HERE)


@pytest.mark.skipif(not host().is_x86, reason="reads the assembly of x86")
@pytest.mark.parametrize("cpu", [HERE, "znver3", "skylake-avx512", GENERIC], ids=["here", "avx2", "avx512", "generic"])
@pytest.mark.parametrize("name", [*LIMITS, *OF_PAIRS])
def test_loops_around_functions_become_vectors(name: str, cpu: str) -> None:
    text = assembly(expression(name), *["float32"] * (3 if name in OF_PAIRS else 2), cpu=cpu)
    packed = re.findall(r"\bv?(?:add|sub|mul|div|fn?m(?:add|sub)\d+|sqrt|rcp14)p[sd]\b", text)
    assert packed, f"{name} is computed one by one"
    assert "call" not in text, f"{name} calls another function"
