"""Objects as plain data, and back. What data may name is in tables; nothing that data names is ever imported."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kgraph import activations, constraints, dtype_policies, losses, metrics, regularizers
from kgraph import random as random_numbers
from kgraph.errors import KGraphError, SavingError
from kgraph.graph.types import DTYPES, numpy_dtype
from kgraph.initializers import lookup
from kgraph.layers.layer import LAYERS, Layer
from kgraph.layers.nested import deserialize as layer_of
from kgraph.named import to_config
from kgraph.optimizers import LossScaleOptimizer, MultiOptimizer, schedules
from kgraph.optimizers import lookup as lookup_of_optimizers
from kgraph.registry import CustomObjectScope, get_registered_object
from kgraph.tracing.trace import Symbol
from kgraph.tracing.variable import Variable

OPTIMIZERS = (*lookup_of_optimizers.CLASSES, LossScaleOptimizer, MultiOptimizer)
PLAIN = (str, int, float, bool, type(None))

# All that a configuration can name without the user's help, by the package of Keras it is in.
TABLES: dict[str, Mapping[str, Any]] = {
    "layers": LAYERS,
    "models": LAYERS,
    "initializers": lookup.NAMES,
    "regularizers": regularizers.NAMES,
    "constraints": constraints.NAMES,
    "activations": activations.NAMES,
    "losses": losses.NAMES,
    "metrics": metrics.NAMES,
    "optimizers": {one.__name__: one for one in OPTIMIZERS} | schedules.NAMES,
    "dtype_policies": {"DTypePolicy": dtype_policies.DTypePolicy},
    "random": {"SeedGenerator": random_numbers.SeedGenerator},
}
FUNCTIONS = ("activations", "losses", "metrics", "initializers", "regularizers", "constraints")
REBUILD = "build the model in Python as it was built, and call model.load_weights(path)"


def serialize_keras_object(obj: Any) -> Any:
    """An object, a function, an array, or a nest of them, as data that JSON can hold, in the form Keras writes.

    SavingError for what no data can describe, such as a lambda.
    """
    if isinstance(obj, PLAIN):
        return obj
    if isinstance(obj, (list, tuple)):
        return [serialize_keras_object(one) for one in obj]
    if isinstance(obj, Mapping):
        return {str(key): serialize_keras_object(one) for key, one in obj.items()}
    if isinstance(obj, (np.generic, np.ndarray, bytes, slice, type(Ellipsis))):
        return _special(obj)
    if isinstance(obj, (Symbol, Variable)):
        raise SavingError(f"{obj!r:.80} is no plain data, so a configuration cannot hold it")
    return _described(obj)


def _special(obj: Any) -> Any:
    """Values of Python and numpy that JSON does not know."""
    if isinstance(obj, np.ndarray) and obj.ndim:
        return {"class_name": "__numpy__", "config": {"value": obj.tolist(), "dtype": obj.dtype.name}}
    if isinstance(obj, (np.generic, np.ndarray)):
        return obj.item()
    if isinstance(obj, bytes):
        return {"class_name": "__bytes__", "config": {"value": obj.decode()}}
    if isinstance(obj, slice):
        parts = {name: serialize_keras_object(getattr(obj, name)) for name in ("start", "stop", "step")}
        return {"class_name": "__slice__", "config": parts}
    return {"class_name": "__ellipsis__", "config": {}}


def _described(obj: Any) -> dict[str, Any]:
    if getattr(obj, "__name__", "") == "<lambda>":
        raise SavingError(
            "a lambda cannot be saved: a file would have to hold its code, which is never run here. Define it with "
            "`def` and register it with @kgraph.saving.register_keras_serializable()"
        )
    config = dict(to_config(obj))
    config["config"] = serialize_keras_object(config["config"])
    for what in ("build", "compile"):
        given = getattr(obj, f"get_{what}_config", None)
        found = given() if given is not None and not inspect.isclass(obj) else None
        if found is not None:
            config[f"{what}_config"] = serialize_keras_object(found)
    return config


def deserialize_keras_object(
    config: Any, custom_objects: Mapping[str, Any] | None = None, safe_mode: bool = True, **_: Any
) -> Any:
    """What `serialize_keras_object` described. custom_objects: classes and functions that are not kgraph's, by name.

    Only classes and functions of kgraph, registered ones and those of custom_objects can be named; SavingError for all
    else. That includes code of lambdas, whatever safe_mode is.
    """
    with CustomObjectScope(custom_objects):
        return made(config)


def made(config: Any, tensor: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """What data describes. `tensor` finds the tensors of a definition that the data refers to."""
    if isinstance(config, (list, tuple)):
        return [made(one, tensor) for one in config]
    if not isinstance(config, dict):
        return config
    if "class_name" not in config or "config" not in config:
        return {key: made(one, tensor) for key, one in config.items()}
    name, inner = config["class_name"], config["config"]
    if not isinstance(name, str):
        raise SavingError(f"a class_name is a string, not {name!r:.60}")
    if name == "__keras_tensor__" and tensor is not None:
        return tensor(inner)
    if name.startswith("__"):
        return value_of(name, inner)
    if name == "function":
        return function_named(inner, config)
    return object_of(name, config)


def value_of(name: str, inner: Any) -> Any:
    """A value that JSON does not know; SavingError for one that only running code could make."""
    if name == "__lambda__":
        raise SavingError(
            "the file holds the code of a lambda, which is never run here, with safe_mode=False neither; " + REBUILD
        )
    if name == "__ellipsis__":
        return Ellipsis
    if name in ("__numpy__", "__tensor__", "__bytes__", "__slice__") and isinstance(inner, dict):
        if name == "__slice__":
            return slice(*(inner.get(part) for part in ("start", "stop", "step")))
        if name == "__bytes__":
            return str(inner.get("value")).encode()
        if inner.get("dtype") in DTYPES:
            return np.array(inner.get("value"), numpy_dtype(inner["dtype"]))
    raise SavingError(f"{name!r} is no value that a configuration can hold here")


def function_named(name: Any, config: Mapping[str, Any]) -> Any:
    """A registered function, one of custom_objects, or one of kgraph's activations, losses, ..., by its name."""
    module = str(config.get("module") or "builtins")
    if not isinstance(name, str):
        raise SavingError(f"a function is given by its name, not by {name!r:.60}")
    own = get_registered_object(name) or get_registered_object(config.get("registered_name"))
    if own is not None:
        return own
    kinds = [kind_of(module)] if module.startswith("keras.") else FUNCTIONS if module == "builtins" else []
    for kind in kinds:
        found = TABLES[kind].get(name) if kind in FUNCTIONS else None
        if found is not None:
            return found
    raise unknown("function", name, module)


def object_of(name: str, config: Mapping[str, Any], build: bool = True) -> Any:
    """An object of a registered class, one of custom_objects, or one of kgraph's, by its configuration.

    Without `build`, the weights of a layer are left to its first call, unless it has a way of its own to build.
    """
    cls = class_named(name, config)
    if not isinstance(config["config"], dict):
        raise SavingError(f"the configuration of a {name} is a dict, not {config['config']!r:.60}")
    try:
        return _of_class(cls, name, config, build)
    except KGraphError:
        raise
    except (TypeError, KeyError, AttributeError, IndexError, ValueError, RecursionError, OverflowError) as error:
        raise SavingError(f"no {name} can be made of its configuration: {type(error).__name__}: {error}") from error


def class_named(name: str, config: Mapping[str, Any]) -> Any:
    """The class that a configuration names."""
    module = config.get("module")
    ours = str(module or "keras").split(".")[0] in ("keras", "kgraph")  # Keras 2 wrote none
    own = get_registered_object(config.get("registered_name") or name) or (
        None if ours else get_registered_object(name)
    )
    if own is not None:
        return own
    kinds = [] if not ours else [kind_of(str(module))] if "." in str(module) else list(TABLES)
    for kind in kinds:
        found = TABLES.get(kind, {}).get(name)
        if inspect.isclass(found):
            return found
    raise unknown("class", name, module)


def kind_of(module: str) -> str:
    """The table for a module of Keras: "layers" for keras.layers and keras.src.layers.core.dense."""
    return next((part for part in module.split(".")[1:] if part != "src"), "")


def unknown(what: str, name: str, module: Any) -> SavingError:
    """The error for a name that is in no table."""
    return SavingError(
        f"the {what} {name!r} of {module!r} is neither one that kgraph reads from files nor a registered one, and "
        "nothing is imported because a file names it. If it is yours, register it with "
        f"@kgraph.saving.register_keras_serializable(), or give custom_objects={{{name!r}: ...}}"
    )


def _of_class(cls: Any, name: str, config: Mapping[str, Any], build: bool) -> Any:
    if inspect.isroutine(cls):
        return cls
    if not hasattr(cls, "from_config"):
        raise SavingError(f"{name} has no from_config, so no configuration makes one of it")
    if name == "DTypePolicy" and cls is dtype_policies.DTypePolicy:
        return dtype_policies.get(dict(config))
    layered = issubclass(cls, Layer)
    thing = layer_of(dict(config)) if layered else cls.from_config(dict(config["config"]))
    build = build or (layered and cls.build_from_config is not Layer.build_from_config)
    if layered and build and not thing.built and isinstance(config.get("build_config"), dict):
        thing.build_from_config(config["build_config"])
    if config.get("compile_config") and hasattr(thing, "compile_from_config"):
        thing.compile_from_config(config["compile_config"])
    return thing
