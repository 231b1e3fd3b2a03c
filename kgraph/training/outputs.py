"""Which target, sample weight, loss and metric belongs to which output of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kgraph import tree
from kgraph.executable.arrays import by_output


@dataclass(frozen=True)
class Outputs:
    """The outputs of a model by name, in order; a model with one output may leave it without a name."""

    structure: Any
    names: list[str]

    @classmethod
    def of(cls, y_pred: Any, names: Sequence[str] | None) -> Outputs:
        """The outputs of this nest. names: what the model calls them; keys of a dict come first."""
        count = len(tree.flatten(y_pred))
        if isinstance(y_pred, Mapping) and not any(map(tree.is_nested, y_pred.values())):
            found = sorted(y_pred)
        elif names is not None and len(names) == count:
            found = list(names)
        else:
            found = [f"output_{number}" for number in range(1, count + 1)]
        return cls(y_pred, found)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def is_deep(self) -> bool:
        """Whether outputs lie in a nest within the nest."""
        return tree.is_nested(self.structure) and any(map(tree.is_nested, _parts(self.structure)))

    @property
    def paths(self) -> list[str]:
        """What the outputs' losses are called: "b/c" for the output c, or by the key c, in what the key b has."""
        found = zip(_keys(self.structure), self.names, strict=True)
        return [
            "/".join(map(str, keys if keys and isinstance(keys[-1], str) else (*keys[:-1], name)))
            for keys, name in found
        ]

    def each(self, value: Any, what: str, partial: bool = False) -> list[Any]:
        """One value for each output, from a dict by name, a list, or a nest like that of the outputs.

        partial: a dict may leave outputs out; they get None. ArgumentError for a name that no output has, or for
        another number of values than outputs.
        """
        if self.is_deep and tree.is_nested(value) and _goes_along(self.structure, value):
            return _along(self.structure, value)
        by_name = isinstance(value, Mapping)
        return by_output(self.names, value if by_name else tree.flatten(value), what, partial)


def _parts(structure: Any) -> list[Any]:
    return [structure[key] for key in sorted(structure)] if isinstance(structure, Mapping) else list(structure)


def _keys(structure: Any) -> list[tuple[Any, ...]]:
    """The keys that lead to each single output."""
    if not tree.is_nested(structure):
        return [()]
    keys = sorted(structure) if isinstance(structure, Mapping) else range(len(structure))
    return [(key, *rest) for key, part in zip(keys, _parts(structure), strict=True) for rest in _keys(part)]


def _goes_along(structure: Any, value: Any) -> bool:
    """Whether the value has something for parts of the structure; what lies deeper belongs to single outputs."""
    if not tree.is_nested(structure) or value is None:
        return True
    if isinstance(structure, Mapping):
        known = isinstance(value, Mapping) and value.keys() <= structure.keys()
        return known and all(_goes_along(structure[key], one) for key, one in value.items())
    listed = isinstance(value, (list, tuple)) and len(value) == len(structure)
    return listed and all(map(_goes_along, structure, value))


def _along(structure: Any, value: Any) -> list[Any]:
    """The values that the single outputs of a structure get; None for those left out."""
    if not tree.is_nested(structure):
        return [value]
    if value is None:
        return [None] * len(tree.flatten(structure))
    given = [value.get(key) for key in sorted(structure)] if isinstance(structure, Mapping) else value
    return [one for part, own in zip(_parts(structure), given, strict=True) for one in _along(part, own)]
