"""Momentum made orthogonal, for matrices; Adam for everything else."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from kgraph import ops
from kgraph.optimizers.adam import corrected_rate, move_averages
from kgraph.optimizers.base import Optimizer
from kgraph.optimizers.gradients import norm
from kgraph.tracing.variable import Variable


class Muon(Optimizer):
    """Steps of matrices have all singular values near 1 (Jordan et al., 2024; Liu et al., 2025).

    The direction is m, or with nesterov g + momentum * m, after ns_steps of Newton and Schulz's iteration with the
    coefficients muon_a, muon_b and muon_c; rms_rate makes steps as large as Adam's (None: as they are). Adam, with
    learning_rate * adam_lr_ratio, adam_beta_1, adam_beta_2, epsilon and adam_weight_decay, updates what is no matrix,
    what has "embedding" in its path (unless exclude_embeddings=False), and where a pattern of exclude_layers is found
    in the path. `Optimizer` has the other arguments.
    """

    settings = (
        "adam_beta_1",
        "adam_beta_2",
        "epsilon",
        "exclude_layers",
        "muon_a",
        "muon_b",
        "muon_c",
        "adam_lr_ratio",
        "momentum",
        "ns_steps",
        "nesterov",
        "exclude_embeddings",
        "adam_weight_decay",
        "rms_rate",
    )

    def __init__(
        self,
        learning_rate: Any = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.7750,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **unknown: Any,
    ) -> None:
        super().__init__(
            learning_rate,
            weight_decay,
            clipnorm,
            clipvalue,
            global_clipnorm,
            use_ema,
            ema_momentum,
            ema_overwrite_frequency,
            loss_scale_factor,
            gradient_accumulation_steps,
            name,
            **unknown,
        )
        self.adam_beta_1, self.adam_beta_2, self.epsilon = adam_beta_1, adam_beta_2, epsilon
        self.adam_weight_decay, self.adam_lr_ratio = adam_weight_decay, adam_lr_ratio
        self.exclude_layers, self.exclude_embeddings = list(exclude_layers or ()), exclude_embeddings
        self.muon_a, self.muon_b, self.muon_c = muon_a, muon_b, muon_c
        self.momentum, self.ns_steps, self.nesterov, self.rms_rate = momentum, ns_steps, nesterov, rms_rate

    def _by_adam(self, variable: Variable) -> bool:
        if variable.ndim != 2 or (self.exclude_embeddings and "embedding" in variable.path.lower()):
            return True
        return any(re.search(pattern, variable.path) for pattern in self.exclude_layers)

    def weight_decay_of(self, variable: Variable) -> float | None:
        return self.adam_weight_decay if self._by_adam(variable) else self.weight_decay

    def build(self, variables: Iterable[Variable]) -> None:
        if not self.built:
            super().build(variables)
            self.momentums: list[Variable] = []
            self.adam_velocities: list[Variable | None] = []
            for variable in self._trainable_variables:
                self.momentums.append(self.add_variable_from_reference(variable, "momentum"))
                adam = self._by_adam(variable)
                self.adam_velocities.append(self.add_variable_from_reference(variable, "velocity") if adam else None)

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        index, gradient = self._get_variable_index(variable), ops.cast(gradient, variable.dtype)
        m, v = self.momentums[index], self.adam_velocities[index]
        if v is not None:
            move_averages(self, m, v, gradient, self.adam_beta_1, self.adam_beta_2)
            alpha = self.once(self._adam_rate, learning_rate, variable.dtype)
            self.assign_sub(variable, m * alpha / (ops.sqrt(v) + self.epsilon))
            return
        self.assign(m, m * self.momentum + gradient)
        direction = self._orthogonal(gradient + m * self.momentum if self.nesterov else m)
        scale = 1.0 if self.rms_rate is None else math.sqrt(max(variable.shape)) * self.rms_rate
        self.assign_sub(variable, direction * (self.once(ops.cast, learning_rate, variable.dtype) * scale))

    def _adam_rate(self, learning_rate: Any, dtype: str) -> Any:
        rate = ops.cast(learning_rate, dtype) * self.adam_lr_ratio
        return corrected_rate(rate, self.adam_beta_1, self.adam_beta_2, self.step(dtype))

    def _orthogonal(self, x: Any) -> Any:
        """The matrix with its singular values brought near 1, on the side where the products are small."""
        rows, columns = x.shape
        x = ops.transpose(x) if rows > columns else x
        x = x / (norm(x) + 1e-7)
        for _ in range(self.ns_steps):
            square = ops.matmul(x, ops.transpose(x))
            x = x * self.muon_a + ops.matmul(square * self.muon_b + ops.matmul(square, square) * self.muon_c, x)
        return ops.transpose(x) if rows > columns else x
