"""Small models to train and to watch."""

from __future__ import annotations

from typing import Any

import numpy as np

import kgraph as kg


def small_model(learning_rate: float = 0.1, **options: Any) -> kg.Sequential:
    """One Dense, compiled with SGD."""
    model = kg.Sequential([kg.Input((3,)), kg.layers.Dense(2)])
    model.compile(kg.optimizers.SGD(learning_rate), "mse", **options)
    return model


def data(samples: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(samples, 3)).astype("float32"), rng.normal(size=(samples, 2)).astype("float32")


def drive(callback: Any, model: Any, sequence: list[dict[str, Any]], epochs: int | None = None) -> list[Any]:
    """Tell a callback of a training with these logs, until it stops the model; what `model` looked like each epoch."""
    callback.set_model(model)
    callback.set_params({"epochs": epochs or len(sequence), "steps": 1, "verbose": 0})
    model.stop_training = False
    callback.on_train_begin()
    states = []
    for epoch, logs in enumerate(sequence):
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, logs)
        optimizer = getattr(model, "optimizer", None)
        rate = None if optimizer is None else float(optimizer.learning_rate)
        states.append((model.stop_training, getattr(callback, "wait", None), rate))
        if model.stop_training:
            break
    callback.on_train_end()
    return states
