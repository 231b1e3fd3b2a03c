"""What training makes small: losses as functions, as objects, and by name."""

from __future__ import annotations

from typing import Any

from kgraph.losses.classes import (
    CTC,
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy,
    CategoricalHinge,
    Circle,
    CosineSimilarity,
    Dice,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    Tversky,
)
from kgraph.losses.functions import (
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_generalized_cross_entropy,
    categorical_hinge,
    circle,
    cosine_similarity,
    ctc,
    dice,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
    tversky,
)
from kgraph.losses.loss import FunctionLoss, Loss
from kgraph.named import find, to_config

# Each function with its class, and the short names that Keras users write.
PAIRS: tuple[tuple[Any, type[Loss], tuple[str, ...]], ...] = (
    (mean_squared_error, MeanSquaredError, ("mse", "MSE")),
    (mean_absolute_error, MeanAbsoluteError, ("mae", "MAE")),
    (mean_absolute_percentage_error, MeanAbsolutePercentageError, ("mape", "MAPE")),
    (mean_squared_logarithmic_error, MeanSquaredLogarithmicError, ("msle", "MSLE")),
    (kl_divergence, KLDivergence, ("kld", "KLD", "kullback_leibler_divergence")),
    (binary_crossentropy, BinaryCrossentropy, ("bce", "BCE")),
    (binary_focal_crossentropy, BinaryFocalCrossentropy, ()),
    (categorical_crossentropy, CategoricalCrossentropy, ()),
    (categorical_focal_crossentropy, CategoricalFocalCrossentropy, ()),
    (sparse_categorical_crossentropy, SparseCategoricalCrossentropy, ()),
    (cosine_similarity, CosineSimilarity, ("cosine", "cosine_proximity")),
    (huber, Huber, ("huber_loss",)),
    (log_cosh, LogCosh, ("logcosh",)),
    (hinge, Hinge, ()),
    (squared_hinge, SquaredHinge, ()),
    (categorical_hinge, CategoricalHinge, ()),
    (poisson, Poisson, ()),
    (dice, Dice, ()),
    (tversky, Tversky, ()),
    (categorical_generalized_cross_entropy, CategoricalGeneralizedCrossEntropy, ()),
    (ctc, CTC, ()),
    (circle, Circle, ()),
)
NAMES: dict[str, Any] = {
    name: value
    for function, cls, short in PAIRS
    for name, value in ((function.__name__, function), (cls.__name__, cls), *((alias, function) for alias in short))
}
CLASSES: dict[Any, type[Loss]] = {function: cls for function, cls, _ in PAIRS}


def get(identifier: Any) -> Any:
    """A loss from its name ("mse", "MeanSquaredError"), its config, a class or a function; None for None.

    As in Keras, the name of a function gives the function, and the name of a class an object.
    """
    return find(identifier, NAMES, "loss")


def get_loss(identifier: Any) -> Loss:
    """A Loss object, which weighs and reduces, from whatever `get` takes."""
    found = get(identifier)
    if isinstance(found, Loss):
        return found
    return CLASSES[found]() if found in CLASSES else FunctionLoss(found)


def serialize(loss: Any) -> Any:
    """A description that `get` understands."""
    return to_config(loss)


def deserialize(name: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The loss that `serialize` described."""
    return find(name, NAMES | (custom_objects or {}), "loss")


__all__ = [
    "CTC",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalGeneralizedCrossEntropy",
    "CategoricalHinge",
    "Circle",
    "CosineSimilarity",
    "Dice",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tversky",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy",
    "categorical_hinge",
    "circle",
    "cosine_similarity",
    "ctc",
    "deserialize",
    "dice",
    "get",
    "get_loss",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "serialize",
    "sparse_categorical_crossentropy",
    "squared_hinge",
    "tversky",
]
