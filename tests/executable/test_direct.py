"""Calls that go straight into machine code give what the methods give, and hand over to them what they cannot serve."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pytest
from direct_calls import floats, method

import kgraph as kg
from kgraph.errors import ArgumentError, RangeError, ShapeError
from kgraph.executable.direct import DirectExecutable
from kgraph.executable.executable import Executable

# what is served ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2, 97])
def test_a_plain_call_is_served_natively(compiled, slow, size):
    x = floats(size, 12)
    first = compiled(x)
    slow()
    again = compiled(x)
    assert slow() == 0
    for result in (first, again):
        assert type(result) is np.ndarray and result.dtype == np.float32 and result.shape == (size, 5)
        assert result.flags.carray and result.flags.owndata
    np.testing.assert_array_equal(again, method(compiled)(x))
    np.testing.assert_array_equal(again, first)
    assert again is not first


def test_gradients_are_served_natively(trained, slow):
    x, y = floats(3, 12), np.array([1, 4, 0], np.int32)
    slow()
    value, gradients = trained.value_and_grad(x, y)
    assert slow() == 0
    expected, wanted = method(trained, "value_and_grad")(x, y)
    assert type(value) is type(expected) is np.float32 and value == expected
    assert type(gradients) is list and len(gradients) == len(wanted) == 4
    for one, other in zip(gradients, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_of_samples_are_served_natively(model, slow):
    g = kg.compile(model, loss="sparse_categorical_crossentropy")
    x, y, w = floats(3, 12), np.array([1, 4, 0], np.int32), np.array([1, 0, 2], np.float32)
    first, _ = g.value_and_grad(x, y, w)
    slow()
    again, _ = g.value_and_grad(x, y, w)
    assert slow() == 0 and first == again
    assert g.value_and_grad(x, y, sample_weight=w)[0] == first and slow() == 1
    assert g.value_and_grad(x, y)[0] != first and slow() == 1


def test_several_inputs_and_a_list_of_outputs(slow):
    a, b = kg.Input((3,), name="a"), kg.Input((3,), name="b")
    f = kg.compile(kg.Model([a, b], [kg.layers.add([a, b]), kg.layers.multiply([a, b])]))
    x, y = floats(2, 4, 3)
    f(x, y)
    slow()
    total, times = f(x, y)
    assert slow() == 0
    np.testing.assert_array_equal(total, x + y)
    np.testing.assert_array_equal(times, x * y)
    with pytest.raises(ShapeError):
        f(x, floats(5, 3))


def test_arrays_of_every_dtype_and_of_no_axes(slow):
    for dtype in ("bool", "uint8", "int16", "int32", "int64", "uint64", "float32", "float64"):
        f = kg.compile(lambda x: kg.ops.where(x == x, x, x), inputs=[kg.Input(batch_shape=(), dtype=dtype)])
        x = np.array(1, dtype)
        f(x)
        slow()
        found = f(x)
        assert slow() == 0 and found.dtype == dtype and found.shape == () and found == 1


def test_unknown_sizes_are_told_apart(slow):
    f = kg.compile(
        lambda x, y: x * 2 + y, inputs=[kg.Input(batch_shape=(None, None)), kg.Input(batch_shape=(None, None))]
    )
    for shape in ((2, 3), (3, 2), (5, 5), (2, 3)):
        x, y = floats(*shape), floats(*shape)
        np.testing.assert_allclose(f(x, y), x * 2 + y, rtol=1e-6)
    slow()
    f(floats(3, 2), floats(3, 2))
    assert slow() == 0
    for wrong in ((2, 2), (3, 3), (1, 3)):
        with pytest.raises(ShapeError):
            f(floats(2, 3), floats(*wrong))


def test_a_size_computed_from_others():
    f = kg.compile(lambda x: kg.ops.concatenate([x, x[:, 1:]], axis=1), inputs=[kg.Input(batch_shape=(None, None))])
    for shape in ((2, 3), (4, 2), (2, 3)):
        x = floats(*shape)
        np.testing.assert_array_equal(f(x), np.concatenate([x, x[:, 1:]], axis=1))


# out= ----------------------------------------------------------------------------------------------------------------


def test_out_is_filled_natively_and_returned(compiled, slow):
    x, y = floats(3, 12), np.full((3, 5), np.nan, np.float32)
    slow()
    assert compiled(x, out=y) is y
    assert slow() == 0
    np.testing.assert_array_equal(y, compiled(x))
    assert compiled(x, out=None).shape == (3, 5)


@pytest.mark.parametrize(
    "out",
    [
        lambda x: np.zeros((4, 5), np.float32),
        lambda x: np.zeros((3, 5)),
        lambda x: np.zeros((5, 3), np.float32).T,
        lambda x: np.broadcast_to(np.zeros(5, np.float32), (3, 5)),
        lambda x: x.reshape(-1)[:15].reshape(3, 5),
        lambda x: [[0.0] * 5] * 3,
    ],
    ids=["shape", "dtype", "order", "read only", "overlap", "list"],
)
def test_out_that_does_not_fit_is_refused_as_ever(compiled, out):
    x = floats(3, 12)
    kept = x.copy()
    with pytest.raises((ArgumentError, ShapeError, TypeError)) as native:
        compiled(x, out=out(x))
    with pytest.raises(type(native.value)) as slow:
        method(compiled)(x, out=out(x))
    assert str(native.value) == str(slow.value)
    np.testing.assert_array_equal(x, kept)


def test_a_call_that_is_refused_leaves_out_alone():
    i = kg.Input((3,), dtype="int32", name="words")
    f = kg.compile(kg.Model(i, kg.layers.Embedding(10, 4, name="table")(i)))
    good, bad, out = np.zeros((1, 3), np.int32), np.array([[0, 11, 2]], np.int32), np.full((1, 3, 4), 7, np.float32)
    for _ in range(2):
        f(good)
        with pytest.raises(RangeError, match="index 11 of input 'words'"):
            f(bad)
        with pytest.raises(RangeError, match="index 11 of input 'words'"):
            f(bad, out=out)
    assert (out == 7).all()
    assert f(good, out=out) is out and not (out == 7).all()


# what is converted, and what is handed over --------------------------------------------------------------------------

CONVERTED = {
    "float64": lambda x: x.astype(np.float64),
    "float16": lambda x: x.astype(np.float16),
    "int64": lambda x: (10 * x).astype(np.int64),
    "uint8": lambda x: (10 * x).astype(np.uint8),
    "bool": lambda x: x > 0,
    "fortran": lambda x: np.asfortranarray(x),
    "strided": lambda x: np.repeat(x, 2, axis=0)[::2],
    "swapped": lambda x: x.astype(">f4"),
    "swapped float64": lambda x: x.astype(">f8")[::-1],
    "unaligned": lambda x: np.frombuffer(b"." + x.tobytes(), np.float32, offset=1).reshape(x.shape),
}
HANDED_OVER = {
    "lists": lambda x: x.tolist(),
    "subclass": lambda x: x.view(type("Mine", (np.ndarray,), {})),
    "long double": lambda x: x.astype(np.longdouble),
    "in a list": lambda x: [x],
    "named": lambda x: {"x": x},
}


@pytest.mark.parametrize("odd", CONVERTED.values(), ids=CONVERTED)
def test_arrays_of_other_kinds_are_converted_natively(compiled, slow, odd):
    x = odd(abs(floats(4, 12)))
    wanted = method(compiled)(x)
    slow()
    np.testing.assert_array_equal(compiled(x), wanted)
    out = np.empty((4, 5), np.float32)
    assert compiled(x, out=out) is out
    np.testing.assert_array_equal(out, wanted)
    assert slow() == 0


@pytest.mark.parametrize("odd", HANDED_OVER.values(), ids=HANDED_OVER)
def test_odd_inputs_are_handed_over(compiled, slow, odd):
    x = floats(4, 12)
    wanted = compiled(x)
    slow()
    np.testing.assert_array_equal(compiled(odd(x)), wanted)
    assert slow() == 1
    np.testing.assert_array_equal(compiled(x), wanted)


def test_integers_become_smaller_ones_if_they_fit(slow):
    f = kg.compile(lambda x: x + 1, inputs=[kg.Input(batch_shape=(None,), dtype="int32")])
    ends = np.iinfo(np.int32)
    for numbers in ([1, -7, ends.max - 1, ends.min], []):
        x = np.array(numbers, np.int64)
        f(x)
        slow()
        assert f(x).tolist() == [number + 1 for number in numbers] and slow() == 0
    assert f(np.array([1, 2, 3, 4], np.int64)[::2]).tolist() == [2, 4]
    assert f(np.array([1, 2], ">i8")).tolist() == [2, 3]
    for wrong in (ends.max + 1, ends.min - 1, 2**63 - 1):
        with pytest.raises(RangeError, match="got values from"):
            f(np.array([1, wrong], np.int64))


def test_fractions_are_not_lost():
    f = kg.compile(lambda x: x + 1, inputs=[kg.Input(batch_shape=(None,), dtype="int32")])
    f(np.array([1], np.int32))
    assert f(np.array([2.0])).tolist() == [3]
    with pytest.raises(TypeError, match="fractions"):
        f(np.array([2.5]))


def test_numbers_too_large_become_infinite_with_numpy_s_warning(compiled):
    x = np.full((1, 12), 1e300)
    for call in (compiled, method(compiled)):
        with pytest.warns(RuntimeWarning, match="overflow"):
            assert np.isnan(call(x)).all()
        with pytest.raises(RuntimeWarning, match="overflow"):
            call(x)


@pytest.mark.parametrize(
    "call",
    [
        lambda f, x: f(),
        lambda f, x: f(x, x),
        lambda f, x: f(x[:, :-1]),
        lambda f, x: f(x[0]),
        lambda f, x: f(x.astype(complex)),
        lambda f, x: f(x, into=x),
        lambda f, x: f(None),
        lambda f, x: f(x, x, out=x),
        lambda f, x: f.value_and_grad(x, x),
        lambda f, x: f.value_and_grad(x),
    ],
)
def test_errors_are_those_of_the_methods(model, call):
    x, messages = floats(3, 12), []
    for made in (kg.compile(model), Executable(kg.compile(model).definition, kg.compile(model).options)):
        with pytest.raises(Exception) as error:
            made(x)
            call(made, x)
        messages.append((error.type, str(error.value).replace("DirectExecutable", "Executable")))
    assert messages[0] == messages[1]


def test_outputs_in_a_dict(model):
    i = kg.Input((3,), name="x")
    f = kg.compile(kg.Model(i, {"a": i + 1.0, "b": i * 2.0}))
    for _ in range(2):
        found = f(np.ones((2, 3), np.float32))
        assert found["a"].tolist() == found["b"].tolist() == [[2.0] * 3] * 2


# what a user sees ----------------------------------------------------------------------------------------------------


def test_it_is_an_executable_with_its_signatures(compiled, trained):
    assert isinstance(compiled, DirectExecutable) and isinstance(compiled, Executable) and callable(compiled)
    assert str(inspect.signature(compiled)) == "(*args, out=None, **named)"
    assert list(inspect.signature(trained.value_and_grad).parameters) == ["x", "y", "sample_weight"]
    assert trained.value_and_grad.__doc__.startswith("The loss, and its gradient")
    assert "definition" in inspect.signature(type(compiled)).parameters


def test_it_pickles_with_its_loss(trained):
    x, y = floats(3, 12), np.array([1, 4, 0], np.int32)
    again = pickle.loads(pickle.dumps(trained))
    assert type(again) is type(trained)
    assert again.value_and_grad(x, y)[0] == trained.value_and_grad(x, y)[0]


def test_without_machine_code_or_on_other_targets_there_is_no_native_entry(model):
    assert type(kg.compile(model, lower_only=True)) is Executable
