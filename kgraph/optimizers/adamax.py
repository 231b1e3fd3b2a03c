"""Adam by the largest gradient instead of the mean square."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from kgraph import ops
from kgraph.optimizers.adam import power
from kgraph.optimizers.base import Common, Optimizer, takes_common
from kgraph.tracing.variable import Variable


class Adamax(Optimizer):
    """learning_rate / (1 - beta_1**t) * m / (u + epsilon), u = max(beta_2 * u, |g|) (Kingma and Ba, 2014, section 7).

    m averages g with beta_1. `Optimizer` has the other arguments.
    """

    settings = ("beta_1", "beta_2", "epsilon")

    @takes_common
    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        *common: Any,
        **named: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, *common, **named)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def build(self, variables: Iterable[Variable]) -> None:
        if not self.built:
            super().build(variables)
            self._m, self._u = self.add_optimizer_variables(self._trainable_variables, ["momentum", "norm"])

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        index, gradient = self._get_variable_index(variable), ops.cast(gradient, variable.dtype)
        m, u = self._m[index], self._u[index]
        self.assign_add(m, (gradient - m) * (1.0 - self.beta_1))
        self.assign(u, ops.maximum(u * self.beta_2, ops.abs(gradient)))
        alpha = self.once(self._alpha, learning_rate, variable.dtype)
        self.assign_sub(variable, m * alpha / (u + self.epsilon))

    def _alpha(self, learning_rate: Any, dtype: str) -> Any:
        return ops.cast(learning_rate, dtype) / (1.0 - power(self.beta_1, self.step(dtype)))
