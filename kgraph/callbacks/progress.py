"""What a person sees of `fit`, `evaluate` and `predict`."""

from __future__ import annotations

from typing import Any

from kgraph.callbacks.callback import Callback
from kgraph.callbacks.display import check_verbose
from kgraph.callbacks.progress_bar import Progbar


class ProgbarLogger(Callback):
    """A bar for each epoch, with the metrics so far; in a log, one line for each.

    It overrides no method of batches, so that epochs may run natively: `progress` tells it now and then how many
    steps are done. In `fit` the validation is silent. console: a console of rich, in the place of stdout.
    """

    def __init__(self, console: Any = None) -> None:
        super().__init__()
        self.verbose, self.epochs = 1, 1
        self.target: int | None = None
        self.progbar: Progbar | None = None
        self._console = console
        self.in_fit = self.in_validation = False

    def set_params(self, params: dict[str, Any]) -> None:
        """Take in "verbose" (0, 1, 2, "auto"; ArgumentError for others), "epochs", and "steps", None if unknown."""
        super().set_params(params)
        self.verbose = check_verbose(params.get("verbose", "auto"), self._console)
        self.epochs, self.target = params.get("epochs") or 1, params.get("steps")

    def progress(self, done: int, logs: Any = None) -> None:
        """So many steps of the epoch are done. logs: the metrics over all of them. It is cheap."""
        if self.progbar is not None and self.verbose and not self.in_validation:
            self.progbar.update(done, logs, finalize=False)

    def close(self) -> None:
        """Leave the terminal in order, whatever has happened."""
        if self.progbar is not None:
            self.progbar.close()
            self.progbar = None

    def on_train_begin(self, logs: Any = None) -> None:
        self.in_fit, self.in_validation = True, False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._begin(f"Epoch {epoch + 1}/{self.epochs}" if self.epochs > 1 else "")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._end(logs)

    def on_train_end(self, logs: Any = None) -> None:
        self.in_fit = self.in_validation = False
        self.close()

    def on_test_begin(self, logs: Any = None) -> None:
        self.in_validation = self.in_fit
        if not self.in_fit:
            self._begin()

    def on_test_end(self, logs: Any = None) -> None:
        self.in_validation = False
        if not self.in_fit:
            self._end(logs)

    def on_predict_begin(self, logs: Any = None) -> None:
        self._begin()

    def on_predict_end(self, logs: Any = None) -> None:
        self._end(None)

    def _begin(self, heading: str = "") -> None:
        self.close()
        self.progbar = Progbar(
            self.target, verbose=self.verbose, stateless_metrics=(), console=self._console, heading=heading
        )

    def _end(self, logs: Any) -> None:
        if self.progbar is not None:
            steps = self.target if self.target is not None else self.progbar.seen
            self.target = self.target if self.target is not None else steps or None
            self.progbar.update(steps, logs, finalize=True)
            self.progbar = None
