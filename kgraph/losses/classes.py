"""Losses as objects, each around its function."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any, ClassVar

from kgraph import ops
from kgraph.errors import ArgumentError
from kgraph.graph.sizes import Shape
from kgraph.graph.types import TensorType
from kgraph.losses import functions
from kgraph.losses.loss import Loss

MEAN = "sum_over_batch_size"


class OptionsLoss(Loss):
    """The class of a function among `functions`: it keeps the function's options in attributes of the same names."""

    function: ClassVar[Callable[..., Any]]

    def call(self, y_true: Any, y_pred: Any) -> Any:
        options = list(signature(self.function).parameters)[2:]
        y_true, y_pred = functions.same_rank(y_true, y_pred)
        return self.function(y_true, y_pred, **{name: getattr(self, name) for name in options})


def simple(function: Any, class_name: str) -> type[Loss]:
    """The class of a loss without options."""

    def __init__(
        self: Any, reduction: str | None = MEAN, name: str | None = function.__name__, dtype: Any = None
    ) -> None:
        Loss.__init__(self, name=name, reduction=reduction, dtype=dtype)

    body = {
        "__init__": __init__,
        "function": staticmethod(function),
        "__doc__": function.__doc__,
        "__module__": __name__,
    }
    return type(class_name, (OptionsLoss,), body)


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


class Huber(OptionsLoss):
    """Half the square of errors up to delta, and linear beyond (Huber, 1964)."""

    function = staticmethod(functions.huber)

    def __init__(
        self, delta: float = 1.0, reduction: str | None = MEAN, name: str | None = "huber_loss", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.delta = delta


class CosineSimilarity(OptionsLoss):
    """Minus the cosine of the angle between target and prediction."""

    function = staticmethod(functions.cosine_similarity)

    def __init__(
        self, axis: int = -1, reduction: str | None = MEAN, name: str | None = "cosine_similarity", dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.axis = axis


class BinaryCrossentropy(OptionsLoss):
    """-y_true * log(y_pred) - (1 - y_true) * log(1 - y_pred), for targets of 0 and 1.

    y_true, y_pred: of one shape, (batch, d1 ... dn); y_true has 0 and 1, or numbers between.
    from_logits: False (default) for probabilities between 0 and 1, True for scores of any size, before the sigmoid.
    label_smoothing: 0 (default) to 1; targets move that share of the way to 0.5.
    axis: an axis or several that the mean is over, default the last.
    reduction: how the numbers of all samples become one, default their mean; see Loss.
    """

    function = staticmethod(functions.binary_crossentropy)

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


class BinaryFocalCrossentropy(OptionsLoss):
    """Binary crossentropy that counts samples less the better they are predicted (Lin et al., 2018).

    y_true, y_pred: of one shape, (batch, d1 ... dn); y_true has 0 and 1, or numbers between.
    apply_class_balancing: False (default), or True to weight targets of 1 by alpha and those of 0 by 1 - alpha.
    alpha: 0 to 1, default 0.25.
    gamma: from 0 on, default 2; how much less a sample counts that is predicted well, by (1 - p)**gamma.
    from_logits: False (default) for probabilities between 0 and 1, True for scores of any size, before the sigmoid.
    label_smoothing: 0 (default) to 1; targets move that share of the way to 0.5.
    axis: an axis or several that the mean is over, default the last.
    reduction: how the numbers of all samples become one, default their mean; see Loss.
    """

    function = staticmethod(functions.binary_focal_crossentropy)

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


class CategoricalCrossentropy(OptionsLoss):
    """-sum(y_true * log(y_pred)) for targets that are distributions over classes.

    y_true, y_pred: of one shape, (batch, d1 ... dn, classes); y_true has a distribution over classes: one-hot, or not.
    from_logits: False (default) for probabilities between 0 and 1, True for scores of any size, before the softmax.
    label_smoothing: 0 (default) to 1; targets move that share of the way to 1 / classes.
    axis: where the classes lie, default the last axis.
    reduction: how the numbers of all samples become one, default their mean; see Loss.
    """

    function = staticmethod(functions.categorical_crossentropy)

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


class CategoricalFocalCrossentropy(OptionsLoss):
    """Categorical crossentropy that counts samples less the better they are predicted (Lin et al., 2018).

    y_true, y_pred: of one shape, (batch, d1 ... dn, classes); y_true has a distribution over classes: one-hot, or not.
    alpha: 0 to 1, default 0.25; the weight of every class, or a list of one for each.
    gamma: from 0 on, default 2; how much less a sample counts that is predicted well, by (1 - p)**gamma.
    from_logits: False (default) for probabilities between 0 and 1, True for scores of any size, before the softmax.
    label_smoothing: 0 (default) to 1; targets move that share of the way to 1 / classes.
    axis: where the classes lie, default the last axis.
    reduction: how the numbers of all samples become one, default their mean; see Loss.
    """

    function = staticmethod(functions.categorical_focal_crossentropy)

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


class SparseCategoricalCrossentropy(OptionsLoss):
    """-log(y_pred) at the class that the target names by its index; targets of ignore_class do not count.

    y_true: (batch, d1 ... dn) of indices from 0 to classes - 1, or the same with a 1 at axis; y_pred: with the classes.
    from_logits: False (default) for probabilities between 0 and 1, True for scores of any size, before the softmax.
    ignore_class: an integer, such as -1 or 255, whose targets count for nothing; None (default) for no such class.
    reduction: how the numbers of all samples become one, default their mean; see Loss.
    axis: where the classes lie, default the last axis.
    """

    function = staticmethod(functions.sparse_categorical_crossentropy)
    target_dtype = "int32"

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


class Dice(OptionsLoss):
    """1 - 2 * overlap / (sum of target and prediction)."""

    function = staticmethod(functions.dice)

    def __init__(
        self, reduction: str | None = MEAN, name: str | None = "dice", axis: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.axis = axis


class Tversky(OptionsLoss):
    """Dice with weights alpha and beta for the two kinds of errors (Salehi et al., 2017)."""

    function = staticmethod(functions.tversky)

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


class CategoricalGeneralizedCrossEntropy(OptionsLoss):
    """(1 - p**q) / q: between crossentropy (q near 0) and absolute error (q = 1) (Zhang and Sabuncu, 2018)."""

    function = staticmethod(functions.categorical_generalized_cross_entropy)
    target_dtype = "int32"

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

    def target_type(self, output: TensorType) -> tuple[Shape, str]:
        """An index for each sample."""
        return output.shape[1:-1], "int32"


class CTC(OptionsLoss):
    """Minus the logarithm of the probability of label sequences without alignment (Graves et al., 2006)."""

    function = staticmethod(functions.ctc)
    target_dtype = "int32"

    def __init__(self, reduction: str | None = MEAN, name: str | None = "ctc", dtype: Any = None) -> None:
        super().__init__(name, reduction, dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return functions.ctc(y_true, y_pred)

    def target_type(self, output: TensorType) -> tuple[Shape, str]:
        """As many labels as there are steps."""
        return output.shape[1:2], "int32"


class Circle(OptionsLoss):
    """Pulls embeddings of like labels together and pushes others apart (Sun et al., 2020)."""

    function = staticmethod(functions.circle)
    target_dtype = "int32"

    def __init__(
        self,
        gamma: float = 80.0,
        margin: float = 0.4,
        remove_diagonal: bool = True,
        reduction: str | None = MEAN,
        name: str | None = "circle",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, reduction, dtype)
        self.gamma, self.margin, self.remove_diagonal = gamma, margin, remove_diagonal

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return functions.circle(
            y_true, y_pred, remove_diagonal=self.remove_diagonal, gamma=self.gamma, margin=self.margin
        )

    def counts(self, y_true: Any, values: Any) -> Any:
        """Where there are pairs: an embedding without any loses nothing."""
        return ops.greater(values, 0.0)

    def target_type(self, output: TensorType) -> tuple[Shape, str]:
        """A label for each embedding."""
        return (), "int32"
