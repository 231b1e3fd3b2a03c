"""Metrics made or given what they cannot take say what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kgraph import metrics
from kgraph.errors import ArgumentError, SettingError, ShapeError

VECTOR, PAIR = np.zeros(6, "float32"), np.zeros((6, 3), "float32")


@pytest.mark.parametrize(
    ("metric", "batch", "message"),
    [
        (metrics.MeanSquaredError(), (VECTOR[:5], VECTOR), r"y_true has shape \(5,\) and y_pred \(6,\)"),
        (metrics.Mean(), (VECTOR, VECTOR[:4]), r"sample_weight of shape \(4,\) does not weigh values of shape \(6,\)"),
        (metrics.SparseCategoricalAccuracy(), (PAIR, PAIR), r"one-hot targets want categorical_accuracy"),
        (metrics.CategoricalAccuracy(), (VECTOR, PAIR), r"want sparse_categorical_accuracy"),
        (metrics.TopKCategoricalAccuracy(), (VECTOR, PAIR), r"want sparse_top_k_categorical_accuracy"),
        (metrics.Precision(), (PAIR[:, :2], PAIR), r"\(6, 2\) and y_pred \(6, 3\); they must be the same"),
        (metrics.AUC(), (VECTOR, PAIR), r"they must be the same"),
        (metrics.Recall(class_id=3), (PAIR, PAIR), r"class_id=3 wants \(batch, more than 3\), not \(6, 3\)"),
        (metrics.Recall(), (VECTOR, VECTOR, VECTOR[:2]), r"sample_weight of shape"),
        (
            metrics.AUC(multi_label=True),
            (VECTOR, VECTOR),
            r"multi_label=True wants \(batch, a known number of labels\)",
        ),
        (metrics.AUC(multi_label=True, num_labels=2), (PAIR, PAIR), r"wants \(batch, 2\), not \(6, 3\)"),
        (metrics.F1Score(), (VECTOR, VECTOR), r"wants y_true and y_pred of one shape \(batch, outputs\)"),
        (metrics.R2Score(), (PAIR[:, :2], PAIR), r"got \(6, 2\) and \(6, 3\)"),
        (metrics.MeanIoU(3), (VECTOR, PAIR), r"not a class for each prediction"),
    ],
    ids=lambda value: value.name if isinstance(value, metrics.Metric) else "",
)
def test_batches_that_do_not_fit_are_refused(metric: Any, batch: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        metric.update_state(*batch)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: metrics.AUC(curve="RUC"), "ROC, PR, PRGAIN"),
        (lambda: metrics.AUC(summation_method="mean"), "interpolation, majoring, minoring"),
        (lambda: metrics.AUC(num_thresholds=1), "at least 2, not 1"),
        (lambda: metrics.AUC(num_labels=3), "multi_label=True"),
        (lambda: metrics.Precision(thresholds=[0.5, 1.5]), "between 0 and 1"),
        (lambda: metrics.Precision(top_k=4)(PAIR, PAIR), r"top_k=4 wants .* not \(6, 3\)"),
        (lambda: metrics.PrecisionAtRecall(1.2), "recall lies between 0 and 1; 1.2"),
        (lambda: metrics.RecallAtPrecision(0.5, num_thresholds=0), "at least 1, not 0"),
        (lambda: metrics.FBetaScore(beta=2), "float above 0, not 2"),
        (lambda: metrics.F1Score(average="mean"), "not 'mean'"),
        (lambda: metrics.F1Score(threshold=1.5), "at most 1, not 1.5"),
        (lambda: metrics.R2Score("mean"), "not 'mean'"),
        (lambda: metrics.R2Score(num_regressors=-1), "at least 0, not -1"),
        (lambda: metrics.IoU(3, [3]), "num_classes=3; 3 does not"),
        (lambda: metrics.TopKCategoricalAccuracy(k=0)(PAIR, PAIR), "at least 1, not 0"),
    ],
)
def test_wrong_arguments_are_named(make: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        make()


def test_a_metric_must_call_the_init_of_its_base() -> None:
    class Hasty(metrics.Metric):
        def __init__(self) -> None:
            self.count = self.add_variable((), "zeros")

    with pytest.raises(SettingError, match="super"):
        Hasty()
