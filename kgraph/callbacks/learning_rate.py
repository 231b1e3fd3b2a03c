"""Callbacks that change the learning rate between epochs."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np

from kgraph.callbacks.callback import Callback
from kgraph.callbacks.monitor import MonitorCallback
from kgraph.errors import ArgumentError, GraphError


class ReduceLROnPlateau(MonitorCallback):
    """Multiply the learning rate by `factor` when a metric has not improved for `patience` epochs.

    factor: below 1 (ArgumentError). min_delta: a smaller change is no improvement. cooldown: epochs after a reduction
    in which nothing is counted. min_lr: not below this. mode: "min", "max", "auto" (see MonitorCallback). The learning
    rate of each epoch goes into the logs as "learning_rate". Source: Keras.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        if factor >= 1:
            raise ArgumentError(f"factor={factor} would not reduce the learning rate: give less than 1")
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr
        self.cooldown_counter = self.wait = 0

    def on_train_begin(self, logs: Any = None) -> None:
        self.best = None
        self.cooldown_counter = self.wait = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = {} if logs is None else logs
        log_rates(self.model, logs)
        current = self.monitored(logs, "reducing the learning rate")
        if current is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.improves(current, self.best):
            self.best, self.wait = current, 0
        elif not self.in_cooldown():
            self.wait += 1
            reduced = [self._reduce(one, epoch) for one in optimizers(self.model) if self.wait >= self.patience]
            if any(reduced):
                self.cooldown_counter, self.wait = self.cooldown, 0

    def in_cooldown(self) -> bool:
        """Whether a reduction was so short ago that nothing is counted."""
        return self.cooldown_counter > 0

    def _reduce(self, optimizer: Any, epoch: int) -> bool:
        old = rate(optimizer)
        if old <= np.float32(self.min_lr):
            return False
        new = max(old * self.factor, self.min_lr)
        optimizer.learning_rate = new
        if self.verbose:
            print(f"Epoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {new}.")
        return True


class LearningRateScheduler(Callback):
    """Set the learning rate before each epoch to schedule(epoch, learning rate), or to schedule(epoch).

    ArgumentError if it returns no float. The learning rate goes into the logs as "learning_rate". Source: Keras.
    """

    def __init__(self, schedule: Callable[..., Any], verbose: int = 0) -> None:
        super().__init__()
        self.schedule, self.verbose = schedule, verbose
        self._takes_rate = _takes(schedule, 2)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        for optimizer in optimizers(self.model):
            new = self.schedule(epoch, rate(optimizer)) if self._takes_rate else self.schedule(epoch)
            if isinstance(new, (bool, int, str)) or np.ndim(new) or np.asarray(new).dtype.kind != "f":
                raise ArgumentError(f"the schedule must return a float for epoch {epoch}, not {new!r:.60}")
            optimizer.learning_rate = float(new)
            if self.verbose:
                print(f"Epoch {epoch + 1}: LearningRateScheduler setting learning rate to {float(new)}.")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        log_rates(self.model, {} if logs is None else logs)


def optimizers(model: Any) -> list[Any]:
    """A model's optimizer, or those that it consists of. GraphError if the model was not compiled."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        raise GraphError(f"model {getattr(model, 'name', model)!r} has no optimizer: call its `compile` first")
    return list(getattr(optimizer, "optimizers", None) or [optimizer])


def rate(optimizer: Any) -> float:
    """The learning rate, now, as a float."""
    return float(np.asarray(optimizer.learning_rate))


def log_rates(model: Any, logs: dict[str, Any]) -> None:
    """Put the learning rate of the model into the logs."""
    found = optimizers(model)
    for one in found:
        logs["learning_rate" if len(found) == 1 else f"learning_rate_{one.name}"] = rate(one)


def _takes(function: Callable[..., Any], number: int) -> bool:
    """Whether a function can be called with so many arguments by position."""
    try:
        signature(function).bind(*range(number))
    except TypeError:
        return False
    except ValueError:  # builtins tell nothing
        return True
    return True
