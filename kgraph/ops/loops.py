"""Loops and branches over values that only the call knows: scan, while_loop, fori_loop, map, cond, switch.

A `loop` is one node with a body, and so is a `cond`. What the body reads from outside becomes an argument of the
node; variables that the function assigns are carried from step to step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kgraph import tree
from kgraph.errors import ArgumentError, DTypeError, ShapeError
from kgraph.graph.evaluate import evaluate
from kgraph.graph.ir import Graph
from kgraph.graph.op import FUNCTIONS, OPS, Op
from kgraph.graph.sizes import Dim, Size, unify
from kgraph.graph.types import TensorType, promote
from kgraph.ops.compare import less
from kgraph.ops.creating import arange
from kgraph.ops.move import shape_of
from kgraph.tracing.capture import Watched, capture
from kgraph.tracing.origin import user_line
from kgraph.tracing.recording import recorded, recorder
from kgraph.tracing.trace import (
    Symbol,
    active,
    as_symbol,
    collect,
    function,
    is_symbolic,
    needed,
    symbol_input,
    tracing,
)

ENDLESS = 2**62  # steps of a loop that only its condition ends


def _loop_type(*kinds: TensorType, body: Any, carried: int, length: Dim, **_: Any) -> tuple[TensorType, ...]:
    made = tuple(body[name].tensor for name in body.outputs)
    return (*made[:carried], *(TensorType((length, *kind.shape), kind.dtype) for kind in made[carried:]))


def _cond_type(*kinds: TensorType, body: Any, **_: Any) -> tuple[TensorType, ...]:
    return tuple(body[name].tensor for name in body.outputs)


def _no_row(*_: Any, **__: Any) -> Any:
    raise AssertionError("what a loop means is in evaluate.py")


# attrs of a loop: body; carried and scanned, how many of its arguments are carried from step to step and cut along
# their first axis; length; reverse; guarded: the first carried value says whether another step is due; recompute, where
# it is there: the gradient computes the steps again, and no pass makes one value of those of all steps. A step is given
# what is carried, one slice of each scanned argument, and the rest; it makes what is carried on, and one slice of each
# other result.
OPS["loop"] = Op(name="loop", kind="loop", type=_loop_type, numpy=_no_row)
# attrs of a cond: body and other, two graphs with the same inputs and results; the first argument says which.
OPS["cond"] = Op(name="cond", kind="loop", type=_cond_type, numpy=_no_row)


@function
def scan(
    f: Callable[..., Any], init: Any = None, xs: Any = None, length: int | None = None, reverse: bool = False,
    unroll: int = 1,
) -> tuple[Any, Any]:  # fmt: skip
    """(carry, y) = f(carry, x) for each slice x of xs along the first axis; returns the last carry and all y, stacked.

    init and xs may be nests of tensors, xs None if length is given; f must return a carry with the shapes and dtypes
    of init. reverse goes from the last slice to the first; each y has the place of its x. `unroll` changes nothing
    but speed elsewhere, and nothing here. Variables that f assigns keep what the last step assigned. As
    `keras.ops.scan`.

    ShapeError: xs of different lengths, or a carry that changes its shape. DTypeError: one that changes its dtype.
    """
    del unroll
    flat = tree.flatten(xs) if xs is not None else []
    return _unless_symbolic(lambda: _scan(f, init, xs, _length(flat, length), reverse), [init, flat])


@function
def map(f: Callable[..., Any], xs: Any) -> Any:
    """f of each slice of xs along the first axis, stacked; f takes and returns nests of tensors. As `keras.ops.map`."""
    return scan(lambda _, x: (None, f(x)), None, xs)[1]


@function
def while_loop(
    cond: Callable[..., Any], body: Callable[..., Any], loop_vars: Any, maximum_iterations: int | None = None
) -> Any:
    """loop_vars = body(*loop_vars) as long as cond(*loop_vars), a boolean scalar; returns the last loop_vars.

    The variables keep their shapes and dtypes. A loop whose number of steps is not known has no gradient; `scan` and
    `fori_loop` have one. As `keras.ops.while_loop`.
    """
    many = isinstance(loop_vars, (list, tuple))
    first = list(loop_vars) if many else [loop_vars]

    def step(state: Any, _: Any) -> tuple[Any, None]:
        made = body(*state[1])
        made = list(made) if many else [made[0] if isinstance(made, (list, tuple)) and len(made) == 1 else made]
        return [_flag(cond(*made)), made], None

    def run() -> Any:
        start = [as_symbol(leaf) for leaf in tree.flatten(first)]
        packed = tree.pack_sequence_as(first, start)
        init = [_flag(cond(*packed)), packed]
        count = ENDLESS if maximum_iterations is None else int(maximum_iterations)
        done = _scan(step, init, None, count, False, guarded=True)[0][1]
        return type(loop_vars)(done) if many and not hasattr(loop_vars, "_fields") else done if many else done[0]

    return _unless_symbolic(run, [first])


@function
def fori_loop(lower: Any, upper: Any, body_fun: Callable[..., Any], init_val: Any) -> Any:
    """value = body_fun(i, value) for i from lower up to, and without, upper. As `keras.ops.fori_loop`."""
    if isinstance(lower, (int, np.integer)) and isinstance(upper, (int, np.integer, Size)):
        count = _at_least_zero(upper - int(lower))
        steps = arange(count, dtype="int32") + int(lower)
        return scan(lambda value, i: (body_fun(i, value), None), init_val, steps, count)[0]
    return while_loop(
        lambda i, value: less(i, upper),
        lambda i, value: (i + 1, body_fun(i, value)),
        (FUNCTIONS["cast"](lower, "int32"), init_val),
    )[1]


@function
def cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    """true_fn() where pred, a boolean scalar, is true, else false_fn(); only one of them is computed.

    Both must return the same nest of tensors of the same shapes; dtypes meet. A Python boolean decides at once. As
    `keras.ops.cond`.
    """
    if isinstance(pred, (bool, np.bool_)):
        return true_fn() if pred else false_fn()
    return _unless_symbolic(lambda: _cond(pred, true_fn, false_fn), [pred])


@function
def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """branches[index](*operands); an index below 0 means the first, one beyond the end the last.

    As `keras.ops.switch`.
    """
    if not branches:
        raise ArgumentError("switch wants at least one branch")
    if isinstance(index, (int, np.integer)):
        return branches[min(max(int(index), 0), len(branches) - 1)](*operands)
    if len(branches) == 1:
        return branches[0](*operands)
    first, *rest = branches
    return cond(less(index, 1), lambda: first(*operands), lambda: switch(index - 1, rest, *operands))


def _unless_symbolic(run: Callable[[], Any], given: Any) -> Any:
    """What `run` makes, as symbols in a trace; as arrays where nothing it reads is symbolic."""
    if active() is not None or is_symbolic(tree.flatten(given)):
        if active() is not None:
            return run()
        with tracing():  # symbols of a functional model
            return run()
    with tracing() as found:
        result = run()
    leaves = [as_symbol(leaf) for leaf in tree.flatten(result) if leaf is not None]
    if any(symbol.op == "input" for symbol in needed(leaves)):
        return result  # what the functions read from around them was symbolic
    values, updates = evaluate(collect(leaves, (), found.updates), [])
    for variable, value in updates.items():
        variable.write(value)
    rest = iter(values if recorder() is None else map(recorded, map(np.asarray, values), leaves))
    return tree.map_structure(lambda leaf: None if leaf is None else next(rest), result)


def _scan(
    f: Callable[..., Any], init: Any, xs: Any, length: Dim, reverse: bool, guarded: bool = False
) -> tuple[Any, Any]:
    carried, scanned = _symbols(init), _symbols(xs)
    since = Symbol("mark").serial if guarded else None  # there may be no step
    given = [symbol_input(f"carry_{i}", one.type) for i, one in enumerate(carried)]
    slices = [symbol_input(f"x_{i}", TensorType(one.type.shape[1:], one.type.dtype)) for i, one in enumerate(scanned)]
    watched = Watched(f, "the function of a loop")
    result, held, new = watched.run(_packed(init, given), None if xs is None else _packed(xs, slices))
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise ArgumentError(f"the function of scan returns (carry, y), not {result!r:.80}")
    after, ys = result
    made = _carry(init, given, after)
    new = [as_symbol(value, one.type.dtype) for one, value in zip(held, new, strict=True)]
    stacked = _symbols(ys)
    if not (given or held or stacked):
        return init, ys
    body, captured = capture([*made, *new, *stacked], [*given, *held, *slices], None, since)
    arguments = (*carried, *watched.before, *scanned, *captured)
    attrs = {
        "body": body, "carried": len(given) + len(held), "scanned": len(scanned), "length": length,
        "reverse": reverse, "guarded": guarded,
    }  # fmt: skip
    items = _node("loop", arguments, attrs)
    trace = active()
    if trace is not None:
        trace.updates.update(zip(watched.state, items[len(given) :], strict=False))
    return _packed(init, items[: len(given)]), _packed(ys, items[len(given) + len(held) :])


def _cond(pred: Any, true_fn: Callable[[], Any], false_fn: Callable[[], Any]) -> Any:
    flag, since = _flag(pred), Symbol("mark").serial
    made = [Watched(fn, "a branch of cond") for fn in (true_fn, false_fn)]
    nests = [watched.run()[0] for watched in made]
    if any(watched.state for watched in made):
        raise ArgumentError("a branch of cond assigns a variable; let both return the value, and assign the result")
    if not _alike(*nests):
        raise ArgumentError(f"the branches of cond return different nests: {nests[0]!r:.80} and {nests[1]!r:.80}")
    pairs = [_met(number, *pair) for number, pair in enumerate(zip(*[_symbols(nest) for nest in nests], strict=True))]
    body, captured = capture([one for pair in pairs for one in pair], (), since)
    other = body.copy()
    body.outputs, other.outputs = body.outputs[::2], body.outputs[1::2]
    attrs = {"body": body.prune(), "other": other.prune()}
    return _packed(nests[0], _node("cond", (flag, *captured), attrs))


def _met(number: int, one: Symbol, other: Symbol) -> tuple[Symbol, Symbol]:
    """A result of both branches, in one dtype."""
    if one.type.shape != other.type.shape:
        raise ShapeError(f"result {number} of cond is {one.type} in one branch and {other.type} in the other")
    dtype = promote(one.type.dtype, other.type.dtype)
    return as_symbol(one, dtype), as_symbol(other, dtype)


def _node(op: str, arguments: Sequence[Symbol], attrs: dict[str, Any]) -> list[Symbol]:
    """The results of a loop or a cond."""
    kinds = OPS[op].type(*(one.type for one in arguments), **attrs)
    bodies = [value for value in attrs.values() if isinstance(value, Graph)]
    assumed = tuple((a, b) for body in bodies for a, b, _ in body.assumed)
    for body in bodies:
        body.assumed = []  # of sizes that are the caller's: it is checked there, before the first step
    node = Symbol(op, tuple(arguments), attrs, kinds, op, user_line(), assumed=assumed)
    return [Symbol("item", (node,), {"index": i}, kind, f"{op}.{i}", node.origin) for i, kind in enumerate(kinds)]


def _symbols(structure: Any) -> list[Symbol]:
    """The leaves of a nest, None left out."""
    return [as_symbol(leaf) for leaf in tree.flatten(structure) if leaf is not None]


def _packed(structure: Any, symbols: Sequence[Symbol]) -> Any:
    """The nest with these leaves."""
    rest = iter(symbols)
    return tree.map_structure(lambda leaf: None if leaf is None else next(rest), structure)


def _alike(one: Any, other: Any) -> bool:
    kinds = [tree.map_structure(lambda leaf: leaf is None, nest) for nest in (one, other)]
    return bool(kinds[0] == kinds[1])


def _carry(init: Any, given: Sequence[Symbol], after: Any) -> list[Symbol]:
    """What a step carries on, with the types of what it was given."""
    if not _alike(init, after):
        raise ArgumentError(f"a loop carries {init!r:.80} and its function returns {after!r:.80}: not the same nest")
    made = _symbols(after)
    for number, (have, new) in enumerate(zip(given, made, strict=True)):
        if have.type.shape != new.type.shape:
            raise ShapeError(f"value {number} that a loop carries is {have.type}, and {new.type} after a step")
        if promote(have.type.dtype, new.type.dtype) != have.type.dtype:
            raise DTypeError(f"value {number} that a loop carries is {have.type}, and {new.type} after a step; cast it")
        made[number] = as_symbol(new, have.type.dtype)
    return made


def _flag(value: Any) -> Symbol:
    """A condition: a scalar of booleans."""
    flag = as_symbol(value)
    if flag.type.shape != ():
        raise ShapeError(f"a condition is a scalar, not {flag.type}")
    return flag if flag.type.dtype == "bool" else FUNCTIONS["cast"](flag, "bool")


def _length(xs: Sequence[Any], length: Any) -> Dim:
    """How many steps a scan has."""
    for x in xs:
        if not shape_of(x):
            raise ShapeError("scan cuts its xs along their first axis, and one of them has none")
        length = shape_of(x)[0] if length is None else unify(length, shape_of(x)[0])
    if length is None:
        raise ArgumentError("scan wants xs or a length")
    return length if isinstance(length, Size) else _at_least_zero(length)


def _at_least_zero(count: Dim) -> Dim:
    return count if isinstance(count, Size) else max(0, int(count))
