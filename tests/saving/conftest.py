"""What all tests of files share."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keras's variables have no `copy` in __array__, and numpy says so each time."""
    for item in items:
        if item.path.parent.name == "saving":
            item.add_marker(pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"))


@pytest.fixture(autouse=True, scope="module")
def less_memory() -> Iterator[None]:
    """jax, the judge, keeps everything it has compiled, gigabytes in the end."""
    yield
    jax.clear_caches()
