"""Models put together at random: what is compiled means what was traced, at every stage on the way."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kgraph as kg
from kgraph.graph.evaluate import evaluate
from kgraph.graph.ir import Graph

Pick = Callable[[Sequence[Any]], Any]

ACTIVATIONS = [None, "relu", "tanh", "sigmoid", "gelu", "softmax", "softplus", "elu", "silu", "exponential"]
VOCABULARY = 6
WIDEST, DEEPEST = 40, 4  # elements of a sample, and axes with the batch, that a value may have
quick = settings(max_examples=50, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


class Builder:
    """A random model, step by step; `pick` chooses from a list."""

    def __init__(self, pick: Pick) -> None:
        self.pick = pick
        self.shared: dict[Any, list[Any]] = {}
        self.time = pick([False, False, True])
        self.inputs: list[Any] = [self.input() for _ in range(pick([1, 1, 2, 3]))]
        self.values = list(self.inputs)
        for number, value in enumerate(self.inputs):
            if value.dtype == "int32":
                self.values[number] = self.layer("Embedding", value, input_dim=VOCABULARY, output_dim=pick([2, 3]))
        for _ in range(pick([2, 3, 4, 6, 8])):
            pick(self.steps())()
        count = pick([1, 1, 2])
        self.outputs = [self.values[-1], *(pick(self.values) for _ in range(count - 1))]
        self.outputs = [value for value in self.outputs if value.op != "input"] or [self.layer("Dense", value, units=2)]

    def model(self) -> Any:
        """The model; no weight is 0, since an activation of exactly 0 may lie where relu bends."""
        model, draw = kg.Model(self.inputs, self.outputs), np.random.default_rng(3)
        for weight in model.trainable_variables:
            weight.assign(weight.numpy() + draw.normal(0, 0.3, weight.shape))
        return model

    def input(self) -> Any:
        shape = (*[None] * self.time, self.pick([1, 3, 4]))
        kind = self.pick(["float32", "float32", "int32"])
        return kg.Input(shape[:1] if kind == "int32" else shape, dtype=kind)

    def value(self, fits: Callable[[Any], Any] = lambda shape: True) -> Any:
        """Some value whose shape fits, or the newest."""
        found = [value for value in self.values if fits(value.shape)]
        return self.pick(found) if found else self.values[-1]

    def keep(self, value: Any) -> None:
        known = [size or 1 for size in value.shape[1:]]
        if np.prod(known) <= WIDEST and len(value.shape) <= DEEPEST:
            self.values.append(value)

    def layer(self, name: str, value: Any, **options: Any) -> Any:
        """A call of a new layer, or of one that was called on such a value before."""
        key = (name, value.shape if isinstance(value, kg.KerasTensor) else None, *sorted(map(str, options.items())))
        known = self.shared.setdefault(key, [])
        if not known or self.pick([True, False]):
            known.append(getattr(kg.layers, name)(**options))
        return self.pick(known)(value)

    def steps(self) -> list[Callable[[], None]]:
        return [
            self.dense, self.dense, self.einsum_dense, self.normalise, self.merge, self.merge, self.concatenate,
            self.move, self.dropout, self.elementwise, self.elementwise, self.reduce, self.window, self.attend,
        ]  # fmt: skip

    def dense(self) -> None:
        value = self.value(lambda shape: len(shape) > 1)
        if len(value.shape) > 1 and value.shape[-1]:
            units = self.pick([1, 3, 4, 17])
            self.keep(self.layer("Dense", value, units=units, activation=self.pick(ACTIVATIONS)))

    def einsum_dense(self) -> None:
        value = self.value(lambda shape: len(shape) == 3 and shape[-1])
        if len(value.shape) == 3 and value.shape[-1]:
            equation, shape, axes = self.pick([
                ("abc,cd->abd", (None, 3), "d"), ("abc,cde->abde", (None, 2, 2), "de"), ("...x,xy->...y", 4, "y"),
                ("abc,dc->adb", (2, None), "d"),
            ])  # fmt: skip
            if None in value.shape[1:-1] and equation == "abc,dc->adb":
                return
            shape = (2, value.shape[1]) if equation == "abc,dc->adb" else shape
            self.keep(self.layer("EinsumDense", value, equation=equation, output_shape=shape, bias_axes=axes))

    def normalise(self) -> None:
        value = self.value(lambda shape: len(shape) > 1 and shape[-1])
        if len(value.shape) > 1 and value.shape[-1]:
            name = self.pick(["LayerNormalization", "BatchNormalization"])
            self.keep(self.layer(name, value, **self.pick([{}, {"center": False}, {"epsilon": 0.01}])))

    def merge(self) -> None:
        first = self.value()
        fits = lambda shape: (
            len(shape) == len(first.shape)
            and all(a in (b, 1) or b == 1 for a, b in zip(shape, first.shape, strict=True))
        )
        second = self.value(fits)
        if fits(second.shape):
            name = self.pick(["Add", "Multiply", "Average", "Subtract", "Maximum", "Minimum"])
            self.keep(getattr(kg.layers, name)()([first, second]))

    def concatenate(self) -> None:
        first = self.value(lambda shape: len(shape) > 1)
        fits = lambda shape: (
            len(shape) > 1 and shape[:-1] == first.shape[:-1] and None not in (shape[-1], first.shape[-1])
        )
        second = self.value(fits)
        if fits(second.shape):
            self.keep(kg.layers.Concatenate()([first, second]))

    def move(self) -> None:
        value = self.value(lambda shape: len(shape) > 2)
        sizes = value.shape[1:]
        ways: list[Callable[[], Any]] = [lambda: kg.ops.flip(value, axis=-1)]
        if len(sizes) == 2:
            ways += [lambda: kg.layers.Permute((2, 1))(value), lambda: kg.ops.transpose(value, (0, 2, 1))]
        if None not in sizes and sizes:
            ways += [lambda: kg.layers.Flatten()(value), lambda: kg.layers.Reshape((-1, sizes[0]))(value)]
            ways += [
                lambda: kg.ops.roll(value, 1, axis=-1),
                lambda: kg.ops.pad(value, [[0, 0]] * len(sizes) + [[1, 1]]),
            ]
        if len(sizes) == 1 and sizes[0]:
            ways += [lambda: kg.layers.RepeatVector(2)(value), lambda: kg.ops.expand_dims(value, 1)]
        if sizes and sizes[-1] and sizes[-1] > 1:
            ways += [lambda: value[..., 1:], lambda: value[..., ::-1], lambda: kg.ops.stack([value, value * 2], axis=1)]
        self.keep(self.pick(ways)())

    def dropout(self) -> None:
        self.keep(self.layer("Dropout", self.value(), rate=0.25, seed=self.pick([1, 2])))

    def elementwise(self) -> None:
        x = self.value()
        self.keep(self.pick([
            lambda: x * 0.5 + 1.0, lambda: kg.ops.exp(kg.ops.tanh(x)), lambda: kg.ops.sqrt(kg.ops.abs(x) + 0.1),
            lambda: kg.ops.where(x > 0.1, x, -0.3 * x), lambda: kg.ops.log1p(x * x), lambda: 1.0 / (x * x + 1.0),
            lambda: kg.ops.clip(x, -0.7, 0.9), lambda: kg.ops.sin(x) - x, lambda: kg.ops.softmax(x, axis=-1),
            lambda: kg.ops.log_softmax(x), lambda: x * kg.ops.cast(kg.ops.shape(x)[0], "float32"),
        ])())  # fmt: skip

    def reduce(self) -> None:
        x = self.value(lambda shape: len(shape) > 1)
        if len(x.shape) < 2:
            return
        axis = self.pick(range(1, len(x.shape)))
        name = self.pick(["mean", "sum", "max", "logsumexp", "var", "cumsum"])
        known = {} if name == "cumsum" else {"keepdims": self.pick([True, True, False])}
        self.keep(getattr(kg.ops, name)(x, axis=axis, **known))

    def window(self) -> None:
        x = self.value(lambda shape: len(shape) > 1 and shape[1])
        if len(x.shape) > 1 and x.shape[1]:
            self.keep(self.pick([lambda: x[:, :1], lambda: x[:, -1], lambda: kg.ops.repeat(x, 2, axis=1)])())

    def attend(self) -> None:
        """Scores of a sequence with itself."""
        x = self.value(lambda shape: len(shape) == 3 and None not in shape[1:])
        y = self.value(lambda shape: shape == x.shape)
        if len(x.shape) == 3 and y.shape == x.shape:
            scores = kg.ops.softmax(kg.ops.einsum("abc,adc->abd", x, y), axis=-1)
            self.keep(kg.ops.matmul(scores, y))


def arrays_for(builder: Builder, seed: int = 0) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    batch, time = builder.pick([1, 2, 5]), builder.pick([1, 3, 4])
    found = []
    for value in builder.inputs:
        shape = (batch, *(time if size is None else size for size in value.shape[1:]))
        integers = value.dtype == "int32"
        found.append(draw.integers(0, VOCABULARY, shape).astype("int32") if integers else draw.normal(size=shape))
    return [array.astype("int32" if array.dtype.kind == "i" else "float32") for array in found]


def meaning(graph: Graph, arrays: Sequence[Any], dtype: str | None = "float64") -> list[np.ndarray]:
    return evaluate(graph, arrays, dtype)[0]


def promised(graph: Graph, arrays: Sequence[Any]) -> list[tuple[np.ndarray, float]]:
    """What the graph means, and how near to it machine code must come: as numpy's float32, or 1e-4 of the largest."""
    wanted, plain = meaning(graph, arrays), meaning(graph, arrays, None)
    errors = [np.abs(one - exact).max(initial=0) for one, exact in zip(plain, wanted, strict=True)]
    return [
        (exact, 1e-6 + 1e-4 * float(np.abs(exact).max(initial=0)) + 20 * float(error))
        for exact, error in zip(wanted, errors, strict=True)
    ]


def near(found: Sequence[Any], wanted: Sequence[tuple[np.ndarray, float]]) -> None:
    for own, (exact, tolerance) in zip(found, wanted, strict=True):
        assert own.shape == exact.shape
        np.testing.assert_allclose(own, exact, rtol=0, atol=tolerance)


def same(stages: dict[str, Graph], arrays: Sequence[Any], count: int) -> None:
    """Every one of these stages means what the first does."""
    wanted: list[np.ndarray] = []
    for name, graph in stages.items():
        found = meaning(graph, arrays)
        for number, (own, first) in enumerate(zip(found, wanted, strict=False)):
            if number < count or len(found) == len(wanted):
                tolerance = 1e-9 * (1 + float(np.abs(first).max(initial=0)))
                np.testing.assert_allclose(own, first, rtol=0, atol=tolerance, err_msg=f"{name}, result {number}")
        wanted = found if len(found) >= len(wanted) else wanted


def targets_for(outputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    draw = np.random.default_rng(1)
    return [draw.normal(size=output.shape).astype("float32") for output in outputs]


def check_stages(pick: Pick) -> None:
    """The stages of the outputs and of the gradients agree, and the gradients are those of central differences."""
    builder = Builder(pick)
    arrays, model = arrays_for(builder), builder.model()
    forward = kg.compile(model, lower_only=True, training=True)
    same(forward.stages, arrays, len(builder.outputs))
    outputs = meaning(forward.stages["trace"], arrays)
    everything = [*arrays, *targets_for(outputs)]
    stages = kg.compile(model, loss="mse", lower_only=True).stages
    same({name: graph for name, graph in stages.items() if name not in ("trace", "inline")}, everything, 1)
    check_differences(stages["stabilise"], stages["gradients"], model.trainable_variables, everything)


def check_differences(loss: Graph, gradients: Graph, weights: Sequence[Any], arrays: Sequence[Any]) -> None:
    draw = np.random.default_rng(2)
    steps = {id(weight): draw.normal(size=weight.shape) for weight in weights}
    found = meaning(gradients, arrays)[1:]
    slope = sum(float((g * steps[id(weight)]).sum()) for g, weight in zip(found, weights, strict=True))

    def moved(length: float) -> float:
        variables = [node.attrs["variable"] for node in loss.params()]
        params = [
            v.value.astype("float64" if v.value.dtype.kind == "f" else v.value.dtype) + length * steps[id(v)]
            if id(v) in steps
            else v.value
            for v in variables
        ]
        return float(evaluate(loss, arrays, "float64", params=params)[0][0])

    wanted = (moved(1e-6) - moved(-1e-6)) / 2e-6
    size = sum(float(np.abs(g * steps[id(weight)]).sum()) for g, weight in zip(found, weights, strict=True))
    assert abs(slope - wanted) <= 1e-5 * (size + abs(moved(0.0)) + 1e-3)


def check_compiled(pick: Pick) -> None:
    """Machine code gives what the graph means, and so does a pickled twin."""
    builder = Builder(pick)
    arrays, model = arrays_for(builder), builder.model()
    compiled = kg.compile(model)
    twin = pickle.loads(pickle.dumps(compiled))
    count = len(builder.outputs)
    wanted = promised(compiled.stages["trace"], arrays)[:count]
    outputs = as_list(compiled(*arrays))
    near(outputs, wanted)
    for own, other in zip(as_list(twin(*arrays)), outputs, strict=True):
        np.testing.assert_array_equal(own, other)
    targets = targets_for(outputs)
    trained = kg.compile(model, loss="mse")
    graph, everything = trained.stages["gradients"], [*arrays, *targets]
    wanted, updates = promised(graph, everything), evaluate(graph, everything, "float64")[1]  # before state moves
    loss, gradients = trained.value_and_grad(arrays, targets)
    near([loss, *gradients], wanted)
    for variable, value in updates.items():
        np.testing.assert_allclose(variable.numpy(), value, rtol=1e-4, atol=1e-4 * (1 + np.abs(value).max()))


def as_list(value: Any) -> list[np.ndarray]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def picking(data: Any) -> Pick:
    return lambda options: data.draw(st.sampled_from(list(options)))


@quick
@given(st.data())
def test_every_stage_means_the_same(data: Any) -> None:
    check_stages(picking(data))


@settings(quick, max_examples=10)
@given(st.data())
def test_compiled_models_compute_what_they_mean(data: Any) -> None:
    check_compiled(picking(data))


@pytest.mark.slow
@settings(quick, max_examples=300)
@given(st.data())
def test_every_stage_of_many_models_means_the_same(data: Any) -> None:
    check_stages(picking(data))


@pytest.mark.slow
@settings(quick, max_examples=60)
@given(st.data())
def test_many_compiled_models_compute_what_they_mean(data: Any) -> None:
    check_compiled(picking(data))
