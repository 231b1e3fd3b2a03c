"""Follow the regularised leader: for sparse weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from kgraph import ops
from kgraph.errors import ArgumentError
from kgraph.initializers import Constant
from kgraph.optimizers.base import Common, Optimizer, takes_common
from kgraph.tracing.variable import Variable


class Ftrl(Optimizer):
    """Weights that would have been best so far, with l1 and l2 penalties (McMahan et al., 2013).

    With n the sum of g², starting at initial_accumulator_value, p = -learning_rate_power, and s(n) = n**p /
    learning_rate: z grows by g + 2 * l2_shrinkage * w - (s(n after) - s(n before)) * w, and the weight becomes
    (clip(z, -l1, l1) - z) / (s(n) + 2 * (l2 + beta / (2 * learning_rate))). `Optimizer` has the other arguments.

    Raises ArgumentError for a negative initial value or penalty, and for a learning_rate_power above 0.
    """

    settings = (
        "learning_rate_power",
        "initial_accumulator_value",
        "l1_regularization_strength",
        "l2_regularization_strength",
        "l2_shrinkage_regularization_strength",
        "beta",
    )

    @takes_common
    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        *common: Any,
        **named: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, *common, **named)
        self.learning_rate_power, self.beta = learning_rate_power, beta
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        for name in self.settings[1:-1]:
            if getattr(self, name) < 0:
                raise ArgumentError(f"{name} must not be negative, and is {getattr(self, name)}")
        if learning_rate_power > 0:
            raise ArgumentError(f"learning_rate_power must not be above 0, and is {learning_rate_power}")

    def build(self, variables: Iterable[Variable]) -> None:
        if not self.built:
            super().build(variables)
            starts = [Constant(self.initial_accumulator_value), "zeros"]
            self._accumulators, self._linears = self.add_optimizer_variables(
                self._trainable_variables, ["accumulator", "linear"], starts
            )

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        index, gradient = self._get_variable_index(variable), ops.cast(gradient, variable.dtype)
        accumulator, linear = self._accumulators[index], self._linears[index]
        per_rate, penalty = self.once(self._factors, learning_rate, variable.dtype)
        before = self._power(accumulator)
        self.assign_add(accumulator, ops.square(gradient))
        after = self._power(accumulator)
        shrinkage, l1 = self.l2_shrinkage_regularization_strength, self.l1_regularization_strength
        wanted = gradient + variable * (2.0 * shrinkage) if shrinkage else gradient
        self.assign_add(linear, wanted - (after - before) * per_rate * variable)
        beyond = ops.clip(linear, -l1, l1) - linear if l1 else -linear
        self.assign(variable, beyond / (after * per_rate + penalty))

    def _power(self, value: Any) -> Any:
        exponent = -self.learning_rate_power
        return ops.sqrt(value) if exponent == 0.5 else ops.power(value, exponent)

    def _factors(self, learning_rate: Any, dtype: str) -> tuple[Any, Any]:
        """1 / learning_rate, and twice the l2 penalty."""
        per_rate = 1.0 / ops.cast(learning_rate, dtype)
        return per_rate, 2.0 * self.l2_regularization_strength + self.beta * per_rate
