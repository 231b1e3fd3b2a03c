"""Nests of lists, tuples and dicts: what a layer takes, and what a model returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from kgraph.missing import missing


def flatten(structure: Any) -> list[Any]:
    """The leaves, from left to right; dicts in the order of their sorted keys."""
    return list(_leaves(structure))


def pack_sequence_as(structure: Any, flat: Any) -> Any:
    """The same nest with the leaves taken from `flat`."""
    rest = iter(flat)
    packed = map_structure(lambda _: next(rest), structure)
    if next(rest, _leaves) is not _leaves:
        raise ValueError("more leaves than the structure has places")
    return packed


def map_structure(function: Callable[..., Any], structure: Any, *others: Any) -> Any:
    """The nest of `function(leaf, leaf of the others ...)`."""
    if isinstance(structure, dict):
        done = {key: map_structure(function, structure[key], *(o[key] for o in others)) for key in sorted(structure)}
        return type(structure)((key, done[key]) for key in structure)
    if isinstance(structure, (list, tuple)):
        items = [map_structure(function, *group) for group in zip(structure, *others, strict=True)]
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
