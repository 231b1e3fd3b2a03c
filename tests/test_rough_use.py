"""Compiled functions stay right and whole where users write into their arrays, fork, pickle, or ask for what is not."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import config
from kgraph.errors import ArgumentError, DTypeError, RangeError
from kgraph.executable.executable import Executable

rng = np.random.default_rng(11)


def floats(*shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def model() -> kg.Model:
    i = kg.Input((12,), name="x")
    return kg.Model(i, kg.layers.Dense(5, activation="tanh", name="dense")(i))


@pytest.fixture(scope="module")
def compiled() -> Executable:
    return kg.compile(model())


def through_python(f: Executable) -> Callable[..., Any]:
    return Executable.__call__.__get__(f)


# arrays that are not what they seem ----------------------------------------------------------------------------------


def test_an_array_that_a_function_uses_is_read_when_it_is_compiled():
    numbers = floats(4)
    f = kg.compile(lambda x: x + numbers, inputs=[kg.Input(batch_shape=(4,))])
    x, wanted = floats(4), numbers.copy()
    numbers[:] = 7
    np.testing.assert_array_equal(f(x), x + wanted)
    f(x, out=numbers)
    np.testing.assert_array_equal(f(x), x + wanted)


def test_results_share_no_memory_with_inputs_weights_or_each_other():
    weight = kg.Variable(floats(3))
    f = kg.compile(lambda x: [x, x, x[0], weight.as_symbol()], inputs=[kg.Input(batch_shape=(2, 3))])
    x = floats(2, 3)
    made = f(x)
    for found, wanted in zip(made, (x, x, x[0], weight.numpy()), strict=True):
        np.testing.assert_array_equal(found, wanted)
    arrays = [x, weight.value, *made]
    assert not any(np.shares_memory(one, two) for place, one in enumerate(arrays) for two in arrays[:place])


@pytest.mark.parametrize("call", [lambda f: f, through_python], ids=["native", "python"])
@pytest.mark.parametrize("offset", [0, 1, 17, 35])
def test_out_may_not_overlap_an_input_by_a_single_number(call, offset):
    f = kg.compile(lambda x: x * 2.0, inputs=[kg.Input((12,))])
    memory = floats(80)
    x, before = memory[:36].reshape(3, 12), memory.copy()
    with pytest.raises(ArgumentError, match="overlaps"):
        call(f)(x, out=memory[offset : offset + 36].reshape(3, 12))
    np.testing.assert_array_equal(memory, before)
    beside = memory[36:72].reshape(3, 12)
    assert call(f)(x, out=beside) is beside
    np.testing.assert_array_equal(beside, x * 2)


@pytest.mark.parametrize("call", [lambda f: f, through_python], ids=["native", "python"])
def test_out_may_lie_anywhere(compiled, call):
    x, out = floats(3, 12), np.frombuffer(bytearray(61), np.float32, offset=1).reshape(3, 5)
    assert not out.flags.aligned and call(compiled)(x, out=out) is out
    np.testing.assert_array_equal(out, compiled(x))


@pytest.mark.parametrize("out", [5, object(), np.float32(1), "x", {"a": 1}])
def test_out_that_is_no_array_is_refused(compiled, out):
    with pytest.raises(DTypeError, match="out= wants an ndarray"):
        compiled(floats(3, 12), out=out)


def test_masked_numbers_and_records_are_no_numbers(compiled):
    x = floats(3, 12)
    np.testing.assert_array_equal(compiled(np.ma.array(x)), compiled(x))
    with pytest.raises(DTypeError, match="2 masked numbers"):
        compiled(np.ma.array(x, mask=np.arange(36).reshape(3, 12) < 2))
    with pytest.raises(DTypeError, match="wants f32"):
        compiled(np.zeros((3, 12), [("one", "f4"), ("two", "f4")]))


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ("int32", np.float32(2**31)),
        ("int32", np.float16("inf")),
        ("int64", 2.0**63),
        ("int64", np.float32(2**63)),
        ("int64", np.uint64(2**63)),
        ("uint64", 2.0**64),
        ("uint8", -1.0),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_numbers_just_outside_of_an_integer_are_refused(wanted, number):
    f = kg.compile(lambda x: x + 0, inputs=[kg.Input(batch_shape=(None,), dtype=wanted)])
    with pytest.raises((RangeError, DTypeError)):
        f(np.array([0, number], np.asarray(number).dtype))


@pytest.mark.parametrize(("wanted", "number"), [("int32", np.float32(-(2**31))), ("int64", -(2.0**63)), ("int32", 7.0)])
def test_numbers_just_inside_of_an_integer_are_taken(wanted, number):
    f = kg.compile(lambda x: x + 0, inputs=[kg.Input(batch_shape=(None,), dtype=wanted)])
    assert f(np.array([number])).tolist() == [int(number)]


# state ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [lambda f: f, through_python], ids=["native", "python"])
def test_state_may_be_written_and_never_read(call):
    kept, constant = kg.Variable(np.zeros((2, 3), np.float32)), kg.Variable(np.zeros(3, np.float32))

    def step(x):
        kept.assign(x)
        constant.assign(np.full(3, 5, np.float32))
        return x + 1.0

    f = kg.compile(step, inputs=[kg.Input(batch_shape=(2, 3))], training=True)
    for x in (floats(2, 3), floats(2, 3)):
        np.testing.assert_array_equal(call(f)(x), x + 1)
        np.testing.assert_array_equal(kept.numpy(), x)
    np.testing.assert_array_equal(constant.numpy(), 5)


def test_state_written_by_calls_and_by_another_thread_is_of_one_of_them():
    count, stop = 200_000, threading.Event()
    state = kg.Variable(np.zeros(count, np.float32))

    def step(x):
        state.assign(kg.ops.broadcast_to(x, (count,)))
        return x + 1.0

    def write():
        numbers = np.zeros(count, np.float32)
        while not stop.is_set():
            numbers -= 1
            state.assign(numbers)

    f = kg.compile(step, inputs=[kg.Input(batch_shape=(1,))], training=True)
    writer = threading.Thread(target=write)
    writer.start()
    for number in range(100):
        f(np.array([number], np.float32))
        found = state.numpy()
        if found.min() != found.max():
            break
    stop.set()
    writer.join()
    assert found.min() == found.max()


def test_no_change_is_lost_between_calls_and_assignments():
    state = kg.Variable(np.zeros(3, np.float32))

    def step(x):
        state.assign(state + 1.0)
        return x + 1.0

    f, x = kg.compile(step, inputs=[kg.Input(batch_shape=(1,))], training=True), np.zeros(1, np.float32)
    f(x)
    before = state.version
    doing = [lambda: f(x), lambda: state.assign(np.zeros(3, np.float32))] * 2
    threads = [threading.Thread(target=lambda do=do: [do() for _ in range(2000)]) for do in doing]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state.version == before + 8000


# processes -----------------------------------------------------------------------------------------------------------


def test_native_functions_pickle_with_the_executable_they_belong_to():
    f, x = kg.compile(model(), loss="mse"), floats(3, 12)
    y = f(x) + 1
    call, trained = pickle.loads(pickle.dumps((f.__call__, f.value_and_grad)))
    np.testing.assert_array_equal(call(x), f(x))
    assert trained(x, y)[0] == f.value_and_grad(x, y)[0]


def test_variables_whose_numbers_come_in_buffers_have_memory_of_their_own():
    variable, buffers = kg.Variable(floats(5, 3)), []
    f = kg.compile(lambda x: kg.ops.matmul(x, variable), inputs=[kg.Input((5,))])
    packed = pickle.dumps((variable, f), protocol=5, buffer_callback=buffers.append)
    frozen = [bytes(one) for one in buffers]
    again, g = pickle.loads(packed, buffers=frozen)
    x = floats(2, 5)
    np.testing.assert_array_equal(g(x), f(x))
    again.assign(np.zeros((5, 3), np.float32))
    assert not g(x).any() and f(x).any() and frozen == [bytes(one) for one in buffers]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_does_not_wait_for_a_compilation_that_its_parent_was_at(compiled):
    begun, go_on = threading.Event(), threading.Event()

    def compilation():
        with compiled._lock:
            begun.set()
            go_on.wait(60)

    thread = threading.Thread(target=compilation)
    thread.start()
    begun.wait(60)
    child = os.fork()
    if not child:
        os._exit(0 if compiled._lock.acquire(timeout=5) else 1)
    status = os.waitpid(child, 0)[1]
    go_on.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0


# threads -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0, -1, 2.5, "3", True, False, 10**30, float("nan"), [2]])
def test_numbers_of_threads_that_are_none_are_refused(threads):
    with pytest.raises(ArgumentError, match="threads= wants a number from 1"):
        kg.compile(model(), threads=threads)


@pytest.mark.parametrize("threads", [1, 3, 1000, np.int64(2)])
def test_any_number_of_threads_gives_the_same(threads):
    made, x = model(), floats(300, 12)
    np.testing.assert_array_equal(kg.compile(made, threads=threads)(x), kg.compile(made)(x))


@pytest.mark.parametrize(("asked", "found"), [("3", 3), (" 2 ", 2), ("0", 1), ("9" * 30, config.MOST_THREADS)])
def test_threads_may_be_set_in_the_environment(monkeypatch, asked, found):
    monkeypatch.setenv("KGRAPH_NUM_THREADS", asked)
    assert config.num_threads() == found


@pytest.mark.parametrize("asked", ["abc", "-1", "2.5", "1e3", "²"])
def test_what_is_no_number_of_threads_in_the_environment_is_an_error(monkeypatch, asked):
    monkeypatch.setenv("KGRAPH_NUM_THREADS", asked)
    with pytest.raises(ArgumentError, match="KGRAPH_NUM_THREADS"):
        config.num_threads()
