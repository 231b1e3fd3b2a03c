"""The runtime: loaded once, kept on disk, and the same on a baseline CPU."""

from __future__ import annotations

from kgraph.codegen.native import parts
from kgraph.codegen.native.pack import PACKERS
from kgraph.codegen.native.parts import PARTS, part_of, source_digest
from kgraph.codegen.native.runtime import need, runtime
from kgraph.codegen.native.tile import TILES

PRODUCT = """
import ctypes
import numpy as np
from kgraph.codegen.native.host import host, tile_shape
from kgraph.codegen.native.runtime import need, runtime
from kgraph.codegen.native.tile import TILES

def check(name, dtype, vectors):
    rows, columns = tile_shape(dtype, vectors)
    a, panel, out = np.ones((rows, 9), dtype), np.ones((9, columns), dtype), np.zeros((rows, columns), dtype)
    pointer, word = ctypes.c_void_p, ctypes.c_int64
    call = ctypes.CFUNCTYPE(None, pointer, word, word, pointer, word, word, pointer, word, word, word)
    need([name])
    right, target = (panel.ctypes.data, columns, 9), (out.ctypes.data, columns, rows, 0)
    call(runtime().symbols[name])(a.ctypes.data, 9, 1, *right, *target)
    return bool((out == 9).all())

print(all(check(name, *made_for) for name, made_for in TILES.items()), host().bits)
"""


def test_the_runtime_is_loaded_once(native):
    assert runtime() is native
    need([*PACKERS, *TILES])
    pool, calls = {"kg_parallel", "kg_pool_reset", "kg_run"}, {"kg_take", "kg_swap", "kg_entry", "kg_python"}
    tables = {"kg_fit", "kg_fresh", "kg_begin", "kg_finish", "kg_epoch"}
    assert set(native.symbols) == {*TILES, *PACKERS, *pool, *calls, *tables}
    assert all(native.symbols.values())


def test_a_second_process_loads_it_without_emitting_anything(python, tmp_path):
    load = "from kgraph.codegen.native import parts, runtime as m; "
    forbid = "parts.compile_ir = parts.Part.text = None; "
    python(load + "m.runtime()", KGRAPH_CACHE_DIR=str(tmp_path))
    assert python(load + forbid + "print('kg_run' in m.runtime().symbols)", KGRAPH_CACHE_DIR=str(tmp_path)) == "True"


def test_a_function_is_in_one_part_and_is_made_when_it_is_needed(python):
    names = [name for part in PARTS for name in part.names]
    assert len(names) == len(set(names))
    assert all(name in part_of(name).names for name in names)
    text = "from kgraph.codegen.native.runtime import need, runtime; print([n in runtime().symbols for n in {0}]); "
    text += "need({0}); print([n in runtime().symbols for n in {0}])"
    assert python(text.format("['kg_tile_f64x1']")).split() == ["[False]", "[True]"]


def test_the_runtime_needs_no_numba(python):
    text = "import sys; from kgraph.codegen.native.runtime import runtime; runtime(); print('numba' in sys.modules)"
    assert python(text) == "False"


def test_the_digest_follows_the_source(tmp_path, monkeypatch):
    before = source_digest()
    source_digest.cache_clear()
    (tmp_path / "other.py").write_text("changed")
    monkeypatch.setattr(parts.resources, "files", lambda package: tmp_path)
    assert source_digest() != before
    source_digest.cache_clear()


def test_the_baseline_cpu_computes_the_same_product(python):
    assert python(PRODUCT, KGRAPH_CPU="generic") == "True 128"
