"""An epoch over arrays in memory, with no callback between the steps: native code goes from batch to batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from kgraph import tree
from kgraph.training.data import Arrays
from kgraph.training.step import CompiledStep, Steps

AT_ONCE = 0.05  # seconds that native code runs before Python may report progress, or stop for Ctrl-C


class Epoch:
    """All steps of an epoch, which may be part of a pass over the data, or several."""

    def __init__(self, steps: Steps, given: Arrays, count: int | None) -> None:
        self.given, self.count = given, given.steps if count is None else count
        self.compiled: CompiledStep = steps.compiled(given.data)
        self._tell: Callable[[int, Any], None] = lambda done, logs: None
        self._speed = 0.0  # steps per second, as far as it is known

    def run(self, tell: Callable[[int, Any], None]) -> Any:
        """What the last step returned. tell: is told of steps done, and what the last of them returned."""
        self._tell, done = tell, 0
        result: Any = None
        for order, first, end in self.given.passes(self.count):
            result = self._pass(order, first, end, done)
            done += end - first
        return result

    def _pass(self, order: np.ndarray | None, first: int, end: int, done: int) -> Any:
        """These batches of a pass over the data, after others that are done."""
        given, result = self.given, None
        full = min(given.size // given.batch_size, end)
        if first < full:
            result = self._full_batches(first, full, order, done)
        if end > full:
            result = self.compiled(given.batch(full, order))
            self._tell(done + end - first, result)
        return result

    def _full_batches(self, first: int, end: int, order: np.ndarray | None, before: int) -> Any:
        leaves = [leaf for leaf in tree.flatten(self.given.data) if leaf is not None]
        with self.compiled.executable.feeding(leaves, self.given.batch_size) as (feed, results):
            feed.set_order(order)
            done = first
            while done < end:
                last = min(end, done + max(1, int(AT_ONCE * self._speed)))
                begin = time.perf_counter()
                feed.run(done, last)
                self._speed = (last - done) / max(1e-9, time.perf_counter() - begin)
                done = last
                self._tell(before + done - first, self.compiled.packed(results))
            return self.compiled.packed([result.copy() for result in results])
