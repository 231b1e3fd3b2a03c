"""What all tests of layers share."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import pytest

from kgraph.layers.naming import forget_names


@pytest.fixture(autouse=True, scope="module")
def less_memory() -> Iterator[None]:
    """jax, the judge, keeps everything it has compiled, gigabytes in the end."""
    yield
    jax.clear_caches()


@pytest.fixture
def fresh_names() -> None:
    """Names of layers are numbered from the beginning."""
    forget_names()
