"""The steps between inputs and outputs of a definition, and how they are taken again on other symbols."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kgraph import ops, tree
from kgraph.errors import GraphError, ShapeError
from kgraph.graph.ir import Graph
from kgraph.graph.op import OPS
from kgraph.graph.sizes import Dim, Size, substitute
from kgraph.layers.layer import Layer
from kgraph.layers.operation import Operation
from kgraph.tracing.origin import replaying
from kgraph.tracing.trace import Symbol, record, with_mask


class Ends:
    """What the steps of a definition lead from and to: nests of symbols."""

    __slots__ = ()
    _nested_inputs: Any
    _nested_outputs: Any

    @property
    def inputs(self) -> list[Symbol]:
        """The input symbols as a flat list."""
        return tree.flatten(self._nested_inputs)

    @property
    def outputs(self) -> list[Symbol]:
        """The output symbols as a flat list."""
        return tree.flatten(self._nested_outputs)


@dataclass(eq=False)
class Step:
    """One call of a layer, or one op applied between layers."""

    symbol: Symbol
    sources: list[Symbol]  # what it reads, in the order of its arguments
    first: int = 0  # when a walk from the outputs came here first
    depth: int = 0  # steps between it and the outputs
    before: list[Step] = field(default_factory=list)

    @property
    def layer(self) -> Operation | None:
        """The layer, or operation without weights, that is called, if one is."""
        return self.symbol.call.layer if self.symbol.call is not None else None


def root(symbol: Symbol) -> Symbol:
    """The layer's call that a symbol is a result of; the symbol itself for an op, and for a result of a loop."""
    return symbol.inputs[0] if symbol.op == "item" and symbol.inputs[0].call is not None else symbol


def read_by(start: Symbol) -> list[Symbol]:
    """What a layer's call, or an op, reads."""
    return [] if start.op == "input" else start.call.inputs if start.call else list(start.inputs)


def written(symbol: Symbol) -> Symbol:
    """Like `root`, but the first result of a public function is the root of all that it computes."""
    return symbol.applied.results[0] if symbol.applied else root(symbol)


def read_by_written(start: Symbol) -> list[Symbol]:
    """Like `read_by`, with public functions as steps."""
    if start.applied is None:
        return read_by(start)
    return [one for one in tree.flatten([start.applied.args, dict(start.applied.kwargs)]) if isinstance(one, Symbol)]


def find_steps(inputs: Sequence[Symbol], outputs: Iterable[Symbol], as_written: bool = False) -> list[Step]:
    """The steps that lead from inputs to outputs, each after those it reads; as_written: not ops but public functions.

    GraphError, naming the tensor and who reads it, for one that comes from no input.
    """
    start_of, sources_of = (written, read_by_written) if as_written else (root, read_by)
    given = {symbol.serial for symbol in inputs}
    found: dict[int, Step] = {}
    done: list[Step] = []
    waiting: list[tuple[Symbol, Step | None, bool]] = [(symbol, None, False) for symbol in reversed(list(outputs))]
    while waiting:
        symbol, reader, finished = waiting.pop()
        start = start_of(symbol)
        if finished:
            done.append(found[start.serial])
            continue
        if symbol.serial in given and symbol.op != "input":
            continue
        if symbol.op == "input" and symbol.serial not in given:
            raise disconnected(symbol, reader, done)
        if start.serial not in found:
            sources = sources_of(start)
            step = found[start.serial] = Step(start, sources, len(found))
            waiting.append((symbol, None, True))
            waiting += [(source, step, False) for source in reversed(sources)]
        if reader is not None:
            reader.before.append(found[start.serial])
    return done


def disconnected(symbol: Symbol, reader: Step | None, done: list[Step]) -> GraphError:
    """The error for an output that needs a tensor which is no input."""
    by = f" by {reader.layer.name if reader.layer else reader.symbol.name!r}" if reader else ""
    reached = ", ".join(step.layer.name for step in done if step.layer) or "nothing"
    return GraphError(
        f"graph disconnected: {symbol.name!r} of shape {symbol.shape} is needed{by} and is not among the inputs "
        f"(reached so far: {reached}); add it to inputs="
    )


def layers_in_order(steps: list[Step], inputs: Iterable[Symbol]) -> list[Layer]:
    """The layers as Keras orders them, and with them the weights: those furthest from the outputs first."""
    return [one for one in operations_in_order(steps, inputs) if isinstance(one, Layer)]


def operations_in_order(steps: list[Step], inputs: Iterable[Symbol]) -> list[Operation | Step]:
    """The layers, and the steps that are ops between them, those furthest from the outputs first."""
    depths: dict[int, int] = {}
    firsts: dict[int, int] = {}
    found: dict[int, Operation | Step] = {}
    for step in reversed(steps):
        one = step.layer or step
        key = id(one)
        step.depth = depths[key] = max(step.depth, depths.get(key, 0))
        for source in step.before:
            source.depth = max(source.depth, step.depth + 1)
        found[key] = one
        firsts[key] = min(step.first, firsts.get(key, step.first))
    for symbol in inputs:  # those that no output needs
        layer = symbol.call.layer if symbol.op == "input" and symbol.call is not None else None
        if layer is not None and id(layer) not in found:
            found[id(layer)], depths[id(layer)], firsts[id(layer)] = layer, 0, -1
    return [found[key] for key in sorted(found, key=lambda key: (-depths[key], firsts[key]))]


def check_names(layers: Iterable[Layer], model: str) -> None:
    """GraphError if two layers have one name."""
    seen: dict[str, Layer] = {}
    for layer in layers:
        if layer.name in seen:
            raise GraphError(
                f"the name {layer.name!r} is used by two layers of model {model!r}, a "
                f"{type(seen[layer.name]).__name__} and a {type(layer).__name__}; every layer needs a name of its own"
            )
        seen[layer.name] = layer


def replay(steps: Iterable[Step], values: dict[int, Symbol], sizes: Mapping[str, Dim]) -> None:
    """Take the steps again. `values` has the new symbols by the old ones' numbers, and is filled further."""
    for step in steps:
        symbol = step.symbol
        if symbol.serial in values or symbol.op == "input":
            continue
        if symbol.call is not None:
            replay_call(symbol.call, values, symbol.origin)
        elif symbol.op == "const":
            values[symbol.serial] = symbol
        elif symbol.op == "param":
            values[symbol.serial] = symbol.attrs["variable"].as_symbol()
        elif symbol.op == "item":
            call = values[symbol.inputs[0].serial]
            kind = call.type[symbol.attrs["index"]]
            values[symbol.serial] = Symbol("item", (call,), symbol.attrs, kind, symbol.stem, symbol.origin)
        else:
            attrs = {key: _substituted(value, sizes) for key, value in symbol.attrs.items()}
            made = record(OPS[symbol.op], [values[source.serial] for source in symbol.inputs], attrs)
            values[symbol.serial] = replace(made, stem=symbol.stem, origin=symbol.origin)


def _substituted(value: Any, sizes: Mapping[str, Dim]) -> Any:
    return value.with_sizes(sizes) if isinstance(value, Graph) else substitute(value, sizes)


def replay_call(call: Any, values: dict[int, Symbol], origin: str) -> None:
    """Call the layer again with the new symbols, which come from the line of the definition."""

    def renewed(leaf: Any) -> Any:
        return values[leaf.serial] if isinstance(leaf, Symbol) else leaf

    args, kwargs = tree.map_structure(renewed, list(call.args)), tree.map_structure(renewed, call.kwargs)
    with replaying(origin):
        outputs = call.layer(*args, **kwargs)
    for old, new in zip(tree.flatten(call.outputs), tree.flatten(outputs), strict=True):
        if old is not None:
            values[old.serial] = new
            if old.mask is not None and new.mask is not None:
                values.setdefault(old.mask.serial, new.mask)


def retaken(
    steps: Iterable[Step], inputs: Sequence[Symbol], given: Sequence[Symbol], outputs: Sequence[Symbol]
) -> list[Symbol]:
    """What the outputs of a definition become when its steps are taken on other inputs. ShapeError if these do not fit.

    `given` has a symbol for each of `inputs`.
    """
    values: dict[int, Symbol] = {}
    sizes: dict[str, Dim] = {}
    for old, new in zip(inputs, given, strict=True):
        values[old.serial] = fitted(new, old)
        bound_sizes(old, values[old.serial], sizes)
    replay(steps, values, sizes)
    return [values[symbol.serial] for symbol in outputs]


def fitted(given: Symbol, wanted: Symbol) -> Symbol:
    """An input in the dtype and with the rank of the definition's: a last axis of size 1 may be missing or too many."""
    result = given
    if given.dtype != wanted.dtype:
        result = masked(ops.cast(given, wanted.dtype), given)
    if result.ndim == wanted.ndim + 1 and result.shape[-1] == 1:
        result = masked(ops.squeeze(result, -1), given)
    elif result.ndim == wanted.ndim - 1 and wanted.shape[-1] == 1:
        result = masked(ops.expand_dims(result, -1), given)
    if result.ndim != wanted.ndim:
        raise ShapeError(f"input {wanted.name!r} has shape {wanted.shape}, and {given.shape} was given")
    return result


def bound_sizes(old: Symbol, new: Symbol, sizes: dict[str, Dim]) -> None:
    """Note what the named axes of a definition's input are on the symbol given for it."""
    for want, have in zip(old.type.shape, new.type.shape, strict=True):
        if isinstance(want, Size) and len(want.axes) == 1 and want.terms == (((*want.axes,), 1),):
            sizes.setdefault(next(iter(want.axes)), have)


def masked(symbol: Symbol, like: Symbol) -> Symbol:
    """The symbol with the mask of another."""
    return with_mask(symbol, like.mask)
