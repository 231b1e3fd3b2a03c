"""Callbacks are told what happens, together and in order."""

from __future__ import annotations

import io
import json
import pickle
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import pytest
from terminals import Clock, Screen, log, seen, terminal, written

import kgraph as kg
from kgraph.callbacks import Callback, CallbackList, History, LambdaCallback, ProgbarLogger, progress_bar
from kgraph.errors import ArgumentError

METHODS = [name for name in dir(Callback) if name.startswith("on_")]


def small() -> kg.Sequential:
    return kg.Sequential([kg.Input((3,)), kg.layers.Dense(2)])


class Recorder(Callback):
    """Notes what it is told."""

    def __init__(self, name: str, heard: list[Any]) -> None:
        super().__init__()
        self.name, self.heard = name, heard

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.heard.append((self.name, epoch, dict(logs)))
        logs[self.name] = 1.0


def test_all_callbacks_see_one_dict_of_floats_in_their_order() -> None:
    heard: list[Any] = []
    told = CallbackList([Recorder("a", heard), (Recorder("b", heard),)], add_history=True, model=small())
    told.on_train_begin()
    told.on_epoch_end(0, {"loss": np.float32(0.5), "acc": kg.Variable(1.0), "more": {"x": np.ones(()), "word": "w"}})
    seen_by_a = {"acc": 1.0, "loss": 0.5, "x": 1.0, "word": "w"}
    assert heard == [("a", 0, seen_by_a), ("b", 0, {**seen_by_a, "a": 1.0})]
    assert all(type(value) is not np.float32 for _, _, logs in heard for value in logs.values())
    assert told.model.history.history == {name: [value] for name, value in {**seen_by_a, "a": 1.0, "b": 1.0}.items()}


def test_every_event_reaches_every_callback() -> None:
    heard: list[str] = []
    functions: dict[str, Any] = {name: lambda *_, name=name, **__: heard.append(name) for name in METHODS}
    told = CallbackList(LambdaCallback(**functions))
    for name in METHODS:
        heard.clear()
        if "batch" in name:
            getattr(told, name)(0, logs={})
        elif "epoch" in name:
            getattr(told, name)(0, {})
        else:
            getattr(told, name)({})
        assert heard == [name]


def test_the_older_names_of_batch_methods_are_called() -> None:
    class Old(Callback):
        heard: list[Any] = []  # noqa: RUF012

        def on_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.heard.append(("begin", batch))

        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            self.heard.append(("end", batch, logs))

    told = CallbackList(Old())
    told.on_train_batch_begin(3)
    told.on_train_batch_end(3, {"loss": 1})
    assert Old.heard == [("begin", 3), ("end", 3, {"loss": 1.0})]
    assert told.wants_train_batches and not told.wants_test_batches


def test_batches_are_wanted_only_by_who_overrides_them() -> None:
    class Subclass(kg.callbacks.ModelCheckpoint):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            super().on_train_batch_end(batch, logs)

    class Forgetful(Callback):
        def __init__(self) -> None:
            pass  # without super().__init__()

    quiet: list[Callback] = [
        kg.callbacks.EarlyStopping(),
        kg.callbacks.ReduceLROnPlateau(),
        kg.callbacks.LearningRateScheduler(lambda epoch: 0.1),
        kg.callbacks.CSVLogger("x.csv"),
        kg.callbacks.ModelCheckpoint("x.keras"),
        kg.callbacks.BackupAndRestore("x"),
        kg.callbacks.SwapEMAWeights(),
        kg.callbacks.RemoteMonitor(),
        LambdaCallback(on_epoch_end=print, on_train_batch_end=None),
        Forgetful(),
    ]
    told = CallbackList(quiet, add_history=True, add_progbar=True)
    assert not (told.wants_train_batches or told.wants_test_batches)
    for loud in (
        kg.callbacks.TerminateOnNaN(),
        kg.callbacks.ModelCheckpoint("x.keras", save_freq=3),
        kg.callbacks.BackupAndRestore("x", save_freq=3),
        LambdaCallback(on_train_batch_end=print),
        LambdaCallback(on_batch_begin=print),
        Subclass("x.keras"),
    ):
        told = CallbackList(loud)
        assert told.wants_train_batches and not told.wants_test_batches
    assert CallbackList(LambdaCallback(on_test_batch_end=print)).wants_test_batches


def test_history_and_bar_are_added_once() -> None:
    history, bar = History(), ProgbarLogger()
    told = CallbackList([history, bar], add_history=True, add_progbar=True)
    assert told.callbacks == [history, bar] and told.history is history and told.progbar is bar
    told = CallbackList(None, add_history=True, add_progbar=True, epochs=3, steps=2, verbose=0)
    assert [type(one) for one in told.callbacks] == [History, ProgbarLogger]
    assert told.history.params == {"epochs": 3, "steps": 2, "verbose": 0}
    assert CallbackList().callbacks == []


def test_a_callback_can_be_added_later() -> None:
    model = small()
    told = CallbackList(model=model, epochs=2)
    told.append(History())
    assert told.callbacks[0].model is model and told.callbacks[0].params == {"epochs": 2}


@pytest.mark.parametrize("wrong", [kg.callbacks.EarlyStopping, "EarlyStopping", [3], print])
def test_what_is_no_callback_is_refused(wrong: Any) -> None:
    with pytest.raises(ArgumentError, match=r"callbacks must be kgraph.callbacks.Callback"):
        CallbackList(wrong)


def test_a_class_in_the_place_of_a_callback_gets_a_hint() -> None:
    with pytest.raises(ArgumentError, match=r"give an instance, History\(\.\.\.\)"):
        CallbackList([History])


def test_unknown_methods_of_a_lambda_callback_are_refused() -> None:
    with pytest.raises(ArgumentError, match="no method 'on_epoc_end'; they have on_batch_begin"):
        LambdaCallback(on_epoc_end=print)


def test_callbacks_pickle() -> None:
    callbacks = [kg.callbacks.ModelCheckpoint("x.keras"), kg.callbacks.EarlyStopping(), ProgbarLogger(), History()]
    for one in callbacks:
        assert vars(pickle.loads(pickle.dumps(one))).keys() == vars(one).keys()


# -- the progress of fit, evaluate and predict


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress_bar, "time", made)
    return made


def train(told: CallbackList, clock: Clock, epochs: int = 2, steps: int = 4, validation: bool = True) -> None:
    """What fit tells."""
    told.on_train_begin()
    for epoch in range(epochs):
        told.on_epoch_begin(epoch)
        for step in range(steps):
            clock.now += 1
            told.progress(step + 1, {"loss": 1 / (step + 1), "acc": 0.5})
        if validation:
            told.on_test_begin()
            clock.now += 1
            told.progress(1, {"loss": 9.0})
            told.on_test_end({"loss": 9.0})
        told.on_epoch_end(epoch, {"loss": 0.25, "acc": 0.5, "val_loss": 0.75})
    told.on_train_end()


def test_fit_shows_a_bar_for_each_epoch(clock: Clock) -> None:
    console = terminal()
    with CallbackList(ProgbarLogger(console), epochs=2, steps=4, verbose=1) as told:
        train(told, clock)
    bar = f"4/4 {'━' * 20} 5s 1s/step - acc: 0.5000 - loss: 0.2500 - val_loss: 0.7500"
    assert seen(console) == ["Epoch 1/2", bar, "Epoch 2/2", bar, ""]


def test_fit_writes_a_line_for_each_epoch_into_a_log(clock: Clock) -> None:
    console = log()
    with CallbackList(ProgbarLogger(console), epochs=2, steps=4, verbose="auto") as told:
        train(told, clock)
    rest = "4/4 - 5s - 1s/step - acc: 0.5000 - loss: 0.2500 - val_loss: 0.7500"
    assert written(console) == f"Epoch 1/2 - {rest}\nEpoch 2/2 - {rest}\n"


def test_one_epoch_needs_no_heading_and_verbose_0_says_nothing(clock: Clock) -> None:
    console = log()
    with CallbackList(ProgbarLogger(console), epochs=1, steps=4, verbose=2) as told:
        train(told, clock, 1)
    assert written(console).startswith("4/4 - 5s")
    console = terminal()
    with CallbackList(ProgbarLogger(console), epochs=2, steps=4, verbose=0) as told:
        train(told, clock)
    assert written(console) == ""


def test_the_number_of_steps_is_known_after_the_first_epoch(clock: Clock) -> None:
    console = log()
    with CallbackList(ProgbarLogger(console), epochs=2, steps=None, verbose=2) as told:
        train(told, clock, validation=False)
    assert [line.split(" - ")[1] for line in written(console).splitlines()] == ["4/4", "4/4"]
    console = terminal()
    with CallbackList(ProgbarLogger(console), epochs=1, steps=None, verbose=1) as told:
        told.on_train_begin()
        told.on_epoch_begin(0)
        told.on_epoch_end(0, {"loss": 1})
    assert seen(console)[0].endswith("0s 0s/step - loss: 1.0000")


def test_evaluate_and_predict_show_one_bar(clock: Clock) -> None:
    console = terminal()
    with CallbackList(ProgbarLogger(console), steps=2, verbose=1) as told:
        told.on_test_begin()
        for batch in range(2):
            clock.now += 1
            told.on_test_batch_end(batch, {"loss": 3.0})
        told.on_test_end({"loss": 2.0})
        told.on_predict_begin()
        clock.now += 1
        told.on_predict_batch_end(0, {"outputs": np.ones(3)})
        assert seen(console)[-1] == f"1/2 {'━' * 20} 1s 1s/step"
        told.on_predict_end()
    assert seen(console)[0] == f"2/2 {'━' * 20} 2s 1s/step - loss: 2.0000"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_inside_fit_leaves_the_terminal_in_order(error: type[BaseException], clock: Clock) -> None:
    console, stdout = terminal(), sys.stdout
    with pytest.raises(error), CallbackList(ProgbarLogger(console), epochs=2, steps=4, verbose=1) as told:
        told.on_train_begin()
        told.on_epoch_begin(0)
        clock.now += 1
        told.progress(1, {"loss": 1.0})
        raise error
    screen = Screen().write(written(console))
    assert screen.cursor and screen.column == 0 and sys.stdout is stdout
    with CallbackList(told.callbacks, epochs=1, steps=4, verbose=1) as told:  # and the callback can be used again
        train(told, clock, 1)
    assert seen(console)[-2].startswith("4/4")


def test_a_bar_inside_of_an_epoch_does_not_disturb_that_of_the_epoch(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = terminal()
    monkeypatch.setattr(sys, "stdout", console.file)
    monkeypatch.setattr(console.file, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with CallbackList(ProgbarLogger(console), epochs=1, steps=2, verbose=1) as told:
        told.on_train_begin()
        told.on_epoch_begin(0)
        clock.now += 1
        told.progress(1, {})
        with CallbackList(add_progbar=True, steps=3, verbose="auto") as inner:
            inner.on_predict_begin()
            inner.on_predict_end()
        clock.now += 1
        told.on_epoch_end(0, {"loss": 1.0})
    assert seen(console) == ["3/3 - 0s - 0s/step", f"2/2 {'━' * 20} 2s 1s/step - loss: 1.0000", ""]


# -- callbacks of their own


def test_training_stops_at_a_loss_that_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    model = small()
    callback = kg.callbacks.TerminateOnNaN()
    callback.set_model(model)
    for loss, stops in ((1.0, False), (None, False), (np.nan, True), (np.inf, True), (np.float32(-np.inf), True)):
        model.stop_training = False
        callback.on_train_batch_end(3, {"loss": loss} if loss is not None else None)
        assert model.stop_training is stops
    assert capsys.readouterr().out.startswith("Batch 3: Invalid loss, terminating training\n")
    with pytest.raises(RuntimeError, match="the loss is nan after batch 7"):
        kg.callbacks.TerminateOnNaN(raise_error=True).on_train_batch_end(7, {"loss": np.nan})


@pytest.mark.parametrize("as_json", [False, True])
def test_a_server_is_told_of_every_epoch(as_json: bool) -> None:
    heard: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            heard.append((self.path, body if as_json else parse_qs(body)["data"][0]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    root = f"http://127.0.0.1:{server.server_port}"
    monitor = kg.callbacks.RemoteMonitor(root, send_as_json=as_json)
    monitor.on_epoch_end(2, {"loss": np.float32(0.5), "acc": 1.0})
    server.shutdown()
    server.server_close()
    thread.join()
    assert [(path, json.loads(body)) for path, body in heard] == [
        ("/publish/epoch/end/", {"epoch": 2, "loss": 0.5, "acc": 1.0})
    ]
    with pytest.warns(UserWarning, match="RemoteMonitor did not reach"):
        monitor.on_epoch_end(3, {})


def test_no_output_stream_is_no_error(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with CallbackList(add_progbar=True, epochs=1, steps=4, verbose="auto") as told:
        train(told, clock, 1)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
