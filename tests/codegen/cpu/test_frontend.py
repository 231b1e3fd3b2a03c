"""numba as a front end: the user's own numba and ours do not meet, and a kernel costs nothing that it does not need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops

ROOT = Path(__file__).parents[2]
NAMES = ("exp", "log1p", "expm1", "tanh", "erf", "floor", "round", "sqrt", "maximum", "sign", "power", "arctan2")
TWO = ("maximum", "power", "arctan2")


def compiled(name: str, dtype: str, scale: float) -> None:
    """One kernel around a function, judged by the op's meaning."""
    one = getattr(ops, name)
    x = np.linspace(0.1, 2.5, 9).astype(dtype)

    def call(a: object) -> object:
        return one(a, a) * scale if name in TWO else one(a) * scale

    f = kg.compile(call, inputs=[kg.Input((), batch_size=9, dtype=dtype)])
    np.testing.assert_allclose(f(x), call(x), rtol=1e-5)


@pytest.fixture
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that kernels are typed and lowered here and now."""
    monkeypatch.setenv("KGRAPH_CACHE_DIR", "")


def of_the_user(scale: float) -> None:
    """The user's numba, with what scalar functions and kernels use, compiled afresh."""
    numba = pytest.importorskip("numba")

    @numba.njit
    def bits(a, b):
        whole = np.float32(a).view(np.int32) + np.int64(b).view(np.uint64)
        return min(a, b) + max(a, b) + np.floor(a) + np.sqrt(b) + np.exp(a) * scale, whole

    a, b = np.float32(1.5), np.int64(3)
    value, whole = bits(a, b)
    np.testing.assert_allclose(value, 4.5 + 1 + np.sqrt(3) + np.exp(a) * scale, rtol=1e-6)
    assert whole == int(a.view(np.int32)) + 3


def test_kernels_and_the_users_numba_may_take_turns(no_cache):
    for turn, name in enumerate(NAMES):
        compiled(name, "float32", 1.0 + turn)
        of_the_user(float(turn))
        compiled(name, "float64", 2.0 + turn)
    compiled("exp", "float32", 77.0)  # again, with what is known already


def test_kernels_load_neither_arrays_nor_linear_algebra_of_numba():
    text = """
import sys
import kgraph as kg
kg.compile(kg.Sequential([kg.Input((8,)), kg.layers.Dense(4, activation="softmax")]))
print("numba.np.linalg" in sys.modules, "numba.core.compiler" in sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "KGRAPH_CACHE_DIR": ""}
    done = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["False", "True"], done.stderr


def test_what_is_shown_is_the_kernel_with_what_it_calls():
    text = kg.compile(lambda x: ops.exp(x) * 3.0, inputs=[kg.Input((5,))]).llvm()
    assert "define i64 @kernel_" in text
    assert "alwaysinline" in text
    assert text.count("noalias %arg.") == 2
