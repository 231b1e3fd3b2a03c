"""The pool: every chunk once, with the same bounds, from any number of threads, callers and processes."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import threading
import time

import numpy as np
import pytest
from llvmlite import ir

from kgraph.codegen.native import emit, objects, pool
from kgraph.codegen.native.emit import I32, PTR, number
from kgraph.codegen.native.runtime import Runtime, runtime

WORD, POINTER = ctypes.c_int64, ctypes.c_void_p


class Loaded:
    """A pool of its own, as a module of IR text."""

    def __init__(self, text: str) -> None:
        self.symbols = objects.load(objects.compile_ir(text), ["kg_parallel", "kg_pool_reset"])


def pool_text() -> str:
    module = ir.Module("pool")
    pool.emit_pool(module)
    return str(module)


def parallel(native: Runtime | Loaded, task: int, args: np.ndarray, extent: int, grain: int, threads: int) -> int:
    call = ctypes.CFUNCTYPE(WORD, WORD, POINTER, WORD, WORD, WORD, WORD)(native.symbols["kg_parallel"])
    return call(task, args.ctypes.data, extent, grain, threads, 4000)


def count(
    native: Runtime | Loaded, tasks: dict[str, int], extent: int, grain: int, threads: int, times: int = 1
) -> bool:
    """Whether a counting task saw every index `times` times, in the chunks it should."""
    out, bounds = np.zeros(extent + 1, np.int64), np.zeros(extent + 1, np.int64)
    args = np.array([out.ctypes.data, bounds.ctypes.data], np.int64)
    statuses = {parallel(native, tasks["count"], args, extent, grain, threads) for _ in range(times)}
    expected = np.zeros(extent + 1, np.int64)
    begins = np.arange(0, extent, grain)
    expected[begins] = np.minimum(begins + grain, extent)
    indices = np.append(np.arange(1, extent + 1) * times, 0)
    return statuses == {0} and np.array_equal(out, indices) and np.array_equal(bounds, expected)


@pytest.mark.parametrize("threads", [-1, 1, 2, 3, 9])
@pytest.mark.parametrize(
    ("extent", "grain"), [(0, 1), (1, 1), (2, 1), (7, 3), (9, 3), (1000, 7), (5, 100), (65535, 1), (200_001, 1)]
)
def test_every_chunk_runs_once_with_the_same_bounds(native, tasks, extent, grain, threads):
    assert count(native, tasks, extent, grain, threads)


def test_many_regions_follow_each_other(native, tasks):
    assert count(native, tasks, 40, 3, 2, times=3000)


@pytest.mark.skipif(not pool.words.has_threads(pool.host()), reason="no threads here")
def test_the_caller_and_helpers_begin_with_a_half_each(native):
    own, others = set(), set()
    caller = threading.get_ident()

    def note(args: int, begin: int, end: int) -> int:
        (own if threading.get_ident() == caller else others).add(begin)
        time.sleep(0.002)  # long enough for helpers to wake
        return 0

    task = ctypes.CFUNCTYPE(WORD, POINTER, WORD, WORD)(note)
    for _ in range(3):
        assert parallel(native, ctypes.cast(task, POINTER).value, np.zeros(1, np.int64), 40, 1, 3) == 0
    assert own | others == set(range(40))
    assert own >= {0, 1}
    assert others >= {20, 21}


@pytest.mark.skipif(not pool.words.has_threads(pool.host()), reason="no threads here")
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor")
def test_a_worker_that_is_late_gets_the_callers_processor_until_it_is_done():
    allowed, caller, rounds, native = os.sched_getaffinity(0), threading.get_ident(), 20, Loaded(pool_text())
    seen: list[tuple[set[int], set[int]]] = []

    def wait(args: int, begin: int, end: int) -> int:
        before, is_caller = os.sched_getaffinity(0), threading.get_ident() == caller
        time.sleep(0.001 if is_caller else 0.02)
        if not is_caller:
            seen.append((before, os.sched_getaffinity(0)))
        return 0

    task = ctypes.CFUNCTYPE(WORD, POINTER, WORD, WORD)(wait)
    for _ in range(rounds):
        assert parallel(native, ctypes.cast(task, POINTER).value, np.zeros(1, np.int64), 3, 1, 2) == 0
    lent = [before for before, after in seen if len(after) == 1 and after != before]
    assert len(lent) > 1, f"of {rounds} rounds; before and after: {seen}"
    assert all(len(before) == len(allowed) - 1 for before in lent), "it was sent away again"


def test_a_negative_extent_runs_nothing(native, tasks):
    args = np.zeros(2, np.int64)
    assert parallel(native, tasks["count"], args, -5, 3, 2) == 0


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_status_of_a_failed_chunk_comes_back(native, tasks, threads):
    for place in (0, 30, 99):
        args = np.array([place, 7 + place], np.int64)
        assert parallel(native, tasks["fail"], args, 100, 1, threads) == 7 + place
    assert count(native, tasks, 100, 1, threads)


def test_several_python_threads_may_call_at_once(native, tasks):
    found: list[bool] = []
    callers = [
        threading.Thread(target=lambda: found.append(count(native, tasks, 50, 3, 3, times=400))) for _ in range(4)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == [True] * 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # of jax, if another test has loaded it here
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of Python 3.12, for the same reason
def test_a_forked_child_has_a_pool_of_its_own(native, tasks):
    assert count(native, tasks, 50, 3, 3)
    child = multiprocessing.get_context("fork").Process(target=exit_with, args=(native, tasks))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert count(native, tasks, 50, 3, 3)


def exit_with(native: Runtime, tasks: dict[str, int]) -> None:
    """End a process with status 0 if its pool works."""
    os._exit(0 if count(native, tasks, 50, 3, 3, times=100) and runtime() is native else 1)


def test_a_process_with_workers_ends(python):
    text = """
import ctypes
from kgraph.codegen.native.runtime import runtime

word, pointer = ctypes.c_int64, ctypes.c_void_p
task = ctypes.CFUNCTYPE(word, pointer, word, word)(lambda args, begin, end: 0)
parallel = ctypes.CFUNCTYPE(word, pointer, pointer, word, word, word, word)(runtime().symbols["kg_parallel"])
print([parallel(task_address, None, 40, 3, 4, 4000) for task_address in [ctypes.cast(task, pointer)] * 20])
"""
    assert python(text) == str([0] * 20)


def test_where_there_are_no_threads_the_caller_runs_every_chunk(tasks, monkeypatch):
    monkeypatch.setattr(pool.words, "has_threads", lambda cpu: False)
    text = pool_text()
    assert "pthread" not in text and "syscall" not in text
    assert count(Loaded(text), tasks, 100, 7, 4, times=10)


@pytest.mark.skipif(not pool.words.has_threads(pool.host()), reason="no threads here")
def test_a_system_that_refuses_threads_costs_only_time(tasks):
    module = ir.Module("refuse")
    _, build = emit.function(module, "test_refuse", I32, [PTR, PTR, PTR, PTR])
    build.ret(number(11, I32))
    address = objects.load(objects.compile_ir(str(module)), ["test_refuse"])["test_refuse"]
    objects.define_symbol("test_refuse", address)
    assert count(Loaded(pool_text().replace("pthread_create", "test_refuse")), tasks, 100, 7, 4, times=10)
