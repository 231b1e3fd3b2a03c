"""What `compile(loss=..., loss_weights=...)` means: one number to make small."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kgraph import losses, ops, tree
from kgraph.errors import ArgumentError, KGraphError
from kgraph.losses.loss import FunctionLoss, Loss
from kgraph.metrics import Mean
from kgraph.training.guess import named_by_target
from kgraph.training.outputs import Outputs

CROSSENTROPIES = {
    "binary": losses.BinaryCrossentropy,
    "categorical": losses.CategoricalCrossentropy,
    "sparse": losses.SparseCategoricalCrossentropy,
}


class CompiledLoss:
    """The sum of the losses of a model's outputs, each times its weight.

    loss: a name, an object or a function of (y_true, y_pred) for all outputs, or a list or dict with one for each;
    None leaves an output without a loss. loss_weights: a number, or a list or dict of them. `metrics` has a mean of
    each loss where there are several, called `<output>_loss`; it does not count the weight. Source: Keras's compile.
    """

    def __init__(self, loss: Any, loss_weights: Any = None, output_names: list[str] | None = None) -> None:
        self.loss, self.loss_weights, self.output_names = loss, loss_weights, output_names
        self.metrics: list[Mean] = []
        self._parts: list[tuple[int, Loss, Any, Mean | None]] | None = None  # output, loss, weight, its mean

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """The loss as a scalar."""
        outputs = Outputs.of(y_pred, self.output_names)
        wanted = self._each(outputs, self.loss, "loss=")
        targets = self._targets(outputs, wanted, y_true)
        predictions = tree.flatten(y_pred)
        weights = self._sample_weights(outputs, sample_weight)
        if self._parts is None:
            self._build(outputs, wanted, targets, predictions)
        total: Any = None
        for place, loss, weight, mean in self._parts or ():
            value = lost(loss, outputs.names[place], targets[place], predictions[place], weights[place])
            if mean is not None:
                mean.update_state(value, sample_weight=ops.shape(predictions[place])[0])
            value = value if weight is None else value * weight
            total = value if total is None else total + value
        return total

    def _each(self, outputs: Outputs, value: Any, what: str) -> list[Any]:
        if tree.is_nested(value) and not _is_configuration(value):
            if isinstance(value, (list, tuple)) and len(value) == 1:
                value = value[0]
            else:
                return outputs.each(value, what, partial=True)
        return [value] * len(outputs)

    def _targets(self, outputs: Outputs, wanted: list[Any], y_true: Any) -> list[Any]:
        """A target for each output; those without a loss may have none."""
        if y_true is None:
            raise ArgumentError("the loss compares with targets, and none were given: pass y")
        flat = y_true if isinstance(y_true, Mapping) else tree.flatten(y_true)
        with_loss = [place for place, loss in enumerate(wanted) if loss is not None]
        if not isinstance(y_true, Mapping) and len(flat) == len(with_loss) < len(outputs):
            given = dict(zip(with_loss, flat, strict=True))
            return [given.get(place) for place in range(len(outputs))]
        return outputs.each(y_true, "y", partial=len(with_loss) < len(outputs))

    def _sample_weights(self, outputs: Outputs, sample_weight: Any) -> list[Any]:
        if sample_weight is None or not tree.is_nested(sample_weight):
            return [sample_weight] * len(outputs)
        return outputs.each(sample_weight, "sample_weight", partial=True)

    def _build(self, outputs: Outputs, wanted: list[Any], targets: list[Any], predictions: list[Any]) -> None:
        weights = self._each(outputs, self.loss_weights, "loss_weights=")
        several = sum(loss is not None for loss in wanted) > 1
        self._parts = []
        for place, (name, loss, weight) in enumerate(zip(outputs.paths, wanted, weights, strict=True)):
            if loss is None:
                continue
            mean = Mean(name=f"{name}_loss") if several else None
            found = get_loss(loss, targets[place], predictions[place])
            self._parts.append((place, found, weight, mean))
            self.metrics += [mean] if mean else []
        if isinstance(outputs.structure, Mapping) and isinstance(self.loss, Mapping) and not outputs.is_deep:
            order = [f"{name}_loss" for name in self.loss]  # of a dict of outputs, that in which the losses are given
            self.metrics.sort(key=lambda mean: order.index(mean.name))


def lost(loss: Loss, name: str, y_true: Any, y_pred: Any, weight: Any) -> Any:
    """The loss of one output. What is wrong with it is told with the name and the shapes."""
    try:
        return loss(y_true, y_pred, sample_weight=weight)
    except KGraphError as error:
        shapes = [tuple(one.shape) for one in (y_true, y_pred) if hasattr(one, "shape")]
        if len(shapes) == 2:
            error.add_note(f"  in   the loss of output {name!r}: y has shape {shapes[0]}, the output {shapes[1]}")
        raise


def get_loss(identifier: Any, y_true: Any, y_pred: Any) -> Loss:
    """A Loss; "crossentropy" means that which fits the shapes of targets and predictions."""
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        return CROSSENTROPIES[named_by_target(y_true, y_pred)]()
    if callable(identifier) and not isinstance(identifier, (Loss, type)) and identifier not in losses.CLASSES:
        return FunctionLoss(identifier)
    return losses.get_loss(identifier)


def _is_configuration(value: Any) -> bool:
    return isinstance(value, Mapping) and "class_name" in value
