"""What all tests of layers share."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def less_memory() -> Iterator[None]:
    """jax, the judge, keeps everything it has compiled, gigabytes in the end."""
    yield
    jax.clear_caches()
