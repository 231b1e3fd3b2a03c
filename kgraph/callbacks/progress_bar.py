"""How far something has come, how long it takes, and the values along the way."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import numpy as np

from kgraph.callbacks.display import Display, check_verbose, display
from kgraph.callbacks.status import Status
from kgraph.errors import ArgumentError


class Progbar:
    """The progress of a number of steps, as in Keras.

    target: the number of steps, None if unknown. width: of the bar, in characters. verbose: 0 for silence, 1 for a
    bar that moves on a terminal or in a notebook (elsewhere one line at the end), 2 for one line at the end, "auto"
    for 1 or 2 by where stdout goes. interval: seconds between two drawings. unit_name: "step" in "3ms/step".
    Values are averaged over the steps, but for those named in stateful_metrics; or only those named in
    stateless_metrics are (ArgumentError for both). console: a console of rich, in the place of stdout. heading: a
    line above the bar.

        with Progbar(len(files)) as bar:
            for file in files:
                bar.add(1, [("size", read(file))])
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int | str = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
        stateless_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
        *,
        console: Any = None,
        heading: str = "",
    ) -> None:
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ArgumentError("give stateful_metrics or stateless_metrics, not both: each says what the others are")
        self.target, self.width, self.interval, self.unit_name = target, width, interval, unit_name
        self.verbose, self.heading, self._console = check_verbose(verbose, console), heading, console
        self.stateful_metrics = None if stateless_metrics is not None else set(stateful_metrics or ())
        self.stateless_metrics = None if stateless_metrics is None else set(stateless_metrics)
        self._display: Display | None = None
        self._sums: dict[str, tuple[Any, int]] = {}  # of each value, and of how many steps
        self.seen = 0  # steps done
        self._start = self._drawn = self._reached = time.monotonic()
        self._after_first: float | None = None  # the first step is not like the others: things are compiled
        if self.verbose and heading:
            self._display = display(self.verbose, console)
            self._display.begin(heading)

    def update(self, current: int, values: Any = None, finalize: bool | None = None) -> None:
        """Step `current` is done.

        values: a dict or pairs of a name and the value since the last update. finalize: whether that was the end;
        None for "if the target is reached".
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        now = time.monotonic()
        self._take(current, dict(values or ()), finalize)
        self._clock(current, now)
        if not self.verbose or (not finalize and (self.verbose == 2 or now - self._drawn < self.interval)):
            return
        self._drawn = now
        self._display = self._display or display(self.verbose, self._console)
        if finalize:
            self._display.finish(self._status(current, now, ended=True))
            self._display = None
        else:
            self._display.show(self._status(current, now, ended=False))

    def add(self, n: int, values: Any = None) -> None:
        """n more steps are done."""
        self.update(self.seen + n, values)

    def close(self) -> None:
        """Leave the screen in order; without effect after the last step."""
        if self._display is not None:
            self._display.close()
            self._display = None

    def __enter__(self) -> Progbar:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _take(self, current: int, values: dict[str, Any], last: bool) -> None:
        """Add values to their averages; the last ones stand for themselves."""
        for name, value in values.items():
            value, known = _number(value), self.stateless_metrics
            averaged = name in known if known is not None else name not in (self.stateful_metrics or ())
            if last or not averaged or not isinstance(value, float):
                self._sums[name] = (value, 1)
                continue
            steps = max(current - self.seen, 1)
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = (total + value * steps, count + steps)

    def _clock(self, current: int, now: float) -> None:
        if current > self.seen:
            self._reached = now
        if current == 1 and self._after_first is None:
            self._after_first = now
        self.seen = current

    def _status(self, current: int, now: float, ended: bool) -> Status:
        pace = self._pace(current)
        values = tuple((_printable(name), _text(*entry)) for name, entry in self._sums.items())
        passed = f"{now - self._start:.0f}s"
        if self.target:
            left = passed if ended else _duration(pace * max(self.target - current, 0))
            count = f"{current:{len(str(self.target))}d}/{self.target}"
            return Status(self.heading, count, current / self.target, left, self._paced(pace), values, self.width)
        count, fraction = (f"{current}/{current}", 1.0) if ended else (f"{current:7d}/Unknown", None)
        return Status(self.heading, count, fraction, passed, self._paced(pace), values, self.width)

    def _pace(self, current: int) -> float:
        """Seconds for a step, that for the first one left out. What comes after the last step is not counted."""
        if not current:
            return 0.0
        if self._after_first is not None and current > 1:
            return (self._reached - self._after_first) / (current - 1)
        return (self._reached - self._start) / current

    def _paced(self, pace: float) -> str:
        if pace >= 1 or pace == 0:
            return f"{pace:.0f}s/{self.unit_name}"
        return f"{pace * 1e3:.0f}ms/{self.unit_name}" if pace >= 1e-3 else f"{pace * 1e6:.0f}us/{self.unit_name}"


def _duration(seconds: float) -> str:
    """ "1:02:03", "2:03" or "3s"."""
    minutes, rest = divmod(int(seconds), 60)
    if seconds <= 60:
        return f"{int(seconds)}s"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if seconds > 3600 else f"{minutes}:{rest:02d}"


def _number(value: Any) -> Any:
    """A float, the mean of an array; what is neither stays."""
    if value is None or isinstance(value, str):
        return value
    try:
        array = np.asarray(value, dtype="float64")
    except (TypeError, ValueError):
        return value
    return float(array.mean()) if array.size else float("nan")


def _text(total: Any, count: int) -> str:
    """A value in four digits, or as it is."""
    if not isinstance(total, float):
        return _printable(str(total))
    mean = total / max(count, 1)
    return f"{mean:.4f}" if abs(mean) > 1e-3 else f"{mean:.4e}"


def _printable(text: str) -> str:
    """Without what would move the cursor or begin a line."""
    return "".join(letter if letter.isprintable() else " " for letter in str(text))
