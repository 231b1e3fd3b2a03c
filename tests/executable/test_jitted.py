"""`f.jit`: compiled models called by numba-compiled code."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from numba import njit, prange
from numba.core.errors import TypingError

import kgraph as kg
from kgraph.errors import ArgumentError, RangeError

rng = np.random.default_rng(9)


def floats(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def mlp() -> kg.Model:
    i = kg.Input((6,), name="state")
    h = kg.layers.Dense(20, activation="tanh", name="hidden")(i)
    return kg.Model(i, kg.layers.Dense(3, name="action")(h))


@pytest.fixture(scope="module")
def model() -> kg.Model:
    return mlp()


@pytest.fixture(scope="module")
def compiled(model):
    return kg.compile(model)


# what comes and goes -------------------------------------------------------------------------------------------------


def test_njit_code_calls_it_and_gets_what_a_call_from_python_gives(compiled):
    policy = compiled.jit

    @njit
    def twice(x):
        return policy(x), policy(x * 2)

    for size in (1, 0, 5, 1):
        x = floats(size, 6)
        for found, wanted in zip(twice(x), (compiled(x), compiled(x * 2)), strict=True):
            np.testing.assert_array_equal(found, wanted)
    assert compiled.jit is policy


def test_several_inputs_are_arguments_and_several_outputs_a_tuple():
    a, b = kg.Input((3,), name="a"), kg.Input((3,), name="b", dtype="int32")
    f = kg.compile(kg.Model([a, b], [kg.ops.cast(b, "float32") + a, kg.ops.sum(a, axis=-1), b * 2]))
    function = f.jit

    @njit
    def call(x, y):
        total, sums, doubled = function(x, y)
        return total, sums, doubled

    x, y = floats(4, 3), np.arange(12, dtype=np.int32).reshape(4, 3)
    for found, wanted in zip(call(x, y), f(x, y), strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


def test_with_a_loss_it_returns_the_value_and_the_gradients(model):
    g = kg.compile(model, loss="mse")
    step = g.jit

    @njit
    def call(x, y):
        value, gradients = step(x, y)
        return value, gradients[0], len(gradients)

    x, y = floats(7, 6), floats(7, 3)
    value, gradient, count = call(x, y)
    wanted, gradients = g.value_and_grad(x, y)
    assert value == wanted and count == 4
    np.testing.assert_array_equal(gradient, gradients[0])


def test_arrays_without_axes_and_a_fixed_size():
    f = kg.compile(lambda x, s: x * s, inputs=[kg.Input(batch_shape=(3,)), kg.Input(batch_shape=())])
    function = f.jit
    x, s = floats(3), np.array(2, np.float32)
    np.testing.assert_array_equal(njit(lambda x, s: function(x, s))(x, s), x * 2)
    total = kg.compile(lambda x: kg.ops.sum(x), inputs=[kg.Input(batch_shape=(3,))]).jit
    assert njit(lambda x: total(x)[()])(x) == pytest.approx(x.sum(), rel=1e-5)


def test_arrays_of_other_orders_are_copied(compiled):
    policy = compiled.jit
    call = njit(lambda x: policy(x))
    x = floats(4, 6)
    for odd in (np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
        np.testing.assert_array_equal(call(odd), compiled(x))
    x.flags.writeable = False
    np.testing.assert_array_equal(call(x), compiled(x))


def test_weights_are_live():
    model = mlp()
    f, x = kg.compile(model), floats(2, 6)
    policy = f.jit
    call = njit(lambda x: policy(x))
    for _ in range(3):
        model.set_weights([weight + floats(*weight.shape) for weight in model.get_weights()])
        np.testing.assert_allclose(call(x), model(x), rtol=1e-4, atol=1e-5)


# errors --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (np.zeros((2, 6)), r"input 'state' wants f32\[N,6\], an array of float32 with 2 axes, and got array\(float64"),
        (np.zeros(6, np.float32), "with 2 axes, and got array"),
        (3.0, "with 2 axes, and got float64"),
    ],
)
def test_types_that_do_not_fit_are_errors_when_the_caller_is_compiled(compiled, wrong, says):
    policy = compiled.jit
    with pytest.raises(TypingError, match=says):
        njit(lambda x: policy(x))(wrong)


def test_sizes_that_do_not_fit_are_errors_of_the_call(compiled):
    policy = compiled.jit
    call = njit(lambda x: policy(x))
    with pytest.raises(ValueError, match=r"wanted: state: f32\[N,6\]"):
        call(floats(2, 7))
    assert call(floats(2, 6)).shape == (2, 3)


def test_sizes_that_must_be_equal_are_compared_by_python():
    open_ended = [kg.Input(batch_shape=(None, None)), kg.Input(batch_shape=(None, None))]
    add = kg.compile(lambda x, y: x + y, inputs=open_ended).jit
    call = njit(lambda x, y: add(x, y))
    np.testing.assert_array_equal(call(np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)), np.full((2, 3), 2))
    with pytest.raises(ValueError, match="no call can be prepared"):
        call(floats(2, 3), floats(2, 2))
    with pytest.raises(ValueError, match="do not have the sizes"):
        call(floats(2, 3), floats(3, 3))


def test_an_index_outside_is_an_error():
    i = kg.Input((3,), dtype="int32", name="words")
    f = kg.compile(kg.Model(i, kg.layers.Embedding(10, 4, name="table")(i)))
    look_up = f.jit
    call = njit(lambda x: look_up(x))
    words = np.array([[0, 9, 2]], np.int32)
    np.testing.assert_array_equal(call(words), f(words))
    with pytest.raises(RangeError, match="outside"):
        call(words + 1)
    np.testing.assert_array_equal(call(words), f(words))


def test_what_cannot_run_without_python_is_refused(model):
    with pytest.raises(ArgumentError, match="machine code of the CPU"):
        _ = kg.compile(model, lower_only=True).jit
    i = kg.Input((3,))
    with pytest.raises(ArgumentError, match=r"moving_mean.*training=False"):
        _ = kg.compile(kg.Model(i, kg.layers.BatchNormalization()(i)), training=True).jit


# without the GIL -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nogil", [False, True])
def test_it_runs_in_parallel_loops_also_with_sizes_that_are_new(model, nogil):
    f = kg.compile(model)
    policy = f.jit

    @njit(parallel=True, nogil=nogil)
    def all_of(xs, size, out):
        for place in prange(len(xs)):
            for _ in range(50):
                out[place] = policy(xs[place, :size]).sum()

    xs, out = floats(16, 8, 6), np.zeros(16, np.float32)
    for size in (3, 8, 3):
        all_of(xs, size, out)
        np.testing.assert_allclose(out, [f(x[:size]).sum() for x in xs], rtol=1e-3, atol=1e-3)


def test_many_threads_may_call_without_the_gil(model):
    f = kg.compile(model)
    policy = f.jit

    @njit(nogil=True)
    def often(x, wanted):
        wrong = 0
        for _ in range(3000):
            found = policy(x)
            for place in range(found.size):
                wrong += found.flat[place] != wanted.flat[place]
        return wrong

    inputs = [floats(size, 6) for size in (1, 2, 3, 1, 2, 40, 3, 1)]
    wanted = [f(x) for x in inputs]
    often(inputs[0], wanted[0])
    wrong = []
    threads = [
        threading.Thread(target=lambda pair=pair: wrong.append(often(*pair)))
        for pair in zip(inputs, wanted, strict=True)
    ]
    for thread in threads:
        thread.start()
    for _ in range(200):
        np.testing.assert_array_equal(f(inputs[0]), wanted[0])
    for thread in threads:
        thread.join()
    assert wrong == [0] * len(inputs)


# numba's side --------------------------------------------------------------------------------------------------------

CACHED = """
import warnings
import numpy as np
from numba import njit
from numba.core.errors import NumbaWarning
import kgraph as kg
i = kg.Input((3,))
policy = kg.compile(kg.Model(i, kg.layers.Dense(2, kernel_initializer="ones")(i))).jit

@njit(cache=True)
def call(x):
    return policy(x)

with warnings.catch_warnings(record=True) as found:
    warnings.simplefilter("always")
    print(call(np.ones((1, 3), np.float32)).tolist(), any("dynamic globals" in str(one.message) for one in found))
"""


def test_callers_are_not_cached_on_disk_and_numba_says_so(tmp_path):
    (tmp_path / "caller.py").write_text(CACHED)
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root, "NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    for _ in range(2):  # the second process would run the addresses of the first
        done = subprocess.run(
            [sys.executable, "caller.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == "[[3.0, 3.0]] True"
