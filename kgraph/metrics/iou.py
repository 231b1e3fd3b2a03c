"""Intersection over union of classes, for segmentation."""

from __future__ import annotations

import warnings
from typing import Any

from kgraph import config, ops
from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.types import standard_dtype
from kgraph.metrics.metric import Metric, shown
from kgraph.metrics.reduction import spread


class IoU(Metric):
    """The mean over target classes of true positives / (true positives + false positives + false negatives).

    Targets and predictions are classes as numbers, or, with sparse_y_true=False and sparse_y_pred=False, have a number
    for each class along `axis`, the largest of which counts. Classes that are not below num_classes, and targets of
    ignore_class, do not count. dtype: of the counts, int32 by default: give a float one for fractional weights.
    """

    _direction = "up"

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Any,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        super().__init__(name=name, dtype=dtype or "int")
        wrong = [one for one in target_class_ids if not 0 <= one < num_classes]
        if wrong:
            raise ArgumentError(f"target_class_ids lie between 0 and num_classes={num_classes}; {wrong[0]} does not")
        self.num_classes, self.target_class_ids, self.ignore_class = num_classes, list(target_class_ids), ignore_class
        self.sparse_y_true, self.sparse_y_pred, self.axis = sparse_y_true, sparse_y_pred, axis
        self.total_cm = self.add_variable(
            (num_classes, num_classes), "zeros", self.dtype, name="total_confusion_matrix"
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in one batch; sample_weight is a number, or has a weight for each target."""
        target, output = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        y_true = ops.cast(target if self.sparse_y_true else ops.argmax(target, axis=self.axis), "int32")
        y_pred = ops.cast(output if self.sparse_y_pred else ops.argmax(output, axis=self.axis), "int32")
        y_true, y_pred = ops.reshape(y_true, (-1,)), ops.reshape(y_pred, (-1,))
        sizes = {size for size in (*y_true.shape, *y_pred.shape) if size is not None}
        if len(sizes) > 1:
            raise ShapeError(
                f"{self.name}: y_true of shape {shown(target.shape)} is not a class for each prediction of y_pred of "
                f"shape {shown(output.shape)}"
            )
        inside = [
            ops.logical_and(ops.greater_equal(one, 0), ops.less(one, self.num_classes)) for one in (y_true, y_pred)
        ]
        counts = ops.logical_and(*inside)
        if self.ignore_class is not None:
            counts = ops.logical_and(counts, ops.not_equal(y_true, self.ignore_class))
        place = ops.where(counts, y_true * self.num_classes + y_pred, 0)
        weight = ops.where(counts, self._weight(sample_weight, y_true), ops.zeros((), self.dtype))
        found = ops.segment_sum(weight, place, self.num_classes**2)
        self.total_cm.assign_add(ops.reshape(found, (self.num_classes, self.num_classes)))

    def _weight(self, sample_weight: Any, y_true: Any) -> Any:
        if sample_weight is None:
            return ops.ones((), self.dtype)
        weight = ops.convert_to_tensor(sample_weight)
        given = standard_dtype(weight.dtype)
        if "float" in given and "int" in self.dtype:
            warnings.warn(
                f"{self.name} counts in {self.dtype}, which cuts fractions off {given} weights; give dtype='float32'",
                stacklevel=3,
            )
        weight = ops.cast(weight, self.dtype)
        return spread(ops.reshape(weight, (-1,)) if len(weight.shape) > 1 else weight, y_true)

    def result(self) -> Any:
        counts = ops.cast(self.total_cm, self.dtype)
        right = ops.diagonal(counts)
        either = ops.sum(counts, axis=0) + ops.sum(counts, axis=1) - right
        if self.target_class_ids != list(range(self.num_classes)):
            right, either = (ops.take(one, self.target_class_ids, axis=0) for one in (right, either))
        right, either = ops.cast(right, "float32"), ops.cast(either, "float32")
        seen = ops.greater(either, 1e-9)
        shares = ops.where(seen, right / (either + config.epsilon()), 0.0)
        return ops.sum(shares) / (ops.sum(ops.cast(seen, "float32")) + config.epsilon())

    def get_config(self) -> dict[str, Any]:
        config = {
            "num_classes": self.num_classes,
            "target_class_ids": self.target_class_ids,
            "ignore_class": self.ignore_class,
            "sparse_y_true": self.sparse_y_true,
            "sparse_y_pred": self.sparse_y_pred,
            "axis": self.axis,
        }
        return {**super().get_config(), **config}


def without(config: dict[str, Any], *names: str) -> dict[str, Any]:
    """A config without what a class does not take."""
    return {name: value for name, value in config.items() if name not in names}


class BinaryIoU(IoU):
    """IoU of the classes 0 and 1, or one of them; predictions are 1 from the threshold on."""

    def __init__(
        self, target_class_ids: Any = (0, 1), threshold: float = 0.5, name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_pred = ops.cast(ops.convert_to_tensor(y_pred), "float32")
        super().update_state(y_true, ops.greater_equal(y_pred, self.threshold), sample_weight)

    def get_config(self) -> dict[str, Any]:
        config = without(super().get_config(), "num_classes", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis")
        return {**config, "threshold": self.threshold}


class MeanIoU(IoU):
    """The mean of the IoU of all classes."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        classes = range(num_classes)
        super().__init__(num_classes, classes, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return without(super().get_config(), "target_class_ids")


class OneHotIoU(IoU):
    """IoU of targets that are one-hot."""

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Any,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return without(super().get_config(), "sparse_y_true")


class OneHotMeanIoU(MeanIoU):
    """The mean of the IoU of all classes, for targets that are one-hot."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return without(super().get_config(), "sparse_y_true")
