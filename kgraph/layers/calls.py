"""What happens when a layer is called: on symbols a node of the layer graph, on arrays the numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kgraph import tree
from kgraph.errors import DTypeError, GraphError, KGraphError
from kgraph.graph.evaluate import evaluate
from kgraph.graph.ir import Graph
from kgraph.graph.op import FUNCTIONS
from kgraph.graph.sizes import N
from kgraph.graph.types import TensorType, is_float, standard_dtype, type_of
from kgraph.layers.arguments import Arguments, bind, is_tensor, replace_arguments
from kgraph.layers.masks import Entering, carrying, find_masks, masks_after
from kgraph.layers.naming import name_scope
from kgraph.tracing.origin import user_line
from kgraph.tracing.recording import Recorder, recorded, recorder
from kgraph.tracing.trace import (
    Symbol,
    active,
    as_symbol,
    collect,
    constant,
    explain,
    needed,
    suspended,
    symbol_input,
    tracing,
    with_mask,
)  # fmt: skip


@dataclass(eq=False)
class Call:
    """One call of a layer in a definition: what a model needs to make the call again on other symbols."""

    layer: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: Any = None

    @property
    def inputs(self) -> list[Symbol]:
        """The symbols the layer was called on."""
        return [leaf for leaf in tree.flatten([self.args, self.kwargs]) if isinstance(leaf, Symbol)]


@dataclass
class Body:
    """A traced call: its graph, and what the graph's outputs are."""

    graph: Graph
    outputs: Any  # the nest `call` returned, of symbols; the first graph outputs in order
    masks: list[Any]  # one for each output: None, a position among the graph's outputs, or the symbol outside
    updates: list[Any]  # the variables whose new values follow the outputs
    losses: int  # how many losses follow the updates
    sources: list[Any]  # the values outside that the graph's inputs stand for


def call_layer(
    layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], keep: Callable[[Body], None] | None = None
) -> Any:
    """Build the layer if need be, then record the call or compute it. `keep` is told what was traced to compute it."""
    name = layer.name  # GraphError where its __init__ did not call that of Layer
    arguments = bind(layer, args, kwargs)
    symbolic = active() is not None or any(isinstance(leaf, Symbol) for leaf in tree.flatten([args, kwargs]))
    try:
        layer.check_input(arguments.first)
        build(layer, arguments)
        layer.check_input(arguments.first)
    except KGraphError as error:
        explain(error, name, [x for x in tree.flatten(arguments.first) if isinstance(x, Symbol)], user_line())
        raise
    find_masks(arguments)
    outputs = record_call(layer, args, kwargs, arguments) if symbolic else compute_call(layer, arguments, keep)
    layer.after_call(outputs)
    return outputs


def build(layer: Any, arguments: Arguments) -> None:
    """Make the layer's weights, by the shapes of this call."""
    if layer.built:
        return
    if layer.builds_in_call:
        layer.built = True
        return
    parameters = [
        name
        for name, parameter in inspect.signature(layer.build).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    shapes = arguments.shapes
    if len(parameters) <= 1:
        layer.build(*([next(iter(shapes.values()), None)] * len(parameters)))
        return
    for name in parameters:
        if name.removesuffix("_shape") not in arguments.bound.arguments or not name.endswith("_shape"):
            raise DTypeError(
                f"layer {layer.name!r}: `build` asks for {name!r}, and `call` has no argument of that name; "
                "with several arguments they are called as those of `call`, followed by _shape"
            )
    layer.build(**{name: shapes[name] for name in parameters if name in shapes})


def record_call(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], arguments: Arguments) -> Any:
    """One node: the layer's call with its body. New values of state and losses go to the trace around it."""
    body = trace_call(layer, arguments, lambda value: as_symbol(value))
    record = Call(layer, args, kwargs)
    params = [node.attrs["variable"].current() for node in body.graph.params()]
    results = results_of(layer, body, [as_symbol(value) for value in body.sources], params, record)
    trace = active()
    if trace is not None:
        count = len(results) - len(body.updates) - body.losses - sum(isinstance(mask, int) for mask in body.masks)
        trace.updates.update(zip(body.updates, results[count:], strict=False))
        trace.losses += results[count + len(body.updates) :][: body.losses]
    outputs = iter(results)
    masks = [results[mask] if isinstance(mask, int) else mask for mask in body.masks]
    flat = [
        None if leaf is None else with_mask(next(outputs), mask)
        for leaf, mask in zip(tree.flatten(body.outputs), masks, strict=True)
    ]
    record.outputs = tree.pack_sequence_as(body.outputs, flat)
    if trace is None:
        layer.note_call(record)
    return record.outputs


def results_of(
    layer: Any, body: Body, sources: Sequence[Symbol], params: Sequence[Symbol], call: Call | None = None
) -> list[Symbol]:
    """The results of one node for the call of a layer."""
    kinds = tuple(body.graph[name].tensor for name in body.graph.outputs)
    kind = kinds[0] if len(kinds) == 1 else kinds
    attrs = {"body": body.graph}
    node = Symbol(type(layer).__name__, (*sources, *params), attrs, kind, layer.name, user_line(), call=call)
    return [node] if len(kinds) == 1 else [item(node, position) for position in range(len(kinds))]


def item(call: Symbol, index: int) -> Symbol:
    """One of several results of a call."""
    return Symbol("item", (call,), {"index": index}, call.type[index], f"{call.stem}.{index}", call.origin)


def compute_call(layer: Any, arguments: Arguments, told: Callable[[Body], None] | None = None) -> Any:
    """The numbers: trace the call for arrays of these types, and evaluate the graph by numpy."""
    arrays = [leaf for leaf in tree.flatten(list(arguments.tensors.values())) if leaf is not None]
    batch = next((array.shape[0] for array in arrays if array.shape), None)
    keep = recorder()
    batch = batch if keep is None else None
    entering = Entering(lambda value: array_type(value, batch))
    body = trace_call(layer, arguments, entering)
    sources = [entering.array(source) for source in body.sources]
    found, _ = evaluate(body.graph, [np.asarray(source) for source in sources])
    rest = iter(found if keep is None else kept(layer, body, sources, found, keep))
    pairs = zip(tree.flatten(body.outputs), body.masks, strict=True)
    flat = [None if leaf is None else carrying(next(rest), entering.mask(found, mask)) for leaf, mask in pairs]
    for variable, value in zip(body.updates, rest, strict=False):
        variable.write(value)
    layer.keep_losses([next(rest) for _ in range(body.losses)])
    if told is not None:
        told(body)
    return tree.pack_sequence_as(body.outputs, flat)


def kept(layer: Any, body: Body, sources: Sequence[Any], values: Sequence[Any], keep: Recorder) -> list[Any]:
    """The results of a call, recorded. State that the call changes counts as what it was before."""
    params = [node.attrs["variable"] for node in body.graph.params()]
    before = [
        constant(one.numpy()) if any(one is changed for changed in body.updates) else one.as_param() for one in params
    ]
    symbols = results_of(layer, body, [keep.symbol(source) for source in sources], before)
    return [recorded(np.asarray(value), symbol) for value, symbol in zip(values, symbols, strict=True)]


def array_type(value: Any, batch: int | None) -> TensorType:
    """The type of an array of an eager call: its first axis is the batch where it is as long as the first array's."""
    kind = type_of(value.numbers if hasattr(value, "as_symbol") else np.asarray(value))
    shape = (N, *kind.shape[1:]) if kind.shape and kind.shape[0] == batch else kind.shape
    return TensorType(shape, kind.dtype)


def trace_call(layer: Any, arguments: Arguments, outside: Callable[[Any], Symbol]) -> Body:
    """Run `call` on fresh symbols. `outside` gives a symbol of an argument, for its type and its mask."""
    inputs: list[tuple[Symbol, Any]] = []
    masks: dict[int, tuple[Symbol, Symbol]] = {}  # by the mask's number outside

    def enter(name: str, value: Any) -> Any:
        if not is_tensor(value):
            return value
        symbol = outside(value)
        if symbol.serial in masks:
            return masks[symbol.serial][0]
        inner = symbol_input(name, symbol.type)
        inputs.append((inner, value))
        inner = layer.convert_input(inner)
        if symbol.mask is None:
            return inner
        if symbol.mask.serial not in masks:
            masks[symbol.mask.serial] = (symbol_input(f"{name}_mask", symbol.mask.type), symbol.mask)
        return with_mask(inner, masks[symbol.mask.serial][0])

    values = arguments.bound.arguments
    entered = {name: tree.map_structure(lambda leaf, n=name: enter(n, leaf), value) for name, value in values.items()}
    bound = replace_arguments(arguments.bound, entered)
    with name_scope(layer.name, layer), tracing(layer.name, arguments.training) as found:
        found.autocast = layer.autocast_dtype(found.autocast)
        try:
            result = something(layer, layer.call(*bound.args, **bound.kwargs))
            outputs = tree.map_structure(lambda leaf: None if leaf is None else as_symbol(leaf), result)
            found.losses += activity_losses(layer, outputs)
            output_masks = masks_after(layer, entered, outputs)
        except Exception as error:
            name_the_layer(error, layer, inputs)
            raise
    return close(layer, outputs, output_masks, found, inputs, list(masks.values()))


def something(layer: Any, result: Any) -> Any:
    """What `call` returned. DTypeError where that holds no tensor at all, as after a forgotten return."""
    if all(leaf is None for leaf in tree.flatten(result)):
        raise DTypeError(f"`call` of layer {layer.name!r} ({type(layer).__name__}) returned {result!r}, and no tensor")
    return result


def close(
    layer: Any, outputs: Any, output_masks: list[Any], found: Any, inputs: list[tuple[Symbol, Any]], masks: list[Any]
) -> Body:
    """Collect the body's graph: outputs, then new state, losses and those masks that are computed inside."""
    flat = [leaf for leaf in tree.flatten(outputs) if leaf is not None]
    passed = {inner.serial: source for inner, source in [*inputs, *masks]}
    results = [*flat, *found.updates.values(), *found.losses]
    positions: list[Any] = []
    for mask in output_masks:
        if mask is None or mask.serial in passed:
            positions.append(None if mask is None else passed[mask.serial])
        else:
            positions.append(len(results))
            results.append(mask)
    used = {symbol.serial for symbol in needed(results)}
    entries = inputs + [(inner, source) for inner, source in masks if inner.serial in used]
    try:
        graph = collect(results, [inner for inner, _ in entries])
    except GraphError as error:
        raise GraphError(
            f"layer {layer.name!r}: {error}; give every tensor that `call` uses to the layer as an argument"
        ) from None
    sources = [source for _, source in entries]
    return Body(graph, outputs, positions, list(found.updates), len(found.losses), sources)


def activity_losses(layer: Any, outputs: Any) -> list[Symbol]:
    """The activity regularizer's penalty for each output, divided by the batch."""
    if layer.activity_regularizer is None:
        return []
    losses = []
    for output in tree.flatten(outputs):
        loss = as_symbol(layer.activity_regularizer(output))
        losses.append(FUNCTIONS["divide"](loss, output.type.shape[0]) if output.ndim else loss)
    return losses


def name_the_layer(error: Exception, layer: Any, inputs: list[tuple[Symbol, Any]]) -> None:
    """Say which layer an error came up in, and on which line the user called it."""
    if isinstance(error, KGraphError):
        explain(error, type(layer).__name__, [symbol for symbol, _ in inputs], user_line())
    elif not any("in layer" in note for note in getattr(error, "__notes__", ())):
        shown = ", ".join(f"{symbol.name}: {symbol.type}" for symbol, _ in inputs)
        error.add_note(f"  in layer {layer.name!r} ({type(layer).__name__}), called on ({shown})")
        error.add_note(f"  from {user_line()}")


def cast_float(symbol: Symbol, dtype: str) -> Symbol:
    """Floating inputs in the dtype that a layer computes in; integers and booleans as they are."""
    if not is_float(symbol.type.dtype) or not is_float(dtype) or symbol.type.dtype == dtype:
        return symbol
    return FUNCTIONS["cast"](symbol, standard_dtype(dtype))


def output_types(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The nest of types that a call on these symbols would give, with nothing recorded."""
    arguments = bind(layer, args, kwargs)
    with suspended():
        build(layer, arguments)
        find_masks(arguments)
        body = trace_call(layer, arguments, as_symbol)
    return tree.map_structure(lambda leaf: None if leaf is None else leaf.type, body.outputs)
