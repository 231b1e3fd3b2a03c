"""`kgraph.compile`: from a model, or a function written with ops, to an Executable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kgraph import losses as losses_module
from kgraph import tree
from kgraph.errors import ArgumentError
from kgraph.executable.arrays import by_output
from kgraph.executable.direct import executable
from kgraph.executable.executable import Definition, Executable, Options
from kgraph.tracing.trace import Symbol, collect, symbol_input, tracing


def compile(
    model: Any,
    *,
    inputs: Any = None,
    loss: Any = None,
    loss_weights: Any = None,
    target: str = "cpu",
    training: bool | None = None,
    threads: int | None = None,
    lower_only: bool = False,
    freeze: bool = False,
) -> Executable:
    """Compile a model, or a function written with `kgraph.ops` when `inputs` gives its input specs.

    loss: a name, a Loss or a function of (y_true, y_pred), or a list or dict of them, one for each output; it adds
    `value_and_grad`. loss_weights: numbers, default 1. target: "cpu" or "cuda". training: whether layers such as
    Dropout train; default True with a loss, else False. threads: default `config.num_threads()`. lower_only: make the
    sources, and no machine code. freeze: take today's weights as constants.

    Raises ArgumentError for unknown names, ShapeError for a definition that does not fit.
    """
    training = loss is not None if training is None else training
    definition = _from_function(model, inputs, training) if inputs is not None else _from_model(model, training)
    options = Options(target, training, threads, lower_only, freeze)
    if loss is None:
        return executable(definition, options)
    chosen = _each_output(definition, loss, "loss")
    scales = _each_output(definition, 1.0 if loss_weights is None else loss_weights, "loss_weights")
    return executable(definition, options, [losses_module.get_loss(one) for one in chosen], scales)


def _from_model(model: Any, training: bool) -> Definition:
    if not hasattr(model, "trace"):
        raise ArgumentError(
            f"compile takes a model, or a function and inputs=[kgraph.Input(...)]; it got a {type(model).__name__}"
        )
    traced = model.trace(training=training)
    return Definition(traced.graph, traced.outputs, list(model.trainable_variables), traced.count)


def _from_function(function: Callable[..., Any], specs: Any, training: bool) -> Definition:
    given = [spec if isinstance(spec, Symbol) else spec.symbol() for spec in tree.flatten(specs)]
    inputs = [symbol_input(symbol.stem, symbol.type) for symbol in given]
    with tracing(training=training) as found:
        outputs = function(*inputs)
    flat = tree.flatten(outputs)
    graph = collect([*flat, *found.losses], inputs, found.updates)
    weights = [node.attrs["variable"] for node in graph.params() if node.attrs["variable"].trainable]
    return Definition(graph, tree.map_structure(lambda _: 0, outputs), weights, len(flat))


def _each_output(definition: Definition, value: Any, what: str) -> list[Any]:
    """One value for each output, from one for all, a list, or a dict by output name."""
    names = definition.names
    several = isinstance(value, (Mapping, Sequence)) and not isinstance(value, str)
    return by_output(names, value, what) if several else [value] * len(names)
