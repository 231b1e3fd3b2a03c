"""What "accuracy" and "crossentropy" mean for targets and predictions of these shapes."""

from __future__ import annotations

from typing import Any


def named_by_target(y_true: Any, y_pred: Any) -> str:
    """ "binary", "sparse" or "categorical", as Keras decides it.

    One prediction for each sample is binary; targets with an axis less, or whose last axis is 1, are indices of
    classes; all else is one-hot.
    """
    true, predicted = tuple(y_true.shape), tuple(y_pred.shape)
    if not true or predicted[-1:] == (1,):
        return "binary"
    is_sparse = len(true) < len(predicted) or (true[-1] == 1 and predicted[-1] is not None and predicted[-1] > 1)
    return "sparse" if is_sparse else "categorical"
