"""What all tests of files share."""

from __future__ import annotations

import codecs
import os
import pickle
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from harmful_files import honest

import kgraph as kg


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


@pytest.fixture(scope="module")
def first_use(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is made once: modules imported when they are used, and functions that networkx writes for itself."""
    folder, model, x = tmp_path_factory.mktemp("first"), honest(), np.ones((1, 3), "float32")
    for path in (folder / "model.keras", folder / "model.h5"):
        model.save(path)
        np.testing.assert_array_equal(kg.models.load_model(path)(x), model(x))
    codecs.lookup("ascii")


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Less than 64 MB are ever allocated."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 26


@pytest.fixture
def nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No code of the file runs, no module is imported for it, and no file is written."""
    import builtins
    import importlib
    import subprocess

    def never(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError(f"the file made the loader call this: {args!r:.100}")

    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for module, name in (
        (os, "system"), (subprocess, "Popen"), (builtins, "eval"), (builtins, "exec"),
        (pickle, "loads"), (pickle, "load"), (importlib, "import_module"), (zipfile.ZipFile, "extract"),
        (zipfile.ZipFile, "extractall"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, never)
    yield
    assert sorted(path.name for path in folder.iterdir()) in ([], ["model.keras"], ["model.weights.h5"])
    assert not (tmp_path / "evil").exists()
