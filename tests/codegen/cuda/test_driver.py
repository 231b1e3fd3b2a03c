"""Where there is a GPU a kernel runs on it; elsewhere kgraph knows at once that there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from kgraph.codegen.cuda import driver
from kgraph.codegen.cuda.cubin import compile_kernel
from kgraph.errors import MissingExtraError

SCALE = """
def scale(x, out, N):
    for i in range(cuda.grid(1), N, cuda.gridsize(1)):
        out[i] = x[i] * float32(2.0)
"""


@pytest.fixture
def _forgetful() -> Iterator[None]:
    """Look for a GPU anew, before and after."""
    driver.available.cache_clear()
    yield
    driver.available.cache_clear()


def test_to_know_whether_there_is_a_gpu_takes_no_time_and_makes_no_noise(
    capfd: pytest.CaptureFixture[str], _forgetful: None
) -> None:
    start = time.perf_counter()
    assert driver.available() in (True, False)
    assert time.perf_counter() - start < 5
    assert capfd.readouterr() == ("", "")


def test_without_the_packages_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch, _forgetful: None) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    assert not driver.available()
    with pytest.raises(MissingExtraError, match=r"pip install kgraph\[cuda\]"):
        driver.Device()


@pytest.mark.skipif(not driver.available(), reason="no GPU")
def test_a_kernel_runs_on_the_gpu() -> None:
    pytest.importorskip("numba_cuda")
    device = driver.Device()
    compiled = compile_kernel(SCALE, "scale", ["float32*", "float32*", "int64"], device.compute_capability)
    x, out = np.arange(1000, dtype=np.float32), np.full(1000, np.nan, np.float32)
    given, result = device.allocate(x.nbytes), device.allocate(out.nbytes)
    device.upload(given, x)
    device.launch(device.load(compiled), (2,), (128,), [given, result, x.size])
    device.download(result, out)
    np.testing.assert_array_equal(out, 2 * x)


@pytest.mark.skipif(not driver.available(), reason="no GPU")
def test_an_int_is_a_place_inside_a_buffer() -> None:
    pytest.importorskip("numba_cuda")
    device = driver.Device()
    compiled = compile_kernel(SCALE, "scale", ["float32*", "float32*", "int64"], device.compute_capability)
    numbers = np.arange(8, dtype=np.float32)
    buffer = device.allocate(numbers.nbytes)
    device.upload(buffer, numbers)
    device.launch(device.load(compiled), (1,), (32,), [int(buffer.handle), int(buffer.handle) + 16, 4])
    device.download(buffer, numbers)
    assert numbers.tolist() == [0, 1, 2, 3, 0, 2, 4, 6]
