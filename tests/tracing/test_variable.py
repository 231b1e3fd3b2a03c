"""Variables: what changes them, and how compiled code sees it."""

from __future__ import annotations

import copy
import ctypes
import pickle
import threading

import numpy as np
import pytest

import kgraph as kg
from kgraph.errors import DTypeError, NotTracedError, ShapeError
from kgraph.tracing.trace import tracing


def version_in_memory(variable: kg.Variable) -> int:
    return ctypes.c_int64.from_address(variable.version_address).value


def test_every_change_is_counted_where_native_code_reads_it():
    variable = kg.Variable(np.zeros(3, np.float32))
    place = variable.version_address
    assert variable.version == version_in_memory(variable) == 0
    variable.assign([1, 2, 3])
    variable.assign_add(np.ones(3))
    assert variable.version == version_in_memory(variable) == 2
    assert variable.version_address == place
    with pytest.raises(ShapeError):
        variable.assign(np.zeros(4))
    assert variable.version == 2


def test_no_change_is_lost_between_threads():
    variable = kg.Variable(np.zeros(3, np.float32))

    def assign() -> None:
        for _ in range(500):
            variable.assign(np.ones(3, np.float32))

    threads = [threading.Thread(target=assign) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert variable.version == 2000


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_count_for_themselves(twin):
    variable = kg.Variable(np.zeros(3, np.float32))
    variable.assign(np.ones(3))
    other = twin(variable)
    other.assign(np.zeros(3))
    assert (variable.version, other.version) == (1, 2)
    np.testing.assert_array_equal(variable.numpy(), 1)
    assert other.version_address != variable.version_address


def test_value_is_what_a_traced_call_reads():
    class Counts(kg.layers.Layer):
        def build(self, _):
            self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False, name="seen")

        def call(self, x):
            self.seen.assign_add(1.0)
            return x + self.seen.value

    layer = Counts()
    model = kg.Sequential([kg.Input((2,)), layer])
    f = kg.compile(model)
    np.testing.assert_array_equal(f(np.zeros((1, 2), np.float32)), [[1, 1]])
    np.testing.assert_array_equal(f(np.zeros((1, 2), np.float32)), [[2, 2]])
    assert layer.seen.value == 2 and not layer.seen.value.flags.writeable


def test_value_has_gradients_under_a_tape():
    weight = kg.Variable(np.array([1.0, -2.0], np.float32))
    with kg.GradientTape() as tape:
        loss = kg.ops.sum(weight.value**2)
    np.testing.assert_array_equal(tape.gradient(loss, weight), [2, -4])


@pytest.mark.parametrize("read", [float, int, np.asarray, kg.Variable.numpy, kg.ops.convert_to_numpy])
def test_a_traced_call_cannot_take_the_number_of_a_variable(read):
    class Scaled(kg.layers.Layer):
        def build(self, _):
            self.factor = self.add_weight(shape=(), initializer="ones", name="factor")

        def call(self, x):
            return x * read(self.factor)

    with pytest.raises(NotTracedError, match="factor is known only at the call"):
        kg.Sequential([kg.Input((2,)), Scaled()])
    assert read(kg.Variable(3.0)) == 3


def test_a_variable_is_no_condition():
    for value in (1.0, [1.0, 2.0]):
        with pytest.raises(NotTracedError, match="is no condition"):
            bool(kg.Variable(value, name="gate"))


def test_a_single_number_has_no_length_and_an_integer_is_an_index():
    with pytest.raises(ShapeError, match="variable steps is a single number"):
        len(kg.Variable(3, name="steps"))
    assert list(range(kg.Variable(3, dtype="int32"))) == [0, 1, 2]
    with pytest.raises(TypeError, match="integer"):
        range(kg.Variable(3.0))
    assert [float(one) for one in kg.Variable([1.0, 2.0])] == [1, 2]


@pytest.mark.parametrize("value", [None, "a"])
def test_a_variable_begins_with_numbers(value):
    with pytest.raises(DTypeError, match="is no tensor"):
        kg.Variable(value)


def test_whether_a_new_value_fits_may_be_known_only_at_the_call() -> None:
    queue = kg.Variable(np.arange(4, dtype=np.float32), name="queue")

    def push(x):
        queue.assign(kg.ops.concatenate([x, queue[: -kg.ops.shape(x)[0]]], 0))
        return kg.ops.sum(queue)

    pushed = kg.compile(push, inputs=[kg.Input(())])
    assert pushed(np.array([7.0, 8.0])) == 16 and queue.numpy().tolist() == [7, 8, 0, 1]
    assert pushed(np.array([9.0])) == 24 and queue.numpy().tolist() == [9, 7, 8, 0]
    with pytest.raises(ShapeError, match="must be equal"):
        pushed(np.ones(5))
    assert queue.numpy().tolist() == [9, 7, 8, 0]
    with pytest.raises(ShapeError, match="variable queue has shape"):
        kg.compile(lambda x: queue.assign(x[:, 0]), inputs=[kg.Input((3, 4))])


def test_numpy_computes_with_the_numbers_what_kgraph_has_no_function_for() -> None:
    variable = kg.Variable(np.arange(3, dtype=np.float32), name="v")
    assert np.array_equal(variable, [0, 1, 2]) and np.add.reduce(variable) == 3
    assert np.add(variable, 1, out=np.zeros(3, np.float32)).tolist() == [1, 2, 3]
    with tracing(), pytest.raises(NotTracedError, match="array_equal cannot be traced"):
        np.array_equal(variable, [0, 1, 2])


def test_a_symbol_is_assigned_inside_of_calls_only() -> None:
    variable = kg.Variable(np.zeros(3, np.float32), name="v")
    for change in (variable.assign, variable.assign_add, variable.assign_sub):
        with pytest.raises(NotTracedError, match=r"variable v cannot take on a symbol here.*inside the `call`"):
            change(kg.Input(batch_shape=(3,)))
