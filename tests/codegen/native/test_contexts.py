"""Contexts: one caller at a time, for the sizes asked for, and as many as there are places."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

from kgraph.codegen.native.contexts import PLACES, Context, Contexts, aligned


@pytest.fixture
def contexts(native) -> Contexts:
    return Contexts(2, native.contexts)


def key(*sizes: int) -> np.ndarray:
    return np.array(sizes, np.int64)


def added(contexts: Contexts, *sizes: int) -> Context:
    frame = np.zeros(4, np.int64)
    context = Context(frame, frame.ctypes.data, aligned(64), np.zeros(1, np.int64), False)
    contexts.add(key(*sizes), context)
    return context


def taken(contexts: Contexts, *sizes: int) -> Context | None:
    words = key(*sizes)
    return contexts.take(words.ctypes.data)


def test_a_context_belongs_to_its_maker_until_it_is_given_back(contexts):
    mine = added(contexts, 3, 5)
    assert taken(contexts, 3, 5) is None
    contexts.give(mine)
    assert taken(contexts, 3, 5) is mine
    assert taken(contexts, 3, 5) is None


def test_a_context_serves_its_own_sizes_only(contexts):
    contexts.give(added(contexts, 3, 5))
    assert taken(contexts, 5, 3) is None
    assert taken(contexts, 3, 4) is None
    assert taken(contexts, 3, 5) is not None


def test_where_all_places_are_taken_the_oldest_idle_context_makes_room(contexts):
    made = [added(contexts, n, 0) for n in range(PLACES)]
    extra = added(contexts, 100, 0)
    assert extra.place == 0, "all are in use: it has no place, and giving it back does nothing"
    contexts.give(extra)
    assert taken(contexts, 100, 0) is None
    for context in made[3:5]:
        contexts.give(context)
    assert added(contexts, 200, 0).place == made[3].place
    assert taken(contexts, 3, 0) is None
    assert taken(contexts, 4, 0) is made[4]


def test_a_program_without_sizes_has_contexts_too(native):
    contexts = Contexts(0, native.contexts)
    mine = added(contexts)
    contexts.give(mine)
    assert taken(contexts) is mine


def test_no_two_threads_get_the_same_context(contexts):
    for _ in range(3):
        contexts.give(added(contexts, 1, 1))
    owners: dict[int, int] = {}
    wrong = []

    def work(me: int) -> None:
        for _ in range(3000):
            context = taken(contexts, 1, 1)
            if context is None:
                continue
            if owners.setdefault(context.place, me) != me:
                wrong.append(me)
            del owners[context.place]
            contexts.give(context)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert sum(taken(contexts, 1, 1) is not None for _ in range(5)) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_after_a_fork_nobody_gets_what_a_thread_that_is_gone_has_left_half_way(contexts):
    used, idle = added(contexts, 1, 1), added(contexts, 2, 2)
    contexts.give(idle)
    child = os.fork()
    if not child:
        fresh = added(contexts, 1, 1)
        contexts.give(used)  # by the thread that forked, if it was its own: it has no place any more
        alone = taken(contexts, 1, 1) is None and fresh.place and taken(contexts, 2, 2) is idle
        os._exit(0 if alone else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert taken(contexts, 1, 1) is None, "here it is still in use"
    contexts.give(used)
    assert taken(contexts, 1, 1) is used


def test_aligned_memory_is(native):
    assert all(aligned(size).ctypes.data % 64 == 0 and aligned(size).nbytes == size for size in (1, 64, 1000))
