"""What the tests of executables share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from direct_calls import floats, mlp

import kgraph as kg
from kgraph.executable.executable import Executable


@pytest.fixture(scope="module")
def model() -> kg.Model:
    return mlp()


@pytest.fixture(scope="module")
def compiled(model: kg.Model) -> Executable:
    made = kg.compile(model)
    made(floats(3, 12))
    return made


@pytest.fixture(scope="module")
def trained(model: kg.Model) -> Executable:
    made = kg.compile(model, loss="sparse_categorical_crossentropy")
    made.value_and_grad(floats(3, 12), np.zeros(3, np.int32))
    return made


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many calls have gone through Python since the last time it was asked."""
    calls = 0
    values = Executable._values

    def counted(self: Executable, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        return values(self, *args)

    def since() -> int:
        nonlocal calls
        found, calls = calls, 0
        return found

    monkeypatch.setattr(Executable, "_values", counted)
    return since
