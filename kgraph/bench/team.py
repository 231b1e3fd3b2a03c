"""A process for each contestant, so that their pools of threads and allocators do not meet, and what they are asked."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import kgraph
from kgraph.bench.peers import OURS

Answer = dict[str, Any]


class Lost(Exception):
    """A worker that ended, or did not answer in time; the message says which."""


class Worker:
    """One contestant's process."""

    def __init__(self, name: str, threads: int, folder: Path) -> None:
        self.name = name
        self.log = (folder / f"{name}.log").open("wb")
        command = [sys.executable, "-m", "kgraph.bench.worker", name, str(threads)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=environment(name, threads, folder),
            start_new_session=True,  # Ctrl-C is for the parent, and what a worker starts ends with it
        )
        self.answers: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.answers.put(line)
        self.answers.put(None)

    def ask(self, limit: float, **request: Any) -> Answer:
        """The answer to a request; Lost if there is none in so many seconds, or never will be."""
        assert self.process.stdin is not None
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            line = self.answers.get(timeout=limit)
        except queue.Empty:
            raise Lost(f"too slow: no answer in {limit:.0f} s") from None
        except (BrokenPipeError, ValueError):
            line = None
        if line is None:
            raise Lost(f"its process ended {self._end()}")
        return json.loads(line)

    def _end(self) -> str:
        """How it ended, and the last it said."""
        try:
            status = self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            return "without an answer"
        told = Path(self.log.name).read_text(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(told) if line.strip()), "")
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        return f"{how}: {last[:200]}" if last else how

    def stop(self) -> None:
        """End the process, and those it started."""
        if self.process.poll() is None:
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.log):
            with suppress(BrokenPipeError):
                stream.close()  # type: ignore[union-attr]


class Team:
    """The workers of a run. Use it in a `with` block: they are ended at its end, whatever happens inside."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.workers: dict[str, Worker] = {}

    def __enter__(self) -> Team:
        self.scratch = tempfile.TemporaryDirectory(prefix="kgraph-bench-")
        self.folder = Path(self.scratch.name)
        return self

    def __exit__(self, *_: Any) -> None:
        for name in list(self.workers):
            self.drop(name)
        self.scratch.cleanup()

    def ask(self, name: str, limit: float, **request: Any) -> Answer:
        """A worker's answer, or {"failed": reason}; a worker that is lost is started anew when it is asked again."""
        if name not in self.workers:
            self.workers[name] = Worker(name, self.threads, self.folder)
        try:
            return self.workers[name].ask(limit, **request)
        except Lost as reason:
            self.drop(name)
            return {"failed": str(reason)}

    def drop(self, name: str) -> None:
        """End a worker."""
        self.workers.pop(name).stop()


def environment(name: str, threads: int, folder: Path) -> dict[str, str]:
    """What a worker's libraries read: their number of threads, no GPU; and an empty cache of kernels for ours."""
    found = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    found |= {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "MKL", "OPENBLAS", "KGRAPH")}
    found["TF_CPP_MIN_LOG_LEVEL"] = "3"
    found["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(Path(kgraph.__file__).parents[1]), os.environ.get("PYTHONPATH")])
    )
    if name == OURS:
        found["KGRAPH_CACHE_DIR"] = str(folder / "kernels")
    return found
