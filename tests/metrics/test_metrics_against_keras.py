"""Metrics beside Keras: values over several batches with and without weights, configurations, names, masks."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import kgraph as kg
from kgraph import metrics
from kgraph.errors import ArgumentError
from kgraph.metrics.functions import in_top_k

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype:UserWarning"),  # of Keras's IoU
]

CLASSES = 4
Draw = Callable[[np.random.Generator, int], np.ndarray]

REAL: Draw = lambda draw, n: draw.normal(size=(n, CLASSES)).astype("float32")
POSITIVE: Draw = lambda draw, n: draw.uniform(0.1, 2, (n, CLASSES)).astype("float32")
UNIT: Draw = lambda draw, n: draw.uniform(size=(n, CLASSES)).astype("float32")
BINARY: Draw = lambda draw, n: draw.integers(0, 2, (n, CLASSES)).astype("float32")
SHARES: Draw = lambda draw, n: draw.dirichlet(np.ones(CLASSES), n).astype("float32").reshape(n, CLASSES)
LABELS: Draw = lambda draw, n: draw.integers(0, CLASSES, n).astype("int32")
COLUMN: Draw = lambda draw, n: LABELS(draw, n)[:, None]
ONE_HOT: Draw = lambda draw, n: np.eye(CLASSES, dtype="float32")[LABELS(draw, n)]
TIED: Draw = lambda draw, n: draw.integers(0, 3, (n, CLASSES)).astype("float32") / 2
COIN: Draw = lambda draw, n: draw.integers(0, 2, n).astype("int32")
CHANCE: Draw = lambda draw, n: draw.uniform(size=n).astype("float32")
STEPS: Draw = lambda draw, n: (draw.integers(0, 5, n) / 4).astype("float32")  # on the thresholds, and 0 and 1
IMAGE: Draw = lambda draw, n: draw.integers(0, CLASSES, (n, 3, 2)).astype("int32")
SCORES: Draw = lambda draw, n: draw.normal(size=(n, 3, 2, CLASSES)).astype("float32")

# metric, its options, targets, predictions
TABLE: list[tuple[str, dict[str, Any], Draw, Draw]] = [
    ("MeanSquaredError", {}, REAL, REAL),
    ("RootMeanSquaredError", {}, REAL, REAL),
    ("RootMeanSquaredError", {}, CHANCE, CHANCE),
    ("MeanAbsoluteError", {}, REAL, REAL),
    ("MeanAbsolutePercentageError", {}, REAL, REAL),
    ("MeanSquaredLogarithmicError", {}, POSITIVE, POSITIVE),
    ("LogCoshError", {}, REAL, REAL),
    ("CosineSimilarity", {}, REAL, REAL),
    ("CosineSimilarity", {"axis": 1}, REAL, REAL),
    ("PearsonCorrelation", {}, REAL, REAL),
    ("ConcordanceCorrelation", {}, REAL, REAL),
    ("R2Score", {}, REAL, REAL),
    ("R2Score", {"class_aggregation": None}, REAL, REAL),
    ("R2Score", {"class_aggregation": "variance_weighted_average", "num_regressors": 2}, REAL, REAL),
    ("Hinge", {}, BINARY, REAL),
    ("SquaredHinge", {}, BINARY, REAL),
    ("CategoricalHinge", {}, ONE_HOT, REAL),
    ("KLDivergence", {}, SHARES, SHARES),
    ("Poisson", {}, POSITIVE, POSITIVE),
    ("BinaryCrossentropy", {}, BINARY, UNIT),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, BINARY, REAL),
    ("CategoricalCrossentropy", {}, ONE_HOT, SHARES),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, ONE_HOT, REAL),
    ("SparseCategoricalCrossentropy", {}, LABELS, SHARES),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 1}, LABELS, REAL),
    ("Accuracy", {}, LABELS, LABELS),
    ("Accuracy", {}, COLUMN, LABELS),
    ("BinaryAccuracy", {}, BINARY, UNIT),
    ("BinaryAccuracy", {"threshold": 0.2}, COIN, CHANCE),
    ("CategoricalAccuracy", {}, ONE_HOT, SHARES),
    ("CategoricalAccuracy", {}, ONE_HOT, TIED),
    ("SparseCategoricalAccuracy", {}, LABELS, SHARES),
    ("SparseCategoricalAccuracy", {}, COLUMN, TIED),
    ("SparseCategoricalAccuracy", {}, IMAGE, SCORES),
    ("TopKCategoricalAccuracy", {"k": 2}, ONE_HOT, REAL),
    ("TopKCategoricalAccuracy", {"k": 2}, ONE_HOT, TIED),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, LABELS, TIED),
    ("SparseTopKCategoricalAccuracy", {"k": 1}, COLUMN, REAL),
    ("SparseTopKCategoricalAccuracy", {"k": 2, "from_sorted_ids": True}, LABELS, lambda draw, n: REAL(draw, n) // 1),
    ("TruePositives", {}, BINARY, UNIT),
    ("FalsePositives", {"thresholds": [0.2, 0.7]}, COIN, CHANCE),
    ("TrueNegatives", {"thresholds": [0.0, 0.25, 0.5, 0.75, 1.0]}, COIN, STEPS),
    ("FalseNegatives", {"thresholds": 0.3}, COIN, CHANCE),
    ("Precision", {}, BINARY, UNIT),
    ("Precision", {"thresholds": [0.3, 0.6]}, COIN, CHANCE),
    ("Precision", {"top_k": 2}, BINARY, UNIT),
    ("Precision", {"top_k": 2, "class_id": 3}, BINARY, TIED),
    ("Recall", {}, COIN, CHANCE),
    ("Recall", {"thresholds": [0.0, 0.5, 1.0], "class_id": 1}, BINARY, UNIT),
    ("SensitivityAtSpecificity", {"specificity": 0.4}, COIN, CHANCE),
    ("SensitivityAtSpecificity", {"specificity": 0.2, "num_thresholds": 1}, COIN, CHANCE),
    ("SpecificityAtSensitivity", {"sensitivity": 0.5, "class_id": 2}, BINARY, UNIT),
    ("PrecisionAtRecall", {"recall": 0.6, "num_thresholds": 5}, COIN, STEPS),
    ("RecallAtPrecision", {"precision": 0.5}, BINARY, UNIT),
    ("AUC", {}, COIN, CHANCE),
    ("AUC", {"num_thresholds": 5}, COIN, STEPS),
    ("AUC", {"curve": "PR"}, COIN, CHANCE),
    ("AUC", {"curve": "PR", "summation_method": "majoring"}, BINARY, UNIT),
    ("AUC", {"curve": "PRGAIN", "summation_method": "minoring"}, COIN, CHANCE),
    ("AUC", {"thresholds": [0.6, 0.1, 0.3], "summation_method": "minoring"}, COIN, CHANCE),
    ("AUC", {"multi_label": True, "from_logits": True}, BINARY, REAL),
    ("AUC", {"multi_label": True, "num_labels": 4, "label_weights": [1.0, 2.0, 0.5, 3.0]}, BINARY, UNIT),
    ("AUC", {"multi_label": True, "thresholds": [0.2, 0.7], "curve": "PR"}, BINARY, UNIT),
    ("AUC", {"label_weights": [1.0, 2.0, 0.5, 3.0]}, BINARY, UNIT),
    ("F1Score", {}, ONE_HOT, SHARES),
    ("F1Score", {"average": "weighted", "threshold": 0.3}, BINARY, UNIT),
    ("FBetaScore", {"average": "macro", "beta": 2.0}, ONE_HOT, TIED),
    ("FBetaScore", {"average": "micro", "beta": 0.5, "threshold": 0.5}, BINARY, UNIT),
    ("IoU", {"num_classes": 4, "target_class_ids": [0, 2], "dtype": "float32"}, LABELS, LABELS),
    ("BinaryIoU", {"threshold": 0.4, "dtype": "float32"}, COIN, CHANCE),
    ("BinaryIoU", {"target_class_ids": [1], "dtype": "float32"}, COIN, CHANCE),
    ("MeanIoU", {"num_classes": 3, "dtype": "float32"}, LABELS, LABELS),
    ("MeanIoU", {"num_classes": 4, "ignore_class": 1, "sparse_y_pred": False, "dtype": "float32"}, LABELS, REAL),
    ("OneHotIoU", {"num_classes": 4, "target_class_ids": [1], "dtype": "float32"}, ONE_HOT, REAL),
    ("OneHotMeanIoU", {"num_classes": 4, "dtype": "float32"}, ONE_HOT, REAL),
]


def name_of(row: Any) -> str:
    return f"{row[0]}({', '.join(f'{key}={value}' for key, value in row[1].items())})"


every_metric = pytest.mark.parametrize(("name", "options", "target", "output"), TABLE, ids=map(name_of, TABLE))


def both(name: str, options: dict[str, Any]) -> tuple[Any, Any]:
    return getattr(kg.metrics, name)(**options), getattr(keras.metrics, name)(**options)


def near(found: Any, wanted: Any) -> None:
    wanted = np.asarray(wanted)
    assert np.shape(found) == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-6)


@every_metric
def test_values_and_state_are_those_of_keras(name: str, options: dict[str, Any], target: Draw, output: Draw) -> None:
    ours, theirs = both(name, options)
    draw = np.random.default_rng(7)
    for size, weighted in ((5, False), (5, True), *([] if options else [(1, False)])):
        batch = [target(draw, size), output(draw, size)]
        weight = [draw.uniform(0.1, 2, size).astype("float32")] if weighted else []
        ours.update_state(*batch, *weight)
        theirs.update_state(*batch, *weight)
        near(ours.result(), theirs.result())
    ours.update_state(target(draw, 0), output(draw, 0))
    for own, his in zip(ours.variables, theirs.variables, strict=True):
        assert (own.name, own.shape, own.dtype) == (his.name, tuple(his.shape), his.dtype)
        near(own.numpy(), his.numpy())
    ours.reset_state()
    assert all(not variable.numpy().any() for variable in ours.variables)


@every_metric
def test_a_metric_is_made_again_from_its_configuration(
    name: str, options: dict[str, Any], target: Draw, output: Draw
) -> None:
    ours, theirs = both(name, options)
    assert plain(theirs.get_config()).items() <= plain(ours.get_config()).items()
    assert getattr(ours, "_direction", None) == getattr(theirs, "_direction", None)
    batch = [target(np.random.default_rng(1), 5), output(np.random.default_rng(2), 5)]
    value = ours(*batch)
    for twin in (metrics.deserialize(metrics.serialize(ours)), pickle.loads(pickle.dumps(ours))):
        assert type(twin) is type(ours)
        assert twin.get_config() == ours.get_config()
        twin.reset_state()
        np.testing.assert_array_equal(twin(*batch), value)
    theirs = keras.metrics.deserialize(metrics.serialize(ours))
    assert type(theirs).__name__ == name


def plain(config: dict[str, Any]) -> dict[str, Any]:
    """A config with lists for arrays and tuples, and no number at the end of an automatic name."""
    lists = {
        key: np.asarray(value).tolist() if hasattr(value, "shape") else list(value) if type(value) is tuple else value
        for key, value in config.items()
    }
    return {**lists, "name": re.sub(r"_\d+$", "", config["name"])}


def test_the_table_has_every_metric() -> None:
    wanted = {name for name in dir(keras.metrics) if not name.startswith("_")}
    assert wanted <= set(dir(metrics)) and wanted <= set(metrics.__all__)
    classes = {name for name in wanted if isinstance(getattr(keras.metrics, name), type)}
    assert classes - {row[0] for row in TABLE} == {"Metric", "Mean", "Sum", "MeanMetricWrapper"}


def test_names_mean_what_they_mean_in_keras() -> None:
    for name in (
        "mse",
        "MAE",
        "bce",
        "mape",
        "MSLE",
        "accuracy",
        "AUC",
        "auc",
        "f1_score",
        "top_k_categorical_accuracy",
    ):
        found, wanted = metrics.get(name), keras.metrics.get(name)
        assert type(found).__name__ == type(wanted).__name__
    assert metrics.get(None) is None
    assert metrics.get("huber") is kg.losses.huber
    assert metrics.get(kg.losses.huber) is kg.losses.huber
    assert isinstance(metrics.get(metrics.Mean), metrics.Mean)
    assert metrics.get({"class_name": "BinaryAccuracy", "config": {"threshold": 0.3}}).threshold == 0.3
    with pytest.raises(ArgumentError, match="did you mean 'accuracy'"):
        metrics.get("acuracy")


@pytest.mark.parametrize("name", ["Mean", "Sum"])
@pytest.mark.parametrize(
    ("values", "weight"),
    [
        ((), None),
        ((), ()),
        ((6,), None),
        ((6,), ()),
        ((6,), (6,)),
        ((6,), (6, 1)),
        ((6, 1), (6,)),
        ((6, 3), None),
        ((6, 3), (6,)),
        ((6, 3), (6, 1)),
        ((6, 3), (6, 3)),
        ((6, 3, 2), (6, 3)),
        ((6, 3, 2), (6, 1)),
    ],
    ids=str,
)
def test_weights_of_any_rank_fit(name: str, values: tuple[int, ...], weight: tuple[int, ...] | None) -> None:
    draw = np.random.default_rng(3)
    batch = [draw.normal(size=values).astype("float32")]
    batch += [] if weight is None else [draw.uniform(size=weight).astype("float32")]
    ours, theirs = both(name, {})
    near(ours(*batch), theirs(*batch))
    near(ours(*batch), theirs(*batch))


@pytest.mark.parametrize("weighted", [False, True])
def test_what_a_mask_hides_does_not_count(weighted: bool) -> None:
    draw = np.random.default_rng(5)
    y_true, y_pred = (draw.normal(size=(3, 4, 2)).astype("float32") for _ in range(2))
    mask = draw.integers(0, 2, (3, 4)).astype(bool)
    weight = [draw.uniform(size=(3, 4)).astype("float32")] if weighted else []
    given = keras.ops.convert_to_tensor(y_pred)
    keras.src.backend.set_keras_mask(given, keras.ops.convert_to_tensor(mask))
    wanted = keras.metrics.MeanSquaredError()(y_true, given, *weight)
    near(metrics.MeanSquaredError()(y_true, Masked(y_pred, mask), *weight), wanted)


class Masked(np.ndarray):
    """An array with a mask, as predictions in a trace have."""

    mask: np.ndarray

    def __new__(cls, values: np.ndarray, mask: np.ndarray) -> Masked:
        made = values.view(cls)
        made.mask = mask
        return made


@pytest.mark.parametrize("weighted", [False, True])
def test_ignored_classes_count_as_in_keras(weighted: bool) -> None:
    draw = np.random.default_rng(5)
    batch = [np.array([[0], [1], [1], [3]]), SHARES(draw, 4), *([CHANCE(draw, 4)] if weighted else [])]
    ours, theirs = both("SparseCategoricalCrossentropy", {"ignore_class": 1})
    near(ours(*batch), theirs(*batch))


def test_a_function_of_the_user_is_a_mean() -> None:
    wrapped = metrics.MeanMetricWrapper(lambda y_true, y_pred, power: abs(y_true - y_pred) ** power, power=3)
    batch = [np.array([1.0, 2.0], "float32"), np.array([2.0, 4.0], "float32")]
    near(wrapped(*batch), np.float32(4.5))
    named = metrics.MeanMetricWrapper(kg.losses.huber, name="h", delta=0.5)
    assert named._direction == "down"
    twin = metrics.deserialize(metrics.serialize(named))
    assert twin.get_config() == named.get_config()
    near(twin(*batch), keras.metrics.MeanMetricWrapper(keras.losses.huber, delta=0.5)(*batch))


def test_a_metric_of_the_user_keeps_variables_and_metrics() -> None:
    class Spread(metrics.Metric):
        def __init__(self, name: str = "spread", **options: Any) -> None:
            super().__init__(name=name, **options)
            self.largest = self.add_weight(name="largest")
            self.parts = [metrics.Mean(name="mean")]

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            self.largest.assign(kg.ops.maximum(self.largest, kg.ops.max(y_pred)))
            self.parts[0].update_state(y_pred, sample_weight)

        def result(self) -> Any:
            return {"spread": self.largest - self.parts[0].result()}

    metric = Spread()
    assert [variable.path for variable in metric.variables] == ["spread/largest", "mean/total", "mean/count"]
    values = np.array([1.0, 3.0], "float32")
    near(metric(values, values)["spread"], np.float32(1.0))
    metric.reset_state()
    near(metric(values, values + 1)["spread"], np.float32(1.0))
    assert Spread.from_config(metric.get_config()).name == "spread"


def test_layers_own_the_metrics_they_hold() -> None:
    class Measured(kg.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.mean, self.more = metrics.Mean(name="size"), [metrics.Sum(name="total")]

        def call(self, x: Any) -> Any:
            self.mean.update_state(abs(x))
            return x

    layer = Measured()
    x = np.array([[1.0], [-3.0]], "float32")
    layer(x)
    assert [metric.name for metric in layer.metrics] == ["size", "total"]
    assert float(layer.mean.result()) == 2
    assert [metric.name for metric in kg.Sequential([layer]).metrics] == ["size", "total"]


def test_labels_of_no_class_are_not_in_the_top_k() -> None:
    scores = np.array([[0.1, np.nan, 0.3]] * 5, "float32")
    assert in_top_k(np.array([-1, 0, 1, 2, 3]), scores, 2).tolist() == [False, True, False, True, False]


def test_counts_that_are_whole_numbers_warn_of_fractions() -> None:
    with pytest.warns(UserWarning, match="dtype='float32'"):
        metrics.MeanIoU(2)([0, 1], [0, 1], np.array([0.5, 0.5]))
    batch = [0, 1, 1], [0, 1, 0], [1, 2, 3]
    ours, theirs = both("MeanIoU", {"num_classes": 2})
    assert ours.dtype == theirs.dtype == "int32"
    near(ours(*batch), theirs(*batch))
