"""Tables: whether inputs fit, whether weights are fresh, and when Python is asked to prepare."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from kgraph.codegen.native.contexts import Context, Contexts, aligned
from kgraph.codegen.native.runner import Step, encode
from kgraph.codegen.native.table import ARRAYS, BEGIN, FAILED, FINISH, FIT, REFUSED, Table, Tensor, Weights

WORD = ctypes.c_int64
INT64 = np.dtype(np.int64)


def function(native, name: str, arguments: int):
    return ctypes.CFUNCTYPE(WORD, *[WORD] * arguments)(native.symbols[name])


def words(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


class Copying:
    """A program of one step, which copies its input to its result."""

    def __init__(self, native, tasks, prepare=None) -> None:
        self.code = encode([Step(tasks["copy"], 2, 3, (0, 1))])
        self.contexts, self.weights = Contexts(1, native.contexts), Weights([])
        tensors = [Tensor(INT64, [~0], 0)], [Tensor(INT64, [~0], 1)]
        self.asked: list[int] = []
        self.callback = ctypes.CFUNCTYPE(WORD, ctypes.POINTER(WORD))(prepare or self.prepare)
        address = ctypes.cast(self.callback, ctypes.c_void_p).value
        running = ([], self.weights, self.contexts, self.code, 1, 1, False)
        self.table = Table(ARRAYS, *tensors, *running, address)
        self.begin, self.finish = function(native, BEGIN, 2), function(native, FINISH, 3)

    def prepare(self, key) -> int:
        self.asked.append(key[0])
        frame = words(0, 0, key[0], 100)
        context = Context(frame, frame.ctypes.data, aligned(64), words(key[0]), False)
        self.contexts.add(words(key[0]), context)
        self.contexts.give(context)
        return 0

    def __call__(self, x: np.ndarray) -> np.ndarray | int:
        dims, out = words(*x.shape), np.zeros_like(x)
        context = self.begin(self.table.address, words(dims.ctypes.data).ctypes.data)
        if context in (REFUSED, FAILED):
            return context
        assert not self.finish(self.table.address, context, words(x.ctypes.data, out.ctypes.data).ctypes.data)
        return out


@pytest.mark.parametrize(
    ("wanted", "shapes", "fits"),
    [
        ([3, 4], [(3, 4)], True),
        ([3, 4], [(4, 3)], False),
        ([~0, 4], [(7, 4)], True),
        ([~0, ~0], [(7, 7)], True),
        ([~0, ~0], [(7, 6)], False),
        ([~0, ~1], [(7, 6), (7, 6)], True),
        ([~0, ~1], [(7, 6), (7, 5)], False),
        ([~0], [(0,), (0,)], True),
        ([~0], [(0,), (1,)], False),
        ([], [()], True),
    ],
)
def test_dims_fit_if_they_are_those_asked_for_and_named_ones_are_the_same(native, wanted, shapes, fits):
    table = Table(
        ARRAYS, [Tensor(INT64, wanted, None)], [], [], Weights([]), Contexts(2, native.contexts), words(), 0, 1, False
    )
    fit, key = function(native, FIT, 3), words(-1, -1)
    tensor = WORD.from_address(table.address + 8 * 4).value
    found = [fit(tensor, words(*shape).ctypes.data, key.ctypes.data) for shape in shapes]
    assert all(found) == fits


def test_python_prepares_each_size_once(native, tasks):
    copying = Copying(native, tasks)
    for size in (3, 5, 3, 5, 0):
        np.testing.assert_array_equal(copying(np.arange(size)), np.arange(size))
    assert copying.asked == [3, 5, 0]


def test_what_python_cannot_prepare_fails(native, tasks):
    assert Copying(native, tasks, lambda key: 1)(np.arange(3)) == FAILED


def test_weights_are_fresh_while_their_versions_are_those_seen(native):
    cells = words(4, 7)
    weights = Weights([cells.ctypes.data, cells.ctypes.data + 8])
    assert not native.is_fresh(weights.address)
    weights.seen[:] = weights.versions()
    assert native.is_fresh(weights.address)
    cells[1] += 1
    assert not native.is_fresh(weights.address)
    assert weights.versions() == [4, 8]
    assert native.is_fresh(Weights([]).address)
