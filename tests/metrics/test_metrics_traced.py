"""Metrics in a trace: the graph's meaning for every row of the table, and kernels for the ones that training uses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_metrics_against_keras import BINARY, CHANCE, COIN, LABELS, ONE_HOT, REAL, SHARES, UNIT, Draw, every_metric

import kgraph as kg
from kgraph import metrics
from kgraph.errors import ShapeError
from kgraph.graph.evaluate import evaluate
from kgraph.graph.types import TensorType
from kgraph.tracing.trace import collect, symbol_input, tracing, with_mask


def batches(target: Draw, output: Draw, sizes: tuple[int, ...]) -> list[list[np.ndarray]]:
    """Targets, predictions and weights."""
    draw = np.random.default_rng(11)
    return [[target(draw, size), output(draw, size), draw.uniform(0.1, 2, size).astype("float32")] for size in sizes]


def inputs_like(batch: list[np.ndarray]) -> list[Any]:
    return [kg.Input(one.shape[1:], dtype=one.dtype, name=f"x{place}") for place, one in enumerate(batch)]


def near(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-6)


@every_metric
def test_the_graph_means_what_arrays_give(name: str, options: dict[str, Any], target: Draw, output: Draw) -> None:
    eager, traced = (getattr(metrics, name)(**options) for _ in range(2))
    first, second, empty = batches(target, output, (5, 1, 0))
    symbols = [symbol.symbol() if hasattr(symbol, "symbol") else symbol for symbol in inputs_like(first)]
    with tracing() as found:
        traced.update_state(*symbols)
        graph = collect([traced.result()], symbols, found.updates)
    for batch in (first, second, empty):
        eager.update_state(*batch)
        outputs, updates = evaluate(graph, batch)
        for variable, value in updates.items():
            variable.write(value)
        near(outputs[0], eager.result())
    for own, other in zip(eager.variables, traced.variables, strict=True):
        near(own.numpy(), other.numpy())
    with tracing() as found:
        traced.reset_state()
        graph = collect([], (), found.updates)
    near(evaluate(graph, [])[1][traced.variables[-1]], 0 * own.numpy())


COMPILED: list[tuple[str, dict[str, Any], Draw, Draw]] = [
    ("SparseCategoricalAccuracy", {}, LABELS, SHARES),
    ("CategoricalAccuracy", {}, ONE_HOT, SHARES),
    ("BinaryAccuracy", {}, COIN, CHANCE),
    ("TopKCategoricalAccuracy", {"k": 2}, ONE_HOT, REAL),
    ("RootMeanSquaredError", {}, REAL, REAL),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS, REAL),
    ("Precision", {"top_k": 2, "class_id": 1}, BINARY, UNIT),
    ("FalseNegatives", {"thresholds": [0.2, 0.7]}, COIN, CHANCE),
    ("AUC", {}, COIN, CHANCE),
    ("AUC", {"multi_label": True, "num_thresholds": 9, "curve": "PR"}, BINARY, UNIT),
    ("F1Score", {}, ONE_HOT, SHARES),
    ("MeanIoU", {"num_classes": 4, "dtype": "float32"}, LABELS, LABELS),
    ("R2Score", {"num_regressors": 1}, REAL, REAL),
]


@pytest.mark.parametrize(
    ("name", "options", "target", "output"), COMPILED, ids=[f"{row[0]}-{'-'.join(row[1])}" for row in COMPILED]
)
def test_kernels_give_what_arrays_give(name: str, options: dict[str, Any], target: Draw, output: Draw) -> None:
    eager, compiled = (getattr(metrics, name)(**options) for _ in range(2))
    data = batches(target, output, (5, 1, 33, 0))
    call = kg.compile(lambda *batch: compiled(*batch), inputs=inputs_like(data[0]))
    for batch in data:
        near(call(*batch), eager(*batch))
    for own, other in zip(eager.variables, compiled.variables, strict=True):
        near(own.numpy(), other.numpy())
    compiled.reset_state()
    eager.reset_state()
    near(call(*data[0]), eager(*data[0]))


def test_several_metrics_of_one_step_share_its_graph() -> None:
    mean, accuracy = metrics.Mean(), metrics.SparseCategoricalAccuracy()

    def step(y_true: Any, y_pred: Any) -> dict[str, Any]:
        mean.update_state(kg.losses.sparse_categorical_crossentropy(y_true, y_pred))
        return {"loss": mean.result(), "accuracy": accuracy(y_true, y_pred)}

    data = batches(LABELS, SHARES, (6, 3))
    call = kg.compile(step, inputs=inputs_like(data[0][:2]))
    expected = metrics.SparseCategoricalCrossentropy(), metrics.SparseCategoricalAccuracy()
    for y_true, y_pred, _ in data:
        found = call(y_true, y_pred)
        near([found["loss"], found["accuracy"]], [one(y_true, y_pred) for one in expected])
        near(mean.count.numpy(), expected[0].count.numpy())


def test_predictions_hide_what_their_mask_says() -> None:
    metric, mask = metrics.BinaryAccuracy(), symbol_input("mask", TensorType((6,), "bool"))
    y_true, y_pred = (symbol_input(name, TensorType((6,))) for name in ("y_true", "y_pred"))
    with tracing() as found:
        metric.update_state(y_true, with_mask(y_pred, mask))
        graph = collect([metric.result()], [y_true, y_pred, mask], found.updates)
    batch = np.array([1, 1, 0, 0, 1, 0], "float32"), np.array([1, 0, 0, 1, 1, 0], "float32")
    shown = np.array([1, 1, 1, 0, 0, 0], bool)
    near(evaluate(graph, [*batch, shown])[0][0], metrics.BinaryAccuracy()(*batch, shown))


def test_batches_that_do_not_fit_are_refused_in_a_trace() -> None:
    y_true, y_pred = symbol_input("y_true", TensorType((5, 3))), symbol_input("y_pred", TensorType((5, 4)))
    with tracing():
        for metric in (metrics.Precision(), metrics.F1Score(), metrics.MeanSquaredError()):
            with pytest.raises(ShapeError, match=r"3.*4"):
                metric.update_state(y_true, y_pred)
        with pytest.raises(ShapeError, match="sample_weight"):
            metrics.Mean().update_state(y_pred, symbol_input("w", TensorType((4,))))
