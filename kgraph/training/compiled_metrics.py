"""What `compile(metrics=..., weighted_metrics=...)` means: what is measured of each output."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

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


class Part(NamedTuple):
    """A metric, and what it measures."""

    name: str
    place: int  # of the output
    metric: Metric
    is_weighted: bool
    is_given: bool  # an object of the user's, who may measure with it elsewhere


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
        self._parts: list[Part] | None = None
        self.output_count = 0

    @property
    def named(self) -> list[tuple[str, Metric]]:
        """The metrics with the names of their results; none before they have seen what the outputs are.

        Those of several outputs go by their names.
        """
        found = [(part.name, part.metric) for part in self._parts or ()]
        return found if self.output_count < 2 else sorted(found, key=lambda one: one[0])

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
            self._parts, self.output_count = _named_apart(outputs, [*plain, *weighted]), len(outputs)
        for _, place, metric, is_weighted, _ in self._parts:
            weight = {"sample_weight": weights[place]} if is_weighted and weights[place] is not None else {}
            metric.update_state(targets[place], predictions[place], **weight)

    def _built(
        self, given: Any, what: str, is_weighted: bool, outputs: Outputs, targets: list[Any], predictions: list[Any]
    ) -> list[Part]:
        made = []
        for place, wanted in enumerate(self._each(given, what, outputs)):
            for identifier in wanted:
                if targets[place] is None:
                    raise ArgumentError(f"{what} measures output {outputs.names[place]!r}, which has no target")
                metric = get_metric(identifier, targets[place], predictions[place])
                made.append(Part(metric.name, place, metric, is_weighted, metric is identifier))
        return made

    def _each(self, given: Any, what: str, outputs: Outputs) -> list[list[Any]]:
        """The metrics of each output."""
        if not given:
            return [[] for _ in outputs.names]
        if len(outputs) == 1:
            return [_as_list(tree.flatten(given))]
        if outputs.is_deep and isinstance(given, dict):
            return [_as_list(one) for one in outputs.each(given, what, partial=True)]
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


def _named_apart(outputs: Outputs, parts: list[Part]) -> list[Part]:
    """The metrics, named after their outputs where there are several; one measured twice is weighted_, or has a number.

    Metrics that users gave keep their own names. Source: Keras.
    """
    found, taken = [], Counter[str]()
    for part in parts:
        prefix = f"{outputs.names[part.place]}_" if len(outputs) > 1 else ""
        name = f"{prefix}{part.name}"
        if part.is_weighted and name in taken:
            name = f"{prefix}weighted_{part.name}"
        found.append(part._replace(name=f"{name}_{taken[name]}" if taken[name] else name))
        taken[name] += 1
    for part in found:
        if not part.is_given:
            part.metric.name = part.name
    return found


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
