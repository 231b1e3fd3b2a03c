"""The table that `model.summary()` prints."""

from __future__ import annotations

import io
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kgraph import tree
from kgraph.errors import ArgumentError
from kgraph.graph.types import numpy_bits
from kgraph.layers.history import shapes_of, single
from kgraph.layers.layer import Layer
from kgraph.models.configuration import Writer, position
from kgraph.models.steps import Step, read_by_written, root
from kgraph.saving.operations import operation_name
from kgraph.tracing.trace import Symbol
from kgraph.tracing.variable import Variable


@dataclass
class Row:
    """One line of the table."""

    name: str
    shape: str
    params: str
    trainable: str
    sources: str


def print_summary(
    model: Any,
    line_length: int | None,
    print_fn: Callable[..., Any] | None,
    expand_nested: bool,
    show_trainable: bool,
    layer_range: Any,
) -> None:
    """Print the table to the terminal, or hand its lines to print_fn."""
    # rich takes a tenth of a second to import, which programs that print no summary should not pay for
    from rich.console import Console
    from rich.table import Table

    joined = has_joins(model)
    table = Table(highlight=False)
    for title in [
        "Layer (type)",
        "Output Shape",
        "Param #",
        *(["Connected to"] * joined),
        *(["Trainable"] * show_trainable),
    ]:
        table.add_column(title, justify="right" if title == "Param #" else "left", overflow="fold")
    for row in rows(model, layer_range, expand_nested):
        cells = [row.name, row.shape, row.params, *([row.sources] * joined), *([row.trainable] * show_trainable)]
        table.add_row(*(cell.replace("[", r"\[") for cell in cells))
    text = io.StringIO()
    width = line_length or max(shutil.get_terminal_size((88, 24)).columns, 60)
    console = Console(file=text, width=width, color_system=None, legacy_windows=False)
    console.print(f'Model: "{model.name}"', highlight=False)
    console.print(table)
    for line in totals(model):
        console.print(line, highlight=False)
    say = print_fn or print
    say(text.getvalue().rstrip("\n"))


def rows(model: Any, layer_range: Any, expand: bool, indent: str = "") -> Iterator[Row]:
    """A row for each layer, and each function between layers; with `expand`, those of models inside below them."""
    writer = Writer(model) if hasattr(model, "_steps") else None
    names = writer.names if writer else {id(layer): layer.name for layer in model.layers}
    for one in chosen(writer.operations if writer else model.layers, names, layer_range):
        name, sources = f"{indent}{names[id(one)]}", ", ".join(connected_to(one, writer)) or "-"
        if isinstance(one, Step):
            shapes = shapes_of(single(one.symbol.applied.results)) if one.symbol.applied else one.symbol.shape
            yield Row(f"{name} ({kind_of(one)})", str(shapes), "0", "-", sources)
            continue
        weights = getattr(one, "weights", [])
        yield Row(
            f"{name} ({type(one).__name__})",
            shape_text(one),
            f"{count(weights):,}" if one.built else "0 (unbuilt)",
            "Y" if weights and one.trainable else "N" if weights else "-",
            sources,
        )
        if expand and getattr(one, "layers", None):
            yield from rows(one, None, True, indent + "  └ ")


def chosen(entries: Sequence[Any], names: Mapping[int, str], layer_range: Any) -> Sequence[Any]:
    """The entries from the first to the second name."""
    if layer_range is None:
        return entries
    known = [names[id(one)] for one in entries]
    if len(layer_range) != 2 or any(name not in known for name in layer_range):
        raise ArgumentError(f"layer_range must be two of {known}, not {layer_range!r}")
    start, end = sorted(known.index(name) for name in layer_range)
    return entries[start : end + 1]


def kind_of(step: Step) -> str:
    """What a function between layers is called: Add for x + y, as in Keras."""
    return operation_name(step.symbol.applied.name) if step.symbol.applied else step.symbol.op


def shape_text(layer: Layer) -> str:
    """The output shape of a layer in a definition, or else in the first call; "?" for one that was never called."""
    if getattr(layer, "outputs", None) is None and not layer.inbound_nodes:
        return "?" if layer._first_shapes is None else str(layer._first_shapes)
    try:
        shapes = layer.output_shape
    except AttributeError:  # called on several shapes: those of the first call
        shapes = shapes_of(single(tree.flatten(layer.inbound_nodes[0].outputs))) if layer.inbound_nodes else "?"
    return str(shapes)


def connected_to(one: Any, writer: Writer | None) -> list[str]:
    """What a layer or function reads in this model: "dense[0][0]", name, node index and position of the result."""
    if writer is None:
        return []
    calls = writer.calls.get(id(one), [])
    read = read_by_written(one.symbol) if isinstance(one, Step) else [given for call in calls for given in call.inputs]
    return [place(symbol, writer) for symbol in read]


def place(symbol: Symbol, writer: Writer) -> str:
    """Where a tensor comes from."""
    if symbol.applied is not None:
        return f"{writer.places[id(symbol.applied)]}[0][{position(symbol, symbol.applied.results)}]"
    call = root(symbol).call
    if call is None:
        return symbol.name
    index = next(i for i, made in enumerate(call.layer.inbound_nodes) if made is call)
    return f"{call.layer.name}[{index}][{symbol.attrs.get('index', 0) if symbol.op == 'item' else 0}]"


def has_joins(model: Any) -> bool:
    """Whether the layers form more than a chain, so that it must be said who reads whom."""
    layers = model.layers
    if not hasattr(model, "_steps"):
        return False
    return any(len(call.inputs) > 1 for layer in layers for call in layer.inbound_nodes) or any(
        step.layer is None or sum(step in other.before for other in model._steps) > 1 for step in model._steps
    )


def totals(model: Any) -> list[str]:
    """The lines below the table."""
    trainable, frozen = model.trainable_weights, model.non_trainable_weights
    optimizer = getattr(model, "optimizer", None)
    slots = optimizer.variables if optimizer is not None and optimizer.built else []
    kinds = [("Total", [*trainable, *frozen, *slots]), ("Trainable", trainable), ("Non-trainable", frozen)]
    kinds += [("Optimizer", slots)] if slots else []
    return [f" {title} params: {count(weights):,} ({memory(weights)})" for title, weights in kinds]


def count(weights: Iterable[Variable]) -> int:
    """How many numbers there are in the weights."""
    return sum(math.prod(weight.shape) for weight in weights)


def memory(weights: Iterable[Variable]) -> str:
    """The bytes they take, in a unit a person reads."""
    size = float(sum(math.prod(weight.shape) * numpy_bits(weight.dtype) // 8 for weight in weights))
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} TB"
