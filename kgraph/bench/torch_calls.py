"""What torch measures of a module: outputs, gradients, and steps; as it is, or compiled by torch.compile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kgraph.bench.adam import DECAYS, EPSILON_CORRECTED, RATE, adam

Ways = dict[str, Callable[[], Any]]
OPTIONS = {"lr": RATE, "betas": DECAYS, "eps": EPSILON_CORRECTED}


@dataclass(frozen=True)
class Made:
    """A module that computes a loss, what it is called on, and where the weights of ours are in it."""

    module: torch.nn.Module
    given: Sequence[torch.Tensor]
    wanted: Sequence[torch.Tensor]  # the parameters that gradients are asked for
    read: Callable[[Sequence[np.ndarray]], list[np.ndarray]]  # arrays like these -> arrays like ours


def tensors(arrays: Sequence[np.ndarray]) -> list[torch.Tensor]:
    """Arrays as torch has them."""
    return [torch.from_numpy(one) for one in arrays]


def forward(
    module: torch.nn.Module, given: Sequence[torch.Tensor], compiled: bool = False, frozen: bool = False
) -> Callable[[], Any]:
    """A call that computes the outputs, as it is or compiled; frozen: with weights as constants, and called from C++.

    To be called where torch keeps nothing for gradients.
    """
    module.eval()
    options = {"freezing": frozen, "cpp_wrapper": frozen}
    run = torch.compile(module, dynamic=False, options=options) if compiled else module
    return lambda: run(*given)


def gradient(made: Made, compiled: bool = False) -> tuple[Ways, Callable[[Any], list[np.ndarray]]]:
    """Calls that compute the loss and its gradients for the weights, and how to read their results.

    Compiled, there are two ways: the loss alone, whose backward pass torch compiles by itself, or both at once.
    """
    run = torch.compile(made.module, dynamic=False) if compiled else made.module

    def call() -> Any:
        (loss,) = run(*made.given)
        return torch.autograd.grad(loss, made.wanted), loss

    def flat(found: Any) -> list[np.ndarray]:
        gradients, loss = found
        return [loss.detach().numpy(), *made.read([one.numpy() for one in gradients])]

    if not compiled:
        return {"": call}, flat
    loss_of, wanted, others = functional(made)
    both = torch.compile(torch.func.grad_and_value(loss_of), dynamic=False)
    return {"compiled": call, "at once": lambda: both(wanted, others, *made.given)}, flat


def functional(made: Made) -> tuple[Callable[..., Any], list[torch.Tensor], dict[str, torch.Tensor]]:
    """The loss as a function of the wanted parameters, the other ones, and the inputs; and both kinds of parameters."""
    names = {id(one): name for name, one in made.module.named_parameters()}
    wanted = [names[id(one)] for one in made.wanted]
    values = {name: value.detach() for name, value in made.module.named_parameters()}
    others = {name: value for name, value in values.items() if name not in wanted}

    def loss_of(weights: list[torch.Tensor], others: Mapping[str, torch.Tensor], *inputs: torch.Tensor) -> Any:
        given = {**others, **dict(zip(wanted, weights, strict=True))}
        return torch.func.functional_call(made.module, given, inputs)[0]

    return loss_of, [values[name] for name in wanted], others


def step(make: Callable[[], Made], compiled: bool = False) -> tuple[Ways, Callable[[Any], list[np.ndarray]]]:
    """Calls that take a step of Adam, each with weights of its own, and how to read the loss and the weights after it.

    torch.optim.Adam has two implementations for many weights at once, and one for each by itself. Compiled, there are
    two ways: the loss compiled and the fused optimizer, or all as one function that changes the weights where they lie.
    """
    first = make()

    def flat(found: Any) -> list[np.ndarray]:
        loss, weights = found
        return [loss.detach().numpy(), *first.read([one.detach().numpy() for one in weights])]

    if compiled:
        return {"compiled": with_optimizer(first, True, fused=True), "at once": at_once(make())}, flat
    forms = {"fused": first, "foreach": make(), "single": make()}
    return {form: with_optimizer(made, False, **only(form)) for form, made in forms.items()}, flat


def only(form: str) -> dict[str, bool]:
    """The options for one implementation of torch.optim."""
    return {name: name == form for name in ("fused", "foreach")}


def with_optimizer(made: Made, compiled: bool, **form: bool) -> Callable[[], Any]:
    """A step as one writes it with torch.optim."""
    run = torch.compile(made.module, dynamic=False) if compiled else made.module
    for one in made.module.parameters():
        one.requires_grad_(any(one is other for other in made.wanted))
    optimizer = torch.optim.Adam(made.wanted, **OPTIONS, **form)

    def call() -> Any:
        optimizer.zero_grad(set_to_none=True)
        (loss,) = run(*made.given)
        loss.backward()
        optimizer.step()
        return loss, made.wanted

    return call


def at_once(made: Made) -> Callable[[], Any]:
    """Forward, backward and Adam compiled as one function."""
    loss_of, wanted, others = functional(made)
    both = torch.func.grad_and_value(loss_of)
    wanted = [one.clone() for one in wanted]
    firsts, seconds = ([torch.zeros_like(one) for one in wanted] for _ in range(2))
    count = torch.zeros(())

    def take(*given: torch.Tensor) -> torch.Tensor:
        gradients, loss = both(wanted, others, *given)
        count.add_(1)
        for weight, gradient, first, second in zip(wanted, gradients, firsts, seconds, strict=True):
            for old, new in zip(
                (weight, first, second), adam(weight, gradient, first, second, count, torch.sqrt), strict=True
            ):
                old.copy_(new)
        return loss

    compiled = torch.compile(take, dynamic=False)

    def call() -> Any:
        with torch.no_grad():
            return compiled(*made.given), wanted

    return call
