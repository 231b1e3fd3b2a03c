"""Averaged weights in the place of the trained ones."""

from __future__ import annotations

from typing import Any

from kgraph.callbacks.callback import Callback
from kgraph.callbacks.learning_rate import optimizers
from kgraph.errors import ArgumentError


class SwapEMAWeights(Callback):
    """Evaluate and predict with the averages that an optimizer with use_ema=True keeps of the weights.

    swap_on_epoch: the model also holds the averages at the end of each epoch, for callbacks that save it, and when
    training has ended. ArgumentError if the optimizer keeps no averages. Source: Keras.
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._swapped = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self.swap_on_epoch:
            self._swap(False)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if not self.swap_on_epoch:
            return
        self._swap(True)
        if epoch + 1 == ((self.params or {}).get("epochs") or 1):
            # After the last epoch the optimizer puts its averages into the model; these are now the trained weights.
            for variable, average in self._pairs():
                average.assign(variable)

    def on_test_begin(self, logs: Any = None) -> None:
        self._swap(True)

    def on_test_end(self, logs: Any = None) -> None:
        self._swap(False)

    def on_predict_begin(self, logs: Any = None) -> None:
        self._swap(True)

    def on_predict_end(self, logs: Any = None) -> None:
        self._swap(False)

    def _swap(self, wanted: bool) -> None:
        """Have the averages in the model, or not."""
        if self._swapped == wanted:
            return
        for variable, average in self._pairs():
            value = variable.numpy()
            variable.assign(average)
            average.assign(value)
        self._swapped = wanted

    def _pairs(self) -> list[tuple[Any, Any]]:
        """Each trained weight with its average."""
        found = []
        for optimizer in optimizers(self.model):
            inner = getattr(optimizer, "inner_optimizer", optimizer)
            averages = getattr(inner, "_averages", None)
            if averages:
                found += list(zip(inner._trainable_variables, averages, strict=True))
        if not found:
            raise ArgumentError("SwapEMAWeights wants an optimizer with use_ema=True, which has trained a step")
        return found
