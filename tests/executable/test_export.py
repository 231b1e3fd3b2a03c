"""`f.export`: compiled models as shared libraries and headers, called without Python."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import ops
from kgraph.codegen.native import linker
from kgraph.errors import ArgumentError, KGraphError, MissingExtraError, SavingError
from kgraph.graph.evaluate import bind_sizes
from kgraph.graph.sizes import resolve

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="export writes libraries for Linux")

OK, BAD_SIZE, BAD_INDEX, NO_MEMORY = range(4)
rng = np.random.default_rng(17)
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


@pytest.fixture(scope="module", autouse=True)
def _something_links() -> None:
    try:
        linker.find()
    except MissingExtraError as error:
        pytest.skip(str(error))


def floats(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def mlp(name: str = "state") -> kg.Model:
    i = kg.Input((6,), name=name)
    h = kg.layers.Dense(20, activation="tanh", name="hidden")(i)
    return kg.Model(i, kg.layers.Dense(3, name="action")(h))


def cnn() -> kg.Model:
    return kg.Sequential(
        [
            kg.Input((12, 12, 1)),
            kg.layers.Conv2D(8, 3, activation="relu"),
            kg.layers.MaxPooling2D(),
            kg.layers.Flatten(),
            kg.layers.Dense(5, activation="softmax"),
        ]
    )


def words() -> kg.Model:
    i = kg.Input((None,), dtype="int32", name="words")
    return kg.Model(i, kg.layers.LSTM(7)(kg.layers.Embedding(11, 4)(i)))


def several() -> kg.Model:
    a, b = kg.Input((3,), name="a"), kg.Input((3,), name="b", dtype="int32")
    both = kg.layers.Dense(4, name="both")(kg.layers.Concatenate()([a, kg.ops.cast(b, "float32")]))
    return kg.Model([a, b], [both, kg.ops.argmax(both, axis=-1)])


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def called(library: Path, name: str, f: Any) -> Callable[..., tuple[int, list[np.ndarray]]]:
    """What calls the function of a library with arrays; it returns the status and the outputs."""
    function, graph = getattr(ctypes.CDLL(str(library)), name), f.ir

    def call(*given: np.ndarray) -> tuple[int, list[np.ndarray]]:
        sizes = bind_sizes(graph, [one.shape for one in given])
        kinds = [graph[name].tensor for name in graph.outputs]
        made = [np.full(resolve(kind.shape, sizes), 7, kind.dtype) for kind in kinds]
        counts = [ctypes.c_int64(size) for size in sizes.values()]
        return function(*map(pointer, given), *counts, *map(pointer, made)), made

    return call


@pytest.fixture(scope="module")
def compiled() -> Any:
    return kg.compile(mlp())


@pytest.fixture(scope="module")
def policy(compiled, tmp_path_factory) -> Path:
    """The path of an exported library."""
    return compiled.export(tmp_path_factory.mktemp("built") / "policy")[0]


# what it computes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "sample"),
    [
        (mlp, lambda n: [floats(n, 6)]),
        (cnn, lambda n: [floats(n, 12, 12, 1)]),
        (words, lambda n: [rng.integers(0, 11, (n, 3 + n % 5), np.int32)]),
        (several, lambda n: [floats(n, 3), rng.integers(-9, 9, (n, 3), np.int32)]),
    ],
)
def test_the_bits_are_those_of_a_call_from_python(make, sample, tmp_path):
    f = kg.compile(make())
    call = called(f.export(tmp_path / "net")[0], "net", f)
    for size in (1, 0, 2, 7, 133, 7, 7):
        given = sample(size)
        status, made = call(*given)
        wanted = f(*given)
        assert status == OK
        for found, want in zip(made, wanted if isinstance(wanted, list) else [wanted], strict=True):
            np.testing.assert_array_equal(found, want)


def test_a_batch_in_parts_and_by_threads_is_the_same(tmp_path):
    f = kg.compile(mlp_of(96, 512, 512, 10), threads=2)
    assert f._forward().program.plan.cut is not None
    call = called(f.export(tmp_path / "wide")[0], "wide", f)
    for size in (1, 600, 5, 1301):
        x = floats(size, 96)
        status, (found,) = call(x)
        assert status == OK
        np.testing.assert_array_equal(found, f(x))


def mlp_of(first: int, *widths: int) -> kg.Model:
    return kg.Sequential([kg.Input((first,)), *(kg.layers.Dense(width, activation="relu") for width in widths)])


def test_a_model_with_a_loss_exports_its_outputs(tmp_path):
    f = kg.compile(mlp(), loss="mse")
    x = floats(4, 6)
    out = np.empty((4, 3), np.float32)
    library = ctypes.CDLL(str(f.export(tmp_path / "net")[0]))
    assert library.net(pointer(x), ctypes.c_int64(4), pointer(out)) == OK
    np.testing.assert_array_equal(out, f(x))


def test_half_precision_comes_in_float32(tmp_path):
    f = kg.compile(lambda x: kg.ops.cast(x * 3, "float16"), inputs=[kg.Input((2,))])
    library, header = f.export(tmp_path / "half")
    x, out = np.array([[1, 2]], np.float32), np.empty((1, 2), np.float32)
    assert ctypes.CDLL(str(library)).half(pointer(x), ctypes.c_int64(1), pointer(out)) == OK
    assert out.tolist() == [[3, 6]]
    assert "float *out" in header.read_text()


def test_weights_are_those_of_the_moment(tmp_path):
    model = mlp()
    f = kg.compile(model)
    x = floats(5, 6)
    model.layers[-1].kernel.assign(floats(20, 3))  # after the first preparation
    wanted = f(x)
    call = called(f.export(tmp_path / "net")[0], "net", f)
    model.layers[-1].kernel.assign(floats(20, 3))
    np.testing.assert_array_equal(call(x)[1][0], wanted)
    assert not np.array_equal(f(x), wanted)


def test_many_threads_may_call_at_once(compiled, policy):
    call = called(policy, "policy", compiled)
    given = [floats(size, 6) for size in (1, 3, 200, 3000)]
    wanted = [compiled(x) for x in given]
    wrong = []

    def work(first: int) -> None:
        for turn in range(150):
            place = (first + turn) % len(given)
            status, (found,) = call(given[place])
            if status != OK or not np.array_equal(found, wanted[place]):
                wrong.append((place, status))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# what it refuses -----------------------------------------------------------------------------------------------------


def test_an_index_outside_of_a_table_is_a_status(tmp_path):
    f = kg.compile(words())
    call = called(f.export(tmp_path / "net")[0], "net", f)
    assert call(np.array([[1, 10]], np.int32))[0] == OK
    assert call(np.array([[1, 11]], np.int32))[0] == BAD_INDEX
    status, (found,) = call(np.array([[3, 10]], np.int32))
    assert status == OK
    np.testing.assert_array_equal(found, f(np.array([[3, 10]], np.int32)))


def test_sizes_that_cannot_be_are_statuses(tmp_path):
    f = kg.compile(lambda x: ops.cumsum(ops.cumsum(x, axis=0), axis=0), inputs=kg.Input((6,)))  # keeps all in between
    function, none = ctypes.CDLL(str(f.export(tmp_path / "sums")[0])).sums, ctypes.c_void_p(None)
    for size, status in ((-1, BAD_SIZE), (0, OK), (1 << 45, NO_MEMORY), (1 << 62, NO_MEMORY), (-(1 << 63), BAD_SIZE)):
        assert function(none, ctypes.c_int64(size), none) == status


def test_sizes_that_do_not_fit_each_other_are_a_status(tmp_path):
    f = kg.compile(lambda a, b: a + b, inputs=[kg.Input((None,), name="a"), kg.Input((None,), name="b")])
    assert len(f.ir.assumed) == 1
    function = ctypes.CDLL(str(f.export(tmp_path / "added")[0])).added
    a, b, out = floats(2, 3), floats(2, 3), np.empty((2, 3), np.float32)

    def status(*sizes: int) -> int:
        return function(pointer(a), pointer(b), *map(ctypes.c_int64, sizes), pointer(out))

    assert [status(2, 3, 4), status(2, 3, 3), status(2, 2, 3)] == [BAD_SIZE, OK, BAD_SIZE]
    np.testing.assert_array_equal(out, a + b)


# what is written -----------------------------------------------------------------------------------------------------


def test_the_header_says_what_the_function_takes(tmp_path):
    library, header = kg.compile(several()).export(str(tmp_path / "two.so"))
    assert (library, header) == (tmp_path / "two.so", tmp_path / "two.h")
    text = header.read_text()
    assert "int two(const float *a, const int32_t *b, int64_t N, float *both, int32_t *argmax);" in text
    assert " *   both    output, float32 (N, 4)\n" in text
    assert "TWO_BAD_INDEX = 2" in text and 'extern "C"' in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["two.h", "two.so"]


def test_names_become_those_of_c(tmp_path):
    library, header = kg.compile(mlp("int")).export(tmp_path / "my-net.v2.h")
    assert (library.name, header.name) == ("my-net.v2.so", "my-net.v2.h")
    assert "int my_net_v2(const float *int_, int64_t N, float *out);" in header.read_text()
    assert ctypes.CDLL(str(library)).my_net_v2


def test_a_new_library_takes_the_place_of_the_old_one(tmp_path):
    first, second = kg.compile(mlp()), kg.compile(mlp())
    x = floats(2, 6)
    before = called(first.export(tmp_path / "net")[0], "net", first)
    os.link(second.export(tmp_path / "net")[0], tmp_path / "again.so")  # by a path, a process loads one library
    after = called(tmp_path / "again.so", "net", second)
    for call, f in ((before, first), (after, second), (before, first)):
        np.testing.assert_array_equal(call(x)[1][0], f(x))


def seeded() -> Any:
    return kg.compile(kg.Sequential([kg.Input((3,)), kg.layers.Dropout(0.5)]), training=True)


@pytest.mark.parametrize(
    ("make", "name", "error", "text"),
    [
        (lambda: kg.compile(mlp(), lower_only=True), "net", ArgumentError, "lower_only=False"),
        (lambda: kg.compile(mlp(), target="cuda", lower_only=True), "net", ArgumentError, 'target="cpu"'),
        (seeded, "net", ArgumentError, "training=False"),
        (lambda: kg.compile(mlp()), "while", ArgumentError, "while"),
        (lambda: kg.compile(mlp()), "read", ArgumentError, "C library has a function read"),
        (lambda: kg.compile(mlp()), "kg_run", ArgumentError, "kg_run"),
        (lambda: kg.compile(mlp()), "missing/net", SavingError, "no directory"),
    ],
)
def test_what_cannot_be_exported_is_an_error_and_no_file(make, name, error, text, tmp_path):
    with pytest.raises(error, match=text):
        make().export(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_without_a_linker_the_error_names_the_extra(compiled, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(linker, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"kgraph\[export\]"):
        compiled.export(tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


def test_a_linker_that_fails_leaves_the_old_files(compiled, tmp_path, monkeypatch):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho nothing works >&2\nexit 3\n")
    broken.chmod(0o755)
    (tmp_path / "net.so").write_text("old")
    monkeypatch.setenv("CC", f"{broken} -v")
    monkeypatch.setattr(linker, "COMPILERS", ())
    monkeypatch.setattr(linker, "LINKERS", ())
    monkeypatch.setattr(linker, "find_spec", lambda name: None)
    with pytest.raises(KGraphError, match="nothing works"):
        compiled.export(tmp_path / "net")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "net.so"]
    assert (tmp_path / "net.so").read_text() == "old"


def test_a_linker_by_itself_does(compiled, tmp_path, monkeypatch):
    if not any(map(shutil.which, linker.LINKERS)):
        pytest.skip("there is no linker")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(linker, "COMPILERS", ())
    call = called(compiled.export(tmp_path / "net")[0], "net", compiled)
    x = floats(3, 6)
    np.testing.assert_array_equal(call(x)[1][0], compiled(x))


# other programs ------------------------------------------------------------------------------------------------------

WITHOUT_KGRAPH = """
import ctypes, os, struct, sys
function = ctypes.CDLL(sys.argv[1]).wide
size = 700
x = (ctypes.c_float * (96 * size))(*(number % 13 / 13 for number in range(96 * size)))
def call():
    out = (ctypes.c_float * (10 * size))()
    assert function(x, ctypes.c_int64(size), out) == 0
    return bytes(out)
first = call()
child = os.fork()
if not child:
    os._exit(0 if all(call() == first for _ in range(5)) else 1)
assert os.waitpid(child, 0)[1] == 0 and call() == first
assert not any(name in sys.modules for name in ("kgraph", "numpy", "llvmlite"))
sys.stdout.buffer.write(first)
"""


def test_a_process_without_kgraph_and_its_fork(tmp_path):
    f = kg.compile(mlp_of(96, 512, 512, 10), threads=2)
    library = f.export(tmp_path / "wide")[0]
    command = [sys.executable, "-I", "-S", "-c", WITHOUT_KGRAPH, str(library)]
    printed = subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": ""}).stdout
    x = (np.arange(96 * 700) % 13 / 13).astype(np.float32).reshape(700, 96)
    np.testing.assert_array_equal(np.frombuffer(printed, np.float32).reshape(700, 10), f(x))


PROGRAM = """
#include "policy.h"
#include <stdio.h>
int main(void) {
    float state[2][6] = {{1, 2, 3, 4, 5, 6}, {0, 0, 0, 0, 0, 0}}, action[2][3];
    int status = policy(&state[0][0], 2, &action[0][0]);
    fwrite(action, sizeof action, 1, stdout);
    return status != POLICY_OK || policy(0, -1, 0) != POLICY_BAD_SIZE;
}
"""


@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler")
@pytest.mark.parametrize("language", [["-x", "c", "-std=c99"], ["-x", "c++", "-std=c++98", "-Wno-long-long"]])
def test_a_program_in_c_or_cpp(compiled, policy, language, tmp_path):
    if language[1] == "c++" and not shutil.which("c++"):
        pytest.skip("there is no C++ compiler")
    (tmp_path / "program").write_text(PROGRAM)
    options = ["-Wall", "-Wextra", "-pedantic", "-Werror", f"-I{policy.parent}", f"-Wl,-rpath,{policy.parent}"]
    command = [COMPILER, *language, "program", "-x", "none", str(policy), *options, "-o", "run"]
    subprocess.run(command, cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "run"], check=True, capture_output=True).stdout
    x = np.array([[1, 2, 3, 4, 5, 6], [0] * 6], np.float32)
    np.testing.assert_array_equal(np.frombuffer(printed, np.float32).reshape(2, 3), compiled(x))
