"""What `compile(metrics=..., weighted_metrics=...)` means: what is measured of each output."""

from __future__ import annotations

from typing import Any

from kgraph import metrics, tree
from kgraph.errors import ArgumentError
from kgraph.losses.loss import Loss
from kgraph.metrics import Metric
from kgraph.named import snake_case
from kgraph.training.guess import named_by_target
from kgraph.training.outputs import Outputs

ACCURACIES: dict[str, type[Metric]] = {
    "binary": metrics.BinaryAccuracy,
    "categorical": metrics.CategoricalAccuracy,
    "sparse": metrics.SparseCategoricalAccuracy,
}
CROSSENTROPIES: dict[str, type[Metric]] = {
    "binary": metrics.BinaryCrossentropy,
    "categorical": metrics.CategoricalCrossentropy,
    "sparse": metrics.SparseCategoricalCrossentropy,
}


class CompiledMetrics:
    """The metrics of a model's outputs.

    Of a model with several outputs, a list with an entry for each output (itself one or a list), a dict by output
    name, or a flat list of metrics that all outputs get; their names begin with that of the output. Only
    `weighted_metrics` count the weights of samples. Source: Keras's compile.
    """

    def __init__(self, plain: Any, weighted: Any, output_names: list[str] | None = None) -> None:
        for what, value in (("metrics", plain), ("weighted_metrics", weighted)):
            if value is not None and not isinstance(value, (list, tuple, dict)):
                raise ArgumentError(f"{what}= wants a list or a dict, not {value!r:.60}")
        self.plain, self.weighted, self.output_names = plain, weighted, output_names
        self._parts: list[tuple[int, Metric, bool]] | None = None  # output, metric, whether it is weighted
        self.output_count = 0

    @property
    def metrics(self) -> list[Metric]:
        """The metrics; none before they have seen what the outputs are. Those of several outputs go by their names."""
        found = [metric for _, metric, _ in self._parts or ()]
        return found if self.output_count < 2 else sorted(found, key=lambda metric: metric.name)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in one batch."""
        outputs = Outputs.of(y_pred, self.output_names)
        predictions = tree.flatten(y_pred)
        if y_true is None:
            raise ArgumentError("metrics compare with targets, and none were given: pass y")
        targets = outputs.each(y_true, "y", partial=True)
        weights = [sample_weight] * len(outputs)
        if tree.is_nested(sample_weight):
            weights = outputs.each(sample_weight, "sample_weight", partial=True)
        if self._parts is None:
            plain = self._built(self.plain, "metrics=", False, outputs, targets, predictions)
            weighted = self._built(self.weighted, "weighted_metrics=", True, outputs, targets, predictions)
            self._parts, self.output_count = _named_apart(outputs, plain, weighted), len(outputs)
        for place, metric, is_weighted in self._parts:
            weight = {"sample_weight": weights[place]} if is_weighted and weights[place] is not None else {}
            metric.update_state(targets[place], predictions[place], **weight)

    def _built(
        self, given: Any, what: str, is_weighted: bool, outputs: Outputs, targets: list[Any], predictions: list[Any]
    ) -> list[tuple[int, Metric, bool]]:
        made = []
        for place, wanted in enumerate(self._each(given, what, outputs)):
            for identifier in wanted:
                if targets[place] is None:
                    raise ArgumentError(f"{what} measures output {outputs.names[place]!r}, which has no target")
                made.append((place, get_metric(identifier, targets[place], predictions[place]), is_weighted))
        return made

    def _each(self, given: Any, what: str, outputs: Outputs) -> list[list[Any]]:
        """The metrics of each output."""
        if not given:
            return [[] for _ in outputs.names]
        if len(outputs) == 1:
            return [_as_list(tree.flatten(given))]
        if isinstance(given, dict):
            return [_as_list(one) for one in outputs.each({**dict.fromkeys(outputs.names), **given}, what)]
        if len(given) == len(outputs):
            return [_as_list(one) for one in given]
        if any(isinstance(one, (list, tuple)) for one in given):
            raise ArgumentError(
                f"{what} has {len(given)} entries, and there are {len(outputs)} outputs, {', '.join(outputs.names)}"
            )
        if any(isinstance(one, Metric) for one in given):
            raise ArgumentError(
                f"{what}: a metric object has one state, so it belongs to one of the {len(outputs)} outputs; give a "
                "dict by output name"
            )
        return [list(given) for _ in outputs.names]


Part = tuple[int, Metric, bool]


def _named_apart(outputs: Outputs, plain: list[Part], weighted: list[Part]) -> list[Part]:
    """All metrics, named after their outputs where there are several; one measured twice is weighted_ once."""
    for place, metric, _ in weighted:
        if any(place == other and metric.name == one.name for other, one, _ in plain):
            metric.name = f"weighted_{metric.name}"
    for place, metric, _ in (*plain, *weighted) if len(outputs) > 1 else ():
        metric.name = f"{outputs.names[place]}_{metric.name}"
    return [*plain, *weighted]


def _as_list(value: Any) -> list[Any]:
    given = list(value) if isinstance(value, (list, tuple)) else [value]
    return [one for one in given if one is not None]


def get_metric(identifier: Any, y_true: Any, y_pred: Any) -> Metric:
    """A metric; "accuracy" and "crossentropy" mean those that fit the shapes of targets and predictions."""
    if isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc", "crossentropy", "ce"):
        kinds = ACCURACIES if identifier.lower().startswith("acc") else CROSSENTROPIES
        return kinds[named_by_target(y_true, y_pred)](name=identifier)
    if isinstance(identifier, Loss):
        return metrics.MeanMetricWrapper(identifier.call, name=identifier.name)
    found = metrics.get(identifier)
    named = snake_case(getattr(found, "__name__", type(found).__name__))
    name = identifier if isinstance(identifier, str) else getattr(found, "name", named)
    if not isinstance(found, Metric):
        return metrics.MeanMetricWrapper(found, name=name)
    found.name = name or found.name
    return found
