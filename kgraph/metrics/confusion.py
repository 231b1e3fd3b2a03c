"""Counts of outcomes, precision, recall, and the best of one quantity where another is good enough."""

from __future__ import annotations

from typing import Any, ClassVar

from kgraph import ops
from kgraph.errors import ArgumentError
from kgraph.metrics.outcomes import NEVER, OUTCOMES, Batch, Outcomes, evenly_spaced, thresholds_of


class OutcomeCount(Outcomes):
    """How many predictions, or what weight of them, have one outcome at a threshold, by default 0.5, or at several."""

    outcome: ClassVar[str]

    def __init__(self, thresholds: Any = None, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.thresholds = thresholds_of(thresholds, 0.5)
        self._even = evenly_spaced(self.thresholds)
        self.accumulator = self.add_variable((len(self.thresholds),), "zeros", name="accumulator")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in one batch; sample_weight has a weight for each sample, or for each prediction."""
        self.add_batch(Batch(self.name, y_true, y_pred, sample_weight), {self.outcome: self.accumulator})

    def result(self) -> Any:
        return self.accumulator[0] if len(self.thresholds) == 1 else ops.convert_to_tensor(self.accumulator)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "thresholds": self.init_thresholds}


class TruePositives(OutcomeCount):
    """How many targets are 1 and predictions above the threshold."""

    outcome = "true_positives"


class FalsePositives(OutcomeCount):
    """How many targets are 0 and predictions above the threshold."""

    outcome = "false_positives"


class TrueNegatives(OutcomeCount):
    """How many targets are 0 and predictions not above the threshold."""

    outcome = "true_negatives"


class FalseNegatives(OutcomeCount):
    """How many targets are 1 and predictions not above the threshold."""

    outcome = "false_negatives"


class OutcomeShare(Outcomes):
    """True positives, divided by them and another outcome.

    thresholds: one or several, by default 0.5. top_k: positive are the k largest predictions of a sample, and there is
    no threshold unless one is given. class_id: only this class counts.
    """

    _direction = "up"
    other: ClassVar[str]

    def __init__(
        self,
        thresholds: Any = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds, self.top_k, self.class_id = thresholds, top_k, class_id
        self.thresholds = thresholds_of(thresholds, 0.5 if top_k is None else NEVER)
        self._even = evenly_spaced(self.thresholds)
        self.add_outcomes(("true_positives", self.other), (len(self.thresholds),))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in one batch; sample_weight has a weight for each sample, or for each prediction."""
        batch = Batch(self.name, y_true, y_pred, sample_weight, self.top_k, self.class_id)
        self.add_batch(batch, {name: getattr(self, name) for name in ("true_positives", self.other)})

    def result(self) -> Any:
        result = self.share("true_positives", self.other)
        return result[0] if len(self.thresholds) == 1 else result

    def get_config(self) -> dict[str, Any]:
        options = {"thresholds": self.init_thresholds, "top_k": self.top_k, "class_id": self.class_id}
        return {**super().get_config(), **options}


class Precision(OutcomeShare):
    """How many of the positive predictions are right: true positives / (true positives + false positives).

    thresholds: one or several, by default 0.5. top_k: positive are the k largest predictions of a sample, and there is
    no threshold unless one is given. class_id: only this class counts.
    """

    other = "false_positives"


class Recall(OutcomeShare):
    """How many of the targets of 1 are found: true positives / (true positives + false negatives).

    thresholds: one or several, by default 0.5. top_k: positive are the k largest predictions of a sample, and there is
    no threshold unless one is given. class_id: only this class counts.
    """

    other = "false_negatives"


class BestAt(Outcomes):
    """The largest value of one quantity among the thresholds at which another is at least `value`; 0 if none is.

    num_thresholds: how many even steps there are from 0 to 1; of one, it is 0.5. class_id: only this class counts.
    """

    _direction = "up"
    option: ClassVar[str]  # the name of the argument that says how large the other must be

    def __init__(
        self,
        value: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if not 0 <= value <= 1:
            raise ArgumentError(f"{self.option} lies between 0 and 1; {value} does not")
        if num_thresholds <= 0:
            raise ArgumentError(f"num_thresholds is at least 1, not {num_thresholds}")
        self.value, self.num_thresholds, self.class_id = value, num_thresholds, class_id
        setattr(self, self.option, value)
        self._even = num_thresholds > 1
        steps = num_thresholds - 1
        self.thresholds = [step / steps for step in range(num_thresholds)] if self._even else [0.5]
        self.add_outcomes(OUTCOMES, (num_thresholds,))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in one batch; sample_weight has a weight for each sample, or for each prediction."""
        batch = Batch(self.name, y_true, y_pred, sample_weight, class_id=self.class_id)
        self.add_batch(batch, {name: getattr(self, name) for name in OUTCOMES})

    def sensitivities(self) -> Any:
        """The share of targets of 1 that are found; also called recall."""
        return self.share("true_positives", "false_negatives")

    def specificities(self) -> Any:
        """The share of targets of 0 that are not taken for 1."""
        return self.share("true_negatives", "false_positives")

    def precisions(self) -> Any:
        """The share of positive predictions that are right."""
        return self.share("true_positives", "false_positives")

    def largest(self, wanted: Any, where: Any) -> Any:
        """The largest of the values where the others are large enough."""
        return ops.max(ops.where(ops.greater_equal(where, self.value), wanted, 0.0), initial=0)

    def get_config(self) -> dict[str, Any]:
        options = {"class_id": self.class_id, "num_thresholds": self.num_thresholds, self.option: self.value}
        return {**super().get_config(), **options}


class SensitivityAtSpecificity(BestAt):
    """The best sensitivity, true positives / targets of 1, at a threshold with at least this specificity.

    num_thresholds: how many even steps there are from 0 to 1; of one, it is 0.5. class_id: only this class counts.
    """

    option = "specificity"

    def __init__(
        self,
        specificity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(specificity, num_thresholds, class_id, name, dtype)

    def result(self) -> Any:
        return self.largest(self.sensitivities(), where=self.specificities())


class SpecificityAtSensitivity(BestAt):
    """The best specificity, true negatives / targets of 0, at a threshold with at least this sensitivity.

    num_thresholds: how many even steps there are from 0 to 1; of one, it is 0.5. class_id: only this class counts.
    """

    option = "sensitivity"

    def __init__(
        self,
        sensitivity: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)

    def result(self) -> Any:
        return self.largest(self.specificities(), where=self.sensitivities())


class PrecisionAtRecall(BestAt):
    """The best precision at a threshold with at least this recall.

    num_thresholds: how many even steps there are from 0 to 1; of one, it is 0.5. class_id: only this class counts.
    """

    option = "recall"

    def __init__(
        self,
        recall: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(recall, num_thresholds, class_id, name, dtype)

    def result(self) -> Any:
        return self.largest(self.precisions(), where=self.sensitivities())


class RecallAtPrecision(BestAt):
    """The best recall at a threshold with at least this precision.

    num_thresholds: how many even steps there are from 0 to 1; of one, it is 0.5. class_id: only this class counts.
    """

    option = "precision"

    def __init__(
        self,
        precision: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(precision, num_thresholds, class_id, name, dtype)

    def result(self) -> Any:
        return self.largest(self.sensitivities(), where=self.precisions())
