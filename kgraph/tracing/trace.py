"""Symbols, and how calling a function on them becomes a graph.

A symbol is an expression: the op, the symbols it reads, its type. It belongs to no graph; `collect` names what the
outputs need and puts it into one. Layers, functional models, rewrite rules and gradients are all written on symbols.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import wraps
from itertools import count
from typing import Any, Protocol

import numpy as np

from kgraph import tree
from kgraph.errors import DTypeError, GraphError, KGraphError, NotTracedError
from kgraph.graph.ir import Graph, Node
from kgraph.graph.op import FUNCTIONS, OPS, Op
from kgraph.graph.sizes import Dim, Size, assuming, axes_of
from kgraph.graph.types import TensorType, is_floating, numpy_dtype, strong, type_of
from kgraph.tracing.operators import Operators as Operators
from kgraph.tracing.origin import user_line
from kgraph.tracing.scope import Trace as Trace
from kgraph.tracing.scope import active as active
from kgraph.tracing.scope import suspended as suspended
from kgraph.tracing.scope import tracing as tracing

INSTEAD_OF_PYTHON = (
    "Choose with ops.where(condition, a, b) or ops.cond(condition, f, g); repeat with ops.while_loop, ops.fori_loop "
    "or ops.scan; go through an axis with ops.map"
)
_serial = count()
_inside: ContextVar[bool] = ContextVar("inside", default=False)  # whether a public function is under way


class Keep(Protocol):
    """Who is told of what is computed on arrays."""

    def __call__(self, op: Op, args: Sequence[Any], attrs: Mapping[str, Any], made: np.ndarray) -> Any:
        """What an op computed, as users get it."""

    def known(self, value: Any) -> Any:
        """The symbol of an array that it was told of; anything else as it is."""


keeping: ContextVar[Keep | None] = ContextVar("keeping", default=None)


@dataclass(frozen=True, eq=False)
class Symbol(Operators):
    """A value that will exist later. Operators, ops and numpy functions on it make other symbols."""

    op: str
    inputs: tuple[Symbol, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)
    type: Any = None  # TensorType; a tuple of them for a call with several results; None in a pattern
    stem: str = ""  # the name it will have in a graph, unless that is taken
    origin: str = ""
    call: Any = None  # of a layer call: what a functional model needs to call the layer again
    mask: Any = None  # of Keras's mask propagation: a symbol of booleans, or None
    applied: Applied | None = None  # the public function that gave it, between the layers of a definition
    assumed: tuple[tuple[Dim, Dim], ...] = ()
    serial: int = field(default_factory=_serial.__next__)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """As in Keras: None for a size known only at the call. `ops.shape` gives one to compute with."""
        return self.type.public_shape

    @property
    def dtype(self) -> str:
        return self.type.dtype

    @property
    def ndim(self) -> int:
        return self.type.rank

    @property
    def name(self) -> str:
        return self.stem or self.op

    @property
    def _keras_mask(self) -> Any:
        return self.mask

    def __len__(self) -> int:
        if not self.type.shape or isinstance(self.type.shape[0], Size):
            raise NotTracedError(
                f"the length of {self} is known only at the call, so Python cannot count it or go through it; "
                f"ops.shape gives it to compute with. {INSTEAD_OF_PYTHON}"
            )
        return self.type.shape[0]

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        raise NotTracedError(
            f"the value of {self} is known only at the call, so Python cannot branch on it. {INSTEAD_OF_PYTHON}"
        )

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise NotTracedError(f"the value of {self} is known only at the call; use kgraph.ops instead of numpy on it")

    def __contains__(self, _: Any) -> bool:
        raise NotTracedError(
            f"what {self} holds is known only at the call; ops.any(ops.equal(a, b)) says whether it is b"
        )

    def __float__(self) -> float:
        raise NotTracedError(
            f"the value of {self} is known only at the call, so it is no number yet; compute with it by operators and "
            f"kgraph.ops. {INSTEAD_OF_PYTHON}"
        )

    __int__ = __index__ = __complex__ = __trunc__ = __floor__ = __ceil__ = __float__

    def __repr__(self) -> str:
        return f"<Symbol {self.name}: {self.type}>"


@dataclass(eq=False)
class Applied:
    """A call of a public function between the layers of a definition, as the user wrote it."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    results: list[Symbol] = field(default_factory=list)


def primitive(op: Op) -> Callable[..., Any]:
    """Put a row into the table and return the function users call: symbols record, arrays compute."""
    OPS[op.name] = op

    def call(*args: Any, **attrs: Any) -> Any:
        if is_symbolic(args, attrs):
            return noted(record(op, args, attrs), op.name, args, attrs)
        return compute(op, args, attrs)

    call.__name__ = call.__qualname__ = op.name
    FUNCTIONS[op.name] = call
    return call


def function(call: Callable[..., Any]) -> Callable[..., Any]:
    """Put a function composed of others into the table of public names; it works on symbols and arrays alike."""

    @wraps(call)
    def apply(*args: Any, **kwargs: Any) -> Any:
        if active() is not None or _inside.get():
            return call(*args, **kwargs)
        token = _inside.set(True)
        try:
            result = call(*args, **kwargs)
        finally:
            _inside.reset(token)
        return noted(result, call.__name__, args, kwargs)

    FUNCTIONS[call.__name__] = apply
    return apply


def noted(result: Any, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """The result of a public function, which remembers the call where it stands between layers, and in no other."""
    if active() is not None or _inside.get():
        return result
    made = [one for one in tree.flatten(result) if isinstance(one, Symbol) and one.type is not None]
    given = {one.serial for one in tree.flatten([args, dict(kwargs)]) if isinstance(one, Symbol)} if made else set()
    if not given or any(one.serial in given or one.applied for one in made):
        return result
    call = Applied(name, args, kwargs)
    result = tree.map_structure(lambda one: replace(one, applied=call) if isinstance(one, Symbol) else one, result)
    call.results += tree.flatten(result)
    return result


def is_symbolic(args: Iterable[Any], attrs: Mapping[str, Any] | None = None) -> bool:
    """Whether a call must be recorded: it meets a symbol, a variable while tracing, or a size not yet known."""
    inside = active() is not None
    for arg in args:
        if isinstance(arg, (Symbol, Size)) or (inside and hasattr(arg, "as_symbol")):
            return True
        if type(arg) in (list, tuple) and is_symbolic(arg):
            return True
    return bool(attrs) and any(axes_of(value) for value in attrs.values())  # type: ignore[union-attr]


def record(op: Op, args: Sequence[Any], attrs: Mapping[str, Any]) -> Symbol:
    """The symbol of one op on these arguments, cast and typed."""
    inputs = [arg.as_symbol() if hasattr(arg, "as_symbol") else stacked(arg) for arg in args]
    inputs = [record(OPS["size"], (), {"dim": arg}) if isinstance(arg, Size) else arg for arg in inputs]
    if any(isinstance(arg, Symbol) and arg.type is None for arg in inputs):  # a pattern of a rewrite rule
        return Symbol(op.name, tuple(map(pattern_operand, inputs)), attrs)
    inputs = [arg if isinstance(arg, (Symbol, int, float, np.ndarray)) else as_array(arg) for arg in inputs]
    kinds = [arg.type.dtype if isinstance(arg, Symbol) else type_of(arg).dtype for arg in inputs]
    symbols = tuple(as_symbol(arg, dtype) for arg, dtype in zip(inputs, op.casts(*kinds), strict=True))
    origin = user_line()
    try:
        with assuming() as found:
            kind = op.type(*(symbol.type for symbol in symbols), **attrs)
    except KGraphError as error:
        explain(error, op.name, symbols, origin)
        raise
    return Symbol(op.name, symbols, attrs, kind, op.name, origin, assumed=tuple(found))


def stacked(value: Any) -> Any:
    """A list in which there are symbols, or arrays under a tape, as one tensor; anything else as it is."""
    if type(value) not in (list, tuple):
        return value
    recorded = keeping.get() is not None and any(hasattr(leaf, "dtype") for leaf in tree.flatten(value))
    if not recorded and not is_symbolic(value):
        return value
    return FUNCTIONS["stack"]([stacked(one) for one in value])


def compute(op: Op, args: Sequence[Any], attrs: Mapping[str, Any]) -> np.ndarray:
    """One op on arrays, by its numpy row."""
    keep = keeping.get()
    args = args if keep is None else [stacked(arg) for arg in args]
    arrays = [as_array(arg) for arg in args]
    dtypes = op.casts(*(type_of(array).dtype for array in arrays))
    arrays = [np.asarray(array, numpy_dtype(dtype)) for array, dtype in zip(arrays, dtypes, strict=True)]
    kind = op.type(*map(type_of, arrays), **attrs)
    with np.errstate(all="ignore"):
        made = np.asarray(op.numpy(*arrays, **attrs), numpy_dtype(kind.dtype))
    return made if keep is None else keep(op, args, attrs, made)


def as_array(value: Any) -> Any:
    """A value as an array; Python numbers stay what they are, since their dtype is weak."""
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Symbol):
        raise NotTracedError(f"the value of {value} is known only at the call")
    if hasattr(value, "as_symbol"):
        return value.numpy()
    array = numbers_of(value)
    if array.dtype == np.float64 and not isinstance(value, (np.ndarray, np.generic)):
        return array.astype(numpy_dtype(strong("float")))
    return array.astype(np.int32) if array.dtype == np.int64 and isinstance(value, (list, tuple)) else array


def numbers_of(value: Any) -> np.ndarray:
    """A value as an array of numbers. DTypeError for what has none, such as None and strings."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise DTypeError(f"a {type(value).__name__} is no tensor: {error}") from None
    if array.dtype.kind in "OUS":
        raise DTypeError(f"a {type(value).__name__} is no tensor: {value!r:.60}")
    return array


def as_symbol(value: Any, dtype: str | None = None) -> Symbol:
    """A value as a symbol, cast to dtype."""
    if hasattr(value, "as_symbol"):
        value = value.as_symbol()
    if isinstance(value, Size):
        value = record(OPS["size"], (), {"dim": value})
    keep = keeping.get()
    if keep is not None:
        value = keep.known(value)
    if not isinstance(value, Symbol):
        value = as_array(value)
        wanted = numpy_dtype(dtype or strong(type_of(value).dtype))
        return constant(np.array(value, wanted))  # its own numbers: users go on writing into theirs
    if dtype is None or value.type is None or value.type.dtype == dtype:
        return value
    return FUNCTIONS["cast"](value, dtype)


def constant(value: np.ndarray) -> Symbol:
    """A value known now."""
    stem = f"c{value.item():g}" if value.ndim == 0 and is_floating(value.dtype) else "const"
    return Symbol("const", (), {"value": value}, type_of(value), stem)


def filled(value: float, kind: TensorType) -> Symbol:
    """A constant of this type, all of whose elements are one number."""
    number = constant(np.asarray(value, numpy_dtype(kind.dtype)))
    return record(OPS["broadcast_to"], (number,), {"shape": kind.shape}) if kind.shape else number


def reshaped(value: Symbol, shape: tuple[Any, ...]) -> Symbol:
    """The value in a shape of as many elements: itself, where it has that."""
    return value if value.type.shape == shape else record(OPS["reshape"], (value,), {"shape": tuple(shape)})


def pattern_operand(value: Any) -> Symbol:
    """What a rewrite rule's pattern wants at a place: a symbol, or this number in any dtype."""
    return value if isinstance(value, Symbol) else Symbol("const", (), {"value": np.asarray(value)})


def symbol_input(name: str, kind: TensorType) -> Symbol:
    """A symbol that a call will give a value."""
    return Symbol("input", (), {}, kind, name)


def trace(call: Callable[..., Any], *kinds: TensorType, names: Sequence[str] = ()) -> Graph:
    """The graph of a function: call it once on symbols, and keep what the result needs."""
    inputs = [symbol_input(name, kind) for name, kind in zip(names or map("x{}".format, count()), kinds, strict=False)]
    with tracing() as found:
        result = call(*inputs)
    return collect(tree.flatten(result), inputs, found.updates)


def collect(outputs: Sequence[Any], inputs: Sequence[Symbol] = (), updates: Mapping[Any, Any] | None = None) -> Graph:
    """Name what the outputs need and put it into a graph."""
    graph, names = Graph(), {}
    for symbol in inputs:
        names[symbol.serial] = graph.add(_node(graph, symbol))
    changed = {variable.as_param(): as_symbol(value) for variable, value in (updates or {}).items()}
    results = [as_symbol(output) for output in outputs]
    for symbol in needed([*results, *changed.values(), *changed]):
        if symbol.serial not in names:
            if symbol.op == "input":
                raise GraphError(f"the outputs need {symbol.name!r}, which is not among the inputs")
            insert(graph, symbol, names)
    graph.outputs = [names[symbol.serial] for symbol in results]
    graph.updates = {names[param.serial]: names[value.serial] for param, value in changed.items()}
    return graph


def needed(results: Iterable[Symbol]) -> list[Symbol]:
    """The symbols that these depend on, themselves included, in the order in which they were made."""
    seen: dict[int, Symbol] = {}
    waiting = list(results)
    while waiting:
        symbol = waiting.pop()
        if symbol.serial not in seen:
            seen[symbol.serial] = symbol
            waiting.extend(symbol.inputs)
    return [seen[serial] for serial in sorted(seen)]


def insert(graph: Graph, symbol: Symbol, names: dict[int, str]) -> str:
    """Add one symbol whose inputs have names already."""
    node = _node(graph, symbol)
    names[symbol.serial] = graph.add(node, *(names[source.serial] for source in symbol.inputs))
    graph.assumed += [(a, b, node.name) for a, b in symbol.assumed]
    return node.name


def reference(graph: Graph, name: str) -> Symbol:
    """A symbol that stands for a node a graph already has; rules and gradients are written on these."""
    return Symbol("ref", (), {}, graph[name].type, name)


def splice(graph: Graph, symbol: Symbol) -> str:
    """Add an expression over references to the graph; returns the name of its value."""
    names: dict[int, str] = {}
    for part in needed([symbol]):
        if part.op == "ref":
            names[part.serial] = part.stem
        elif part.serial not in names:
            insert(graph, part, names)
    return names[symbol.serial]


def _node(graph: Graph, symbol: Symbol) -> Node:
    return Node(graph.fresh(symbol.stem or symbol.op), symbol.op, symbol.type, dict(symbol.attrs), symbol.origin)


def with_mask(symbol: Symbol, mask: Symbol | None) -> Symbol:
    """The same value, carrying this mask."""
    return symbol if mask is symbol.mask else replace(symbol, mask=mask)


def explain(error: KGraphError, op: str, inputs: Sequence[Symbol], origin: str) -> None:
    """Say where in the graph and where in the user's file an error arose."""
    if getattr(error, "__notes__", None):
        return
    trace_ = active()
    arguments = ", ".join(f"{symbol.name}: {symbol.type}" for symbol in inputs)
    error.add_note(f"  in   {trace_.scope if trace_ else ''}{op} = {op}({arguments})")
    if origin:
        error.add_note(f"  from {origin}")
