"""The clock: many calls in a row, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from math import ceil
from statistics import median
from time import perf_counter, perf_counter_ns, process_time, sleep
from typing import Any

SHORTEST = 50e-6  # seconds of one sample: the clock itself takes about 50 ns
WARM_UP = 3  # calls before anything is measured
WARM_PART = 0.2  # of a turn's time: calls that are not counted, after others had the caches
QUIET = 0.1  # part of a CPU that a process at rest may use

Call = Callable[[], Any]


@dataclass(frozen=True)
class Sample:
    """How long one call took, again and again. Where calls are short, each number is the mean of a few."""

    seconds: tuple[float, ...]
    calls_per_number: int = 1

    @property
    def median(self) -> float:
        """The middle of the numbers, in seconds."""
        return median(self.seconds)

    @property
    def p95(self) -> float:
        """What 95 of 100 numbers stay below, in seconds."""
        return self.percentile(95)

    @property
    def spread(self) -> float:
        """Half the distance of the quartiles, as a part of the median."""
        return (self.percentile(75) - self.percentile(25)) / 2 / self.median

    def percentile(self, percent: int) -> float:
        """What so many of 100 numbers stay below, in seconds."""
        ranked = sorted(self.seconds)
        return ranked[min(len(ranked) - 1, max(0, ceil(percent / 100 * len(ranked)) - 1))]

    @property
    def calls(self) -> int:
        """How many calls were measured."""
        return len(self.seconds) * self.calls_per_number


def warm_up(call: Call) -> int:
    """A few calls, and how many make one sample long enough for the clock."""
    for _ in range(WARM_UP):
        call()
    return repetitions(call)


def repetitions(call: Call) -> int:
    """How many calls make one sample long enough for the clock."""
    count = 1
    while count < 1 << 20 and (took := timed(call, count) * count) < SHORTEST:
        count = max(count + 1, min(10 * count, ceil(1.2 * count * SHORTEST / max(took, 1e-9))))
    return count


def one_turn(call: Call, count: int, seconds: float) -> list[float]:
    """Samples of `count` calls until the time is up; at least one, after a call or more that are not counted."""
    until(perf_counter() + WARM_PART * seconds, call, count)
    return until(perf_counter() + (1 - WARM_PART) * seconds, call, count)


def until(end: float, call: Call, count: int) -> list[float]:
    """Samples of `count` calls until that moment; at least one."""
    found = [timed(call, count)]
    while perf_counter() < end:
        found.append(timed(call, count))
    return found


def timed(call: Call, count: int) -> float:
    """The mean time of `count` calls, in seconds."""
    start = perf_counter_ns()
    for _ in repeat(None, count):
        call()
    return (perf_counter_ns() - start) / (count * 1e9)


def rest(most: float = 0.25, look: float = 0.012) -> None:
    """Wait until this process's threads sleep: pools of threads spin for a while, on CPUs that the next one wants.

    look: seconds between two readings of the clock of the process, which knows of threads that are still running what
    the last tick of the system has told, up to 10 ms ago.
    """
    end = perf_counter() + most
    while perf_counter() < end:
        before = process_time()
        sleep(look)
        if process_time() - before < QUIET * look:
            return
