"""Object files made by helper processes, while this process goes on printing and typing the next kernel.

A helper is `optimise.py` run by the same Python. Helpers are started by a workshop that has work for them and end with
it; they share nothing with this process but two pipes, and end by themselves when it is gone. Where there are none
(another system, another program than Python, no room for one more process, one that died) the work is done here:
they save time, and nothing else depends on them. Imported only when something is compiled.
"""

from __future__ import annotations

import marshal
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llvmlite

from kgraph import config
from kgraph.codegen.native import objects, optimise
from kgraph.codegen.native.host import host

FEWEST_JOBS = 3  # a helper is ready in the time that two kernels take
MOST_HELPERS = 4
START = "import sys; sys.path.append(sys.argv[1]); exec(compile(open(sys.argv[2]).read(), sys.argv[2], 'exec'))"
_trouble: list[BaseException] = []  # with helpers: after the first there are no more in this process


class Helper:
    """One process, and the pipes to it."""

    def __init__(self) -> None:
        self.ended = False  # by us
        packages = Path(llvmlite.__file__).parents[1]
        command = [sys.executable, "-I", "-S", "-c", START, str(packages), optimise.__file__]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def ask(self, request: tuple[Any, ...]) -> bytes | str:
        """The answer to a request: an object file, or what was wrong with the text."""
        assert self.process.stdin is not None and self.process.stdout is not None
        marshal.dump(request, self.process.stdin)
        self.process.stdin.flush()
        return marshal.load(self.process.stdout)

    def kill(self) -> None:
        """End it, whatever it does."""
        self.ended = True
        self.process.kill()

    def close(self) -> None:
        """Leave no process and no pipe."""
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]


@dataclass(frozen=True)
class Job:
    """One object file to make, and where it is waited for."""

    texts: Sequence[str]
    level: int
    unroll: bool
    shared: bool
    future: Future[bytes]

    def do(self, helper: Helper | None) -> None:
        """Make it, by a helper if there is one that can."""
        try:
            answer = self._asked(helper) if helper is not None else ""
            if not isinstance(answer, bytes):
                answer = objects.compile_ir(self.texts, self.unroll, self.level, self.shared)
            self.future.set_result(answer)
        except BaseException as error:
            self.future.set_exception(error)

    def _asked(self, helper: Helper) -> bytes | str:
        cpu = host()
        try:
            return helper.ask((cpu.name, cpu.features, self.shared, self.texts, self.level, self.unroll))
        except (OSError, EOFError, ValueError, TypeError) as error:  # it is dead, or never lived
            if helper.ended:
                raise CancelledError from error
            _trouble.append(error)
            return ""


class Workshop:
    """A place to have texts compiled, `jobs` of them; who leaves it early gets nothing more.

    shared: for a shared library.

    with Workshop(2) as shop:
        futures = [shop.submit(text) for text in texts]
        use([future.result() for future in futures])

    It has a thread for each helper. (An executor of the standard library would do, but for the lock that it takes
    before a fork: whoever forks while this compiles would wait for this, and this for that lock.)
    """

    def __init__(self, jobs: int, shared: bool = False) -> None:
        self._count = min(jobs, config.num_threads(), MOST_HELPERS) if jobs >= FEWEST_JOBS and can_help() else 0
        self._shared = shared
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._helpers: list[Helper] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Workshop:
        with suppress(OSError, RuntimeError):  # no room for a process or a thread
            for _ in range(self._count):
                helper = Helper()  # to be ready when there are texts
                self._helpers.append(helper)
                thread = threading.Thread(target=self._work, args=(helper,), name="kgraph-compile", daemon=True)
                thread.start()
                self._threads.append(thread)
        return self

    def __exit__(self, *_: Any) -> None:
        with suppress(queue.Empty):
            while True:
                self._jobs.get_nowait().future.cancel()  # type: ignore[union-attr]
        for _thread in self._threads:
            self._jobs.put(None)
        for helper in self._helpers:
            helper.kill()  # so that no thread waits for it
        for thread in self._threads:
            thread.join()
        for helper in self._helpers:
            helper.close()

    def submit(self, text: str | Sequence[str], unroll: bool = True, level: int = optimise.FULL) -> Future[bytes]:
        """What `objects.compile_ir` returns, as soon as it is there."""
        job = Job(objects.several(text), level, unroll, self._shared, Future())
        if self._threads:
            self._jobs.put(job)
        else:
            job.do(None)
        return job.future

    def _work(self, helper: Helper) -> None:
        """Do jobs until there are no more."""
        while (job := self._jobs.get()) is not None:
            job.do(None if _trouble else helper)


def can_help() -> bool:
    """Whether helpers may be tried: there is a processor for them, and what runs this process is Python itself."""
    program = os.path.basename(sys.executable or "")
    is_python = program.startswith("python") and not getattr(sys, "frozen", False)
    return os.name == "posix" and is_python and config.num_threads() > 1 and not _trouble
