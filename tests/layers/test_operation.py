"""Operations: functions of tensors that are nodes of a graph, as Keras has them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import kgraph as kg
from kgraph.errors import ArgumentError, CallIndexError, GraphError

X = np.arange(6, dtype="float32").reshape(2, 3)


def scaling(k: Any) -> Any:
    """A class of operations of this library."""

    class Scaled(k.Operation):
        def __init__(self, factor: float = 2.0, name: str | None = None) -> None:
            super().__init__(name=name)
            self.factor = factor

        def call(self, x: Any) -> Any:
            return k.ops.concatenate([x * self.factor, x], axis=-1)

    return Scaled


def test_an_operation_on_arrays_and_on_symbols_is_that_of_keras() -> None:
    shapes, results, configs = [], [], []
    for k in (kg, keras):
        operation = scaling(k)(3.0, name="thrice")
        results.append(np.asarray(operation(X)))
        x = k.Input((3,))
        y = operation(x)
        assert operation.input is x and operation.output is y
        shapes.append([y.shape, operation.compute_output_spec(x).shape, operation.symbolic_call(x).shape])
        configs.append(operation.get_config())
        assert type(operation).from_config(configs[-1]).factor == 3.0
    np.testing.assert_array_equal(*results)
    assert shapes[0] == shapes[1] and configs[0] == configs[1]


def test_a_layer_is_an_operation() -> None:
    assert issubclass(kg.layers.Layer, kg.Operation) and issubclass(kg.Model, kg.Operation)


def test_an_operation_is_a_node_of_a_model_which_compiles_and_is_no_layer_of_it() -> None:
    x = kg.Input((3,), name="x")
    model = kg.Model(x, kg.layers.Dense(2, name="dense")(scaling(kg)(name="scaled")(x)))
    assert [layer.name for layer in model.layers] == ["x", "dense"]
    assert "scaled" in [node.name for node in model.graph]
    np.testing.assert_allclose(kg.compile(model)(X), model(X), rtol=1e-6)
    np.testing.assert_allclose(model(X), np.concatenate([2 * X, X], -1) @ model.get_weights()[0], rtol=1e-6)


def test_a_model_with_an_operation_is_made_again_from_its_configuration() -> None:
    cls = scaling(kg)
    x = kg.Input((3,))
    model = kg.Model(x, cls(5.0)(x))
    again = kg.Model.from_config(model.get_config(), custom_objects={"Scaled": cls})
    np.testing.assert_array_equal(again(X), model(X))


def test_an_operation_says_what_is_wrong() -> None:
    with pytest.raises(ArgumentError, match="without '/'"):
        scaling(kg)(name="a/b")
    with pytest.raises(CallIndexError, match="never been called"):
        _ = scaling(kg)().input
    with pytest.raises(NotImplementedError, match="has no `call`"):
        kg.Operation()(X)

    class Forgetful(kg.Operation):
        def __init__(self) -> None:
            pass

    with pytest.raises(GraphError, match=r"super\(\).__init__\(\)"):
        Forgetful()(kg.Input((3,)))


def test_automatic_names_count_by_class() -> None:
    cls = scaling(kg)
    first, second = cls(), cls()
    assert first.name.startswith("scaled") and second.name != first.name


class Outer(kg.layers.Layer):
    """A layer around another, which its call builds."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.inner = kg.layers.Dense(2, name="inner")

    def call(self, x: Any) -> Any:
        return self.inner(x)


def test_a_path_names_the_layers_around_one_and_begins_when_it_is_built() -> None:
    outer = Outer(name="outer")
    assert outer.path is None and outer.inner.path is None
    outer(np.zeros((1, 3)))
    assert (outer.path, outer.inner.path, outer.inner.kernel.path) == ("outer", "outer/inner", "outer/inner/kernel")
    model = kg.Sequential([kg.layers.Dense(2, name="a"), kg.layers.ReLU(name="b")], name="m")
    assert model.path is None
    model.build((None, 3))
    assert [model.path, *(layer.path for layer in model.layers)] == ["m", "m/a", "m/b"]
    x = kg.Input((3,))
    assert kg.Model(x, kg.layers.Dense(2, name="q")(x), name="f").path == "f"
