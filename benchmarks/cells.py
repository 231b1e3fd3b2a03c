"""Recurrent layers beside kgraph's own LSTM, by the time of a floating point operation: does another cell cost more?

    python benchmarks/cells.py        LSTM, GRU, bidirectional LSTM, and an LSTM written by hand; batch 1 and 32

All read 100 words of 1000, embedded in 64 numbers, and hold 64 units. They take turns in one process.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

import kgraph as kg
from kgraph import layers, ops
from kgraph.bench.timing import one_turn, warm_up
from kgraph.bench.work import operations
from kgraph.cli import positive, positive_seconds

STEPS, WORDS, WIDTH = 100, 1000, 64
ROUNDS = 7


class Written(layers.Layer):
    """An LSTM's cell as a user writes it, gate by gate."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units, self.state_size = units, [units, units]

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(shape=(input_shape[-1], 4 * self.units), name="kernel")
        self.recurrent_kernel = self.add_weight(shape=(self.units, 4 * self.units), name="recurrent_kernel")
        self.bias = self.add_weight(shape=(4 * self.units,), initializer="zeros", name="bias")

    def call(self, inputs: Any, states: Any) -> Any:
        h, c = states
        z = ops.matmul(inputs, self.kernel) + ops.matmul(h, self.recurrent_kernel) + self.bias
        i, f, g, o = ops.split(z, 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(c)
        return h, [h, c]


CONTESTANTS: dict[str, Callable[[], Any]] = {
    "LSTM": lambda: layers.LSTM(WIDTH),
    "GRU": lambda: layers.GRU(WIDTH),
    "Bidirectional LSTM": lambda: layers.Bidirectional(layers.LSTM(WIDTH)),
    "LSTM written by hand": lambda: layers.RNN(Written(WIDTH)),
}


def main() -> None:
    """Measure and print a table in Markdown."""
    made = ArgumentParser(description=__doc__.split("\n")[0])
    made.add_argument("--threads", type=positive, help="default: all")
    made.add_argument("--seconds", type=positive_seconds, default=0.2, help="of each turn")
    options = made.parse_args()
    print("| cell | batch | mode | µs | GFLOP/s | LSTM's time for an operation / its own |")
    print("| --- | ---: | --- | ---: | ---: | ---: |")
    for batch in (1, 32):
        for mode in ("forward", "grad"):
            for line in table(batch, mode, options.threads, options.seconds):
                print(line)


def table(batch: int, mode: str, threads: int | None, seconds: float) -> list[str]:
    """The rows of one batch size and mode."""
    calls, counts = {}, {}
    for name, layer in CONTESTANTS.items():
        calls[name], counts[name] = contestant(layer(), batch, mode, threads)
    turns: dict[str, list[float]] = {name: [] for name in calls}
    repeated = {name: warm_up(call) for name, call in calls.items()}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            turns[name].append(median(one_turn(call, repeated[name], seconds)))
    taken = {name: median(found) for name, found in turns.items()}
    speed = {name: counts[name] / taken[name] for name in taken}
    return [
        f"| {name} | {batch} | {mode} | {taken[name] * 1e6:.0f} | {speed[name] / 1e9:.0f} "
        f"| {speed[name] / speed['LSTM']:.2f} |"
        for name in taken
    ]


def contestant(layer: Any, batch: int, mode: str, threads: int | None) -> tuple[Callable[[], Any], int]:
    """What is called, and how many operations that is."""
    x = kg.Input((STEPS,), dtype="int32")
    model = kg.Model(x, layers.Dense(2, activation="softmax")(layer(layers.Embedding(WORDS, WIDTH)(x))))
    draw = np.random.default_rng(0)
    data = draw.integers(0, WORDS, (batch, STEPS)).astype(np.int32)
    loss = "categorical_crossentropy" if mode == "grad" else None
    compiled = kg.compile(model, loss=loss, threads=threads)
    graph = compiled.stages["simplify#1"]
    sizes = {"N": batch}
    if mode == "forward":
        return (lambda: compiled(data)), operations(graph, sizes)
    targets = np.eye(2, dtype=np.float32)[draw.integers(0, 2, batch)]
    return (lambda: compiled.value_and_grad(data, targets)), operations(graph, sizes)


if __name__ == "__main__":
    main()
