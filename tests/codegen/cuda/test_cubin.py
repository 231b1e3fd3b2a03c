"""Printed CUDA kernels become machine code where there is no GPU."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import pytest
from test_emulate import MATMUL, RELU_ADD, ROW_SUM, maximum, smooth

from kgraph.codegen.cuda import cubin
from kgraph.codegen.cuda.cubin import Compiled, compile_kernel
from kgraph.errors import MissingExtraError

POINTER = "float32*"
KERNELS = {
    "relu_add": (RELU_ADD, [POINTER] * 3 + ["int64"], 256),
    "row_sum": (ROW_SUM, [POINTER] * 2 + ["int64"] * 2, 128),
    "matmul": (MATMUL, [POINTER] * 3 + ["int64"] * 3, 256),
}


@pytest.fixture(autouse=True)
def _toolchain(request: pytest.FixtureRequest) -> None:
    if "without" not in request.node.name:
        pytest.importorskip("numba_cuda")
        pytest.importorskip("cuda.core")


@pytest.fixture
def _forgetful() -> Iterator[None]:
    """Look for the packages anew, before and after."""
    cubin._tools.cache_clear()
    yield
    cubin._tools.cache_clear()


def compiled(lines: str, *types: str, **helpers: object) -> Compiled:
    body = "".join(f"    {line}\n" for line in lines.splitlines())
    parameters = ", ".join("abcdef"[: len(types)])
    return compile_kernel(f"def kernel({parameters}):\n{body}", "kernel", types, helpers=helpers)  # type: ignore[arg-type]


@pytest.mark.parametrize("compute_capability", [(8, 0), (9, 0)])
@pytest.mark.parametrize("name", KERNELS)
def test_kernels_fit_into_registers_and_stay_in_float32(name: str, compute_capability: tuple[int, int]) -> None:
    source, types, threads = KERNELS[name]
    kernel = compile_kernel(source, name, types, compute_capability, {"maximum": maximum}, threads)
    assert (kernel.spills, kernel.has_float64) == (0, False)
    assert 0 < kernel.registers <= 65536 // threads
    assert kernel.cubin.startswith(b"\x7fELF")
    assert f".entry {kernel.entry}(" in kernel.ptx
    assert (kernel.entry, f"\0.text.{name}\0".encode() in kernel.cubin) == (name, True)


def test_parameters_are_raw_pointers_and_numbers() -> None:
    kernel = compile_kernel(MATMUL, "matmul", [POINTER] * 3 + ["int64"] * 3)
    assert kernel.ptx.split(".entry")[1].split(")")[0].count(".param .u64") == 6


def test_a_python_constant_makes_it_float64_and_that_shows() -> None:
    assert compiled("a[0] = a[0] * 0.1", POINTER).has_float64
    assert not compiled("a[0] = a[0] * float32(0.1)", POINTER).has_float64


def test_helpers_are_inlined_whatever_they_call() -> None:
    kernel = compiled("a[0] = smooth(a[0])", POINTER, smooth=smooth, maximum=maximum)
    assert (".func" in kernel.ptx, kernel.has_float64) == (False, False)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint32"])
def test_atomics_take_raw_pointers_and_shared_arrays(dtype: str) -> None:
    ptx = compiled("cuda.atomic.add(a, cuda.grid(1) % 8, a[9])", f"{dtype}*").ptx
    assert re.search(r"(red|atom)\.global\.add\.[suf](32|64)", ptx)
    tile = f"tile = cuda.shared.array(8, {dtype})\ncuda.atomic.add(tile, 3, a[0])\ncuda.syncthreads()\na[0] = tile[3]"
    assert re.search(r"(red|atom)\.shared\.add\.[suf](32|64)", compiled(tile, f"{dtype}*").ptx)


def test_booleans_are_bytes() -> None:
    assert "u8" in compiled("if a[0]:\n    b[0] = uint8(c[0] > float32(0.0))", "bool*", "bool*", POINTER).ptx


def test_every_name_of_the_language_compiles() -> None:
    lines = """
x, y, z = cuda.grid(3)
lane = cuda.threadIdx.x % 32
tile = cuda.shared.array((4, 8), float32, alignment=16)
own = cuda.local.array(4, int32)
for i in range(4):
    own[i] = cuda.shfl_up_sync(0xFFFFFFFF, lane, 1) + cuda.shfl_down_sync(0xFFFFFFFF, lane, 2)
tile[own[0] % 4, lane % 8] = cuda.shfl_sync(0xFFFFFFFF, a[x], 0)
cuda.syncwarp()
a[y] = tile[z % 4, 1] * float32(cuda.ballot_sync(0xFFFFFFFF, a[z] > float32(0.0)) >> uint32(1))
a[z] = math.erf(math.tanh(a[x])) + math.log1p(math.sqrt(a[y])) + math.floor(a[0])"""
    assert compiled(lines.strip(), POINTER).spills == 0


def test_without_its_packages_it_says_which_extra_brings_them(
    monkeypatch: pytest.MonkeyPatch, _forgetful: None
) -> None:
    monkeypatch.setitem(sys.modules, "numba_cuda", None)
    with pytest.raises(MissingExtraError, match=r"pip install kgraph\[cuda\]"):
        compile_kernel(RELU_ADD, "relu_add", [])
