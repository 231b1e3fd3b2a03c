"""Whole models in one HDF5 file, Keras's older format: configuration in attributes, weights by layer in order.

It is for models that their configuration builds, and holds neither seeds nor the state of metrics. Everything in a file
is data: names are looked up where those of .keras files are, and arrays are checked as those of weights are.
"""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from kgraph import losses
from kgraph.errors import SavingError
from kgraph.graph.types import numpy_dtype
from kgraph.layers.layer import LAYERS
from kgraph.saving.archive import LONGEST_CONFIG, parsed
from kgraph.saving.hdf5 import checked, child, there, undamaged
from kgraph.tracing.variable import Variable

TOP = "top_level_model_weights"
LARGEST_ATTRIBUTE = 60_000  # bytes; HDF5 takes 64 KiB
COMPILED = ("loss", "loss_weights", "metrics", "weighted_metrics", "run_eagerly", "steps_per_execution", "jit_compile")

# Writing


def write(file: Any, model: Any, config: Mapping[str, Any], version: str) -> None:
    """Write a model of this configuration to an open file. version: that of Keras whose format it is.

    SavingError for a model whose weights a reader could not make from its configuration.
    """
    kinds = LAYERS["Functional"], LAYERS["Sequential"]
    if not (issubclass(type(model), kinds) and model.built):
        raise SavingError(
            f"model {model.name!r} is not defined by its layers alone, or not built, so a single HDF5 file cannot hold "
            "it; save it as .keras"
        )
    with h5py.File(file, "w") as store:
        store.attrs["keras_version"], store.attrs["backend"] = version, "jax"
        described = {"class_name": config["class_name"], "config": config["config"]}
        store.attrs["model_config"] = json.dumps(described)
        group = store.create_group("model_weights")
        group.attrs["keras_version"], group.attrs["backend"] = version, "jax"
        put_names(group, "layer_names", [layer.name for layer in model.layers])
        for layer in sorted(model.layers, key=lambda layer: layer.name):
            put_variables(group.create_group(layer.name), weights_of(layer))
        put_variables(group.create_group(TOP), own_weights(model))
        if model.compiled:
            store.attrs["training_config"] = json.dumps(training_config(model))
            if model.optimizer is not None and model.optimizer.variables:
                put_variables(store.create_group("optimizer_weights"), model.optimizer.variables)


def weights_of(layer: Any) -> list[Variable]:
    """The weights of a layer in the order of these files."""
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def own_weights(model: Any) -> list[Variable]:
    """The weights that the model holds itself, outside of its layers."""
    inside = {id(weight) for layer in model.layers for weight in layer.weights}
    return [weight for weight in model.weights if id(weight) not in inside]


def training_config(model: Any) -> dict[str, Any]:
    """What the model was compiled with. The optimizer comes last, by a name of its own."""
    given = model.get_compile_config()
    config = {key: given[key] for key in COMPILED}
    config["loss"] = long_names(config["loss"])
    optimizer = given["optimizer"]
    if optimizer is None:
        return config
    return {**config, "optimizer_config": {"class_name": optimizer["class_name"], "config": optimizer["config"]}}


def long_names(loss: Any) -> Any:
    """Losses with full names in the place of short ones, such as "mse", which Keras does not read in these files."""
    if isinstance(loss, list):
        return list(map(long_names, loss))
    if isinstance(loss, dict) and "class_name" not in loss:
        return {key: long_names(one) for key, one in loss.items()}
    found = losses.NAMES.get(loss) if isinstance(loss, str) else None
    return getattr(found, "__name__", loss) if inspect.isfunction(found) else loss


def put_variables(group: Any, variables: Sequence[Variable]) -> None:
    """Write arrays under the paths of their variables, and the paths in order."""
    names = [variable.path for variable in variables]
    clash = len({*names}) < len(names) or any(a.startswith(f"{b}/") for a in names for b in names)
    if clash:
        names = [f"{number}_{name.replace('/', '_')}" for number, name in enumerate(names)]
    put_names(group, "weight_names", names)
    for name, variable in zip(names, variables, strict=True):
        value = variable.numpy()
        data = group.create_dataset(name, data=value)
        if value.dtype.name == "bfloat16":
            data.attrs["dtype"] = "bfloat16"


def put_names(group: Any, key: str, names: Sequence[str]) -> None:
    """Write a list of names, in several attributes where one would be too large for HDF5."""
    data = np.asarray([name.encode() for name in names])
    parts = -(-data.nbytes // LARGEST_ATTRIBUTE)
    if parts <= 1:
        group.attrs[key] = data
        return
    for number, part in enumerate(np.array_split(data, parts)):
        group.attrs[f"{key}{number}"] = part


# Reading


def config_of(store: Any) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The configurations of the model, and of its training if there is one. SavingError for a file without a model."""
    model = read_json(store, "model_config")
    if not isinstance(model, dict) or not isinstance(model.get("config"), (dict, list)):
        raise SavingError("the file has no model_config, so it holds no whole model")
    if isinstance(model["config"], list):  # of the first versions of Keras 2
        model["config"] = {"name": "sequential", "layers": model["config"]}
    training = read_json(store, "training_config")
    return model, training if isinstance(training, dict) else None


def read_json(store: Any, key: str) -> Any:
    """The data in an attribute; None if there is none."""
    with undamaged(key):
        if key not in store.attrs:
            return None
        text = store.attrs[key]
    if not isinstance(text, (str, bytes)) or len(text) > LONGEST_CONFIG:
        raise SavingError(f"{key} of the file is no text of a configuration")
    return parsed(text, key)


def compile_config(training: Mapping[str, Any]) -> dict[str, Any]:
    """What `compile_from_config` takes."""
    config = {key: training[key] for key in COMPILED if training.get(key) is not None}
    kinds = {"loss": "keras.losses", "metrics": "keras.metrics", "weighted_metrics": "keras.metrics"}
    config |= {key: placed(config[key], kind) for key, kind in kinds.items() if key in config}
    return {**config, "optimizer": training.get("optimizer_config")}


def placed(nest: Any, module: str) -> Any:
    """Configurations with the module that these files leave out: there are losses and metrics of one name."""
    if isinstance(nest, list):
        return [placed(one, module) for one in nest]
    if not isinstance(nest, dict) or nest.get("module") is not None:
        return nest
    if "class_name" in nest:
        return {**nest, "module": module}
    return {key: placed(one, module) for key, one in nest.items()}


def restore(model: Any, group: Any, skip_mismatch: bool = False) -> None:
    """Take the weights of a group of layers, layer by layer in order.

    SavingError, before anything is written, if they do not fit; with skip_mismatch a warning, and what fits is taken.
    """
    layers = [layer for layer in model.layers if layer.weights]
    groups = [(name, arrays(subgroup(group, name))) for name in names_in(group, "layer_names")]
    groups = [(name, found) for name, found in groups if found]
    if len(groups) != len(layers):
        raise SavingError(f"the model has {len(layers)} layers with weights, and the file {len(groups)}")
    pairs = list(zip([layer.name for layer in layers], map(weights_of, layers), [g[1] for g in groups], strict=True))
    own = own_weights(model)
    if own and there(group, TOP):
        pairs.append((f"the model {model.name!r}", own, arrays(subgroup(group, TOP))))
    wrong = {name: message for name, weights, data in pairs if (message := misfit(name, weights, data))}
    if wrong and not skip_mismatch:
        raise SavingError(f"the file does not fit the model: {'; '.join(list(wrong.values())[:5])}")
    values = [(weights, list(map(read, data))) for name, weights, data in pairs if name not in wrong]
    for weights, found in values:
        for weight, value in zip(weights, found, strict=True):
            weight.assign(value)
    if wrong:
        warnings.warn(f"left as they were: {'; '.join(list(wrong.values())[:5])}", stacklevel=4)


def restore_optimizer(optimizer: Any, store: Any) -> None:
    """Take the state of an optimizer; warn if it does not fit, as Keras does."""
    if optimizer is None or not there(store, "optimizer_weights"):
        return
    data = arrays(subgroup(store, "optimizer_weights"))
    message = misfit(optimizer.name, optimizer.variables, data)
    if message is not None:
        warnings.warn(f"the optimizer begins anew: {message}", stacklevel=4)
        return
    optimizer.set_weights(list(map(read, data)))


def misfit(name: str, weights: Sequence[Variable], data: Sequence[Any]) -> str | None:
    """Why arrays do not fit weights; None if they do."""
    if len(weights) != len(data):
        return f"{name} has {len(weights)} weights, and the file {len(data)}"
    for weight, one in zip(weights, data, strict=True):
        if weight.shape != tuple(one.shape):
            return f"{name} has {weight.path} of shape {weight.shape}, and the file {tuple(one.shape)}"
    return None


def subgroup(group: Any, path: str) -> Any:
    """The group at a path of names; no link is followed."""
    with undamaged(path):
        found = group
        for part in filter(None, path.split("/")):
            if not isinstance(found, h5py.Group) or not there(found, part):
                raise SavingError(f"the file has no {path!r}")
            found = child(found, part, path)
        return found


def arrays(group: Any) -> list[Any]:
    """The arrays of a group, unread, in the order of their names."""
    if not isinstance(group, h5py.Group):
        raise SavingError("a layer's weights in the file are no group")
    return [checked(subgroup(group, name), name) for name in names_in(group, "weight_names")]


def read(data: Any) -> np.ndarray:
    """The numbers of a data set."""
    with undamaged(str(data.name)):
        value = np.asarray(data[()])
        return value.view(numpy_dtype("bfloat16")) if data.attrs.get("dtype") == "bfloat16" else value


def names_in(group: Any, key: str) -> list[str]:
    """The names in an attribute, or in several that are numbered."""
    with undamaged(key):
        return [
            name.decode() if isinstance(name, bytes) else str(name) for part in parts_of(group, key) for name in part
        ]


def parts_of(group: Any, key: str) -> Iterator[Any]:
    """The values of an attribute `key`, or of key0, key1, ..."""
    if key in group.attrs:
        yield np.ravel(group.attrs[key])
        return
    number = 0
    while f"{key}{number}" in group.attrs:
        yield np.ravel(group.attrs[f"{key}{number}"])
        number += 1
