"""Masks that tensors carry: how they come into a call, and which the outputs carry on."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from kgraph import tree
from kgraph.tracing.trace import Symbol, as_symbol


def mask_of(value: Any) -> Any:
    """The mask a tensor carries, or None."""
    return getattr(value, "mask", None) if isinstance(value, Symbol) else None


def masks_of(value: Any) -> Any:
    """The masks of a nest of tensors, in such a nest; None where no tensor carries one."""
    masks = tree.map_structure(mask_of, value)
    return masks if any(mask is not None for mask in tree.flatten(masks)) else None


def find_masks(arguments: Any) -> None:
    """Where `call` has mask parameters that the caller left out, give it the masks its inputs carry."""
    values, tensors = arguments.bound.arguments, arguments.tensors
    if len(tensors) == 1 and "mask" in values and values["mask"] is None:
        values["mask"] = masks_of(next(iter(tensors.values())))
    elif len(tensors) > 1:
        for name, value in tensors.items():
            if f"{name}_mask" in values and values[f"{name}_mask"] is None:
                values[f"{name}_mask"] = masks_of(value)


def masks_after(layer: Any, values: Mapping[str, Any], outputs: Any) -> list[Any]:
    """The mask of each output: what `call` put on it, or what `compute_mask` says of those before.

    values: the arguments of the call by name. A layer that can do nothing with a mask says that it is lost.
    """
    flat = tree.flatten(outputs)
    own = [mask_of(leaf) for leaf in flat]
    first, given = next(iter(values.values()), None), values.get("mask")
    previous = given if given is not None else masks_of(first)
    if all(mask is not None for mask in own):
        return own
    if not layer.supports_masking:
        if previous is not None and not any(name == "mask" or name.endswith("_mask") for name in values):
            tell_that_masks_are_lost(layer)
        return own
    computed = layer.compute_mask(first, previous)
    masks = tree.flatten(computed) if computed is not None else []
    masks = [None if mask is None else as_symbol(mask) for mask in masks][: len(flat)]
    masks += [None] * (len(flat) - len(masks))
    return [mask if kept is None else kept for kept, mask in zip(own, masks, strict=True)]


def tell_that_masks_are_lost(layer: Any) -> None:
    """Warn, once for each layer."""
    if not layer.__dict__.get("_told_of_masks"):
        object.__setattr__(layer, "_told_of_masks", True)
        warnings.warn(
            f"layer {layer.name!r} ({type(layer).__name__}) was given an input with a mask. It does not support "
            "masking, so the layers after it see no mask; set self.supports_masking = True if its output has the "
            "steps of its input, or define compute_mask",
            UserWarning,
            stacklevel=2,
        )
