"""Steps divided by the size of all gradients so far."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from kgraph import ops
from kgraph.initializers import Constant
from kgraph.optimizers.base import Common, Optimizer, takes_common
from kgraph.tracing.variable import Variable


class Adagrad(Optimizer):
    """learning_rate * g / sqrt(accumulator + epsilon), where the accumulator adds up g² (Duchi et al., 2011).

    The accumulators start at initial_accumulator_value. `Optimizer` has the other arguments.
    """

    settings = ("initial_accumulator_value", "epsilon")

    @takes_common
    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        *common: Any,
        **named: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, *common, **named)
        self.initial_accumulator_value, self.epsilon = initial_accumulator_value, epsilon

    def build(self, variables: Iterable[Variable]) -> None:
        if not self.built:
            super().build(variables)
            start = Constant(self.initial_accumulator_value)
            self._accumulators = self.add_optimizer_variables(self._trainable_variables, "accumulator", start)

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        gradient = ops.cast(gradient, variable.dtype)
        accumulator = self._accumulators[self._get_variable_index(variable)]
        self.assign_add(accumulator, ops.square(gradient))
        rate = self.once(ops.cast, learning_rate, variable.dtype)
        self.assign_sub(variable, gradient * rate / ops.sqrt(accumulator + self.epsilon))
