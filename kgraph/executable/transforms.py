"""Functions of arrays made from functions written with ops: compiled, and with gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any

import numpy as np

from kgraph import tree
from kgraph.errors import ArgumentError, DTypeError
from kgraph.executable.direct import executable
from kgraph.executable.executable import Definition, Executable, Options
from kgraph.executable.gradient_tape import GradientTape
from kgraph.graph.types import TensorType, is_float, numpy_dtype, strong, type_of
from kgraph.tracing.scope import active
from kgraph.tracing.trace import Symbol, as_array, as_symbol, collect, symbol_input, tracing

STATIC = (bool, str, bytes, type(None))  # arguments that Python may branch on: they are part of what is compiled


class Compiled:
    """A function of nests of arrays, compiled at its first call with arrays of new types and shapes.

    Called on symbols it is the function itself, so it can be used inside of models.
    """

    def __init__(self, call: Callable[..., Any], threads: int | None = None) -> None:
        self.function, self.threads = call, threads
        self._made: dict[Any, tuple[Executable, Any]] = {}
        update_wrapper(self, call)

    def __call__(self, *args: Any, **named: Any) -> Any:
        leaves = tree.flatten([args, named])
        if active() is not None or any(isinstance(leaf, Symbol) for leaf in leaves):
            return self.function(*args, **named)
        arrays = [_array(leaf) for leaf in leaves if not _is_static(leaf)]
        kinds = iter([type_of(array) for array in arrays])
        marks = [leaf if _is_static(leaf) else next(kinds) for leaf in leaves]
        key = tree.signature([args, named]), tuple(marks)
        if key not in self._made:
            self._made[key] = self._compiled(args, named, marks)
        found, outputs = self._made[key]
        results = iter(found(*arrays))
        return tree.map_structure(lambda leaf: None if leaf is None else next(results), outputs)

    def _compiled(self, args: Any, named: Any, marks: Sequence[Any]) -> tuple[Executable, Any]:
        symbols = [symbol_input(f"x{n}", one) if isinstance(one, TensorType) else one for n, one in enumerate(marks)]
        inputs = [one for one in symbols if isinstance(one, Symbol)]
        own, by_name = tree.pack_sequence_as([args, named], symbols)
        with tracing() as found:
            outputs = self.function(*own, **by_name)
        flat = [as_symbol(leaf) for leaf in tree.flatten(outputs) if leaf is not None]
        graph = collect(flat, inputs, found.updates)
        definition = Definition(graph, [0] * len(flat), [], len(flat))
        nest = tree.map_structure(lambda leaf: None if leaf is None else 0, outputs)
        return executable(definition, Options(threads=self.threads)), nest


def jit(call: Callable[..., Any], threads: int | None = None) -> Compiled:
    """The function, compiled for the arrays it is called with: each combination of shapes and dtypes once.

    Arguments and results are nests of arrays. Numbers count as arrays; booleans, strings and None are part of what is
    compiled. Variables that it assigns are changed by every call. Use `kgraph.compile` for sizes that change.
    """
    return Compiled(call, threads)


def value_and_grad(call: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Compiled:
    """A function that returns (value, gradient of the value with respect to the arguments of these positions).

    The value is a scalar; of another tensor the sum counts. has_aux: `call` returns (value, anything else), and the
    result is ((value, anything else), gradient). It is compiled, and may be called on symbols too. Source: jax.

    Raises ArgumentError for positions that the call does not have, DTypeError for arguments that are no floats.
    """
    places = [argnums] if isinstance(argnums, int) else list(argnums)

    def both(*args: Any, **named: Any) -> Any:
        if places and max(places) >= len(args):
            raise ArgumentError(f"argnums={argnums!r}, and the function was called with {len(args)} arguments")
        wanted = [args[place] for place in places]
        for leaf in tree.flatten(wanted):
            if not isinstance(leaf, Symbol) or not is_float(leaf.dtype):
                raise DTypeError(f"gradients are taken with respect to floating tensors, and {leaf!r:.60} is none")
        with GradientTape() as tape:
            found = call(*args, **named)
        value = found[0] if has_aux else found
        parts = tape.gradient(value, wanted, unconnected_gradients="zero")
        return found, (parts[0] if isinstance(argnums, int) else tuple(parts))

    update_wrapper(both, call)
    return Compiled(both)


def grad(call: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Compiled:
    """A function that returns the gradient of `call`; with has_aux (gradient, anything else). See `value_and_grad`."""
    both = value_and_grad(call, argnums, has_aux).function

    def gradient(*args: Any, **named: Any) -> Any:
        value, parts = both(*args, **named)
        return (parts, value[1]) if has_aux else parts

    update_wrapper(gradient, call)
    return Compiled(gradient)


def _is_static(leaf: Any) -> bool:
    return isinstance(leaf, STATIC)


def _array(leaf: Any) -> np.ndarray:
    """An argument as an array of a dtype that kernels know."""
    value = as_array(leaf)
    return np.asarray(value, numpy_dtype(strong(type_of(value).dtype)))
