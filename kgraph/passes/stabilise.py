"""Formulas that lose digits, or overflow, as formulas that do not. Runs before the gradients, which then gain too.

Losses computed from probabilities are the reason: of the softmax or sigmoid that ends a model, categorical_crossentropy
takes the logarithm, after it has divided by the sum and clipped to [epsilon, 1 - epsilon]. In exact arithmetic that is

    log(clip(softmax(x), low, high)) = clip(log_softmax(x), log(low), log(high))

and the right side neither underflows nor rounds to 0 what is small.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kgraph.graph.ir import Graph
from kgraph.ops.nn import log_sigmoid
from kgraph.ops.probabilities import log_softmax, softmax
from kgraph.passes.rewrite import number_of, rewrite, row, rule
from kgraph.tracing.trace import Symbol

clip_low, clip_high = row("maximum"), row("minimum")
exp, expm1, log, log1p, sigmoid, softplus = map(row, ("exp", "expm1", "log", "log1p", "sigmoid", "softplus"))
total = row("sum")


def stabilise(graph: Graph) -> Graph:
    """The graph with stable formulas in the place of unstable ones that mean the same."""
    return rewrite(graph, RULES)


def clip(x: Any, low: Any, high: Any) -> Any:
    """x between two bounds, as the function of the same name spells it."""
    return clip_high(clip_low(x, low), high)


def not_probabilities(low: Symbol, high: Symbol) -> Any:
    """A bound below 0 has no logarithm, and one above 1 none of its complement."""
    bounds = number_of(low), number_of(high)
    known = all(isinstance(bound, float) for bound in bounds)
    return not (known and 0 <= bounds[0] <= bounds[1] <= 1) and "the bounds are not two numbers from 0 to 1"


def log_clipped(logarithm: Symbol, low: float, high: float) -> Any:
    """The logarithm of a clipped value, from the logarithm of the value."""
    with np.errstate(divide="ignore"):
        bounds = np.log(np.asarray([low, high]))
    return clip(logarithm, float(bounds[0]), float(bounds[1]))


RULES = (
    rule("softmax that is divided by its sum",
         lambda x, axes: softmax(x, axes) / total(softmax(x, axes), axes=axes, keepdims=True),
         lambda x, axes: softmax(x, axes)),
    rule("log of softmax",
         lambda x, axes: log(softmax(x, axes)),
         lambda x, axes: log_softmax(x, axes)),
    rule("log of clipped softmax",
         lambda x, axes, low, high: log(clip(softmax(x, axes), low, high)),
         lambda x, axes, low, high: log_clipped(log_softmax(x, axes), number_of(low), number_of(high)),
         not_probabilities),
    rule("log of sigmoid",
         lambda x: log(sigmoid(x)),
         lambda x: log_sigmoid(x)),
    rule("log of 1 - sigmoid",
         lambda x: log(1 - sigmoid(x)),
         lambda x: -softplus(x)),
    rule("log of clipped sigmoid",
         lambda x, low, high: log(clip(sigmoid(x), low, high)),
         lambda x, low, high: log_clipped(log_sigmoid(x), number_of(low), number_of(high)),
         not_probabilities),
    rule("log of 1 - clipped sigmoid",
         lambda x, low, high: log(1 - clip(sigmoid(x), low, high)),
         lambda x, low, high: log_clipped(-softplus(x), 1 - number_of(high), 1 - number_of(low)),
         not_probabilities),
    rule("log of 1 + exp", lambda x: log(1 + exp(x)), lambda x: softplus(x)),
    rule("log1p of exp", lambda x: log1p(exp(x)), lambda x: softplus(x)),
    rule("log of 1 + x", lambda x: log(1 + x), lambda x: log1p(x)),
    rule("log of exp", lambda x: log(exp(x)), lambda x: x),
    rule("exp - 1", lambda x: exp(x) - 1, lambda x: expm1(x)),
    rule("1 / (1 + exp(-x))", lambda x: 1 / (1 + exp(-x)), lambda x: sigmoid(x)),
    rule("exp(x) / (1 + exp(x))", lambda x: exp(x) / (1 + exp(x)), lambda x: sigmoid(x)),
)  # fmt: skip
