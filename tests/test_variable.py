"""Variables: what changes them, and how compiled code sees it."""

from __future__ import annotations

import copy
import ctypes
import pickle
import threading

import numpy as np
import pytest

import kgraph as kg
from kgraph.errors import ShapeError


def version_in_memory(variable: kg.Variable) -> int:
    return ctypes.c_int64.from_address(variable.version_address).value


def test_every_change_is_counted_where_native_code_reads_it():
    variable = kg.Variable(np.zeros(3, np.float32))
    place = variable.version_address
    assert variable.version == version_in_memory(variable) == 0
    variable.assign([1, 2, 3])
    variable.assign_add(np.ones(3))
    assert variable.version == version_in_memory(variable) == 2
    assert variable.version_address == place
    with pytest.raises(ShapeError):
        variable.assign(np.zeros(4))
    assert variable.version == 2


def test_no_change_is_lost_between_threads():
    variable = kg.Variable(np.zeros(3, np.float32))

    def assign() -> None:
        for _ in range(500):
            variable.assign(np.ones(3, np.float32))

    threads = [threading.Thread(target=assign) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert variable.version == 2000


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_count_for_themselves(twin):
    variable = kg.Variable(np.zeros(3, np.float32))
    variable.assign(np.ones(3))
    other = twin(variable)
    other.assign(np.zeros(3))
    assert (variable.version, other.version) == (1, 2)
    np.testing.assert_array_equal(variable.numpy(), 1)
    assert other.version_address != variable.version_address
