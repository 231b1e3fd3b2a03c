"""What the metrics were after each epoch."""

from __future__ import annotations

from typing import Any

from kgraph.callbacks.callback import Callback
from kgraph.errors import ArgumentError, MissingExtraError


class History(Callback):
    """What `fit` returns: `history`, a list of values by metric, and `epoch`, the epochs that were run."""

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []
        self._when: dict[str, list[int]] = {}  # the epochs each value is of: a validation may be rarer than epochs

    def on_train_begin(self, logs: Any = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
            self._when.setdefault(name, []).append(epoch + 1)
        if self.model is not None:
            self.model.history = self

    def plot(self, metrics: Any = None, axes: Any = None) -> Any:
        """Draw curves with matplotlib: for each metric a diagram with those of training and validation.

        metrics: names without "val_"; all by default. axes: as many of matplotlib's axes as metrics; by default a new
        figure. Returns the figure. MissingExtraError without matplotlib; ArgumentError for an unknown metric or a
        wrong number of axes.
        """
        known = list(dict.fromkeys(name.removeprefix("val_") for name in self.history))
        chosen = known if metrics is None else [metrics] if isinstance(metrics, str) else list(metrics)
        for name in chosen:
            if name not in known:
                raise ArgumentError(f"the history has no metric {name!r}; it has {', '.join(known) or 'none yet'}")
        if not chosen:
            raise ArgumentError("the history has nothing to plot: no epoch has ended")
        axes = list(_new_axes(len(chosen)) if axes is None else axes if hasattr(axes, "__len__") else [axes])
        if len(axes) != len(chosen):
            raise ArgumentError(f"{len(chosen)} metrics want as many axes, not {len(axes)}: {', '.join(chosen)}")
        for axis, name in zip(axes, chosen, strict=True):
            self._draw(axis, name)
        return axes[0].figure

    def _draw(self, axis: Any, name: str) -> None:
        for label, key in (("training", name), ("validation", f"val_{name}")):
            if key in self.history:
                axis.plot(self._when[key], self.history[key], label=label)
        axis.set_xlabel("epoch")
        axis.set_ylabel(name)
        axis.legend()


def _new_axes(number: int) -> Any:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise MissingExtraError("plotting wants matplotlib: pip install kgraph[plot]") from error
    return pyplot.subplots(1, number, figsize=(5 * number, 4), squeeze=False, layout="constrained")[1][0]
