"""Values that stand for those of variables for a while, so that functions with state can be run without changing it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any, Self

import numpy as np

from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.types import numpy_dtype
from kgraph.tracing.scope import Standing, Trace, active, standing, stands
from kgraph.tracing.trace import Symbol, as_symbol, is_symbolic, tracing
from kgraph.tracing.variable import Variable


class StatelessScope:
    """Inside the scope no variable changes: what is assigned to one is seen inside, and by `get_current_value`.

    state_mapping: pairs of a variable and the value it has inside, an array or a symbol of its shape; it is converted
    to the variable's dtype. Other variables begin with the value they have outside. collect_losses: keep in `losses`
    what layers called inside add to the loss. initialize_variables has no effect: variables made inside have values.

    With a symbol among the values, or while a function is traced, what happens inside is recorded. Compiled functions
    (`kgraph.compile`, `fit`, `predict`) read and change the variables themselves.

    Raises ArgumentError for a key that is no variable, ShapeError for a value of another shape. Source: Keras 3.
    """

    def __init__(
        self,
        state_mapping: Iterable[tuple[Any, Any]] | None = None,
        collect_losses: bool = False,
        initialize_variables: bool = True,
    ) -> None:
        self.collect_losses, self.initialize_variables = collect_losses, initialize_variables
        self.losses: list[Any] = []
        self._values: dict[Any, Any] = {}
        for variable, value in state_mapping or ():
            self._values[variable] = fitting(variable, value)
        self._trace: Trace | None = None
        self._known: dict[Any, Any] = {}  # what traces around this one have assigned
        self._around: Standing | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if active() is not None or is_symbolic(self._values.values()):
            self._trace = self._open.enter_context(tracing())
            around = self._trace.parent
            self._known = dict(around.updates) if around is not None else {}
            symbols = {variable: as_symbol(value, variable.dtype) for variable, value in self._values.items()}
            self._trace.updates.update({**self._known, **symbols})
        else:
            self._around = stands()
            self._open.enter_context(standing(self))
        return self

    def __exit__(self, *_: Any) -> None:
        if self._trace is not None:
            self._values = {
                variable: value
                for variable, value in self._trace.updates.items()
                if variable in self._values or value is not self._known.get(variable)
            }
            self.losses += self._trace.losses if self.collect_losses else []
            self._trace = None
        self._open.close()

    def add_loss(self, loss: Any) -> None:
        """Keep a loss, if losses are collected."""
        if self.collect_losses:
            self.losses.append(loss)

    def add_update(self, update: tuple[Any, Any]) -> None:
        """Let a variable have a value from here on: a pair, as in `state_mapping`."""
        variable, value = update
        value = fitting(variable, value)
        if self._trace is None:
            self._values[variable] = value
        else:
            self._trace.updates[variable] = as_symbol(value, variable.dtype)

    def value_of(self, variable: Any) -> Any:
        """What an array of the variable reads as: the value it has here, or in a scope around this one, or None."""
        found = self._values.get(variable)
        return self._around.value_of(variable) if found is None and self._around is not None else found

    def get_current_value(self, variable: Any) -> Any:
        """The value that a variable has inside, also after the end; None for one given none and not changed."""
        if self._trace is not None:
            value = self._trace.updates.get(variable)
            own = variable in self._values or value is not self._known.get(variable)
            return value if own else None
        return self._values.get(variable)


def fitting(variable: Any, value: Any) -> Any:
    """The value in the dtype of the variable. ArgumentError for no variable, ShapeError for another shape."""
    if not isinstance(variable, Variable):
        raise ArgumentError(f"a value can stand for that of a variable, and {variable!r:.60} is none")
    value = value.as_symbol() if isinstance(value, Variable) and active() is not None else value
    if isinstance(value, Symbol):
        made: Any = as_symbol(value, variable.dtype)
        shape = made.type.shape
    else:
        made = np.array(value, numpy_dtype(variable.dtype))
        shape = made.shape
    if tuple(shape) != variable.shape:
        raise ShapeError(f"variable {variable.path} has shape {variable.shape}, the value for it {tuple(shape)}")
    return made


def paired(variables: list[Variable], values: Iterable[Any], whose: str) -> list[tuple[Variable, Any]]:
    """Each variable with the value for it; ArgumentError where there are more of one than of the other."""
    given = list(values)
    if len(given) != len(variables):
        raise ArgumentError(f"{len(given)} values for {len(variables)} {whose}")
    return list(zip(variables, given, strict=True))
