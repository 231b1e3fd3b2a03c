"""The classes of functions: accuracies, errors, crossentropies, correlations as means over all batches."""

from __future__ import annotations

from typing import Any

from kgraph import losses, ops
from kgraph.losses.functions import same_rank
from kgraph.losses.loss import masked_weight
from kgraph.metrics import functions
from kgraph.metrics.metric import check_batch
from kgraph.metrics.reduction import FunctionMetric, Mean, simple

Accuracy = simple(functions.accuracy, "Accuracy", "accuracy", "up", __name__)
CategoricalAccuracy = simple(
    functions.categorical_accuracy, "CategoricalAccuracy", "categorical_accuracy", "up", __name__
)
SparseCategoricalAccuracy = simple(
    functions.sparse_categorical_accuracy, "SparseCategoricalAccuracy", "sparse_categorical_accuracy", "up", __name__
)
MeanSquaredError = simple(losses.mean_squared_error, "MeanSquaredError", "mean_squared_error", "down", __name__)
MeanAbsoluteError = simple(losses.mean_absolute_error, "MeanAbsoluteError", "mean_absolute_error", "down", __name__)
MeanAbsolutePercentageError = simple(
    losses.mean_absolute_percentage_error,
    "MeanAbsolutePercentageError",
    "mean_absolute_percentage_error",
    "down",
    __name__,
)
MeanSquaredLogarithmicError = simple(
    losses.mean_squared_logarithmic_error,
    "MeanSquaredLogarithmicError",
    "mean_squared_logarithmic_error",
    "down",
    __name__,
)
LogCoshError = simple(losses.log_cosh, "LogCoshError", "logcosh", "down", __name__)
Hinge = simple(losses.hinge, "Hinge", "hinge", "down", __name__)
SquaredHinge = simple(losses.squared_hinge, "SquaredHinge", "squared_hinge", "down", __name__)
CategoricalHinge = simple(losses.categorical_hinge, "CategoricalHinge", "categorical_hinge", "down", __name__)
KLDivergence = simple(losses.kl_divergence, "KLDivergence", "kl_divergence", "down", __name__)
Poisson = simple(losses.poisson, "Poisson", "poisson", "down", __name__)


class BinaryAccuracy(FunctionMetric):
    """How often predictions, above the threshold or not, are the targets, 1 or 0."""

    _direction = "up"

    def __init__(self, name: str | None = "binary_accuracy", dtype: Any = None, threshold: float = 0.5) -> None:
        super().__init__(functions.binary_accuracy, name, dtype, threshold=threshold)


class TopKCategoricalAccuracy(FunctionMetric):
    """How often the class with the largest target is among the k with the largest predictions."""

    _direction = "up"

    def __init__(self, k: int = 5, name: str | None = "top_k_categorical_accuracy", dtype: Any = None) -> None:
        super().__init__(functions.top_k_categorical_accuracy, name, dtype, k=k)


class SparseTopKCategoricalAccuracy(FunctionMetric):
    """How often the class that the target names is among the k with the largest predictions.

    from_sorted_ids: predictions are classes, the likeliest first.
    """

    _direction = "up"

    def __init__(
        self,
        k: int = 5,
        name: str | None = "sparse_top_k_categorical_accuracy",
        dtype: Any = None,
        from_sorted_ids: bool = False,
    ) -> None:
        options = {"k": k, "from_sorted_ids": from_sorted_ids}
        super().__init__(functions.sparse_top_k_categorical_accuracy, name, dtype, **options)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if not config["from_sorted_ids"]:  # as Keras writes it: older ones do not know the argument
            del config["from_sorted_ids"]
        return config


class RootMeanSquaredError(Mean):
    """sqrt(mean((y_pred - y_true)**2))."""

    _direction = "down"

    def __init__(self, name: str | None = "root_mean_squared_error", dtype: Any = None) -> None:
        super().__init__(name, dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Take in one batch."""
        check_batch(self.name, y_true, y_pred)
        y_true, y_pred = (ops.cast(ops.convert_to_tensor(value), self.dtype) for value in (y_true, y_pred))
        y_true, y_pred = same_rank(y_true, y_pred)
        super().update_state(ops.square(y_pred - y_true), sample_weight)

    def result(self) -> Any:
        return ops.sqrt(super().result())


class CosineSimilarity(FunctionMetric):
    """The cosine of the angle between target and prediction."""

    _direction = "up"

    def __init__(self, name: str | None = "cosine_similarity", dtype: Any = None, axis: int = -1) -> None:
        super().__init__(functions.cosine_similarity, name, dtype, axis=axis)


class PearsonCorrelation(FunctionMetric):
    """The mean of the samples' Pearson correlations."""

    _direction = "up"

    def __init__(self, name: str | None = "pearson_correlation", dtype: Any = None, axis: Any = -1) -> None:
        super().__init__(functions.pearson_correlation, name, dtype, axis=axis)


class ConcordanceCorrelation(FunctionMetric):
    """The mean of the samples' concordance correlations (Lin, 1989)."""

    _direction = "up"

    def __init__(self, name: str | None = "concordance_correlation", dtype: Any = None, axis: Any = -1) -> None:
        super().__init__(functions.concordance_correlation, name, dtype, axis=axis)


class BinaryCrossentropy(FunctionMetric):
    """mean(-y_true * log(y_pred) - (1 - y_true) * log(1 - y_pred))."""

    _direction = "down"

    def __init__(
        self,
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
    ) -> None:
        options = {"from_logits": from_logits, "label_smoothing": label_smoothing}
        super().__init__(losses.binary_crossentropy, name, dtype, **options)


class CategoricalCrossentropy(FunctionMetric):
    """-sum(y_true * log(y_pred)) for targets that are distributions over classes, which lie along `axis`."""

    _direction = "down"

    def __init__(
        self,
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0,
        axis: int = -1,
    ) -> None:
        options = {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}
        super().__init__(losses.categorical_crossentropy, name, dtype, **options)


class SparseCategoricalCrossentropy(FunctionMetric):
    """-log(y_pred) at the class that the target names by its index; 0 where that is ignore_class.

    As in Keras, samples of ignore_class count as zeros in a mean without weights, and not at all in a weighted one.
    """

    _direction = "down"

    def __init__(
        self,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        self.ignore_class, self.axis = ignore_class, axis
        options = {"from_logits": from_logits, "ignore_class": ignore_class, "axis": axis}
        super().__init__(losses.sparse_categorical_crossentropy, name, dtype, **options)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]
        """Take in one batch. ShapeError if targets, predictions and weights do not fit."""
        if self.ignore_class is not None and (sample_weight is not None or getattr(y_pred, "mask", None) is not None):
            y_true = ops.convert_to_tensor(y_true)
            labels = ops.squeeze(y_true, self.axis) if len(y_true.shape) == ops.ndim(y_pred) else y_true
            weight = None if sample_weight is None else ops.cast(ops.convert_to_tensor(sample_weight), self.dtype)
            sample_weight = masked_weight(weight, ops.not_equal(labels, self.ignore_class), self.dtype, "sum")
        super().update_state(y_true, y_pred, sample_weight)
