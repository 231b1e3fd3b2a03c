"""Between calls that go straight into machine code: weights, state and other threads change; nothing is left over."""

from __future__ import annotations

import gc
import sys
import threading
import tracemalloc
import weakref

import numpy as np
import pytest
from direct_calls import floats, method, mlp, wrong_of_threads

import kgraph as kg
from kgraph.errors import RangeError

# weights -------------------------------------------------------------------------------------------------------------


def test_weights_assigned_between_calls_are_read(slow):
    made = mlp()
    f, x = kg.compile(made), floats(3, 12)
    for step in range(4):
        before = f(x)
        made.set_weights([weight + 0.25 * (step + 1) * floats(*weight.shape) for weight in made.get_weights()])
        after = f(x)
        np.testing.assert_allclose(after, made(x), rtol=1e-4, atol=1e-6)
        assert not np.array_equal(before, after)
    slow()
    f(x)
    assert slow() == 0


def test_a_bias_needs_nothing_made_ready(slow):
    made = mlp()
    f, x = kg.compile(made), floats(3, 12)
    f(x)
    slow()
    made.get_layer("hidden").bias.assign(floats(20))
    np.testing.assert_allclose(f(x), made(x), rtol=1e-4, atol=1e-6)
    assert slow() == 0


def test_targets_of_other_kinds_take_turns():
    x = kg.Input((4,))
    model = kg.Model(x, kg.layers.Dense(1)(x))
    g = kg.compile(model, loss="mse")
    inputs = floats(3, 4)
    for y in (floats(3, 1), np.arange(3).reshape(3, 1), floats(3, 1), floats(3, 1).astype(np.float64)) * 2:
        value, _ = g.value_and_grad(inputs, y)
        assert value == pytest.approx(float(np.mean((model(inputs) - y) ** 2)), rel=1e-4)


# state ---------------------------------------------------------------------------------------------------------------


def test_state_is_updated_by_every_call(slow):
    i = kg.Input((3,))
    layer = kg.layers.BatchNormalization(momentum=0.5)
    f, x = kg.compile(kg.Model(i, layer(i)), training=True), floats(64, 3) + 2
    for calls in (1, 2, 3, 4):
        (method(f) if calls == 3 else f)(x)
        np.testing.assert_allclose(layer.moving_mean.numpy(), (1 - 0.5**calls) * x.mean(0), rtol=1e-5)
        assert layer.moving_mean.version == calls
    assert slow() == 2, "the first call, and the one that was asked of the method"


def test_random_numbers_follow_each_other_as_in_python():
    i = kg.Input((50,))
    layer = kg.layers.Dropout(0.5, seed=7)
    f, x = kg.compile(kg.Model(i, layer(i)), training=True), np.ones((2, 50), np.float32)
    state = layer.seed_generator.state
    start = state.numpy()
    native = [f(x) for _ in range(5)]
    state.assign(start)
    for one in native:
        np.testing.assert_array_equal(method(f)(x), one)
    assert not np.array_equal(native[0], native[1])


def test_a_refused_call_changes_no_state():
    i = kg.Input((2,), dtype="int32", name="words")
    layer = kg.layers.BatchNormalization()
    f = kg.compile(kg.Model(i, layer(kg.layers.Embedding(10, 4)(i))), training=True)
    f(np.zeros((3, 2), np.int32))
    before = layer.moving_mean.numpy(), layer.moving_mean.version
    with pytest.raises(RangeError):
        f(np.full((3, 2), 10, np.int32))
    np.testing.assert_array_equal(layer.moving_mean.numpy(), before[0])
    assert layer.moving_mean.version == before[1]


# many callers, and what is left of them ------------------------------------------------------------------------------


@pytest.mark.parametrize("long", [False, True])
def test_many_threads_may_call_at_once(model, monkeypatch, long):
    monkeypatch.setattr("kgraph.codegen.cpu.program.LONG", 0 if long else 10**9)
    f = kg.compile(model)
    inputs = [floats(size, 12) for size in (1, 7, 64, 300)] * 4
    wanted = [method(f)(x) for x in inputs]
    assert not wrong_of_threads(f, inputs, wanted, 200)


def test_calls_and_assignments_in_other_threads():
    made = mlp()
    f, x, stop = kg.compile(made), floats(2, 12), threading.Event()
    kernel = made.get_layer("hidden").kernel

    def assign():
        while not stop.is_set():
            kernel.assign(floats(12, 20))

    writer = threading.Thread(target=assign)
    writer.start()
    for _ in range(300):
        assert np.isfinite(f(x)).all()
    stop.set()
    writer.join()
    np.testing.assert_allclose(f(x), made(x), rtol=1e-4, atol=1e-6)


def test_nothing_leaks(compiled, trained):
    x, y, out = floats(3, 12), np.array([1, 4, 0], np.int32), np.empty((3, 5), np.float32)
    calls = [
        lambda: compiled(x),
        lambda: compiled(x, out=out),
        lambda: trained.value_and_grad(x, y),
        lambda: compiled(wide),
        lambda: trained.value_and_grad(x, labels),
        lambda: compiled([x]),
    ]
    wide, labels = x.astype(np.float64), y.astype(np.int64)
    things = (x, y, wide, labels, out, np.dtype(np.float32), np.dtype(np.int32), compiled, trained, "out")
    for call in calls:
        call()
    counts = [sys.getrefcount(one) for one in things]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for call in calls[:-1]:
            for _ in range(40_000):
                call()
        for _ in range(1000):
            calls[-1]()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < 20_000
    assert all(abs(sys.getrefcount(one) - count) < 10 for one, count in zip(things, counts, strict=True))


def test_results_that_find_no_memory_are_an_error_and_leave_all_in_order():
    f = kg.compile(lambda x: kg.ops.broadcast_to(x, (1 << 22, 1 << 22)), inputs=[kg.Input(batch_shape=())])
    f._forward().program.prepare({})  # all is ready, so that the native call is the one to fail
    x = np.array(1, np.float32)
    for call in (f, f, method(f)):
        with pytest.raises(MemoryError):
            call(x)


def test_an_executable_is_collected_with_all_it_holds(model):
    f = kg.compile(model)
    f(floats(2, 12))
    gone, call = weakref.ref(f), f.__call__
    del f
    gc.collect()
    assert gone() is not None, "the function still needs it"
    assert call(floats(2, 12)).shape == (2, 5)
    del call
    gc.collect()
    assert gone() is None
