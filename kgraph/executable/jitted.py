"""Compiled models for numba: a function that `@njit` code calls with arrays, with no way through Python.

The function checks its arrays, takes a context and makes the results, as the native entry of calls from Python does.
Python is asked only where no context is ready: for sizes that are new, for more callers at once than before, and after
weights have changed.
"""

from __future__ import annotations

import ctypes
import linecache
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic, overload
from numba.np.numpy_support import from_dtype

from kgraph.codegen.cpu.program import Program
from kgraph.codegen.native.contexts import BUSY, DIMS, IDLE, SWAP
from kgraph.codegen.native.runner import STATUS
from kgraph.codegen.native.runtime import runtime
from kgraph.codegen.native.table import ARRAYS, BEGIN, FINISH, REFUSED, Table
from kgraph.codegen.plan.refusal import NO_ROOM_FOR_ROWS
from kgraph.codegen.schedule.kernel import NO_ROOM
from kgraph.errors import ArgumentError, RangeError
from kgraph.graph.evaluate import bind_sizes
from kgraph.graph.ir import Graph
from kgraph.graph.sizes import Dim
from kgraph.graph.types import TensorType, numpy_dtype

_WORD = ir.IntType(64)
_Prepare = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.POINTER(ctypes.c_int64))
_kept: list[
    Any
] = []  # what compiled functions have the addresses of: their code may be called as long as the process lives


def jitted(program: Program, graph: Graph, has_value: bool) -> Callable[..., Any]:
    """The function. has_value: whether the first result is a value, and the others make a tuple beside it.

    ArgumentError where the program cannot run without Python.
    """
    if graph.updates:
        changed = ", ".join(graph.updates)
        raise ArgumentError(
            f"a call changes {changed}, which only a call from Python can do; compile with training=False"
        )
    prepare = _Prepare(_preparing(program, graph))
    table = program.table(ARRAYS, ctypes.cast(prepare, ctypes.c_void_p).value or 0)
    if table is None:
        raise ArgumentError("it has more inputs, results or open sizes than a native call takes")
    _kept.append((program, prepare, table))
    inputs = [(name, graph[name].tensor) for name in graph.inputs]
    text = _text([name for name, _ in inputs], [graph[name].tensor for name in graph.outputs], has_value)
    wants = ", ".join(f"{name}: {kind}" for name, kind in inputs)
    names = {
        "np": np,
        "begin": _begin(table, inputs),
        "finish": _finish(table),
        "dim": _dim,
        "give_back": _give_back,
        "contiguous": _contiguous,
        "RangeError": RangeError,
        "refused": f"the arrays do not have the sizes that are wanted: {wants}",
        "failed": f"no call can be prepared for these sizes: {wants}",
        "STATUS": STATUS,
        "NO_ROOM": NO_ROOM,
        "no_room": NO_ROOM_FOR_ROWS,
        "outside": "an index is outside of what it points into",
        "too_large": "there is no memory for the results",
        "REFUSED": REFUSED,
        **{f"dtype{place}": numpy_dtype(graph[name].tensor.dtype) for place, name in enumerate(graph.outputs)},
    }
    file = f"<kgraph jit {len(_kept)}>"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    exec(compile(text, file, "exec"), names)
    return njit(names["call"])


def _text(inputs: Sequence[str], outputs: Sequence[TensorType], has_value: bool) -> str:
    """The Python of the function, which numba compiles."""
    given = [f"in{place}" for place in range(len(inputs))]
    made = [f"out{place}" for place in range(len(outputs))]
    lines = [f"def call({', '.join(given)}):"]
    lines += [f"    {name} = contiguous({name})  # {what!r}" for name, what in zip(given, inputs, strict=True)]
    lines += [f"    context = begin({_tuple(given)})", "    if context <= 0:"]
    lines += ["        raise ValueError(refused if context == REFUSED else failed)"]
    lines += ["    complete = False", "    try:"]
    first = 0
    for place, kind in enumerate(outputs):
        shape = _tuple([f"dim(context, {first + axis})" for axis in range(kind.rank)])
        lines.append(f"        {made[place]} = np.empty({shape}, dtype{place})")
        first += kind.rank
    # A context that is not given back is lost, and where all are, calls wait for one forever.
    lines += ["        complete = True", "    except Exception:", "        pass", "    if not complete:"]
    lines += ["        give_back(context)", "        raise MemoryError(too_large)"]
    lines += [f"    status = finish(context, {_tuple(given)}, {_tuple(made)})", "    if status & STATUS == NO_ROOM:"]
    lines += ["        raise MemoryError(no_room)", "    if status != 0:", "        raise RangeError(outside)"]
    result = f"{made[0]}[()], {_tuple(made[1:])}" if has_value else made[0] if len(made) == 1 else _tuple(made)
    return "\n".join([*lines, f"    return {result}", ""])


def _tuple(items: Sequence[str]) -> str:
    return f"({', '.join(items)}{',' * (len(items) == 1)})"


def _preparing(program: Program, graph: Graph) -> Callable[[Any], int]:
    """What native code calls where nothing is ready for a key: 0 if it is now, 1 if it cannot be."""
    shapes = [graph[name].tensor.shape for name in graph.inputs]

    def prepare(key: Any) -> int:
        try:
            sizes: dict[Dim, int] = dict(zip(program.named, key[: len(program.named)], strict=True))
            given = [tuple(dim if isinstance(dim, int) else sizes[dim] for dim in shape) for shape in shapes]
            program.prepare(bind_sizes(graph, given))
        except BaseException:  # also an interrupt: the caller must not wait for what is not there
            return 1
        return 0

    return prepare


def _contiguous(array: Any) -> Any:
    """The array in C order, copied where it is not known to be."""


@overload(_contiguous)
def _contiguous_for(array: Any) -> Any:
    def copied(array: Any) -> Any:
        return np.ascontiguousarray(array)

    def same(array: Any) -> Any:
        return array

    return copied if isinstance(array, types.Array) and array.layout != "C" else same


def _begin(table: Table, wanted: Sequence[tuple[str, TensorType]]) -> Any:
    """`begin(arrays)`: the context for a call with these arrays, as kg_begin gives it. Types are checked here."""

    @intrinsic
    def begin(typing: Any, arrays: Any) -> Any:
        for (name, kind), given in zip(wanted, arrays, strict=True):
            _check_type(name, kind, given)
        return types.int64(arrays), generate

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        shapes = []
        for array in _arrays(context, builder, signature.args[0], args[0]):
            shapes.append(builder.ptrtoint(cgutils.alloca_once_value(builder, array.shape), _WORD))
        return _called(context, builder, BEGIN, _address_of(context, builder, table), _words(builder, shapes))

    return begin


def _check_type(name: str, kind: TensorType, given: Any) -> None:
    dtype = from_dtype(numpy_dtype(kind.dtype))
    if isinstance(given, types.Array) and (given.dtype, given.ndim, given.aligned) == (dtype, kind.rank, True):
        return
    raise TypingError(f"input {name!r} wants {kind}, an array of {dtype} with {kind.rank} axes, and got {given}")


def _finish(table: Table) -> Any:
    """`finish(context, inputs, results)`: fill the results; 0, or the status of what refused."""

    @intrinsic
    def finish(typing: Any, place: Any, inputs: Any, results: Any) -> Any:
        return types.int64(place, inputs, results), generate

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        arrays = [one for slot in (1, 2) for one in _arrays(context, builder, signature.args[slot], args[slot])]
        addresses = [builder.ptrtoint(array.data, _WORD) for array in arrays]
        return _called(
            context, builder, FINISH, _address_of(context, builder, table), args[0], _words(builder, addresses)
        )

    return finish


@intrinsic
def _give_back(typing: Any, place: Any) -> Any:
    """`give_back(context)`: let others have it."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _called(context, builder, SWAP, args[0], _WORD(BUSY), _WORD(IDLE))

    return types.int64(place), generate


@intrinsic
def _dim(typing: Any, place: Any, index: Any) -> Any:
    """`dim(context, index)`: one of the dims of the results."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _WORD.as_pointer()
        words = builder.inttoptr(args[0], pointer)
        dims = builder.inttoptr(builder.load(builder.gep(words, [_WORD(DIMS)])), pointer)
        return builder.load(builder.gep(dims, [builder.sext(args[1], _WORD) if args[1].type.width < 64 else args[1]]))

    return types.int64(place, index), generate


def _arrays(context: Any, builder: Any, kinds: Any, values: Any) -> list[Any]:
    """The arrays of a tuple."""
    return [
        context.make_array(kind)(context, builder, builder.extract_value(values, place))
        for place, kind in enumerate(kinds)
    ]


def _words(builder: Any, values: Sequence[Any]) -> Any:
    """The address of these words on the stack."""
    place = cgutils.alloca_once(builder, ir.ArrayType(_WORD, len(values)))
    for index, value in enumerate(values):
        builder.store(value, builder.gep(place, [_WORD(0), _WORD(index)]))
    return builder.ptrtoint(place, _WORD)


def _address_of(context: Any, builder: Any, table: Table) -> Any:
    return builder.ptrtoint(context.add_dynamic_addr(builder, table.address, info="kgraph's table"), _WORD)


def _called(context: Any, builder: Any, name: str, *arguments: Any) -> Any:
    """Call a function of the runtime. Addresses are dynamic, so that numba keeps no code with them on disk."""
    address = context.add_dynamic_addr(builder, runtime().symbols[name], info=name)
    signature = ir.FunctionType(_WORD, [_WORD] * len(arguments))
    return builder.call(builder.bitcast(address, signature.as_pointer()), arguments)
