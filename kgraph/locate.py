"""The model that a command line means by `mnist.py:model` or `mnist.keras`."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any

from kgraph.errors import KGraphError
from kgraph.saving import load_model

SAVED = (".keras", ".h5", ".hdf5")


class UsageError(Exception):
    """A command line that means nothing; the message says what to do."""


def model_at(place: str) -> Any:
    """The model that FILE.py:NAME names: an object, or what a function of no arguments returns.

    Without a name, the only model of the file. A saved model, FILE.keras or FILE.h5, is loaded. UsageError if it is not
    there; what the file prints goes to stderr.
    """
    path, name = split(place)
    if path.suffix not in (".py", *SAVED):
        raise UsageError(f"{place!r} is no model: give FILE.py:NAME, or FILE.keras")
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    if path.suffix in SAVED:
        return load_model(path, compile=False)
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
        with located(path):
            spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
        if before is not None:
            sys.modules[name] = before
    return module


@contextmanager
def located(path: Path, before: str = "") -> Iterator[None]:
    """Tell where in the user's file something went wrong: UsageError, or a KGraphError with a note."""
    try:
        yield
    except KGraphError as error:
        line = line_of(error, path)
        if line and not any(note.strip().startswith("from ") for note in getattr(error, "__notes__", ())):
            error.add_note(f"from {path.name}:{line}")
        raise
    except (Exception, SystemExit) as error:
        line = line_of(error, path)
        where = f"{path}, line {line}" if line else str(path)
        said = (error.msg if isinstance(error, SyntaxError) else str(error)) or ""
        raise UsageError(f"{before}{where}: {type(error).__name__}{said and ': '}{said}") from error


def line_of(error: BaseException, path: Path) -> int | None:
    """The last line of the file that was running, or the one that is no Python."""
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).resolve() == path.resolve():
        return error.lineno
    entries = traceback.extract_tb(error.__traceback__)
    return next((entry.lineno for entry in reversed(entries) if Path(entry.filename).resolve() == path.resolve()), None)


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
    with located(path, f"{place}() failed: "):
        made = found()
    if not is_model(made):
        raise UsageError(f"{place}() returns a {type(made).__name__}, and no model")
    return made


def is_model(value: Any) -> bool:
    """Whether it is what `kgraph.compile` takes: an object, not a class, that traces itself."""
    return hasattr(value, "trace") and hasattr(value, "trainable_variables") and not isinstance(value, type)
