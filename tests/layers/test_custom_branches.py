"""What decides in a layer that users write: functions as layers, Python by shapes and flags, and ops by values."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from custom_layers import X, same

import kgraph as kg
from kgraph.errors import NotTracedError

pytestmark = [
    pytest.mark.usefixtures("fresh_names"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def test_functions_as_layers() -> None:
    def make(k: Any) -> Any:
        def shifted(x: Any, by: float, training: bool = False) -> Any:
            return x + by if training else x - by

        x = k.Input((5,))
        y = k.layers.Lambda(lambda x: k.ops.concatenate([x, -x], axis=-1), output_shape=(10,))(x)
        y = k.layers.Lambda(shifted, arguments={"by": 0.3})(k.layers.Dense(4)(y))
        a, b = k.layers.Lambda(lambda x: [x[:, :2], x[:, 2:]], output_shape=[(2,), (2,)])(y)
        return k.Model(x, k.layers.Dense(1)(k.layers.Lambda(lambda pair: pair[0] * pair[1])([a, b])))

    model = same(make, trained=False)
    assert model.layers[1].compute_output_shape((None, 5)) == (None, 10)


def test_python_decides_by_shapes_and_flags() -> None:
    def make(k: Any) -> Any:
        class Deciding(k.layers.Layer):
            def __init__(self, deep: bool, **options: Any) -> None:
                super().__init__(**options)
                self.deep, self.inner = deep, k.layers.Dense(5)

            def call(self, x: Any, training: bool = False) -> Any:
                for _ in range(2 if self.deep and x.shape[-1] == 5 else 1):
                    x = self.inner(x)
                if len(x.shape) == 3:
                    x = x[:, 0]
                return x * 2.0 if training else x

        return k.Sequential([k.Input((5,)), Deciding(True), Deciding(False), k.layers.Dense(1)])

    same(make, trained=False)


def branching(x: Any) -> Any:
    return x if kg.ops.sum(x) > 0 else -x


def looping(x: Any) -> Any:
    while kg.ops.max(x) > 1:
        x = x / 2
    return x


def both(x: Any) -> Any:
    return x * (kg.ops.min(x) > 0 and kg.ops.max(x) < 1)


def counting(x: Any) -> Any:
    for _ in range(kg.ops.cast(x[0, 0], "int32")):
        x = x + 1
    return x


def as_number(x: Any) -> Any:
    return x * float(kg.ops.max(x))


def rowwise(x: Any) -> Any:
    return kg.ops.stack([row * 2 for row in x])


@pytest.mark.parametrize("call", [branching, looping, both, counting, as_number, rowwise])
@pytest.mark.parametrize("eager", [False, True])
def test_python_cannot_decide_by_values(call: Any, eager: bool) -> None:
    class Deciding(kg.layers.Layer):
        def call(self, x: Any) -> Any:
            return call(x)

    with pytest.raises(NotTracedError) as error:
        Deciding(name="deciding")(X if eager else kg.Input((5,)))
    text = "\n".join([str(error.value), *error.value.__notes__])
    for name in ("ops.where", "ops.cond", "ops.while_loop", "ops.fori_loop", "ops.scan", "ops.map"):
        assert name in text
    assert "test_custom_branches.py:" in text and "deciding" in text


def test_values_decide_by_ops() -> None:
    def make(k: Any) -> Any:
        class Deciding(k.layers.Layer):
            def call(self, x: Any) -> Any:
                total = k.ops.sum(x)
                x = k.ops.cond(total > 0, lambda: x * 2.0, lambda: x - 1.0)
                x = k.ops.fori_loop(0, 3, lambda i, y: k.ops.tanh(y) + 0.1, x)
                _, x = k.ops.while_loop(lambda i, y: i < 2, lambda i, y: (i + 1, y * 1.5), (0, x))
                return k.ops.where(x > 0, x, 0.2 * x)

        return k.Sequential([k.Input((5,)), k.layers.Dense(4), Deciding(), k.layers.Dense(1)])

    model = make(kg)
    model.compile("sgd", "mse")
    np.testing.assert_allclose(model.predict(X, verbose=0), model(X), rtol=1e-5, atol=1e-6)
    theirs = make(keras)
    theirs.set_weights(model.get_weights())
    np.testing.assert_allclose(model(X), np.asarray(theirs(X)), rtol=1e-4, atol=1e-5)
