"""The native function in front of a method: what it hands over, and how it shows itself."""

from __future__ import annotations

import inspect
import sys

import numpy as np
import pytest

from kgraph.codegen.native.entry import Entry


class Echo:
    def method(self, *args: object, out: object = None, **named: object) -> object:
        """Everything it was given."""
        return args, out, named

    def failing(self, x: int) -> None:
        """Never works."""
        raise ValueError(f"not {x}")


@pytest.fixture
def echo(native) -> Entry:
    return Entry(Echo().method, native.entry_at)


@pytest.mark.parametrize(
    ("args", "named"),
    [((), {}), ((1,), {}), ((1, "two", [3]), {}), ((), {"out": 4}), ((1,), {"a": 2, "out": 3}), (tuple(range(50)), {})],
)
def test_without_a_table_everything_is_handed_over(echo, args, named):
    assert echo.function(*args, **named) == Echo().method(*args, **named)


def test_errors_of_the_method_come_through(native):
    failing = Entry(Echo().failing, native.entry_at).function
    with pytest.raises(ValueError, match="not 3"):
        failing(3)
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        failing()


def test_it_looks_like_the_method(echo):
    assert echo.function.__name__ == "method"
    assert echo.function.__doc__ == "Everything it was given."
    assert str(inspect.signature(echo.function)) == "(*args, out=None, **named)"


def test_references_are_handed_back(echo):
    x = np.zeros(3)
    before = sys.getrefcount(x)
    for _ in range(1000):
        echo.function(x, x, out=x)
    assert sys.getrefcount(x) == before
