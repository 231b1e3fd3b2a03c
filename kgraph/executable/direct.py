"""Executables whose calls go straight from Python into machine code, in less time than a Python function takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from kgraph import tree
from kgraph.codegen.native.entry import Entry
from kgraph.codegen.native.python_abi import api
from kgraph.codegen.native.runtime import runtime
from kgraph.codegen.native.table import ARRAY, ARRAYS, VALUE_AND_ARRAYS, Table
from kgraph.executable.differentiate import Request
from kgraph.executable.executable import Definition, Executable, Lowered, Options


def executable(definition: Definition, options: Options, loss: Any = None, weights: Any = None) -> Executable:
    """The Executable of a definition: a `DirectExecutable` where that is possible."""
    is_direct = options.target == "cpu" and not options.lower_only and api() is not None
    return (DirectExecutable if is_direct else Executable)(definition, options, loss, weights)


def declined(*_: Any) -> None:
    """What a call comes to that native code leaves to its caller."""


class _Signature:
    """What `inspect.signature` finds: a slot has none of its own."""

    def __get__(self, made: Any, owner: type) -> inspect.Signature:
        if made is None:
            raise AttributeError("__signature__")  # the class has that of its __init__
        return inspect.signature(made.__call__)


class DirectExecutable(Executable):
    """An Executable with native functions in front of its methods.

    The slots hide the methods of these names: Python finds the functions, which serve the calls they can (see
    `native/entry.py`) and hand all others to the methods.
    """

    __slots__ = ("__call__", "value_and_grad")
    __signature__ = _Signature()

    def __init__(self, definition: Definition, options: Options, loss: Any = None, weights: Any = None) -> None:
        self._tables: dict[Lowered, Table | None] = {}
        super().__init__(definition, options, loss, weights)
        for name, entry in zip(self.__slots__, self._entries, strict=True):
            setattr(self, name, entry.function)

    @cached_property
    def _entries(self) -> tuple[Entry, Entry]:
        """The functions in front; asked for when the program is compiled, and the runtime with it."""
        address = runtime().entry_at
        return Entry(super().__call__, address), Entry(super().value_and_grad, address)

    def _lowered(self, key: Any, request: Callable[[], Request]) -> Lowered:
        lowered = super()._lowered(key, request)
        if lowered.native is None:
            again = Entry(declined, runtime().entry_at)  # for the methods, after they have converted what came
            table = lowered.program.table(ARRAYS)
            if table is not None:
                again.use(table)
            lowered.native = again.function
        return lowered

    def _forward(self) -> Lowered:
        lowered, structure = super()._forward(), self.definition.outputs
        if not isinstance(structure, Mapping):
            self._use(self._entries[0], lowered, ARRAYS if tree.is_nested(structure) else ARRAY)
        return lowered

    def _with_loss(self, *kinds: Any) -> Lowered:
        lowered = super()._with_loss(*kinds)
        if len(self._inputs) == self.definition.count == 1:  # several come in lists, which the methods take apart
            self._use(self._entries[1], lowered, VALUE_AND_ARRAYS)
        return lowered

    def in_front_of(self, method: Callable[..., Any], idle: Mapping[str, Sequence[Any]]) -> Callable[..., Any]:
        """A function that serves calls natively as `__call__` does, and hands all others to this method.

        idle: keywords of the method, each with the values that ask for nothing.
        """
        entry, lowered = Entry(method, runtime().entry_at, idle), self._forward()
        self._use(entry, lowered, ARRAYS if tree.is_nested(self.definition.outputs) else ARRAY)
        return entry.function

    def _use(self, entry: Entry, lowered: Lowered, form: int) -> None:
        """Serve calls like this one natively from now on."""
        if lowered not in self._tables:
            self._tables[lowered] = None if lowered.narrows else lowered.program.table(form)
        table = self._tables[lowered]
        if table is not None:
            entry.use(table)

    def __reduce__(self) -> Any:
        return executable, (self.definition, self.options, self.loss, self.loss_weights)
