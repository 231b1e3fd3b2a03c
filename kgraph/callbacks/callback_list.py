"""All callbacks of one `fit`, `evaluate` or `predict`, told at once."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import numpy as np

from kgraph import tree
from kgraph.callbacks.callback import Callback
from kgraph.callbacks.history import History
from kgraph.callbacks.progress import ProgbarLogger
from kgraph.errors import ArgumentError

TRAIN_BATCHES = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
TEST_BATCHES = ("on_test_batch_begin", "on_test_batch_end")


class CallbackList(Callback):
    """Callbacks that are told everything in their order, each event with one dict of logs for all of them.

    callbacks: a callback or a nest of them (ArgumentError for anything else). add_history and add_progbar put a
    History and a ProgbarLogger at the end if there is none yet. params: what `set_params` tells ("epochs", "steps",
    "verbose"). Logs may hold anything that is a number; callbacks see Python floats.

    Used in a `with`, it leaves the terminal in order however the block ends:

        with CallbackList(callbacks, add_history=True, add_progbar=True, model=model, epochs=3, steps=9) as told:
            told.on_train_begin()
    """

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        super().__init__()
        self.callbacks: list[Callback] = []
        for callback in [] if callbacks is None else tree.flatten(callbacks):
            if callback is not None:
                self.callbacks.append(_checked(callback))
        self.history = self._find(History, add_history)
        self.progbar = self._find(ProgbarLogger, add_progbar)
        if model is not None:
            self.set_model(model)
        self.set_params(params)

    def append(self, callback: Callback) -> None:
        """Add a callback at the end."""
        self.callbacks.append(_checked(callback))
        if self.model is not None:
            callback.set_model(self.model)
        if self.params:
            callback.set_params(self.params)

    def set_params(self, params: dict[str, Any]) -> None:
        """Tell every callback, if there is anything to tell."""
        self.params = params
        for callback in self.callbacks if params else ():
            callback.set_params(params)

    def set_model(self, model: Any) -> None:
        """Tell every callback; the model's `history` is that of this list."""
        super().set_model(model)
        if self.history is not None:
            model.history = self.history
        for callback in self.callbacks:
            callback.set_model(model)

    @property
    def wants_train_batches(self) -> bool:
        """Whether a callback does something at batches of training; otherwise an epoch can run as a whole."""
        return self._anyone_wants(TRAIN_BATCHES)

    @property
    def wants_test_batches(self) -> bool:
        """Whether a callback does something at batches of an evaluation."""
        return self._anyone_wants(TEST_BATCHES)

    def progress(self, done: int, logs: Any = None) -> None:
        """So many steps of the epoch, the evaluation or the prediction are done; only the progress bar is told."""
        if self.progbar is not None:
            self.progbar.progress(done, python_logs(logs))

    def close(self) -> None:
        """Leave the terminal in order. Also after an error; as often as one likes."""
        if self.progbar is not None:
            self.progbar.close()

    def __enter__(self) -> CallbackList:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._tell("on_batch_begin", batch, logs=python_logs(logs))

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        self._tell("on_batch_end", batch, logs=python_logs(logs))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._tell("on_epoch_begin", epoch, python_logs(logs))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._tell("on_epoch_end", epoch, python_logs(logs))

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._tell("on_train_batch_begin", batch, logs=python_logs(logs))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        logs = python_logs(logs)
        self.progress(batch + 1, logs)
        self._tell("on_train_batch_end", batch, logs=logs)

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._tell("on_test_batch_begin", batch, logs=python_logs(logs))

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        logs = python_logs(logs)
        self.progress(batch + 1, logs)
        self._tell("on_test_batch_end", batch, logs=logs)

    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._tell("on_predict_batch_begin", batch, logs=python_logs(logs))

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        self.progress(batch + 1)
        self._tell("on_predict_batch_end", batch, logs=logs or {})

    def on_train_begin(self, logs: Any = None) -> None:
        self._tell("on_train_begin", python_logs(logs))

    def on_train_end(self, logs: Any = None) -> None:
        self._tell("on_train_end", python_logs(logs))

    def on_test_begin(self, logs: Any = None) -> None:
        self._tell("on_test_begin", python_logs(logs))

    def on_test_end(self, logs: Any = None) -> None:
        self._tell("on_test_end", python_logs(logs))

    def on_predict_begin(self, logs: Any = None) -> None:
        self._tell("on_predict_begin", python_logs(logs))

    def on_predict_end(self, logs: Any = None) -> None:
        self._tell("on_predict_end", logs or {})

    def _tell(self, method: str, *args: Any, **kwargs: Any) -> None:
        for callback in self.callbacks:
            getattr(callback, method)(*args, **kwargs)

    def _anyone_wants(self, methods: tuple[str, ...]) -> bool:
        return any(callback.wants(method) for callback in self.callbacks for method in methods)

    def _find(self, kind: type[Any], add: bool) -> Any:
        """The last callback of this kind; a new one at the end if there is none and one is to be added."""
        found = [callback for callback in self.callbacks if isinstance(callback, kind)]
        if not found and add:
            found = [kind()]
            self.callbacks += found
        return found[-1] if found else None


def python_logs(logs: Any) -> dict[str, Any]:
    """A dict of one level, sorted, with floats where there were numbers. Of what is no dict, an empty one."""
    found: dict[str, Any] = {}
    for name, value in sorted(logs.items()) if isinstance(logs, dict) else ():
        if isinstance(value, dict):
            found.update(python_logs(value))
        else:
            found[str(name)] = _python(value)
    return found


def _python(value: Any) -> Any:
    if isinstance(value, float | str | None):
        return float(value) if isinstance(value, float) else value
    try:
        array = np.asarray(value)
        return float(array) if array.ndim == 0 else array
    except (TypeError, ValueError):
        return value


def _checked(callback: Any) -> Callback:
    if isinstance(callback, Callback):
        return callback
    hint = f"; give an instance, {callback.__name__}(...)" if isinstance(callback, type) else ""
    raise ArgumentError(f"callbacks must be kgraph.callbacks.Callback, and {callback!r:.80} is none{hint}")
