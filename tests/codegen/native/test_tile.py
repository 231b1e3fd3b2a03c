"""The tiles against numpy in float64, and their assembly."""

from __future__ import annotations

import ctypes
import re

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir

from kgraph.codegen.native import optimise, tile
from kgraph.codegen.native.host import Host, host, tile_shape

LENGTHS = (0, 1, 2, 3, 7, 64)
ROWS = range(1, host().rows + 1)


def run(
    native, name: str, a: np.ndarray, panel: np.ndarray, out: np.ndarray, mode: int = 0, bias: np.ndarray | None = None
) -> None:
    """Call a tile kernel: a is rows x k with any strides."""
    pointer, word = ctypes.c_void_p, ctypes.c_int64
    signature = (pointer, word, word, pointer, word, word, pointer, word, word, word, pointer)
    call = ctypes.CFUNCTYPE(None, *signature)(native.symbols[name])
    row_stride, k_stride = (stride // a.itemsize for stride in a.strides)
    panel_stride, tile_stride = (matrix.strides[0] // a.itemsize for matrix in (panel, out))
    rows, k = a.shape
    right, target = (panel.ctypes.data, panel_stride), (out.ctypes.data, tile_stride)
    call(
        a.ctypes.data, row_stride, k_stride, *right, k, *target, rows, mode, None if bias is None else bias.ctypes.data
    )


def operands(name: str, rows: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """a, a panel, and a tile full of NaN."""
    dtype, vectors = tile.TILES[name]
    most, columns = tile_shape(dtype, vectors)
    random = np.random.default_rng(seed)
    a, panel = random.standard_normal((rows, k)).astype(dtype), random.standard_normal((k, columns)).astype(dtype)
    return a, panel, np.full((most, columns), np.nan, dtype)


def product(a: np.ndarray, panel: np.ndarray) -> np.ndarray:
    return a.astype(np.float64) @ panel.astype(np.float64)


def tolerance(a: np.ndarray) -> float:
    return 8 * np.finfo(a.dtype).eps * max(1, a.shape[1])


@pytest.mark.parametrize("k", LENGTHS)
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("name", tile.TILES)
def test_a_tile_is_the_product_and_leaves_other_rows_alone(native, name, rows, k):
    a, panel, out = operands(name, rows, k)
    run(native, name, a, panel, out)
    np.testing.assert_allclose(out[:rows], product(a, panel), rtol=0, atol=tolerance(a))
    assert np.isnan(out[rows:]).all()


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("name", tile.TILES)
def test_accumulate_adds_to_what_the_tile_holds(native, name, rows):
    a, panel, out = operands(name, rows, 7)
    out[:] = np.arange(out.size, dtype=out.dtype).reshape(out.shape) / out.size
    before = out.astype(np.float64)
    run(native, name, a, panel, out, tile.ACCUMULATE)
    np.testing.assert_allclose(out[:rows], (before[:rows] + product(a, panel)), rtol=0, atol=2 * tolerance(a))
    np.testing.assert_array_equal(out[rows:], before[rows:])


@pytest.mark.parametrize("mode", range(8))
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("name", tile.TILES)
def test_what_follows_a_sum_is_done_in_its_order(native, name, rows, mode):
    a, panel, out = operands(name, rows, 5)
    out[:] = 0.25
    bias = np.linspace(-3, 3, panel.shape[1], dtype=panel.dtype)
    run(native, name, a, panel, out, mode, bias if mode & tile.BIAS else None)
    wanted = product(a, panel) + (0.25 if mode & tile.ACCUMULATE else 0) + (bias if mode & tile.BIAS else 0)
    wanted = np.maximum(wanted, 0) if mode & tile.RELU else wanted
    np.testing.assert_allclose(out[:rows], wanted, rtol=0, atol=2 * tolerance(a))
    assert (out[rows:] == 0.25).all()


@pytest.mark.parametrize("name", tile.TILES)
@pytest.mark.parametrize(
    "layout",
    [
        lambda a: np.asfortranarray(a),
        lambda a: np.repeat(np.repeat(a, 3, 0), 2, 1)[::3, ::2],
        lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
        lambda a: np.broadcast_to(a[:1], a.shape),
        lambda a: np.broadcast_to(a[:, :1], a.shape),
    ],
    ids=["transposed", "strided", "backwards", "one row", "one column"],
)
@pytest.mark.parametrize("rows", [1, 3, host().rows])
def test_a_may_have_any_strides(native, name, layout, rows):
    a, panel, out = operands(name, rows, 37)
    a = layout(a)
    run(native, name, a, panel, out)
    np.testing.assert_allclose(out[:rows], product(a, panel), rtol=0, atol=tolerance(a))


@pytest.mark.parametrize("name", tile.TILES)
def test_nan_and_infinity_pass_through(native, name):
    a, panel, out = operands(name, 3, 5)
    a[0, 2], a[1, 4], panel[:, 0] = np.nan, np.inf, 1.0
    for mode in (0, tile.RELU):
        run(native, name, a, panel, out, mode)
        assert np.isnan(out[0]).all()
        assert out[1, 0] == np.inf
        assert np.isfinite(out[2]).all()


@pytest.mark.parametrize("name", tile.TILES)
def test_operands_need_no_alignment_beyond_their_elements(native, name):
    a, panel, out = operands(name, 3, 9)
    shifted = np.empty(panel.size + 1, panel.dtype)[1:].reshape(panel.shape)
    shifted[:] = panel
    odd = np.full(out.size + 1, np.nan, out.dtype)[1:].reshape(out.shape)
    run(native, name, a, shifted, odd)
    np.testing.assert_allclose(odd[:3], product(a, panel), rtol=0, atol=tolerance(a))


@pytest.mark.parametrize("rows", [1, 2, host().rows])
@pytest.mark.parametrize("name", tile.TILES)
def test_panel_and_tile_may_lie_inside_matrices(native, name, rows):
    a, panel, out = operands(name, rows, 13)
    columns = panel.shape[1]
    wide = np.full((13, columns + 5), np.nan, panel.dtype)
    wide[:, 3 : 3 + columns] = panel
    result = np.full((out.shape[0], columns + 9), np.nan, out.dtype)
    run(native, name, a, wide[:, 3 : 3 + columns], result[:, 2 : 2 + columns])
    np.testing.assert_allclose(result[:rows, 2 : 2 + columns], product(a, panel), rtol=0, atol=tolerance(a))
    result[:rows, 2 : 2 + columns] = np.nan
    assert np.isnan(result).all(), "nothing beside the tile was written"


def test_a_tile_is_found_by_dtype_and_width():
    assert tile.tile_name("float64", 1) == "kg_tile_f64x1"
    assert tile_shape("float32", 2) == (host().rows, 2 * host().lanes("float32"))


PROCESSORS = {
    "AVX-512": ("x86_64", "skylake-avx512", 512),
    "AVX2": ("x86_64", "haswell", 256),
    "SSE2": ("x86_64", "", 128),
    "NEON": ("aarch64", "neoverse-n1", 128),
}


def assembly_for(cpu: Host, monkeypatch) -> str:
    """The tiles as assembly for any processor, through the same pipeline."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    triple = f"{cpu.machine}-unknown-linux-gnu"
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu.name, features=cpu.features, opt=3)
    monkeypatch.setattr(tile, "host", lambda: cpu)
    module = ir.Module("tiles")
    module.triple = triple
    for name in tile.TILES:
        tile.emit_tile(module, name)
    return machine.emit_assembly(optimise.optimised([str(module)], machine, optimise.FULL, False))


@pytest.mark.parametrize("processor", ["host", *PROCESSORS])
def test_no_tile_spills_a_vector_register(processor, monkeypatch):
    cpu = host() if processor == "host" else Host(*PROCESSORS[processor][:2], "", PROCESSORS[processor][2])
    text = assembly_for(cpu, monkeypatch)
    assert not re.search(r"%[re]sp, %[re]bp$", text, re.MULTILINE)  # so that rbp points to no frame
    stack = r"\(%[re]sp\)" if cpu.is_x86 else r"\[(sp|x29)"
    vector = r"%[xyz]mm" if cpu.is_x86 else r"\b[qvds]\d"
    pushed = r"^\s*(st|ld)[rp]\s+d\d"  # what the ARM calling convention asks a function to keep
    lines = [line for line in text.splitlines() if re.search(stack, line) and re.search(vector, line)]
    assert [line for line in lines if not (cpu.is_arm and re.search(pushed, line))] == []
    fused = text.count("fmla") if cpu.is_arm else text.count("vfmadd")
    assert fused > 100 or cpu.bits < 256
