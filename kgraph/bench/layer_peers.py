"""The calls of peers that are given a chain of layers instead of a graph of ops."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from kgraph.bench.calls import Calls, arguments_of, stepping
from kgraph.bench.case import Case
from kgraph.bench.chain import IMAGE, LOOPS, Link

UNROLLED = (1, 10)  # steps of time in one step of jax's loop


def by_jax(case: Case, mode: str, chain: Sequence[Link]) -> Calls:
    """Loops as they are, and with several steps unrolled."""
    from kgraph.bench import jax_calls, jax_layers

    ways, arguments = {}, arguments_of(case, mode)
    for unroll in UNROLLED if any(link.kind in LOOPS for link in chain) else UNROLLED[:1]:
        run, params, names = jax_layers.made_for(case, chain, mode, unroll)
        if mode == "forward":
            call = jax_calls.forward(run, params, arguments)
        else:
            call = getattr(jax_calls, {"grad": "gradient"}.get(mode, mode))(run, params, arguments, names)
        ways[f"unroll={unroll}" if unroll > 1 else "scan"] = call
    return stepping(case, ways) if mode == "step" else Calls(ways)


def by_torch(case: Case, mode: str, chain: Sequence[Link], compiled: bool) -> Calls:
    """Modules of torch.nn; images with their channels last and, if nothing is compiled, also first."""
    import torch

    from kgraph.bench import torch_calls, torch_layers

    layouts = [True] if compiled or all(link.kind not in IMAGE for link in chain) else [True, False]
    ways: dict[str, Any] = {}
    read: Any = torch_layers.read_outputs
    for last in layouts:
        if mode == "forward":
            module = torch_layers.Chain(chain, last)
            make = partial(torch_calls.forward, module, module.given(case.inputs))
            found = {"compiled": make(True), "frozen": make(True, True)} if compiled else {"": make()}
        elif mode == "grad":
            found, read = torch_calls.gradient(torch_layers.made_for(case, chain, last), compiled)
        else:
            found, read = torch_calls.step(partial(torch_layers.made_for, case, chain, last), compiled)
        ways |= {f"{name}{'' if last else ' channels first'}".strip(): call for name, call in found.items()}
    if mode == "step":
        return stepping(case, ways, read)
    within = {} if mode == "grad" else {"within": torch.no_grad if compiled else torch.inference_mode}
    return Calls(ways, read, **within)
