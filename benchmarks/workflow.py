"""What users of Keras call: an epoch of `fit`, and `predict` of one sample; kgraph beside Keras on JAX.

    python benchmarks/workflow.py                       784-512-512-10, 60,000 samples, batches of 128, Adam, accuracy
    python benchmarks/workflow.py --widths 64,64,10     a small model
    python benchmarks/workflow.py --samples 6000 --epochs 2 --json

Each has a process of its own, both start from the same weights, and they take turns: an epoch each that does not count,
then so many that do; then some thousand calls of `predict` and of the model itself, in turns as well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from kgraph.bench.timing import one_turn, warm_up
from kgraph.cli import positive

NAMES = ("kgraph", "keras")
CALLS = ("predict", "predict_on_batch", "model(x)")
TURN = 0.2  # seconds of calls
ROUNDS = 5


def main() -> None:
    """Measure, or be one of those that are measured."""
    options = arguments()
    if options.contestant:
        serve(options)
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="kgraph-workflow-")))
        workers = {name: Worker(name, options, folder) for name in NAMES}
        for worker in workers.values():
            stack.callback(worker.process.kill)
        found = measured(workers, options.epochs)
    print(json.dumps(found, indent=2) if options.json else text(found))


def arguments() -> Namespace:
    """The command line."""
    made = ArgumentParser(description="Measure fit and predict beside Keras on JAX.")
    made.add_argument("--widths", type=widths, default="784,512,512,10", help="of the input, and of each Dense layer")
    made.add_argument("--samples", type=positive, default=60_000)
    made.add_argument("--batch", type=positive, default=128)
    made.add_argument("--epochs", type=positive, default=5, help="that count, after one that does not")
    made.add_argument("--threads", type=positive, help="CPUs for each contestant (default: all)")
    made.add_argument("--json", action="store_true")
    made.add_argument("--contestant", choices=NAMES, help="for the processes of this program")
    made.add_argument("--folder", type=Path, help="for the processes of this program")
    return made.parse_args()


def widths(text: str) -> list[int]:
    """The numbers between commas."""
    words = [word.strip() for word in text.split(",")]
    if len(words) < 2 or not all(word.isdecimal() and int(word) > 0 for word in words):
        raise ArgumentTypeError(f"two widths or more are needed, not {text!r}")
    return [int(word) for word in words]


class Worker:
    """The process of one contestant."""

    def __init__(self, name: str, options: Namespace, folder: Path) -> None:
        command = [sys.executable, __file__, "--contestant", name, "--folder", str(folder)]
        command += ["--samples", str(options.samples), "--batch", str(options.batch)]
        command += ["--widths", ",".join(map(str, options.widths))]
        command += ["--threads", str(options.threads)] if options.threads else []
        found = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
        if options.threads:
            found |= {f"{library}_NUM_THREADS": str(options.threads) for library in ("OMP", "OPENBLAS", "KGRAPH")}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=found)

    def ask(self, *words: str) -> Any:
        """The answer to a request."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(*words, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a process ended with status {self.process.wait()}")
        return json.loads(line)


def measured(workers: dict[str, Worker], epochs: int) -> dict[str, Any]:
    """The medians of each, in seconds, and the loss and accuracy after all epochs."""
    found: dict[str, Any] = {name: {"fit": [], **{call: [] for call in CALLS}} for name in workers}
    for name, worker in workers.items():
        found[name]["version"] = worker.ask("build")
        found[name]["first epoch"], _ = worker.ask("fit")
    for _ in range(epochs):
        for name, worker in workers.items():
            took, found[name]["logs"] = worker.ask("fit")
            found[name]["fit"].append(took)
    for call in CALLS:
        for _ in range(ROUNDS):
            for name, worker in workers.items():
                found[name][call].append(worker.ask(call))
    return {name: {key: median(value) if isinstance(value, list) else value for key, value in one.items()}
            for name, one in found.items()}  # fmt: skip


def text(found: dict[str, Any]) -> str:
    """A table in Markdown."""
    lines = ["| | kgraph | keras (jax) | keras / kgraph |", "| --- | ---: | ---: | ---: |"]
    units = {"first epoch": ("s", 1.0), "fit": ("s", 1.0), **dict.fromkeys(CALLS, ("µs", 1e6))}
    for key, (unit, factor) in units.items():
        ours, theirs = (found[name][key] * factor for name in NAMES)
        said = "an epoch of fit" if key == "fit" else f"{key} of one sample" if key in CALLS else "the first epoch"
        lines.append(f"| {said}, {unit} | {ours:.4g} | {theirs:.4g} | {theirs / ours:.2f} |")
    for name in NAMES:
        logs = ", ".join(f"{key} {value:.4f}" for key, value in found[name]["logs"].items())
        lines += ["", f"{name} {found[name]['version']}: {logs}"]
    return "\n".join(lines)


# in the process of a contestant ----------------------------------------------------------------------------------


def serve(options: Namespace) -> None:
    """Answer requests: build, fit, and each of CALLS."""
    if options.threads and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    x, y = data(options.widths, options.samples)
    model: Any = None
    for line in sys.stdin:
        request = line.strip()
        answer: Any
        if request == "build":
            model, answer = build(options.contestant, options.widths, options.folder)
        elif request == "fit":
            start = perf_counter()
            history = model.fit(x, y, batch_size=options.batch, epochs=1, verbose=0).history
            answer = [perf_counter() - start, {key: float(value[-1]) for key, value in history.items()}]
        else:
            answer = seconds_of(model, request, x[:1])
        print(json.dumps(answer), file=answers, flush=True)


def data(widths: list[int], samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers with classes that can be learned from them."""
    random = np.random.default_rng(0)
    x = random.standard_normal((samples, widths[0]), dtype=np.float32)
    return x, (x @ random.standard_normal((widths[0], widths[-1]), dtype=np.float32)).argmax(-1).astype(np.int32)


def build(name: str, widths: list[int], folder: Path) -> tuple[Any, str]:
    """The model, compiled, and the version of its library; the first to build leaves its weights for the other."""
    library = __import__(name)
    layers = library.layers
    hidden = [layers.Dense(width, activation="relu") for width in widths[1:-1]]
    model = library.Sequential([layers.Input(widths[:1]), *hidden, layers.Dense(widths[-1], activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    place = folder / "weights.npz"
    if place.exists():
        with np.load(place) as values:
            model.set_weights([values[key] for key in values.files])
    else:
        np.savez(place, *[np.asarray(one) for one in model.get_weights()])
    return model, library.__version__


def seconds_of(model: Any, call: str, sample: np.ndarray) -> float:
    """The median of a turn."""
    ways = {
        "predict": lambda: model.predict(sample, verbose=0),
        "predict_on_batch": lambda: model.predict_on_batch(sample),
        "model(x)": lambda: np.asarray(model(sample)),
    }
    return median(one_turn(ways[call], warm_up(ways[call]), TURN))


if __name__ == "__main__":
    main()
