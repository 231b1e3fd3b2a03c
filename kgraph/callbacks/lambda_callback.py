"""Callbacks made of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kgraph.callbacks.callback import Callback
from kgraph.errors import ArgumentError

METHODS = tuple(name for name in vars(Callback) if name.startswith("on_"))


class LambdaCallback(Callback):
    """A callback with these functions for its methods: LambdaCallback(on_epoch_end=lambda epoch, logs: ...).

    The names are those of Callback's methods (ArgumentError for others), and so are the arguments: (epoch, logs),
    (batch, logs=...) and (logs). None is as if it were not given. Source: Keras.
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **others: Callable[..., Any] | None,
    ) -> None:
        super().__init__()
        given = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **others,
        }
        for name, function in given.items():
            if name not in METHODS:
                raise ArgumentError(f"callbacks have no method {name!r}; they have {', '.join(METHODS)}")
            if function is not None:
                setattr(self, name, function)
