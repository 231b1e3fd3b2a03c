"""The base of callbacks: what `fit`, `evaluate` and `predict` tell of their stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Callback:
    """Something that is told when training, evaluation and prediction, their epochs and batches begin and end.

    Subclasses override the methods they want. `model` is the model and `params` a dict with "epochs", "steps" (None
    if unknown) and "verbose". `logs` is a dict of floats by the names of metrics, with "val_" before those of the
    validation; entries that a callback adds at the end of an epoch are seen by the callbacks after it, and go into
    the history. `self.model.stop_training = True` ends the training after this batch.

    As long as nobody overrides a method of batches, whole epochs run without coming back to Python.
    """

    params: dict[str, Any] | None = None
    _model: Any = None
    idle: tuple[Callable[..., Any], ...] = ()  # methods of batches that would do nothing, the way this one is set up

    def __init__(self) -> None:
        self.params = None
        self._model = None

    @property
    def model(self) -> Any:
        """The model that is trained, evaluated or asked."""
        return self._model

    def set_params(self, params: dict[str, Any]) -> None:
        """Take in the dict that is `params` from then on."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Take in the model."""
        self._model = model

    def wants(self, method: str) -> bool:
        """Whether calling this method does anything: somebody has overridden it."""
        function = getattr(self, method)
        function = getattr(function, "__func__", function)
        return function is not getattr(Callback, method) and function not in self.idle

    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        """The older name of on_train_batch_begin."""

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        """The older name of on_train_batch_end."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """An epoch of training begins; they count from 0."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """An epoch has ended, its validation included. logs: the metrics of both."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """A batch of training begins; they count from 0 in each epoch."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """A batch of training has ended. logs: the metrics since the epoch began."""
        self.on_batch_end(batch, logs=logs)

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """A batch of an evaluation begins, that of `fit`'s validation included."""

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """A batch of an evaluation has ended. logs: the metrics so far."""

    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
        """A batch of a prediction begins."""

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        """A batch of a prediction has ended. logs: {"outputs": the outputs of this batch}."""

    def on_train_begin(self, logs: Any = None) -> None:
        """`fit` begins."""

    def on_train_end(self, logs: Any = None) -> None:
        """`fit` ends, unless by an error. logs: those of the last epoch."""

    def on_test_begin(self, logs: Any = None) -> None:
        """An evaluation begins."""

    def on_test_end(self, logs: Any = None) -> None:
        """An evaluation ends. logs: its metrics."""

    def on_predict_begin(self, logs: Any = None) -> None:
        """A prediction begins."""

    def on_predict_end(self, logs: Any = None) -> None:
        """A prediction ends."""
