"""`fit`, `evaluate` and `predict`: epochs of compiled steps, and what callbacks hear of them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kgraph import tree
from kgraph.callbacks import CallbackList
from kgraph.errors import ArgumentError
from kgraph.training.data import BATCH_SIZE, Arrays, Batches, dataset, is_generator, unpack_x_y_sample_weight
from kgraph.training.epoch import Epoch

IDLE = {"verbose": (0, False, "auto"), "batch_size": (None, BATCH_SIZE), "steps": (None,), "callbacks": (None,)}
EPOCHS = (list, tuple, set, frozenset, range)  # what names the epochs to measure after
TOLD = 0.1  # seconds between two reports of progress, and the most that Ctrl-C waits for beside a step


def fit(
    self: Any,
    x: Any = None,
    y: Any = None,
    batch_size: int | None = None,
    epochs: int = 1,
    verbose: Any = "auto",
    callbacks: Any = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    shuffle: Any = True,
    class_weight: Mapping[int, float] | None = None,
    sample_weight: Any = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    validation_batch_size: int | None = None,
    validation_freq: Any = 1,
) -> Any:
    """Train for some epochs; returns the History, whose `.history` has the metrics of each epoch.

    x, y: arrays, or lists or dicts of them for several inputs or outputs; pandas frames; or x alone as a generator, an
    iterable, a PyDataset or a loader of batches (x, y) or (x, y, sample_weight). batch_size: default 32. verbose: 0, 1
    (a bar), 2 (a line for each epoch) or "auto". validation_split: the share of the samples, from the end, that only
    measures; validation_data: a tuple (x, y) or (x, y, sample_weight), or batches. shuffle: True, False or "batch"; a
    PyDataset's batches change their order, and all others come as they are.
    class_weight: by class. steps_per_epoch: needed for what never ends. validation_freq: after how many epochs to
    measure, or after which.

    Raises ArgumentError or ShapeError for data that does not fit, before anything is trained. An error later, or
    Ctrl-C, leaves the model as after the last complete step.
    """
    self._needs_compile("fit")
    given = dataset(x, y, sample_weight, batch_size, shuffle, class_weight)
    validation = _validation(given, validation_split, validation_data, validation_batch_size or batch_size)
    if validation_split and isinstance(given, Arrays):
        given, validation = _split(given, validation_split, validation_batch_size)
    for one in (given, validation):
        if one is not None:
            check_data(self, one)
    for name, number in (("epochs", epochs), ("initial_epoch", initial_epoch)):
        if not is_integer(number, 0):
            raise ArgumentError(f"{name} is an integer from 0 on, not {number!r}")
    if not isinstance(validation_freq, EPOCHS) and not is_integer(validation_freq, 1):
        raise ArgumentError(f"validation_freq is an integer from 1 on, or a list of epochs, not {validation_freq!r}")
    steps = steps_of(given, steps_per_epoch)
    measured = validation, validation_steps, validation_freq
    self.stop_training = False
    object.__setattr__(self, "_initial_epoch", None)
    with _callbacks(self, callbacks, verbose, epochs=epochs, steps=steps, add_history=True) as told:
        told.on_train_begin()
        first = initial_epoch if self._initial_epoch is None else self._initial_epoch
        logs = _epochs(self, range(first, epochs), given, steps, measured, told)
        if self.optimizer is not None and self.trainable_variables:
            self.optimizer.finalize_variable_values(self.trainable_variables)
        told.on_train_end(logs)
    return self.history


def _epochs(
    model: Any, epochs: range, given: Any, steps: int | None, measured: tuple[Any, int | None, Any], told: Any
) -> dict[str, float]:
    """Train and measure; returns the metrics of the last epoch."""
    validation, validation_steps, frequency = measured
    logs: dict[str, float] = {}
    for epoch in epochs:
        model.reset_metrics()
        told.on_epoch_begin(epoch)
        logs = run_epoch(model, "train", given, steps, told)
        if validation is not None and _is_due(epoch + 1, frequency):
            found = _evaluated(model, validation, validation_steps, told)
            logs = {**logs, **{f"val_{name}": value for name, value in found.items()}}
        told.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    return logs


def evaluate(
    self: Any,
    x: Any = None,
    y: Any = None,
    batch_size: int | None = None,
    verbose: Any = "auto",
    sample_weight: Any = None,
    steps: int | None = None,
    callbacks: Any = None,
    return_dict: bool = False,
) -> Any:
    """The loss over a dataset, or a list of it and the metrics in the order of `metrics_names`, or a dict by name.

    The data is that of `fit`; steps: after how many batches to stop. Raises ArgumentError or ShapeError for data that
    does not fit.
    """
    self._needs_compile("evaluate")
    given = dataset(x, y, sample_weight, batch_size)
    check_data(self, given)
    told = _callbacks(self, callbacks, verbose, epochs=1, steps=steps_of(given, steps), add_history=False)
    with told:
        logs = _evaluated(self, given, steps, told)
    return logs if return_dict else in_order(self, logs)


def predict(
    self: Any,
    x: Any,
    batch_size: int | None = None,
    verbose: Any = "auto",
    steps: int | None = None,
    callbacks: Any = None,
) -> Any:
    """The outputs for a dataset, as arrays: batch after batch, put together along the first axis.

    The data is that of `fit`; targets that it brings are left alone. A single batch is computed without a bar, and
    an array like one before by native code, without Python, unless keywords ask for more than those of `IDLE` do.
    Raises ArgumentError or ShapeError for data that does not fit.
    """
    quiet = callbacks is None and steps is None and verbose in IDLE["verbose"]
    room = BATCH_SIZE if batch_size is None else batch_size if type(batch_size) is int else 0  # what is odd: see below
    if quiet and self._native_predict is not None and type(x) is np.ndarray and x.ndim and len(x) <= room:
        made = self._native_predict(x)
        if made is not None:
            return made
    given = dataset(x, None, None, batch_size)
    check_data(self, given)
    if isinstance(given, Arrays) and given.size <= given.batch_size and quiet:
        return self._predict_one(given.data)
    found: list[Any] = []
    told = _callbacks(self, callbacks, verbose, epochs=1, steps=steps_of(given, steps), add_history=False)
    with told:
        told.on_predict_begin()
        for number, batch in enumerate(_limited(given, steps)):
            told.on_predict_batch_begin(number)
            data = (unpack_x_y_sample_weight(batch)[0],) if isinstance(batch, tuple) else batch
            found.append(self.steps_for("predict").find(data)(data))
            told.on_predict_batch_end(number, {"outputs": found[-1]})
            told.progress(number + 1, {})
        told.on_predict_end()
    if not found:
        raise ArgumentError("predict was given no batch")
    return tree.map_structure(lambda *parts: np.concatenate(parts), *found)


def run_epoch(model: Any, kind: str, given: Arrays | Batches, steps: int | None, told: Any) -> dict[str, float]:
    """All steps of an epoch; returns the metrics after the last."""
    steps_of_kind = model.steps_for(kind)
    hears = told.wants_train_batches if kind == "train" else told.wants_test_batches
    if isinstance(given, Arrays) and not hears and not steps_of_kind.eager:
        return as_logs(Epoch(steps_of_kind, given, steps).run(lambda done, logs: told.progress(done, as_logs(logs))))
    begin, end = (getattr(told, f"on_{kind}_batch_{when}") for when in ("begin", "end"))
    every = model._needs_compile(kind).steps_per_execution
    logs: dict[str, float] = {}
    count, last = 0, time.monotonic()
    for number, batch in enumerate(_limited(given, steps)):
        if number % every == 0:
            begin(number)
        found = as_logs(steps_of_kind.find(batch)(batch))
        logs, count = found, number + 1
        if count % every == 0 or count == steps:
            end(number, dict(logs))
        if time.monotonic() - last > TOLD:
            told.progress(count, logs)
            last = time.monotonic()
        if model.stop_training and kind == "train":
            return logs
    if count == 0:
        raise ArgumentError("the dataset gave no batch")
    if steps is not None and count < steps:
        raise ArgumentError(f"the data ended after {count} of {steps} steps; the model is as after the last of them")
    return logs


def as_logs(found: Any) -> dict[str, float]:
    """What a step returned, as numbers by name. ArgumentError unless it is a dict."""
    if not isinstance(found, Mapping):
        raise ArgumentError(f"train_step and test_step return a dict of metrics, not a {type(found).__name__}")
    return {name: as_log(value) for name, value in found.items() if value is not None}


def as_log(value: Any) -> Any:
    """A float; of a metric with a number for each class, or such, an array."""
    array = np.asarray(value)
    return float(array.item()) if array.size == 1 else array.copy()


def in_order(model: Any, logs: Mapping[str, float]) -> Any:
    """The values in the order of the metrics' names; a single one as it is."""
    names = [name for name in model.metrics_names if name in logs]
    values = [logs[name] for name in (*names, *(name for name in logs if name not in names))]
    return values[0] if len(values) == 1 else values


def steps_of(given: Arrays | Batches, asked: int | None) -> int | None:
    """How many steps an epoch has; None for as many as come. ArgumentError for what can never end, and no steps."""
    if asked is not None and not is_integer(asked, 1):
        raise ArgumentError(f"the number of steps is an integer from 1 on, not {asked!r}")
    return given.steps if asked is None else int(asked)


def is_integer(value: Any, least: int) -> bool:
    """Whether it is an integer, Python's or numpy's, from `least` on."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(value >= least)


def check_data(model: Any, given: Arrays | Batches) -> None:
    """ArgumentError for an empty dataset, and for a dict with names that are no inputs."""
    if isinstance(given, Batches):
        return
    if given.size == 0:
        raise ArgumentError("the dataset is empty: it has 0 samples")
    x, _, _ = unpack_x_y_sample_weight(given.data)
    names = getattr(model, "input_names", None)
    nested = getattr(model, "_nested_inputs", None)
    if isinstance(x, Mapping) and names:
        known = list(nested) if isinstance(nested, Mapping) else names
        unknown = [name for name in x if name not in known]
        if unknown:
            raise ArgumentError(
                f"{unknown[0]!r} is no input of model {model.name!r}; its inputs are {', '.join(known)}"
            )


def _validation(given: Any, split: float, data: Any, batch_size: int | None) -> Any:
    if not split:
        if data is None:
            return None
        if isinstance(data, (list, tuple)):
            x, y, weights = unpack_x_y_sample_weight(tuple(data))
            return dataset(x, y, weights, batch_size)
        return dataset(data)
    if data is not None:
        raise ArgumentError("give validation_split or validation_data, and not both")
    if not isinstance(given, Arrays):
        raise ArgumentError("validation_split needs arrays: what comes in batches cannot be split")
    return None


def _split(given: Arrays, share: float, batch_size: int | None) -> tuple[Arrays, Arrays]:
    """What to train on, and the part that only measures."""
    rest, part = given.split(share)
    part.shuffle = False
    part.batch_size = batch_size or part.batch_size
    return rest, part


def _is_due(epoch: int, frequency: Any) -> bool:
    return epoch in frequency if isinstance(frequency, EPOCHS) else epoch % frequency == 0


def _evaluated(model: Any, given: Any, steps: int | None, told: Any) -> dict[str, float]:
    given.start_over()  # each time the same batches are measured
    told.on_test_begin()
    model.reset_metrics()
    logs = run_epoch(model, "test", given, steps_of(given, steps), told)
    told.on_test_end(logs)
    return logs


def _limited(given: Arrays | Batches, steps: int | None) -> Iterator[Any]:
    """The batches of an epoch."""
    if isinstance(given, Batches):
        if steps is None and is_generator(given.source) and not hasattr(given.source, "__len__"):
            yield from given.epoch(None)
            return
        yield from given.epoch(steps)
        return
    for order, first, end in given.passes(steps):
        for number in range(first, end):
            yield given.batch(number, order)


def _callbacks(model: Any, callbacks: Any, verbose: Any, epochs: int, steps: int | None, add_history: bool) -> Any:
    if isinstance(callbacks, CallbackList):
        return callbacks
    return CallbackList(
        callbacks,
        add_history=add_history,
        add_progbar=verbose not in (0, False),
        model=model,
        verbose=verbose,
        epochs=epochs,
        steps=steps,
    )
