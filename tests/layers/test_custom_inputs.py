"""What goes into layers that users write, and in which layout and dtype: specs, refusals, settings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from custom_layers import X, Y, linear

import kgraph as kg
from kgraph.errors import ArgumentError, DTypeError, ShapeError

pytestmark = [
    pytest.mark.usefixtures("fresh_names"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
RNG = np.random.default_rng(0)


def test_a_layer_that_says_its_output_spec() -> None:
    class Counted(kg.layers.Layer):
        def call(self, x: Any) -> Any:
            return kg.ops.sum(kg.ops.cast(x > 0, "int32"), axis=-1)

        def compute_output_spec(self, x: Any) -> Any:
            return kg.KerasTensor(x.shape[:-1], dtype="int32")

    y = Counted()(kg.Input((5,)))
    assert (y.shape, y.dtype) == ((None,), "int32")
    spec = Counted().compute_output_spec(kg.KerasTensor((None, 5), "float32", name="x"))
    assert (spec.shape, spec.dtype) == ((None,), "int32")
    shown = kg.layers.Dense(3).compute_output_spec(kg.KerasTensor((2, 7)))
    assert (shown.shape, shown.dtype) == ((2, 3), "float32")


@pytest.mark.parametrize(
    ("options", "fits", "wrong"),
    [
        ({"ndim": 2}, [(3, 5)], [(3,), (3, 5, 1)]),
        ({"min_ndim": 2, "max_ndim": 3}, [(3, 5), (3, 5, 1)], [(3,), (3, 5, 1, 1)]),
        ({"shape": (None, 5)}, [(3, 5)], [(3, 4), (3,), (3, 5, 1)]),
        ({"axes": {1: 5, -1: 2}}, [(3, 5, 2), (1, 5, 7, 2)], [(3, 4, 2), (3, 5)]),
        ({"axes": {1: None}}, [(3, 4)], []),
        ({"shape": (None, 5), "allow_last_axis_squeeze": True}, [(3, 5), (3, 5, 1)], [(3, 5, 2), (3, 4), (3, 5, 1, 1)]),
        ({"shape": (None, 5, 1), "allow_last_axis_squeeze": True}, [(3, 5, 1), (3, 5)], [(3, 5, 2), (3,)]),
        ({"ndim": 2, "allow_last_axis_squeeze": True}, [(3, 5), (3, 5, 1)], [(3, 5, 2), (3, 5, 1, 1)]),
    ],
)
def test_what_an_input_must_be(options: Any, fits: Any, wrong: Any) -> None:
    layer = kg.layers.Identity()
    layer.input_spec = kg.InputSpec(**options)
    for shape in fits:
        layer(np.zeros(shape, "float32"))
        layer(kg.Input(batch_shape=shape))
    for shape in wrong:
        for value in (np.zeros(shape, "float32"), kg.Input(batch_shape=shape)):
            with pytest.raises(ShapeError, match=r"layer 'identity' .*expected .*found"):
                layer(value)


def test_specs_of_several_inputs() -> None:
    class Both(kg.layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="both")
            self.input_spec = [kg.InputSpec(ndim=2, dtype="float32"), kg.InputSpec(axes={-1: 3}, dtype="int32")]

        def call(self, inputs: Any) -> Any:
            return inputs[0] + kg.ops.cast(inputs[1], "float32")

    layer, counts = Both(), np.ones((8, 3), "int32")
    assert layer([X[:, :3], counts]).shape == (8, 3)
    with pytest.raises(DTypeError, match=r"input 1 of layer 'both' .*expected dtype=int32, found dtype=float32"):
        layer([X[:, :3], X[:, :3]])
    with pytest.raises(ShapeError, match="expects 2 input"):
        layer([X])
    spec = kg.InputSpec(shape=(None, 3), dtype="float32", axes={1: 3})
    assert kg.InputSpec.from_config(spec.get_config()).get_config() == spec.get_config()
    assert "shape=(None, 3)" in repr(spec)
    with pytest.raises(ValueError, match="axis 2"):
        kg.InputSpec(ndim=2, axes={2: 5})


@pytest.mark.parametrize("options", [{"sparse": True}, {"ragged": True}, {"tensor": X}])
def test_inputs_that_are_refused(options: Any) -> None:
    with pytest.raises(ArgumentError, match=f"{next(iter(options))}.* not supported"):
        kg.Input((5,), **options)


def test_channels_first_is_honoured() -> None:
    x = RNG.normal(size=(2, 3, 8, 8)).astype("float32")

    def make(k: Any) -> Any:
        k.config.set_image_data_format("channels_first")
        try:
            parts = [k.layers.Conv2D(4, 3), k.layers.MaxPooling2D(), k.layers.GlobalAveragePooling2D()]
            return k.Sequential([k.Input((3, 8, 8)), *parts, k.layers.Dense(1)])
        finally:
            k.config.set_image_data_format("channels_last")

    model = make(kg)
    assert [layer.output.shape for layer in model.layers] == [(None, 4, 6, 6), (None, 4, 3, 3), (None, 4), (None, 1)]
    wide = kg.Sequential([kg.Input((8, 8, 3)), kg.layers.Conv2D(4, 3), kg.layers.MaxPooling2D()])
    wide.layers[0].set_weights(model.layers[0].get_weights())
    found = kg.Model(model.inputs, model.layers[1].output).predict(x, verbose=0)
    np.testing.assert_allclose(
        found, np.moveaxis(wide.predict(np.moveaxis(x, 1, -1), verbose=0), -1, 1), rtol=1e-4, atol=1e-5
    )


def test_double_precision_is_honoured() -> None:
    kg.config.set_floatx("float64")
    try:
        model = kg.Sequential([kg.Input((5,)), linear(kg)(1)])
        model.compile(kg.optimizers.SGD(momentum=0.9), "mse")
        model.fit(X, Y, verbose=0)
        assert {weight.dtype for weight in model.weights} == {"float64"}
        assert {one.dtype for one in model.optimizer.variables[1:]} == {"float64"}
        assert model.input.dtype == model.output.dtype == "float64"
        assert model.predict(X, verbose=0).dtype == model(X).dtype == np.float64
    finally:
        kg.config.set_floatx("float32")
