"""What of a model goes into a file of weights, and where: the layout of Keras's files."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from kgraph.errors import KGraphError, SavingError
from kgraph.layers.heads import GroupedQueryAttention, MultiHeadAttention
from kgraph.layers.layer import LAYERS, Layer
from kgraph.layers.owner import Owner
from kgraph.named import snake_case
from kgraph.random import SeedGenerator
from kgraph.tracing.variable import Variable

# Where Keras has other names for what a layer holds.
NAMES: dict[type, dict[str, str]] = {
    MultiHeadAttention: {"gate_dense": "_gate_dense", "dropout_layer": "_dropout_layer"},
    GroupedQueryAttention: {
        f"{one}": f"_{one}"
        for one in ("query_dense", "key_dense", "value_dense", "gate_dense", "output_dense", "dropout_layer")
    },
}
SEEDS = "seed_generator"


@dataclass
class Place:
    """Something with variables of its own, and its group in a file."""

    path: str
    thing: Any

    @property
    def name(self) -> str:
        """The name that Keras notes in the group."""
        name = getattr(self.thing, "name", "")
        return name if isinstance(name, str) else ""


def places(root: Any) -> Iterator[Place]:
    """The model and all that it holds, each once, in the order in which Keras comes by: attributes by their names."""
    yield from _walk(root, "", set())


def _walk(thing: Any, path: str, seen: set[int]) -> Iterator[Place]:
    if id(thing) in seen:
        return
    seen.add(id(thing))
    yield Place(path, thing)
    numbers: dict[str, int] = {}
    for seed in getattr(thing, "_seeds", ()):
        if id(seed) not in seen:
            seen.add(id(seed))
            yield Place(_joined(path, numbered(SEEDS, numbers)), seed)
    for name, value in members(thing):
        yield from _visit(value, _joined(path, name), seen)


def _visit(value: Any, path: str, seen: set[int]) -> Iterator[Place]:
    if has_state(value):
        yield from _walk(value, path, seen)
    elif isinstance(value, (list, tuple, dict)):
        numbers: dict[str, int] = {}
        for one in value.values() if isinstance(value, dict) else value:
            if has_state(one):
                yield from _walk(one, _joined(path, numbered(snake_case(type(one).__name__), numbers)), seen)
            elif isinstance(one, (list, tuple, dict)):
                yield from _visit(one, _joined(path, numbered("container", numbers)), seen)


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def numbered(name: str, numbers: dict[str, int]) -> str:
    """dense, dense_1, dense_2: the name with how often it came before."""
    number = numbers[name] = numbers.get(name, -1) + 1
    return f"{name}_{number}" if number else name


def has_state(value: Any) -> bool:
    """Whether it is a layer or an optimizer."""
    return isinstance(value, Owner) or (hasattr(value, "save_own_variables") and not isinstance(value, type))


def members(thing: Any) -> Iterator[tuple[str, Any]]:
    """What a layer or model holds, by Keras's names: the layers of a model made of symbols or a stack come first."""
    models = tuple(LAYERS[name] for name in ("Functional", "Sequential"))
    if isinstance(thing, models):
        yield "layers", thing.layers  # type: ignore[attr-defined]
    renamed = next((NAMES[cls] for cls in type(thing).__mro__ if cls in NAMES), {})
    found = {renamed.get(name, name): name for name in attributes(thing)}
    for name in sorted(found, key=lambda name: f"~{name}" if name.startswith("_") else name):
        try:
            value = getattr(thing, found[name])
        except Exception:  # a property of the user's that does not work now
            continue
        yield name, value


def attributes(thing: Any) -> set[str]:
    """The attributes that may hold layers: those of the object, and those of the user's classes."""
    own = set(vars(thing)) if hasattr(thing, "__dict__") else set()
    for cls in type(thing).__mro__:
        if cls.__module__.split(".")[0] not in ("kgraph", "builtins"):
            own |= set(vars(cls))
    own -= not_members(next((LAYERS[n] for n in ("Functional", "Sequential", "Model") if type_is(thing, n)), Layer))
    if type_is(thing, "Model"):
        own |= {"layers", "optimizer"}
    return {name for name in own if not name.startswith("__")}


def type_is(thing: Any, name: str) -> bool:
    """Whether it is of this class of kgraph's, or of one made from it."""
    return isinstance(thing, LAYERS.get(name, ()))


@cache
def not_members(cls: type) -> frozenset[str]:
    """The attributes that every object of a class has, which are none of the user's."""
    annotated = {name for one in cls.__mro__ for name in vars(one).get("__annotations__", ())}
    return frozenset(dir(Layer(name="any")) + dir(cls)) | annotated


def arrays_of(thing: Any) -> dict[str, np.ndarray]:
    """The arrays that a layer or optimizer puts into a file, by their names in its group."""
    if isinstance(thing, SeedGenerator):
        return {"0": thing.state.numbers}
    store: dict[str, Any] = {}
    thing.save_own_variables(store)
    return {key: value.numbers if isinstance(value, Variable) else np.asarray(value) for key, value in store.items()}


def groups(root: Any) -> Iterator[tuple[str, str, dict[str, np.ndarray]]]:
    """What a file of weights holds: path, name of the owner, and its arrays, for each that has some."""
    for place in places(root):
        arrays = arrays_of(place.thing)
        if arrays:
            yield place.path, place.name, arrays


def restore(root: Any, reader: Any, skip_mismatch: bool = False) -> None:
    """Take the values of a file. Unless skip_mismatch, SavingError before anything is written if they do not fit."""
    found = [(place, group_of(reader, place)) for place in places(root)]
    wrong = {id(place): message for place, group in found if (message := mismatch(place, group)) is not None}
    if wrong and not skip_mismatch:
        raise SavingError(refusal(wrong.values()))
    for place, group in found:
        if id(place) not in wrong and group is not None:
            try:
                load(place, group)
            except KGraphError as error:
                if not skip_mismatch:
                    raise
                wrong[id(place)] = str(error)
    if wrong:
        warnings.warn(refusal(wrong.values()), stacklevel=3)


def refusal(messages: Iterable[str]) -> str:
    """What does not fit, the first few in full."""
    messages = list(messages)
    more = f"; and {len(messages) - 5} more" if len(messages) > 5 else ""
    return f"the file does not fit the model: {'; '.join(messages[:5])}{more}"


def group_of(reader: Any, place: Place) -> Any:
    """The group of a place. Some versions of Keras begin a name with an underscore that others leave out."""
    group = reader.group(place.path)
    if group is None and place.path:
        above, _, last = place.path.rpartition("/")
        group = reader.group(_joined(above, last[1:] if last.startswith("_") else f"_{last}"))
    return group


def mismatch(place: Place, group: Any) -> str | None:
    """Why a group does not fit its owner; None if it does, or if only the owner can tell."""
    thing, what = place.thing, f"{place.path or 'the model'} ({place.name})"
    if not isinstance(thing, Owner):
        return None
    known = arrays_of(thing)
    if group is None:
        return f"{what} has {len(known)} variables, and the file has none for it" if known else None
    loader = type(thing).load_own_variables
    if not loader.__module__.startswith("kgraph."):
        return None
    if set(group) != set(known):
        return f"{what} has variables {', '.join(known)}, and the file has {', '.join(group)}"
    for key, value in known.items():
        if group.shape(key) != value.shape:
            return f"{what} has variable {key} of shape {value.shape}, and the file has {group.shape(key)}"
    return None


def load(place: Place, group: Mapping[str, Any]) -> None:
    """Let an owner take its arrays."""
    thing = place.thing
    if isinstance(thing, SeedGenerator):
        state = group.get("0")
        if state is not None and state.shape == thing.state.shape:
            thing.state.write(state)
    elif not isinstance(thing, Owner) and set(group) == {"0", "1"} and len(thing.variables) > 2:
        for key, variable in zip(("0", "1"), thing.variables, strict=False):  # of an optimizer that did nothing yet
            variable.assign(group[key])
    else:
        thing.load_own_variables(group)
