"""From kernels to addresses: compiled once, kept on disk, and compiled again after any bad luck."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.codegen.cpu import jit
from kgraph.codegen.native.store import Store

ROOT = Path(__file__).parents[2]
MODEL = """
import sys
import numpy as np
import kgraph as kg
from kgraph import ops

def model(x):
    wide = ops.softmax(ops.exp(x) * 2.0, axis=-1)
    return ops.cumsum(ops.matmul(wide, ops.transpose(x)), axis=1) + ops.sum(wide, axis=0, keepdims=True)

def is_right():
    f = kg.compile(model, inputs=[kg.Input((4,), batch_size=4)])
    x = np.linspace(0, 1, 16, dtype="float32").reshape(4, 4)
    wide = np.exp(np.exp(x) * 2)
    wide = wide / wide.sum(-1, keepdims=True)
    return np.allclose(f(x), np.cumsum(wide @ x.T, axis=1) + wide.sum(0, keepdims=True), atol=1e-4)
"""
PRINT = "print(is_right(), 'numba' in sys.modules, 'subprocess' in sys.modules)"
COLD, WARM = ["True", "True", "True"], ["True", "False", "False"]


def start(folder: Path | str, text: str = PRINT, **environment: str) -> subprocess.Popen[str]:
    """A new process that keeps its kernels in this folder."""
    known = {"PYTHONPATH": str(ROOT), "KGRAPH_CACHE_DIR": str(folder), "KGRAPH_CHECK": "", "KGRAPH_NUM_THREADS": "2"}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", MODEL + text],
        env={**os.environ, **known, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> list[str]:
    """What it printed; it had nothing to complain about."""
    out, complaints = process.communicate(timeout=120)
    assert (process.returncode, complaints) == (0, "")
    return out.split()


def run(folder: Path | str, text: str = PRINT, **environment: str) -> list[str]:
    return said(start(folder, text, **environment))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the model needs."""
    folder = tmp_path_factory.mktemp("cache")
    assert run(folder) == COLD
    return folder


def test_a_later_process_needs_neither_numba_nor_helpers(filled):
    assert run(filled) == WARM


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: b"",
        lambda entry: entry[: len(entry) // 2],
        lambda entry: entry[:100] + bytes([entry[100] ^ 255]) + entry[101:],
        lambda entry: b"not of kgraph at all",
    ],
)
def test_entries_that_are_not_what_was_put_are_compiled_again(filled, damage):
    for path in filled.iterdir():
        path.write_bytes(damage(path.read_bytes()))
    assert run(filled) == COLD
    assert run(filled) == WARM


def test_entries_under_each_others_names_are_compiled_again(filled):
    paths = sorted(filled.iterdir())
    entries = [path.read_bytes() for path in paths]
    for path, entry in zip(paths, entries[1:] + entries[:1], strict=True):
        path.write_bytes(entry)
    assert run(filled) == COLD
    assert run(filled) == WARM


def test_a_folder_that_takes_nothing_costs_only_time(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert run(tmp_path / "file" / "cache") == COLD


@pytest.mark.skipif(os.name != "posix", reason="limits are set as POSIX has it")
def test_a_disk_without_room_costs_only_time(tmp_path):
    full = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    assert run(tmp_path, full + PRINT) == COLD
    assert not any(path.stat().st_size for path in tmp_path.iterdir())


def test_two_processes_compile_the_same_at_once(tmp_path):
    both = [start(tmp_path), start(tmp_path)]
    assert [said(process)[0] for process in both] == ["True", "True"]
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".o"]
    assert run(tmp_path) == WARM


@pytest.mark.parametrize("environment", [{"KGRAPH_CPU": "generic"}, {"KGRAPH_NUM_THREADS": "1"}])
def test_a_baseline_cpu_and_a_single_processor_will_do(tmp_path, environment):
    assert run(tmp_path, **environment)[0] == "True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_forked_in_the_middle_of_a_compilation_can_compile(tmp_path):
    text = """
import os, threading, time
# All is imported by this; in no Python does a child get what another thread is importing.
kg.compile(lambda x: ops.tanh(x @ x) - 1, inputs=[kg.Input((3,), batch_size=3)])
first = threading.Thread(target=lambda: print(is_right(), end=" ", flush=True))
first.start()
time.sleep(0.3)
child = os.fork()
if child == 0:
    os._exit(0 if is_right() else 1)
first.join()
print(os.waitpid(child, 0)[1])
"""
    assert run(tmp_path, f"import warnings\nwarnings.simplefilter('ignore'){text}") == ["True", "0"]


def test_threads_may_compile_the_same_at_once(monkeypatch, tmp_path):
    monkeypatch.setenv("KGRAPH_CACHE_DIR", str(tmp_path))
    found: list[bool] = []

    def work() -> None:
        x = np.linspace(-1, 1, 7, dtype=np.float32)
        f = kg.compile(lambda x: ops.tanh(x) * 3.25 - 1.5, inputs=[kg.Input((), batch_size=7)])
        found.append(np.allclose(f(x), np.tanh(x) * 3.25 - 1.5, atol=1e-6))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4


def test_equal_kernels_of_other_models_are_compiled_once(monkeypatch):
    def model(name: str) -> kg.Model:
        x = kg.Input((9,), name=f"in_{name}")
        return kg.Model(x, kg.layers.Dense(5, activation="tanh", name=name)(ops.exp(x) * 0.75))

    kg.compile(model("first"))
    monkeypatch.setattr(jit, "texts_of", None)
    monkeypatch.setattr(Store, "get", None)  # not even looked up: this process has them
    kg.compile(model("second"))


def test_the_search_for_garbage_goes_on_afterwards(monkeypatch, tmp_path):
    monkeypatch.setenv("KGRAPH_CACHE_DIR", str(tmp_path))
    assert gc.isenabled()
    kg.compile(lambda x: ops.exp(x) * 1.0625, inputs=[kg.Input((3,))])
    assert gc.isenabled()
    monkeypatch.setattr(jit, "texts_of", None)
    with pytest.raises(TypeError):
        kg.compile(lambda x: ops.exp(x) * 1.1875, inputs=[kg.Input((3,))])
    assert gc.isenabled()


def test_scratch_memory_is_not_filled_at_every_call():
    model = kg.Sequential([kg.Input((8,)), kg.layers.Dense(40, activation="relu")])
    assert "x float] zeroinitializer" not in kg.compile(model).llvm()
