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

    def each(self, value: Any, what: str, partial: bool = False) -> list[Any]:
        """One value for each output, from a dict by name, a list, or a nest like that of the outputs.

        partial: a dict may leave outputs out; they get None. ArgumentError for a name that no output has, or for
        another number of values than outputs.
        """
        by_name = isinstance(value, Mapping)
        return by_output(self.names, value if by_name else tree.flatten(value), what, partial)
