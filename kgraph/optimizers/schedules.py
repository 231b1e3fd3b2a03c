"""Learning rates that depend on the step: functions of a number, an array or a symbol."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

from kgraph import config, ops
from kgraph.errors import ArgumentError
from kgraph.named import Configured, find, snake_case, to_config
from kgraph.registry import CustomObjectScope


class LearningRateSchedule:
    """The learning rate as a function of the step. Subclasses define `__call__(step)`, and `get_config` to be saved.

    The step is an integer scalar: a symbol while a training step is traced, so it is computed with `kgraph.ops`.
    """

    def __call__(self, step: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, step)")

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this schedule again."""
        raise NotImplementedError(f"{type(self).__name__} must define get_config() to be saved")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The schedule that `get_config` described."""
        return cls(**config)


class Schedule(Configured, LearningRateSchedule):
    """A schedule of kgraph's own, described by the arguments it was made with."""


class ExponentialDecay(Schedule):
    """initial_learning_rate * decay_rate ** (step / decay_steps), where staircase rounds the quotient down."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        self.initial_learning_rate, self.decay_rate = initial_learning_rate, decay_rate
        self.decay_steps = positive(decay_steps, "decay_steps")
        self.staircase, self.name = staircase, name

    def __call__(self, step: Any) -> Any:
        return self.initial_learning_rate * ops.power(tensor(self.decay_rate), stairs(self, step))


class InverseTimeDecay(Schedule):
    """initial_learning_rate / (1 + decay_rate * step / decay_steps), where staircase rounds the quotient down."""

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        self.initial_learning_rate, self.decay_rate = initial_learning_rate, decay_rate
        self.decay_steps = positive(decay_steps, "decay_steps")
        self.staircase, self.name = staircase, name

    def __call__(self, step: Any) -> Any:
        return self.initial_learning_rate / (1.0 + self.decay_rate * stairs(self, step))


class PiecewiseConstantDecay(Schedule):
    """values[0] up to and including step boundaries[0], values[1] up to boundaries[1], ..., values[-1] after them.

    Raises ArgumentError unless boundaries increase and there is one value more than boundaries.
    """

    def __init__(self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant") -> None:
        if len(boundaries) != len(values) - 1:
            raise ArgumentError(
                f"{len(boundaries)} boundaries make {len(boundaries) + 1} pieces, and there are {len(values)} values"
            )
        if list(boundaries) != sorted(boundaries):
            raise ArgumentError(f"boundaries must increase, and are {list(boundaries)}")
        self.boundaries, self.values, self.name = boundaries, values, name

    def __call__(self, step: Any) -> Any:
        step = ops.convert_to_tensor(step)
        rate = tensor(self.values[-1])
        for boundary, value in zip(reversed(self.boundaries), reversed(self.values[:-1]), strict=True):
            rate = ops.where(step <= ops.cast(boundary, step.dtype), tensor(value), rate)
        return rate


class PolynomialDecay(Schedule):
    """From initial_learning_rate to end_learning_rate in decay_steps, by (1 - step / decay_steps) ** power.

    With cycle, decay_steps becomes its first multiple that reaches the step, instead of ending there.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self.initial_learning_rate, self.end_learning_rate = initial_learning_rate, end_learning_rate
        self.decay_steps = positive(decay_steps, "decay_steps")
        self.power, self.cycle, self.name = power, cycle, name

    def __call__(self, step: Any) -> Any:
        step, steps = tensor(step), tensor(self.decay_steps)
        if self.cycle:
            steps = steps * ops.maximum(ops.ceil(step / steps), 1.0)
        left = 1.0 - ops.minimum(step, steps) / steps
        span = self.initial_learning_rate - self.end_learning_rate
        return span * (left if self.power == 1 else ops.power(left, self.power)) + self.end_learning_rate


class CosineDecay(Schedule):
    """Half a cosine from initial_learning_rate down to alpha times it, in decay_steps (Loshchilov and Hutter, 2016).

    With warmup_target, the rate first goes in a line from initial_learning_rate to it, in warmup_steps.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        self.initial_learning_rate, self.alpha, self.name = initial_learning_rate, alpha, name
        self.decay_steps = positive(decay_steps, "decay_steps")
        self.warmup_target, self.warmup_steps = warmup_target, warmup_steps

    def __call__(self, step: Any) -> Any:
        step = tensor(step)
        if self.warmup_target is None:
            return self.initial_learning_rate * self._decay(step)
        decayed = self.warmup_target * self._decay(step - self.warmup_steps)
        if not self.warmup_steps:
            return decayed
        rise = (self.warmup_target - self.initial_learning_rate) / self.warmup_steps
        return ops.where(step < self.warmup_steps, self.initial_learning_rate + rise * step, decayed)

    def _decay(self, step: Any) -> Any:
        return half_cosine(ops.minimum(step, self.decay_steps) / self.decay_steps, self.alpha)


class CosineDecayRestarts(Schedule):
    """`CosineDecay` that starts again and again, each time t_mul times as long and m_mul times as high."""

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate, self.alpha, self.name = initial_learning_rate, alpha, name
        self.first_decay_steps = positive(first_decay_steps, "first_decay_steps")
        self.t_mul, self.m_mul = t_mul, m_mul

    def __call__(self, step: Any) -> Any:
        done = tensor(step) / self.first_decay_steps
        if self.t_mul == 1:
            restarts = ops.floor(done)
            done = done - restarts
        else:
            restarts = ops.floor(ops.log(1.0 - done * (1.0 - self.t_mul)) / ops.log(tensor(self.t_mul)))
            length = ops.power(tensor(self.t_mul), restarts)
            done = (done - (1.0 - length) / (1.0 - self.t_mul)) / length
        height = 1.0 if self.m_mul == 1 else ops.power(tensor(self.m_mul), restarts)
        return self.initial_learning_rate * half_cosine(done, self.alpha, height)


def tensor(value: Any) -> Any:
    """A step or a setting in the dtype that learning rates are computed in."""
    return ops.cast(value, config.floatx())


def stairs(schedule: Any, step: Any) -> Any:
    """step / decay_steps, rounded down if the schedule is a staircase."""
    quotient = tensor(step) / tensor(schedule.decay_steps)
    return ops.floor(quotient) if schedule.staircase else quotient


def half_cosine(done: Any, alpha: float, height: Any = 1.0) -> Any:
    """From `height` at 0 to alpha at 1."""
    return (1.0 - alpha) * (height * (0.5 * (1.0 + ops.cos(math.pi * done)))) + alpha


def positive(steps: int, name: str) -> int:
    """A count of steps; ArgumentError unless it is above 0."""
    if steps <= 0:
        raise ArgumentError(f"{name} must be above 0, and is {steps}")
    return steps


NAMES: dict[str, Any] = {
    name: one
    for one in (
        ExponentialDecay,
        InverseTimeDecay,
        PiecewiseConstantDecay,
        PolynomialDecay,
        CosineDecay,
        CosineDecayRestarts,
    )
    for name in (one.__name__, snake_case(one.__name__))
}


def serialize(learning_rate_schedule: Any) -> Any:
    """A description that `deserialize` understands, in the form Keras writes."""
    return to_config(learning_rate_schedule)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The schedule, or function, that `serialize` described."""
    with CustomObjectScope(custom_objects):
        return find(config, NAMES, "learning rate schedule")
