"""Files made to do harm: an honest model's file after a change of its parts, and that it is refused."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

import kgraph as kg
from kgraph.errors import KGraphError

LARGE = 10**12


def honest() -> Any:
    return kg.Sequential([kg.Input((3,), name="x"), kg.layers.Dense(2, name="dense")], name="model")


def file_of(change: Callable[[dict[str, Any]], Any] | None = None, weights: Callable[[Any], Any] | None = None) -> Path:
    """An honest model's file after a change of its configuration, or of its weights."""
    path = Path("model.keras")
    honest().save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if change is not None:
        config = json.loads(members["config.json"])
        members["config.json"] = json.dumps(change(config) or config).encode()
    if weights is not None:
        file = io.BytesIO(members["model.weights.h5"])
        with h5py.File(file, "a") as store:
            weights(store)
        members["model.weights.h5"] = file.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def with_layer(entry: dict[str, Any]) -> Path:
    """A file whose model has this layer too."""
    return file_of(lambda config: config["config"]["layers"].append({"registered_name": None, **entry}))


def refused(path: Any, match: str, **options: Any) -> None:
    with pytest.raises(KGraphError, match=match) as found:
        kg.models.load_model(path, **options)
    assert isinstance(found.value, ValueError)
