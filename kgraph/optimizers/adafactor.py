"""Steps divided by the recent size of the gradient, kept for rows and columns only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from kgraph import ops
from kgraph.optimizers.base import Common, Optimizer, takes_common
from kgraph.tracing.variable import Variable


class Adafactor(Optimizer):
    """g / sqrt(v), its root mean square clipped, in steps relative to the weight (Shazeer and Stern, 2018).

    v averages g² + epsilon_1 with 1 - t**beta_2_decay; of weights with two axes and more it is made of the averages of
    rows and columns. The step is max(epsilon_2, rms of the weight) * min(learning_rate, 1 / sqrt(t)) times the
    direction, whose root mean square is at most clip_threshold. relative_step has no effect beside this bound, as in
    Keras. `Optimizer` has the other arguments.
    """

    settings = ("beta_2_decay", "epsilon_1", "epsilon_2", "clip_threshold", "relative_step")

    @takes_common
    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        *common: Any,
        **named: Unpack[Common],
    ) -> None:
        super().__init__(learning_rate, *common, **named)
        self.beta_2_decay, self.clip_threshold, self.relative_step = beta_2_decay, clip_threshold, relative_step
        self.epsilon_1, self.epsilon_2 = epsilon_1, epsilon_2

    def build(self, variables: Iterable[Variable]) -> None:
        if not self.built:
            super().build(variables)
            self._r, self._c, self._v = [], [], []
            for variable in self._trainable_variables:
                shape, dtype, name = variable.shape, variable.dtype, variable.name
                rows, columns = (shape[:-1], (*shape[:-2], shape[-1])) if len(shape) > 1 else ((), ())
                self._r.append(self.add_variable(rows, dtype=dtype, name=name))
                self._c.append(self.add_variable(columns, dtype=dtype, name=name))
                self._v.append(self.add_variable_from_reference(variable, "velocity"))

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        index, gradient = self._get_variable_index(variable), ops.cast(gradient, variable.dtype)
        rate, taken = self.once(self._rate_and_share, learning_rate, variable.dtype)
        squares = ops.square(gradient) + self.epsilon_1
        v = self._v[index]
        if variable.ndim < 2:
            self.assign_add(v, (squares - v) * taken)
        else:
            r, c = self._r[index], self._c[index]
            self.assign_add(r, (ops.mean(squares, axis=-1) - r) * taken)
            self.assign_add(c, (ops.mean(squares, axis=-2) - c) * taken)
            rows = ops.divide(r, ops.mean(r, axis=-1, keepdims=True))
            self.assign(v, ops.expand_dims(rows, -1) * ops.expand_dims(c, -2))
        direction = gradient * ops.rsqrt(v)
        clipped = ops.maximum(1.0, rms(direction) * (1.0 / self.clip_threshold))
        size = ops.maximum(rms(variable), self.epsilon_2)
        self.assign_sub(variable, direction * (size * rate / clipped))

    def _rate_and_share(self, learning_rate: Any, dtype: str) -> tuple[Any, Any]:
        """The bounded learning rate, and the share of new squares in the averages."""
        step = self.step(dtype)
        rate = ops.minimum(ops.cast(learning_rate, dtype), ops.rsqrt(step))
        return rate, ops.power(step, self.beta_2_decay)


def rms(value: Any) -> Any:
    """The root mean square of all elements."""
    return ops.sqrt(ops.mean(ops.square(value)))
