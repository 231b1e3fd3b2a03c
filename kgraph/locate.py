"""The model that a command line means by `mnist.py:model`."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

from kgraph.errors import KGraphError


class UsageError(Exception):
    """A command line that means nothing; the message says what to do."""


def model_at(place: str) -> Any:
    """The model that FILE.py:NAME names: an object, or what a function of no arguments returns.

    Without a name, the only model of the file. UsageError if it is not there; what the file prints goes to stderr.
    """
    path, name = split(place)
    if path.suffix in (".keras", ".h5", ".hdf5"):
        raise UsageError(f"{path}: saved models cannot be loaded yet; give the Python file that makes the model")
    if path.suffix != ".py":
        raise UsageError(f"{place!r} is no model: give FILE.py:NAME")
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    with redirect_stdout(sys.stderr):
        module = run_file(path)
        found = attribute(module, path, name) if name else only_model(module, path)
        return as_model(found, place, path)


def split(place: str) -> tuple[Path, str]:
    """The file and the name of FILE.py:NAME; a colon after a drive letter separates nothing."""
    path, colon, name = place.rpartition(":")
    return (Path(path), name) if colon and path.lower().endswith(".py") else (Path(place), "")


def run_file(path: Path) -> ModuleType:
    """The module a file makes, with its own folder to import from; `if __name__ == "__main__"` is not run."""
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except KGraphError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(failure(error, path)) from error
    finally:
        sys.path.pop(0)
        if before is not None:
            sys.modules[name] = before
    return module


def failure(error: BaseException, path: Path) -> str:
    """What went wrong in the user's file, and on which line of it."""
    lines = [entry.lineno for entry in traceback.extract_tb(error.__traceback__) if entry.filename == str(path)]
    line = error.lineno if isinstance(error, SyntaxError) and error.filename == str(path) else (lines or [None])[-1]
    where = f"{path}, line {line}" if line else str(path)
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{where}: {type(error).__name__}: {said}" if said else f"{where}: {type(error).__name__}"


def attribute(module: ModuleType, path: Path, name: str) -> Any:
    """What the file calls `name`."""
    if not hasattr(module, name):
        models = ", ".join(models_of(module)) or "none"
        raise UsageError(f"{path} has no {name!r}; its models: {models}")
    return getattr(module, name)


def only_model(module: ModuleType, path: Path) -> Any:
    """The one model of a file."""
    models = models_of(module)
    if len(models) != 1:
        said = f"holds {len(models)} models, {', '.join(models)}" if models else "holds no model"
        raise UsageError(f"{path} {said}; say which with {path}:NAME")
    return next(iter(models.values()))


def models_of(module: ModuleType) -> dict[str, Any]:
    """The models of a file by their public names."""
    return {name: value for name, value in vars(module).items() if is_model(value) and not name.startswith("_")}


def as_model(found: Any, place: str, path: Path) -> Any:
    """The model itself; a function is called."""
    if is_model(found):
        return found
    if not callable(found):
        raise UsageError(f"{place} is a {type(found).__name__}, and no model or function that returns one")
    try:
        made = found()
    except KGraphError:
        raise
    except Exception as error:
        raise UsageError(f"{place}() failed: {failure(error, path)}") from error
    if not is_model(made):
        raise UsageError(f"{place}() returns a {type(made).__name__}, and no model")
    return made


def is_model(value: Any) -> bool:
    """Whether it is what `kgraph.compile` takes: an object, not a class, that traces itself."""
    return hasattr(value, "trace") and hasattr(value, "trainable_variables") and not isinstance(value, type)
