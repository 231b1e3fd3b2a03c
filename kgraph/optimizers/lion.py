"""Steps of one size, in the direction of the momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from kgraph import ops
from kgraph.errors import ArgumentError
from kgraph.optimizers.base import Common, Optimizer, takes_common
from kgraph.tracing.variable import Variable


class Lion(Optimizer):
    """learning_rate * sign(beta_1 * m + (1 - beta_1) * g), where m averages g with beta_2 (Chen et al., 2023).

    `Optimizer` has the other arguments. Raises ArgumentError unless beta_1 is above 0 and at most 1.
    """

    settings = ("beta_1", "beta_2")

    @takes_common
    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        *common: Any,
        **named: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, *common, **named)
        if not 0 < beta_1 <= 1:
            raise ArgumentError(f"beta_1 must be above 0 and at most 1, and is {beta_1}")
        self.beta_1, self.beta_2 = beta_1, beta_2

    def build(self, variables: Iterable[Variable]) -> None:
        if not self.built:
            super().build(variables)
            self._momentums = self.add_optimizer_variables(self._trainable_variables, "momentum")

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        gradient = ops.cast(gradient, variable.dtype)
        m = self._momentums[self._get_variable_index(variable)]
        beta_1, beta_2 = ops.cast(self.beta_1, variable.dtype), ops.cast(self.beta_2, variable.dtype)
        direction = ops.sign(m * beta_1 + gradient * (1.0 - beta_1))
        self.assign_sub(variable, direction * self.once(ops.cast, learning_rate, variable.dtype))
        self.assign(m, m * beta_2 + gradient * (1.0 - beta_2))
