"""Models and weights in files: Keras's .keras, .h5 and .weights.h5, and .safetensors for weights."""

from __future__ import annotations

import datetime
import io
import json
import os
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from kgraph.allowance import limited_to
from kgraph.errors import MissingExtraError, SavingError
from kgraph.layers.layer import LAYERS
from kgraph.registry import CustomObjectScope, sharing
from kgraph.saving import safetensors, state
from kgraph.saving.archive import CONFIG, METADATA, WEIGHTS, Archive, parsed
from kgraph.saving.atomic import written_whole
from kgraph.saving.objects import REBUILD, made, serialize_keras_object

KERAS_VERSION = "3.15.1"  # whose format this is
IN_MEMORY = 1 << 28  # weights up to this size wait in memory until they go into the archive
ROOM = 1 << 28  # bytes of weights that any file may ask for, and
EXPANSION = 20  # what it may ask for besides, for each of its bytes
MAGIC = b"\x89HDF\r\n\x1a\n"
KINDS = "a path for weights ends in .weights.h5 or .safetensors"


def hdf5() -> ModuleType:
    """The reader and writer of HDF5. MissingExtraError without the package h5py."""
    try:
        from kgraph.saving import hdf5 as found
    except ImportError as error:
        raise MissingExtraError(f"{error}: .keras and .h5 files need h5py; pip install kgraph[keras]") from error
    return found


def whole() -> ModuleType:
    """The reader and writer of whole models in HDF5. MissingExtraError without the package h5py."""
    hdf5()
    from kgraph.saving import whole as found

    return found


# Whole models


def save_model(model: Any, filepath: Any, overwrite: bool = True, zipped: bool | None = None, **options: Any) -> None:
    """Write a model, its weights and the state of its training to a .keras file, which Keras 3 reads too.

    filepath: a path that ends in .keras, or a file open for writing; or a path that ends in .h5 or .hdf5, for Keras's
    older format. The old file stays whole until the new one is. SavingError for what no file can hold, such as a
    lambda, and for another kind of file.
    """
    if options or zipped is False:
        raise SavingError(f"models are written as .keras archives; {sorted(options) or 'zipped=False'} is not offered")
    if is_whole(filepath):
        config = configuration(model)
        with written_whole(filepath, overwrite) as file:
            whole().write(file, model, config, KERAS_VERSION)
        return
    if not isinstance(filepath, io.IOBase) and not str(filepath).endswith(".keras"):
        raise SavingError(f"{str(filepath)!r}: a path for a model ends in .keras or .h5 ({KINDS})")
    if not model.built:
        warnings.warn("the model is not built yet, so it is saved without weights; call it on data first", stacklevel=3)
    config = configuration(model)
    writer = hdf5()
    with written_whole(filepath, overwrite) as file, zipfile.ZipFile(file, "w") as archive:
        now = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
        archive.writestr(METADATA, json.dumps({"keras_version": KERAS_VERSION, "date_saved": now}))
        archive.writestr(CONFIG, json.dumps(config))
        # HDF5 is not written from the front to the back, so it cannot go into the archive at once.
        beside = None if isinstance(filepath, io.IOBase) else os.path.dirname(os.path.realpath(filepath))
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, dir=beside) as weights:
            writer.write(weights, state.groups(model))
            weights.seek(0)
            with archive.open(WEIGHTS, "w", force_zip64=True) as member:
                shutil.copyfileobj(weights, member, 1 << 20)


def is_whole(filepath: Any) -> bool:
    """Whether a path is one for a whole model in HDF5."""
    name = "" if isinstance(filepath, io.IOBase) else str(filepath)
    return name.endswith((".h5", ".hdf5")) and not name.endswith((".weights.h5", ".weights.hdf5"))


def configuration(model: Any) -> dict[str, Any]:
    """The data that a model can be made of again, without its weights; layers in several places are numbered."""
    with sharing():
        config = serialize_keras_object(model)
    counts: dict[int, int] = {}
    for one in numbered_in(config):
        counts[one["shared_object_id"]] = counts.get(one["shared_object_id"], 0) + 1
    for one in numbered_in(config):
        if counts[one["shared_object_id"]] == 1:
            del one["shared_object_id"]
    return config


def numbered_in(config: Any) -> list[dict[str, Any]]:
    """The configurations in a nest that have the number of an object."""
    inner = config.values() if isinstance(config, dict) else config if isinstance(config, list) else ()
    found = [one for value in inner for one in numbered_in(value)]
    return [*found, config] if isinstance(config, dict) and "shared_object_id" in config else found


def load_model(
    filepath: Any, custom_objects: Mapping[str, Any] | None = None, compile: bool = True, safe_mode: bool = True
) -> Any:
    """The model of a .keras file, or of a whole model in HDF5, that kgraph or Keras wrote.

    custom_objects: classes and functions that are not kgraph's and not registered, by name. compile: compile it as it
    was, and take the optimizer's state. safe_mode is Keras's: code in a file is never run here, whatever it is.
    SavingError for a file that is damaged, does not fit, or names what is not known; nothing in it is imported or run.
    """
    with opened(filepath, (".keras",)) as file:
        start = file.read(8)
        file.seek(0)
        if start == MAGIC:
            return whole_model(file, custom_objects, compile)
        archive = Archive(file)
        config = archive.json(CONFIG)
        if not isinstance(config, dict):
            raise SavingError(f"{CONFIG} describes no model")
        if not compile:
            config["compile_config"] = None
        with limited_to(ROOM + EXPANSION * archive.size):
            model = model_of(config, custom_objects)
        with archive.weights() as weights, hdf5().reading(weights) as reader:
            state.restore(model, reader)
    return model


def whole_model(file: BinaryIO, custom_objects: Mapping[str, Any] | None, compile: bool) -> Any:
    """The model of a file in Keras's older format."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    with hdf5().reading(file) as reader:
        config, training = whole().config_of(reader.store)
        if compile and training is not None:
            config["compile_config"] = whole().compile_config(training)
        with limited_to(ROOM + EXPANSION * size):
            model = model_of(config, custom_objects)
        if not model.built:
            raise SavingError(f"the file does not say how the weights of model {model.name!r} are made; {REBUILD}")
        whole().restore(model, whole().subgroup(reader.store, "model_weights"))
        if model.compiled:
            whole().restore_optimizer(model.optimizer, reader.store)
    return model


def model_of(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The model that a configuration describes. SavingError if it describes something else."""
    try:
        with sharing(), CustomObjectScope(custom_objects):
            model = made(config)
    except RecursionError as error:
        raise SavingError("the configuration is nested too deeply to be one of a model") from error
    if not isinstance(model, LAYERS["Model"]):
        raise SavingError(f"the configuration describes a {type(model).__name__}, and no model")
    return model


def model_to_json(model: Any, **options: Any) -> str:
    """The configuration of a model as text; options are those of `json.dumps`."""
    return json.dumps(configuration(model), **options)


def model_from_json(json_string: str, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The model that `to_json` described, with new weights. SavingError for text that describes none."""
    return model_of(parsed(json_string, "the text"), custom_objects)


# Weights


def save_weights(model: Any, filepath: Any, overwrite: bool = True, max_shard_size: Any = None) -> None:
    """Write weights, moving statistics, seeds and the optimizer's state to a .weights.h5 or .safetensors file.

    The first is Keras's format. The old file stays whole until the new one is. SavingError for another kind of file.
    """
    if max_shard_size is not None:
        raise SavingError("weights are written to one file; max_shard_size is not offered")
    if not model.built:
        raise SavingError(f"model {model.name!r} has no weights before it is built: call it on data, or build(shape)")
    name = str(filepath)
    write: Callable[..., None]
    if name.endswith(".safetensors"):
        write = safetensors.write
    elif name.endswith(".weights.h5"):
        write = hdf5().write
    else:
        raise SavingError(f"{name!r}: {KINDS}")
    with written_whole(filepath, overwrite) as file:
        write(file, state.groups(model))


def load_weights(model: Any, filepath: Any, skip_mismatch: bool = False, **options: Any) -> None:
    """Take the values of a .weights.h5, .safetensors or .keras file.

    SavingError, before anything is written, if they do not fit. With skip_mismatch what does not fit stays as it is,
    and a warning says so.
    """
    if options:
        raise SavingError(f"load_weights does not know {', '.join(sorted(options))}")
    if not model.built:
        raise SavingError(f"model {model.name!r} has no weights before it is built: call it on data, or build(shape)")
    endings = (".weights.h5", ".safetensors", ".keras")
    with opened(filepath, endings) as file, reader_of(file, str(filepath)) as reader:
        if reader.is_whole_model:
            whole().restore(model, reader.layers, skip_mismatch)
            return
        state.restore(model, reader, skip_mismatch)


@contextmanager
def reader_of(file: BinaryIO, name: str) -> Iterator[Any]:
    """The reader for the kind of file that a name says."""
    if name.endswith(".safetensors"):
        with safetensors.reading(file) as reader:
            yield reader
    elif name.endswith(".keras"):
        with Archive(file).weights() as weights, hdf5().reading(weights) as reader:
            yield reader
    else:
        with hdf5().reading(file) as reader:
            yield reader


@contextmanager
def opened(place: Any, endings: tuple[str, ...]) -> Iterator[BinaryIO]:
    """A file to read. SavingError if there is none, or if its name says that it is of another kind."""
    if isinstance(place, io.IOBase):
        yield place  # type: ignore[misc]
        return
    path = Path(place)
    if path.is_dir():
        raise SavingError(f"{path} is a directory; kgraph reads files that end in {', '.join(endings)}")
    if not path.exists():
        raise SavingError(f"there is no file {path}")
    if not path.name.endswith((*endings, ".h5", ".hdf5")):
        raise SavingError(f"{path} does not end in {' or '.join(endings)}")
    with path.open("rb") as file:
        yield file
