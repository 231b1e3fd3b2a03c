"""Copies of models with new weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kgraph import tree
from kgraph.errors import ArgumentError
from kgraph.graph.op import FUNCTIONS
from kgraph.graph.sizes import Dim, substitute
from kgraph.layers.input import InputLayer
from kgraph.layers.layer import Layer
from kgraph.layers.nested import copy_of
from kgraph.models.functional import Functional
from kgraph.models.sequential import Sequential
from kgraph.models.steps import bound_sizes, find_steps, replay
from kgraph.tracing.trace import Symbol


def clone_model(
    model: Any, input_tensors: Any = None, clone_function: Callable[[Layer], Any] | None = None, **options: Any
) -> Any:
    """A model of the same layers, which are new ones with new weights.

    input_tensors: symbols to build it on, in place of new inputs. clone_function(layer) gives the layer to put in the
    place of one, for functional and Sequential models; by default one with its configuration. ArgumentError for these
    where the model is a subclass of its own.
    """
    if options:
        raise ArgumentError(f"clone_model does not know {', '.join(sorted(options))}")
    if not isinstance(model, Layer):
        raise ArgumentError(f"clone_model wants a model, not {model!r:.60}")
    clone = clone_function or copy_of
    if isinstance(model, Sequential) and type(model).__init__ is Sequential.__init__:
        return clone_stack(model, input_tensors, clone)
    if isinstance(model, Functional) and type(model).__init__ is Functional.__init__:
        return clone_definition(model, input_tensors, clone)
    if input_tensors is not None or clone_function is not None:
        raise ArgumentError(f"model {model.name!r} is a class of its own, so it is cloned whole, by its configuration")
    return copy_of(model)


def clone_stack(model: Sequential, given: Any, clone: Callable[[Layer], Any]) -> Sequential:
    """A Sequential model of the layers' clones."""
    given = given[0] if isinstance(given, (list, tuple)) and len(given) == 1 else given
    bottom = [given] if given is not None else [copy_of(model._bottom)] if model._bottom is not None else []
    clones = {id(layer): clone(layer) for layer in model.layers}
    made = type(model)([*bottom, *(clones[id(layer)] for layer in model.layers)], name=model.name)
    object.__setattr__(made, "_trainable", model.trainable)
    return made


def clone_definition(model: Functional, given: Any, clone: Callable[[Layer], Any]) -> Any:
    """A functional model whose calls are made again, on other symbols and by the layers' clones."""
    old = model.inputs
    new = tree.flatten(given) if given is not None else [fresh(symbol) for symbol in old]
    if len(new) != len(old) or not all(isinstance(one, Symbol) for one in new):
        raise ArgumentError(f"model {model.name!r} has {len(old)} inputs, and input_tensors has {len(new)}")
    sizes: dict[str, Dim] = {}
    values = {}
    for symbol, one in zip(old, new, strict=True):
        values[symbol.serial] = one
        bound_sizes(symbol, one, sizes)
    clones: dict[int, Any] = {}

    def renewed(nest: Any) -> Any:
        take = lambda leaf: values[leaf.serial] if isinstance(leaf, Symbol) else substitute(leaf, sizes)
        return tree.map_structure(take, nest)

    for step in find_steps(old, model.outputs, as_written=True):
        symbol = step.symbol
        if symbol.serial in values or symbol.op == "input":
            continue
        if symbol.applied is not None:
            call: Any = symbol.applied
            results, run = call.results, FUNCTIONS[call.name]
        elif symbol.call is not None:
            call, layer = symbol.call, symbol.call.layer
            results = tree.flatten(call.outputs)
            run = clones[id(layer)] = clones[id(layer)] if id(layer) in clones else clone(layer)
        else:
            replay([step], values, sizes)
            continue
        new_results = tree.flatten(run(*renewed(list(call.args)), **renewed(dict(call.kwargs))))
        for before, after in zip(results, new_results, strict=True):
            if before is not None:
                values[before.serial] = after
                if before.mask is not None and after.mask is not None:
                    values.setdefault(before.mask.serial, after.mask)
    inputs, outputs = tree.pack_sequence_as(model.input, new), renewed(model.output)
    made: Any = type(model)(inputs=inputs, outputs=outputs, name=model.name)
    object.__setattr__(made, "_trainable", model.trainable)
    return made


def fresh(symbol: Symbol) -> Symbol:
    """A new input like this one."""
    if symbol.op == "input" and symbol.call is not None:
        return copy_of(symbol.call.layer).output
    return InputLayer(batch_shape=symbol.shape, dtype=symbol.dtype, name=symbol.name).output
