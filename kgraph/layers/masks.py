"""Masks that tensors carry: how they come into a call, and which the outputs carry on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kgraph import tree
from kgraph.graph.types import TensorType
from kgraph.tracing.recording import Recorded
from kgraph.tracing.trace import Symbol, as_symbol, symbol_input, with_mask


class Masked(np.ndarray):
    """An array that carries a mask, as layers return it. What numpy computes from it is an array without."""

    mask: Any = None

    @property
    def _keras_mask(self) -> Any:
        return self.mask

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        plain = np.asarray(array)
        return plain[()] if return_scalar else plain

    def __repr__(self) -> str:
        return repr(self.view(np.ndarray))

    def __reduce__(self) -> Any:
        return self.view(np.ndarray).__reduce__()


def carrying(array: np.ndarray, mask: Any) -> np.ndarray:
    """The array with this mask, if there is one."""
    if mask is None:
        return array
    made: Any = array if isinstance(array, Recorded) else array.view(Masked)
    made.mask = mask
    return made


class Entering:
    """Makes symbols for the arrays of a call, and for the masks that these carry."""

    def __init__(self, type_of: Callable[[Any], TensorType]) -> None:
        self.type_of = type_of
        self.masks: dict[int, tuple[Symbol, Any]] = {}  # by the mask's identity
        self.arrays: dict[int, Any] = {}  # masks, by their symbol's number

    def __call__(self, value: Any) -> Symbol:
        symbol, mask = symbol_input("x", self.type_of(value)), mask_of(value)
        if mask is None:
            return symbol
        if id(mask) not in self.masks:
            made = symbol_input("mask", self.type_of(mask))
            self.masks[id(mask)], self.arrays[made.serial] = (made, mask), mask
        return with_mask(symbol, self.masks[id(mask)][0])

    def array(self, source: Any) -> Any:
        """The value that a symbol in the call stands for."""
        return self.arrays[source.serial] if isinstance(source, Symbol) else source

    def mask(self, found: Sequence[Any], mask: Any) -> Any:
        """The mask of an output: none, one of the results found, or one of those that came in."""
        return None if mask is None else found[mask] if isinstance(mask, int) else np.asarray(self.array(mask))


def mask_of(value: Any) -> Any:
    """The mask a tensor carries, or None."""
    return getattr(value, "mask", None) if isinstance(value, (Symbol, Masked, Recorded)) else None


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
