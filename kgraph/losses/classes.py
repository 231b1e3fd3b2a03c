"""Losses as objects, each around its function."""

from __future__ import annotations

from typing import Any

from kgraph import ops
from kgraph.errors import ArgumentError
from kgraph.losses import functions
from kgraph.losses.loss import Loss
from kgraph.sizes import Shape
from kgraph.types import TensorType

MEAN = "sum_over_batch_size"


def simple(function: Any, class_name: str) -> type[Loss]:
    """The class of a loss without options."""

    def __init__(
        self: Any, reduction: str | None = MEAN, name: str | None = function.__name__, dtype: Any = None
    ) -> None:
        Loss.__init__(self, name=name, reduction=reduction, dtype=dtype)

    def call(self: Any, y_true: Any, y_pred: Any) -> Any:
        return function(y_true, y_pred)

    body = {"__init__": __init__, "call": call, "__doc__": function.__doc__, "__module__": __name__}
    return type(class_name, (Loss,), body)


MeanSquaredError = simple(functions.mean_squared_error, "MeanSquaredError")
MeanAbsoluteError = simple(functions.mean_absolute_error, "MeanAbsoluteError")
MeanAbsolutePercentageError = simple(functions.mean_absolute_percentage_error, "MeanAbsolutePercentageError")
MeanSquaredLogarithmicError = simple(functions.mean_squared_logarithmic_error, "MeanSquaredLogarithmicError")
LogCosh = simple(functions.log_cosh, "LogCosh")
Hinge = simple(functions.hinge, "Hinge")
SquaredHinge = simple(functions.squared_hinge, "SquaredHinge")
CategoricalHinge = simple(functions.categorical_hinge, "CategoricalHinge")
KLDivergence = simple(functions.kl_divergence, "KLDivergence")
Poisson = simple(functions.poisson, "Poisson")


class Huber(Loss):
    """Half the square of errors up to delta, and linear beyond (Huber, 1964)."""

    def __init__(
        self, delta: float = 1.0, reduction: str | None = MEAN, name: str | None = "huber_loss", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.delta = delta

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return functions.huber(y_true, y_pred, self.delta)


class CosineSimilarity(Loss):
    """Minus the cosine of the angle between target and prediction."""

    def __init__(
        self, axis: int = -1, reduction: str | None = MEAN, name: str | None = "cosine_similarity", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return functions.cosine_similarity(y_true, y_pred, self.axis)


class BinaryCrossentropy(Loss):
    """-y_true * log(y_pred) - (1 - y_true) * log(1 - y_pred), for targets of 0 and 1."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: Any = -1,
        reduction: str | None = MEAN,
        name: str | None = "binary_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true, y_pred = functions.same_rank(y_true, y_pred)
        return functions.binary_crossentropy(y_true, y_pred, self.from_logits, self.label_smoothing, self.axis)


class BinaryFocalCrossentropy(Loss):
    """Binary crossentropy that counts samples less the better they are predicted (Lin et al., 2018)."""

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: Any = -1,
        reduction: str | None = MEAN,
        name: str | None = "binary_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.apply_class_balancing, self.alpha, self.gamma = apply_class_balancing, alpha, gamma
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true, y_pred = functions.same_rank(y_true, y_pred)
        options = (
            self.apply_class_balancing,
            self.alpha,
            self.gamma,
            self.from_logits,
            self.label_smoothing,
            self.axis,
        )
        return functions.binary_focal_crossentropy(y_true, y_pred, *options)


class CategoricalCrossentropy(Loss):
    """-sum(y_true * log(y_pred)) for targets that are distributions over classes."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = MEAN,
        name: str | None = "categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true, y_pred = functions.same_rank(y_true, y_pred)
        return functions.categorical_crossentropy(y_true, y_pred, self.from_logits, self.label_smoothing, self.axis)


class CategoricalFocalCrossentropy(Loss):
    """Categorical crossentropy that counts samples less the better they are predicted (Lin et al., 2018)."""

    def __init__(
        self,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = MEAN,
        name: str | None = "categorical_focal_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.alpha, self.gamma = alpha, gamma
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true, y_pred = functions.same_rank(y_true, y_pred)
        options = (self.alpha, self.gamma, self.from_logits, self.label_smoothing, self.axis)
        return functions.categorical_focal_crossentropy(y_true, y_pred, *options)


class SparseCategoricalCrossentropy(Loss):
    """-log(y_pred) at the class that the target names by its index; targets of ignore_class do not count."""

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = MEAN,
        axis: int = -1,
        name: str | None = "sparse_categorical_crossentropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.from_logits, self.ignore_class, self.axis = from_logits, ignore_class, axis

    def _target(self, y_true: Any) -> Any:
        return ops.cast(ops.convert_to_tensor(y_true), "int32")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        options = (self.from_logits, self.ignore_class, self.axis)
        return functions.sparse_categorical_crossentropy(y_true, y_pred, *options)

    def counts(self, y_true: Any, values: Any) -> Any:
        """Where the target is not ignore_class."""
        if self.ignore_class is None:
            return None
        labels = ops.squeeze(y_true, self.axis) if len(y_true.shape) > len(values.shape) else y_true
        return ops.not_equal(labels, self.ignore_class)

    def target_type(self, output: TensorType) -> tuple[Shape, str]:
        """An index for each sample."""
        axis = self.axis % output.rank
        return (*output.shape[1:axis], *output.shape[axis + 1 :]), "int32"


class Dice(Loss):
    """1 - 2 * overlap / (sum of target and prediction)."""

    def __init__(
        self, reduction: str | None = MEAN, name: str | None = "dice", axis: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.axis = axis

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true, y_pred = functions.same_rank(y_true, y_pred)
        return functions.dice(y_true, y_pred, self.axis)


class Tversky(Loss):
    """Dice with weights alpha and beta for the two kinds of errors (Salehi et al., 2017)."""

    def __init__(
        self,
        alpha: float = 0.5,
        beta: float = 0.5,
        reduction: str | None = MEAN,
        name: str | None = "tversky",
        axis: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.alpha, self.beta, self.axis = alpha, beta, axis

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true, y_pred = functions.same_rank(y_true, y_pred)
        return functions.tversky(y_true, y_pred, self.alpha, self.beta, self.axis)


class CategoricalGeneralizedCrossEntropy(Loss):
    """(1 - p**q) / q: between crossentropy (q near 0) and absolute error (q = 1) (Zhang and Sabuncu, 2018)."""

    def __init__(
        self,
        q: float = 0.5,
        reduction: str | None = MEAN,
        name: str | None = "categorical_generalized_cross_entropy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        if not 0 < q < 1:
            raise ArgumentError(f"q must lie between 0 and 1, not {q!r}")
        self.q = q

    def _target(self, y_true: Any) -> Any:
        return ops.cast(ops.convert_to_tensor(y_true), "int32")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return functions.categorical_generalized_cross_entropy(y_true, y_pred, self.q)

    def target_type(self, output: TensorType) -> tuple[Shape, str]:
        """An index for each sample."""
        return output.shape[1:-1], "int32"
