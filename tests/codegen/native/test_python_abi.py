"""What native code assumes of Python's and numpy's objects is checked, and where it is not so, nothing relies on it."""

from __future__ import annotations

import numpy as np
import pytest

from kgraph.codegen.native import python_abi as abi

CALL = """
import numpy as np, kgraph as kg
from kgraph.codegen.native import python_abi as abi
{change}
i = kg.Input((3,))
f = kg.compile(kg.Model(i, kg.layers.Dense(2, kernel_initializer="ones")(i)))
print(type(f).__name__, f(np.ones((1, 3), np.float32)).tolist())
"""
SLOW, FAST = "Executable [[3.0, 3.0]]", "DirectExecutable [[3.0, 3.0]]"


@pytest.fixture
def fresh():
    abi.api.cache_clear()
    yield
    abi.api.cache_clear()


def test_the_assumptions_hold_here(fresh):
    words = abi.api()
    assert words is not None and words.all() and len(words) == abi.OUT + 1


@pytest.mark.parametrize("field", ["TYPE", "DATA", "RANK", "DIMS", "DTYPE", "FLAGS", "BYTE_ORDER", "NUMBER"])
def test_a_field_in_another_place_is_noticed(fresh, monkeypatch, field):
    if field == "DIMS":  # another place of an address would be followed
        monkeypatch.setattr(abi, "_samples", lambda: [np.zeros((3, 5)).T])
        monkeypatch.setattr(abi, "DIMS", abi.DIMS + 8)  # the strides
    else:
        monkeypatch.setattr(abi, field, getattr(abi, field) + (1 if field in ("BYTE_ORDER", "NUMBER") else 4))
    assert abi.api() is None


def test_another_table_of_numpy_is_noticed(fresh, monkeypatch):
    monkeypatch.setattr(abi, "_NUMPY_TYPE", abi._NUMPY_TYPE + 1)
    assert abi.api() is None


@pytest.mark.parametrize(
    "change",
    [
        "abi.sysconfig = type('', (), {'get_config_var': staticmethod(lambda name: 1)})",
        "abi.sys = type('', (), {'implementation': type('', (), {'name': 'pypy'})})",
        "abi._makes_arrays = lambda words: False",
    ],
    ids=["without the GIL", "another Python", "another numpy"],
)
def test_elsewhere_calls_go_through_python(python, change):
    assert python(CALL.format(change=change)) == SLOW


def test_here_they_do_not(python):
    assert python(CALL.format(change="")) == FAST
