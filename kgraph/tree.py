"""Nests of lists, tuples and dicts: what a layer takes, and what a model returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from kgraph.errors import ArgumentError
from kgraph.missing import missing


def flatten(structure: Any) -> list[Any]:
    """The leaves, from left to right; dicts in the order of their sorted keys."""
    return list(_leaves(structure))


def pack_sequence_as(structure: Any, flat_sequence: Iterable[Any]) -> Any:
    """The same nest with the leaves taken from `flat_sequence`. ArgumentError unless there is one for each place."""
    leaves, places = list(flat_sequence), len(flatten(structure))
    if len(leaves) != places:
        raise ArgumentError(f"the structure has places for {places} leaves, and was given {len(leaves)}")
    rest = iter(leaves)
    return _mapped(lambda _: next(rest), structure)


def map_structure(func: Callable[..., Any], *structures: Any, none_is_leaf: bool = True) -> Any:
    """The nest of `func(leaf of the first, leaf of the second ...)`. ArgumentError unless the nests are alike.

    none_is_leaf=False: where the first has None, the result has None, and `func` is not asked.
    """
    if not structures:
        raise ArgumentError("map_structure wants a structure after the function")
    asked = func if none_is_leaf else lambda first, *others: None if first is None else func(first, *others)
    return _mapped(asked, *structures)


def _mapped(function: Callable[..., Any], structure: Any, *others: Any) -> Any:
    if isinstance(structure, dict):
        if any(not isinstance(other, dict) or other.keys() != structure.keys() for other in others):
            raise ArgumentError(f"the structures are not alike: a dict of {sorted(structure)} stands beside another")
        done = {key: _mapped(function, structure[key], *(o[key] for o in others)) for key in sorted(structure)}
        return type(structure)((key, done[key]) for key in structure)
    if isinstance(structure, (list, tuple)):
        if any(not isinstance(other, (list, tuple)) or len(other) != len(structure) for other in others):
            raise ArgumentError(f"the structures are not alike: {len(structure)} items stand beside others")
        items = [_mapped(function, *group) for group in zip(structure, *others, strict=True)]
        return type(structure)(*items) if hasattr(structure, "_fields") else type(structure)(items)
    return function(structure, *others)


def is_nested(structure: Any) -> bool:
    """Whether it is a list, tuple or dict."""
    return isinstance(structure, (list, tuple, dict))


def signature(structure: Any) -> Any:
    """What equal nests share, leaves aside; hashable."""
    if isinstance(structure, dict):
        return tuple((key, signature(structure[key])) for key in sorted(structure))
    return (type(structure), *map(signature, structure)) if isinstance(structure, (list, tuple)) else 0


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        raise missing("tree", name)


def _leaves(structure: Any) -> Iterator[Any]:
    if isinstance(structure, dict):
        for key in sorted(structure):
            yield from _leaves(structure[key])
    elif isinstance(structure, (list, tuple)):
        for item in structure:
            yield from _leaves(item)
    else:
        yield structure
