"""What a PyDataset hears of epochs, and which of its batches an epoch has: as in Keras, but for what a test says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph import layers
from kgraph.callbacks import Callback, LambdaCallback
from kgraph.errors import ArgumentError


class Noting(kg.utils.PyDataset):
    """Batches that note when they are asked for, and when an epoch begins and ends."""

    def __init__(self, length: int | None, log: list[str], name: str = "") -> None:
        super().__init__()
        self.length, self.log, self.name = length, log, name

    @property
    def num_batches(self) -> int | None:
        return self.length

    def __getitem__(self, index: int) -> Any:
        self.log.append(f"{self.name}{index}")
        return np.full((2, 3), index, np.float32), np.zeros((2, 1), np.float32)

    def on_epoch_begin(self) -> None:
        self.log.append(f"{self.name}[")

    def on_epoch_end(self) -> None:
        self.log.append(f"{self.name}]")


class Sized(Noting):
    """The same, with a length."""

    def __len__(self) -> int:
        assert self.length is not None
        return self.length


class Stopping(Callback):
    """Ends training after the second batch."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.model.stop_training = batch == 1


def model() -> kg.Model:
    made = kg.Sequential([layers.Input((3,)), layers.Dense(1)])
    made.compile("sgd", "mse")
    return made


def fit(data: Any, **options: Any) -> None:
    model().fit(data, verbose=0, shuffle=False, **options)


CASES: dict[str, tuple[Callable[[list[str]], Any], str]] = {
    "fit": (lambda log: fit(Sized(3, log), epochs=2), "[ 0 1 2 ] [ 0 1 2 ]"),
    "fit, the length a property": (lambda log: fit(Noting(3, log), epochs=2), "[ 0 1 2 ] [ 0 1 2 ]"),
    "fit in part": (lambda log: fit(Sized(4, log), epochs=3, steps_per_epoch=2), "[ 0 1 ] [ 2 3 ] [ 0 1 ]"),
    "fit without end": (lambda log: fit(Noting(None, log), epochs=2, steps_per_epoch=2), "[ 0 1 ] [ 2 3 ]"),
    "fit, stopped": (lambda log: fit(Sized(3, log), epochs=2, callbacks=[Stopping()]), "[ 0 1"),
    "fit and validate": (
        lambda log: fit(Sized(2, log), epochs=2, validation_data=Sized(2, log, "v")),
        "[ 0 1 ] v[ v0 v1 v] [ 0 1 ] v[ v0 v1 v]",
    ),
    "fit and validate in part": (
        lambda log: fit(Sized(1, log), epochs=3, validation_data=Sized(2, log, "v"), validation_steps=1),
        "[ 0 ] v[ v0 v] [ 0 ] v[ v0 v] [ 0 ] v[ v0 v]",
    ),
    "evaluate": (lambda log: model().evaluate(Sized(3, log), verbose=0), "[ 0 1 2 ]"),
    "evaluate in part": (lambda log: model().evaluate(Sized(3, log), steps=2, verbose=0), "[ 0 1 ]"),
    "predict": (lambda log: model().predict(Sized(3, log), verbose=0), "[ 0 1 2 ]"),
    "predict in part": (lambda log: model().predict(Sized(3, log), steps=2, verbose=0), "[ 0 1 ]"),
}


@pytest.mark.parametrize(("call", "wanted"), CASES.values(), ids=CASES)
def test_a_dataset_hears_of_epochs(call, wanted):
    log: list[str] = []
    call(log)
    assert " ".join(log) == wanted


def test_what_is_too_short_begins_anew_in_the_same_epoch():
    """Keras ends the epoch there, and warns."""
    log: list[str] = []
    fit(Sized(3, log), epochs=2, steps_per_epoch=5)
    assert " ".join(log) == "[ 0 1 2 0 1 ] [ 2 0 1 2 0 ]"


def test_a_dataset_hears_before_callbacks_do():
    log: list[str] = []
    events = ("on_epoch_begin", "on_epoch_end", "on_test_begin", "on_test_end")
    told = LambdaCallback(**{event: lambda *_, event=event, **__: log.append(event) for event in events})
    fit(Sized(1, log), validation_data=Sized(1, log, "v"), callbacks=[told])
    assert " ".join(log) == "on_epoch_begin [ 0 ] on_test_begin v[ v0 v] on_test_end on_epoch_end"


def test_a_dataset_without_batches_is_an_error():
    for call in (lambda: fit(Sized(0, [])), lambda: fit(Sized(0, []), steps_per_epoch=2)):
        with pytest.raises(ArgumentError, match="gave no batch"):
            call()


def test_batches_change_their_order_where_fit_shuffles() -> None:
    kg.utils.set_random_seed(0)
    log: list[str] = []
    model().fit(Sized(20, log), epochs=2, verbose=0)
    first, second = " ".join(log).replace("[", "").split("]")[:2]
    in_order = [str(number) for number in range(20)]
    assert sorted(first.split(), key=int) == sorted(second.split(), key=int) == in_order
    assert first.split() != in_order and first.split() != second.split()
