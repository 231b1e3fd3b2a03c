"""Options and fixtures of all tests: `--slow`, `--update-golden`, `golden`, and one cache of kernels per session."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from difflib import unified_diff
from pathlib import Path

import pytest

# Before any test module imports them: kgraph checks its graphs, and keras, the judge, computes with jax on the CPU.
os.environ.update(KGRAPH_CHECK="1", KERAS_BACKEND="jax", JAX_PLATFORMS="cpu")

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the exhaustive sweeps too")
    parser.addoption("--update-golden", action="store_true", help="accept the texts of this run; read the diff after")


def pytest_configure(config: pytest.Config) -> None:
    """Give the session an empty cache of kernels, which the workers of xdist share through the environment."""
    if "KGRAPH_CACHE_DIR" in os.environ:  # a worker, or a person who wants to keep the kernels
        return
    folder = tempfile.mkdtemp(prefix="kgraph-tests-")
    os.environ["KGRAPH_CACHE_DIR"] = folder

    def forget() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        del os.environ["KGRAPH_CACHE_DIR"]

    config.add_cleanup(forget)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked slow, unless --slow asks for it."""
    if config.getoption("--slow"):
        return
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="slow: run with --slow"))


@pytest.fixture
def tables_of_ops() -> Iterator[None]:
    """After a test that adds to the tables of ops, these are as they were."""
    from kgraph.graph.op import FUNCTIONS, OPS

    before = dict(OPS), dict(FUNCTIONS)
    yield
    for table, rows in zip((OPS, FUNCTIONS), before, strict=True):
        table.clear()
        table.update(rows)  # type: ignore[arg-type]


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Compare a text with tests/golden/<test file>/<test>.txt; one text a test."""
    name = re.sub(r"[^\w.-]+", "-", request.node.name).strip("-")
    path = GOLDEN / request.node.path.stem / f"{name}.txt"

    def compare(text: str) -> None:
        text = text.rstrip("\n") + "\n"
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists():
            pytest.fail(f"{path} is not there; make it with --update-golden. The text:\n{text}", pytrace=False)
        elif (wanted := path.read_text(encoding="utf-8")) != text:
            lines = unified_diff(wanted.splitlines(), text.splitlines(), str(path), "this run", lineterm="")
            pytest.fail("\n".join(["not the golden text; accept it with --update-golden", *lines]), pytrace=False)

    return compare
