"""Whether a metric has become better."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from kgraph.callbacks.callback import Callback
from kgraph.errors import ArgumentError

MODES = ("auto", "min", "max")


class MonitorCallback(Callback):
    """The base of callbacks that act when a metric improves, or does not.

    monitor: its name in the logs. mode: "min" or "max" is better; "auto" asks the model's metric of that name, and
    knows that of a loss less is better. baseline: the first best value. min_delta: a smaller change is no improvement.
    """

    def __init__(
        self, monitor: str = "val_loss", mode: str = "auto", baseline: float | None = None, min_delta: float = 0
    ) -> None:
        super().__init__()
        if mode not in MODES:
            raise ArgumentError(f"mode={mode!r} is none of {', '.join(MODES)}")
        self.monitor, self.mode, self.best, self.min_delta = monitor, mode, baseline, abs(min_delta)

    def improves(self, value: float, best: float | None) -> bool:
        """Whether `value` is better than `best` by more than min_delta. Anything is better than None, then than NaN."""
        if best is None or np.isnan(value) or np.isnan(best):
            return best is None or not np.isnan(value)
        if self.direction() == "max":
            return value - self.min_delta > best
        return value + self.min_delta < best

    def direction(self) -> str:
        """ "min" or "max". ArgumentError if mode is "auto" and nothing tells."""
        if self.mode != "auto":
            return self.mode
        name = self.monitor.removeprefix("val_")
        for known, metric in _metrics(self.model):
            if known == name and getattr(metric, "_direction", None) in ("up", "down"):
                return "max" if metric._direction == "up" else "min"
        if name == "loss" or name.endswith("_loss"):
            return "min"
        raise ArgumentError(
            f"{type(self).__name__}(monitor={self.monitor!r}) cannot tell whether more is better: give mode='max' or "
            "mode='min'"
        )

    def monitored(self, logs: Any, what: str) -> float | None:
        """The value in the logs as a float; None, and a warning, if it is not there or is no single number."""
        value = (logs or {}).get(self.monitor)
        if value is None:
            known = ", ".join(name for name in logs or ()) or "none"
            warnings.warn(f"{what} wants metric {self.monitor!r}; the metrics are {known}", stacklevel=3)
            return None
        if np.ndim(value) or isinstance(value, str):
            warnings.warn(f"{what} wants a single number, and {self.monitor!r} is {value!r:.60}", stacklevel=3)
            return None
        return float(value)


def _metrics(model: Any) -> list[tuple[str, Any]]:
    """A model's metrics with the names of their results, and those inside of others."""
    found: list[tuple[str, Any]] = []
    for name, metric in model._named_metrics() if hasattr(model, "_named_metrics") else ():
        found += [(name, metric), *((one.name, one) for one in getattr(metric, "metrics", None) or ())]
    return found
