"""What jax measures of a function `run(params, inputs)`, compiled whole by jax.jit: outputs, gradients, and steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from kgraph.bench.adam import adam

Run = Callable[[Mapping[str, Any], Sequence[Any]], list[Any]]


def forward(run: Run, params: Mapping[str, Any], arguments: Sequence[np.ndarray]) -> Callable[[], Any]:
    """A call that computes the outputs and waits for them."""
    compiled, given = jax.jit(run), [jnp.asarray(one) for one in arguments]
    return lambda: jax.block_until_ready(compiled(params, given))


def gradient(
    run: Run, params: Mapping[str, Any], arguments: Sequence[np.ndarray], weights: Sequence[str]
) -> Callable[[], Any]:
    """A call that computes the loss, which is the first output, and its gradients for these params.

    A name that is no param has no influence on the loss, and gets the gradient 0.
    """
    wanted, others = _parted(params, weights)
    given = [jnp.asarray(one) for one in arguments]
    compiled = jax.jit(jax.value_and_grad(partial(_loss, run, weights)))

    def call() -> list[Any]:
        value, found = jax.block_until_ready(compiled(wanted, others, given))
        return [value, *found]

    return call


def step(
    run: Run, params: Mapping[str, Any], arguments: Sequence[np.ndarray], weights: Sequence[str]
) -> Callable[[], Any]:
    """A call that takes a step of Adam, in the memory of the weights before it; it gives the loss and the weights."""
    wanted, others = _parted(params, weights)
    wanted = [jnp.array(one, copy=True) for one in wanted]  # the first step takes their memory
    given = [jnp.asarray(one) for one in arguments]
    state = wanted, [jnp.zeros_like(one) for one in wanted], [jnp.zeros_like(one) for one in wanted], jnp.float32(0)

    def one_step(state: Any, others: Any, given: Any) -> Any:
        wanted, firsts, seconds, count = state
        value, gradients = jax.value_and_grad(partial(_loss, run, weights))(wanted, others, given)
        parts = zip(wanted, gradients, firsts, seconds, strict=True)
        made = [adam(*part, count + 1, jnp.sqrt) for part in parts]
        return value, (*([one[k] for one in made] for k in range(3)), count + 1)

    compiled = jax.jit(one_step, donate_argnums=0)

    def call() -> Any:
        nonlocal state
        value, state = jax.block_until_ready(compiled(state, others, given))
        return value, state[0]

    return call


def _loss(run: Run, names: Sequence[str], wanted: Sequence[Any], others: Mapping[str, Any], given: Any) -> Any:
    return run({**others, **dict(zip(names, wanted, strict=True))}, given)[0]


def _parted(params: Mapping[str, Any], weights: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
    """The params that gradients are asked for, and the others."""
    wanted = [params.get(name, jnp.float32(0)) for name in weights]
    return wanted, {name: value for name, value in params.items() if name not in weights}
