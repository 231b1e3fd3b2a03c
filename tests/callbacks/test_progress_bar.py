"""The bar of progress: on terminals, in notebooks, in logs, and beside that of Keras."""

from __future__ import annotations

import io
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from terminals import Clock, Screen, log, seen, terminal, written

from kgraph.callbacks import display, progress_bar
from kgraph.errors import ArgumentError
from kgraph.utils import Progbar

FULL = "━" * 20


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress_bar, "time", made)
    return made


def test_a_terminal_shows_a_line_that_changes(clock: Clock) -> None:
    console = terminal()
    with Progbar(4, console=console) as bar:
        for step in range(1, 4):
            clock.now += 1
            bar.update(step, [("loss", 1.0 / step)])
        assert seen(console)[-1] == f"3/4 {FULL} 1s 1s/step - loss: 0.6111"
        clock.now += 1
        bar.update(4, {"loss": 0.25, "val_loss": 0.5})
    assert seen(console) == [f"4/4 {FULL} 4s 1s/step - loss: 0.2500 - val_loss: 0.5000", ""]


def test_steps_that_pass_quickly_are_drawn_once(clock: Clock) -> None:
    console = terminal()
    bar = Progbar(1000, console=console)
    for _ in range(1000):
        clock.now += 1e-5
        bar.add(1)
    assert written(console).count("\r") == 0
    assert seen(console) == [f"1000/1000 {FULL} 0s 10us/step", ""]


def test_a_log_gets_one_line_without_control_characters(clock: Clock) -> None:
    for verbose in (1, 2):
        console = log()
        bar = Progbar(3, verbose=verbose, console=console, heading="Epoch 1/2")
        for step in range(3):
            clock.now += 2.0
            bar.add(1, {"accuracy": 0.9 + step / 100})
        assert written(console) == "Epoch 1/2 - 3/3 - 6s - 2s/step - accuracy: 0.9200\n"


def test_verbose_2_on_a_terminal_is_plain_too(clock: Clock) -> None:
    console = terminal()
    bar = Progbar(3, verbose=2, console=console)
    bar.add(3)
    assert written(console) == "3/3 - 0s - 0s/step\n"


def test_verbose_0_is_silent() -> None:
    console = terminal()
    Progbar(2, verbose=0, console=console, heading="Epoch 1/1").add(2)
    assert written(console) == ""


def test_an_unknown_number_of_steps_is_known_at_the_end(clock: Clock) -> None:
    console = terminal()
    bar = Progbar(None, console=console)
    clock.now += 3
    bar.update(7)
    assert seen(console) == ["      7/Unknown 3s 429ms/step"]
    bar.update(7, finalize=True)
    assert seen(console) == [f"7/7 {FULL} 3s 429ms/step", ""]


def test_a_long_line_is_cut_while_it_changes_and_whole_at_the_end(clock: Clock) -> None:
    console = terminal(width=40)
    bar = Progbar(2, console=console)
    values = {f"metric_{number}": 1.0 for number in range(4)}
    clock.now += 1
    bar.update(1, values)
    assert len(seen(console)) == 1 and seen(console)[0].endswith("…")
    clock.now += 1
    bar.update(2, values)
    assert " ".join(" ".join(seen(console)).split()).endswith("- metric_2: 1.0000 - metric_3: 1.0000")


def test_prints_meanwhile_appear_above_the_line(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    console = terminal()
    monkeypatch.setattr(sys, "stdout", console.file)
    with Progbar(2, console=console) as bar:
        clock.now += 1
        bar.add(1)
        print("from the program")
        print("without an end", end="")
        clock.now += 1
        bar.add(1)
    assert seen(console) == ["from the program", "without an end", f"2/2 {FULL} 2s 1s/step", ""]
    assert sys.stdout is console.file


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_the_terminal_is_in_order(error: type[BaseException], clock: Clock) -> None:
    console, stdout = terminal(), sys.stdout
    with pytest.raises(error), Progbar(9, console=console) as bar:
        clock.now += 1
        bar.add(3)
        raise error
    screen = Screen().write(written(console))
    assert screen.cursor and screen.column == 0 and screen.text[0].startswith("3/9")
    assert sys.stdout is stdout


def test_a_bar_that_is_forgotten_leaves_the_terminal_in_order(clock: Clock) -> None:
    console, stdout = terminal(), sys.stdout
    bar = Progbar(9, console=console)
    clock.now += 1
    bar.add(3)
    assert Screen().write(written(console)).cursor, "the cursor stays visible all the time"
    del bar
    assert sys.stdout is stdout
    assert seen(console)[-1] == ""


def test_names_and_values_of_any_kind_are_shown(clock: Clock) -> None:
    console = terminal(200)
    bar = Progbar(1, console=console)
    odd = {"[bold]a": 1, "b\x1b[31m\r\n": np.float32(2), "ü": "text\n", "n": None, "v": np.ones(3), "nan": np.nan}
    bar.update(1, odd)
    expected = "[bold]a: 1.0000 - b [31m  : 2.0000 - ü: text  - n: None - v: 1.0000 - nan: nan"
    assert seen(console)[0].endswith(expected)


def test_a_stream_of_ascii_gets_ascii(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    Progbar(1, verbose=2).update(1, {"größe": 1.0})
    stream.seek(0)
    assert stream.read() == "1/1 - 0s - 0s/step - gr\\xf6\\xdfe: 1.0000\n"


def test_without_colours_the_bar_is_made_of_letters(clock: Clock) -> None:
    console = terminal()
    console.no_color = True
    bar = Progbar(4, console=console)
    clock.now += 1
    bar.add(3)
    assert seen(console)[0].startswith("3/4 ===============..... 0s")
    bar.close()


def test_auto_follows_where_stdout_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [display.check_verbose("auto", console) for console in (terminal(), log())] == [1, 2]
    stdout = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout)
    assert display.check_verbose("auto") == 2
    monkeypatch.setattr(stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert display.check_verbose("auto") == 1
    monkeypatch.setenv("TERM", "dumb")
    assert display.check_verbose("auto") == 2


def test_colour_that_is_forced_makes_no_terminal_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert display.place() == "log"


def test_a_terminal_that_another_live_display_has_is_a_log(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    outer = terminal()
    monkeypatch.setattr(sys, "stdout", outer.file)
    monkeypatch.setattr(outer.file, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with Progbar(2) as bar:
        clock.now += 1
        bar.add(1)
        Progbar(1, verbose=1).add(1)
    assert "1/1 - 0s - 0s/step" in Screen().write(written(outer)).text


def test_a_notebook_gets_one_output_that_is_replaced(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    handle = SimpleNamespace(update=lambda text: shown.append(text.plain))

    def show(text: Any, display_id: bool) -> Any:
        shown.append(text.plain)
        return handle

    ipython, displays = ModuleType("IPython"), ModuleType("IPython.display")
    shell = type("ZMQInteractiveShell", (), {})()
    ipython.get_ipython, displays.display = lambda: shell, show  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", displays)
    assert display.check_verbose("auto") == 1
    bar = Progbar(2, heading="Epoch 1/3")
    for _ in range(2):
        clock.now += 1
        bar.add(1)
    assert shown == [f"Epoch 1/3\n1/2 {FULL} 1s 1s/step", f"Epoch 1/3\n2/2 {FULL} 2s 1s/step"]


@pytest.mark.parametrize("verbose", [3, -1, "1", None, "loud"])
def test_other_verbosities_are_refused(verbose: Any) -> None:
    with pytest.raises(ArgumentError, match="verbose wants 0, 1, 2 or 'auto'"):
        Progbar(2, verbose=verbose)


def test_metrics_are_stateful_or_stateless() -> None:
    with pytest.raises(ArgumentError, match="not both"):
        Progbar(2, stateful_metrics=["a"], stateless_metrics=["b"])


CASES = {
    "averages": (5, {}, [{"loss": 1.0 / step} for step in range(1, 6)]),
    "stateful": (4, {"stateful_metrics": ["acc"]}, [{"acc": 0.1 * step, "loss": step} for step in range(4)]),
    "stateless": (4, {"stateless_metrics": ["loss"]}, [{"acc": 0.1 * step, "loss": step} for step in range(4)]),
    "small and negative": (3, {"width": 7}, [{"a": 1e-5, "b": -2.5, "c": 0.0}] * 3),
    "one step": (1, {"unit_name": "sample"}, [{"a": 123456.789}]),
    "arrays": (2, {}, [{"a": np.arange(4.0)}, {"a": np.ones(2)}]),
    "no values": (12, {}, [{}] * 12),
}


@pytest.mark.parametrize("pause", [0.0004, 0.02, 1.5, 70.0, 4000.0])
@pytest.mark.parametrize("name", CASES)
def test_lines_are_those_of_keras(
    name: str, pause: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from keras.src.utils import progbar

    target, options, steps = CASES[name]
    console, screen, clock = terminal(200), Screen(), Clock()
    monkeypatch.setattr(progress_bar, "time", clock)
    ours, theirs = [], []
    bar = Progbar(target, console=console, **options)
    for values in steps:
        clock.now += pause
        bar.add(1, values)
        ours.append(seen(console))
    monkeypatch.setattr(progbar, "time", clock)
    bar = progbar.Progbar(target, **options)
    for values in steps:
        clock.now += pause
        bar.add(1, list(values.items()))
        theirs.append(screen.write(capsys.readouterr().out).text)
    assert ours[-1] == theirs[-1]
    if pause > 0.05:  # otherwise Keras draws the first step, and kgraph waits a moment
        assert ours == theirs
