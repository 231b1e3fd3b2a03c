"""Parameters have the names that Keras gives them, and its order, so a call of one is a call of the other."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import Parameter, signature
from typing import Any

import keras
import pytest

import kgraph as kg

MODULES = [
    "tree", "config", "utils", "ops", "ops.image", "ops.linalg", "ops.nn", "activations", "initializers",
    "regularizers", "constraints", "random", "saving", "backend", "losses", "metrics", "optimizers",
    "optimizers.schedules", "callbacks", "dtype_policies", "mixed_precision",
]  # fmt: skip
VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)

# Keras's parameters that kgraph has not.
ABSENT = {
    "utils.split_dataset": {"preferred_backend"},  # there is one
    "utils.timeseries_dataset_from_array": {"format"},  # of a framework's data sets
}
# kgraph's parameters that Keras has not; they come last.
MORE = {
    "utils.Progbar": ["*console", "*heading"],
    "callbacks.ProgbarLogger": ["console"],
}


def things(path: str) -> Iterator[tuple[str, Any, Any]]:
    """The name and both versions of every class and function that a module of both has."""
    theirs, ours = keras, kg
    for name in path.split("."):
        theirs, ours = getattr(theirs, name), getattr(ours, name)
    for name in dir(theirs):
        if not name.startswith("_") and callable(getattr(theirs, name)) and hasattr(ours, name):
            yield name, getattr(theirs, name), getattr(ours, name)


def parameters(thing: Any) -> list[str]:
    """The names, with a star for those that are given by name only; *args and **kwargs aside, which have none."""
    found = [one for one in signature(thing).parameters.values() if one.kind not in VARIADIC]
    return ["*" * (one.kind is Parameter.KEYWORD_ONLY) + one.name for one in found]


@pytest.mark.parametrize("path", MODULES)
def test_parameters_have_keras_names_and_order(path: str) -> None:
    unlike = {}
    for name, theirs, ours in things(path):
        known = f"{path}.{name}"
        wanted = [one for one in parameters(theirs) if one not in ABSENT.get(known, ())] + MORE.get(known, [])
        found = parameters(ours)
        if found != wanted:
            unlike[known] = found, wanted
    assert not unlike


@pytest.mark.parametrize("known", [*ABSENT, *MORE])
def test_a_difference_that_is_listed_is_one(known: str) -> None:
    path, _, name = known.rpartition(".")
    theirs, ours = next((theirs, ours) for found, theirs, ours in things(path) if found == name)
    assert parameters(theirs) != parameters(ours)
