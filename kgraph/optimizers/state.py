"""The variables of an optimizer: made in an order, named, saved and loaded as Keras does it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from kgraph import initializers, ops
from kgraph.errors import ArgumentError, SettingError
from kgraph.tracing.trace import active
from kgraph.tracing.variable import Variable


class State:
    """An object that owns variables, in the order in which they were made."""

    name: str
    built: bool
    _variables: list[Variable]

    def __setattr__(self, name: str, value: Any) -> None:
        """A Variable put into an attribute belongs to the state."""
        if "_variables" not in self.__dict__:
            raise SettingError(f"{type(self).__name__}.__init__ must call super().__init__() before it sets {name}")
        if isinstance(value, Variable) and all(value is not one for one in self._variables):
            self._variables.append(value)
        super().__setattr__(name, value)

    @property
    def variables(self) -> list[Variable]:
        """The count of steps, the learning rate, and what `build` made, in the order in which Keras saves them."""
        return list(self._variables)

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str = "none",
        layout: Any = None,
        name: str | None = None,
    ) -> Variable:
        """A new variable of the state; dtype defaults to `config.floatx()`. aggregation and layout have no effect."""
        variable = Variable(initializers.get(initializer), tuple(shape), dtype, trainable=False, name=name)
        variable.path = f"{self.name}/{variable.name}"
        self._variables.append(variable)
        return variable

    def add_variable_from_reference(
        self, reference_variable: Variable, name: str | None = None, initializer: Any = "zeros"
    ) -> Variable:
        """A new variable with the shape and dtype of a weight, and named after it: adam/dense_kernel_momentum."""
        stem = re.sub(r"[/.:]", "_", reference_variable.path)
        shape, dtype = reference_variable.shape, reference_variable.dtype
        return self.add_variable(shape, initializer, dtype, name=f"{stem}_{name or 'var'}")

    def add_optimizer_variables(
        self, trainable_variables: Iterable[Variable], name: Any, initializer: Any = "zeros"
    ) -> Any:
        """A list of variables like these weights; for a list of names as many lists, with as many initializers or one.

        Raises ArgumentError if names and initializers differ in number.
        """
        names = [name] if isinstance(name, str) else list(name)
        chosen = list(initializer) if isinstance(initializer, (list, tuple)) else [initializer] * len(names)
        if len(names) != len(chosen):
            raise ArgumentError(f"{len(names)} names of variables, and {len(chosen)} initializers")
        rows = [
            [self.add_variable_from_reference(variable, *one) for one in zip(names, chosen, strict=True)]
            for variable in trainable_variables
        ]
        lists = tuple([row[column] for row in rows] for column in range(len(names)))
        return lists[0] if isinstance(name, str) else lists

    def assign(self, variable: Variable, value: Any) -> None:
        """Give a weight, or a variable of the state, a value."""
        variable.assign(value)

    def assign_add(self, variable: Variable, value: Any) -> None:
        """Add to a weight, or to a variable of the state."""
        variable.assign_add(value)

    def assign_sub(self, variable: Variable, value: Any) -> None:
        """Subtract from a weight, or from a variable of the state."""
        variable.assign_sub(value)

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Give all variables values, in the order of `variables`. Raises ArgumentError before `build`."""
        if not self.built:
            raise ArgumentError(f"{self.name} is not built, so it has not all its variables yet; call build first")
        if len(weights) != len(self.variables):
            raise ArgumentError(f"{len(weights)} arrays for the {len(self.variables)} variables of {self.name}")
        for variable, weight in zip(self.variables, weights, strict=True):
            variable.assign(weight)

    def save_own_variables(self, store: MutableMapping[str, Any]) -> None:
        """Put the values of all variables into the store, under "0", "1", ..."""
        for index, variable in enumerate(self.variables):
            store[str(index)] = variable.numpy()

    def load_own_variables(self, store: MutableMapping[str, Any]) -> None:
        """Take the values that `save_own_variables` stored; if their number is another, warn and leave all as it is."""
        if len(store) != len(self.variables):
            warnings.warn(
                f"{self.name} has {len(self.variables)} variables, the saved optimizer {len(store)}, so none is loaded"
                + ("" if self.built else "; call build first"),
                stacklevel=2,
            )
            return
        for index, variable in enumerate(self.variables):
            variable.assign(store[str(index)])


@contextmanager
def changed_only_if(condition: Any, variables: Iterable[Variable]) -> Iterator[None]:
    """Assignments inside the block hold if the condition is true; otherwise these variables keep their values.

    New values are computed either way and chosen element by element, in the kernel that computes them.
    """
    before = [(variable, current(variable)) for variable in variables]
    yield
    for variable, old in before:
        new = current(variable)
        changed = new is not old if active() else not np.array_equal(new, old)
        if changed:
            variable.assign(ops.where(condition, new, old))


def current(variable: Variable) -> Any:
    """The value of a variable so far: a symbol inside a trace, an array outside."""
    return variable.as_symbol() if active() else variable.numpy()
