"""Steps in the units of the weights, by the recent sizes of steps and gradients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from kgraph import ops
from kgraph.optimizers.base import Common, Optimizer, takes_common
from kgraph.tracing.variable import Variable


class Adadelta(Optimizer):
    """learning_rate * d, d = g * sqrt(d' + epsilon) / sqrt(g' + epsilon) (Zeiler, 2012).

    g' averages g² with rho, and d' the squares of the steps before. `Optimizer` has the other arguments.
    """

    settings = ("rho", "epsilon")

    @takes_common
    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        *common: Any,
        **named: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, *common, **named)
        self.rho, self.epsilon = rho, epsilon

    def build(self, variables: Iterable[Variable]) -> None:
        if not self.built:
            super().build(variables)
            self._accumulated_grads, self._accumulated_delta_vars = self.add_optimizer_variables(
                self._trainable_variables, ["accumulated_grad", "accumulated_delta_var"]
            )

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        index, gradient = self._get_variable_index(variable), ops.cast(gradient, variable.dtype)
        squares, steps = self._accumulated_grads[index], self._accumulated_delta_vars[index]
        self.assign(squares, squares * self.rho + ops.square(gradient) * (1.0 - self.rho))
        step = gradient * ops.sqrt((steps + self.epsilon) / (squares + self.epsilon))
        self.assign(steps, steps * self.rho + ops.square(step) * (1.0 - self.rho))
        self.assign_sub(variable, step * self.once(ops.cast, learning_rate, variable.dtype))
