"""Arrays at the border: what users pass becomes what kernels take, or an error before anything is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kgraph.errors import ArgumentError, DTypeError, RangeError, ShapeError
from kgraph.graph.types import TensorType, is_floating, numpy_dtype


def as_input(name: str, kind: TensorType, value: Any) -> np.ndarray:
    """The value as an aligned array of the input's dtype in C order; a copy only where it is not one already."""
    wanted = numpy_dtype(kind.dtype)
    if type(value) is np.ndarray and value.dtype == wanted and value.dtype.isnative:
        flags = value.flags
        if flags.c_contiguous and flags.aligned:
            return value
    if hasattr(value, "as_symbol"):
        value = value.numpy()
    if hasattr(value, "filled") and np.any(value.mask):
        raise DTypeError(
            f"input {name!r} wants {kind}, and got an array with {np.count_nonzero(value.mask)} masked numbers; "
            "`filled` gives them values"
        )
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ShapeError(f"input {name!r} wants {kind}, and got rows of different lengths") from error
    if array.dtype == object or array.dtype.kind in "USMm" or array.dtype.names:
        raise DTypeError(f"input {name!r} wants {kind}, and got a {type(value).__name__} of {array.dtype}")
    return np.require(_converted(name, kind, array, wanted), requirements=["C", "A"])


def _converted(name: str, kind: TensorType, array: np.ndarray, wanted: np.dtype) -> np.ndarray:
    """The array in the wanted dtype; DTypeError or RangeError where numbers would become others."""
    if array.dtype == wanted:
        return array
    has_fractions = is_floating(array.dtype)
    if array.dtype.kind == "c" or (has_fractions and wanted.kind in "iub"):
        whole = has_fractions and wanted.kind in "iu" and bool(np.all(np.mod(array, 1) == 0))
        if not whole:
            raise DTypeError(f"input {name!r} wants {kind}, and {array.dtype} values would lose their fractions")
    if wanted.kind in "iu" and (has_fractions or array.dtype.kind in "iu") and array.size:
        low, high = np.iinfo(wanted).min, np.iinfo(wanted).max
        if array.min().item() < low or array.max().item() > high:  # Python compares them exactly, numpy rounds `high`
            raise RangeError(f"input {name!r} wants {kind}, and got values from {array.min()} to {array.max()}")
    if wanted.kind == "b" and not np.isin(array, (0, 1)).all():
        raise DTypeError(f"input {name!r} wants {kind}, and got {array.dtype} values other than 0 and 1")
    return array.astype(wanted.newbyteorder("="))


def arguments(names: Sequence[str], ranks: Sequence[int], given: Sequence[Any], named: Mapping[str, Any]) -> list[Any]:
    """The values of the inputs from f(a, b), f([a, b]), f({"x": a}) or f(x=a).

    A list given for a single input is taken for the list of inputs if its one element has that input's rank.
    """
    if len(given) == 1 and not named:
        only = given[0]
        if isinstance(only, Mapping):
            return _by_name(names, only)
        if isinstance(only, (list, tuple)) and (len(names) != 1 or (len(only) == 1 and _rank(only[0]) == ranks[0])):
            given = only
    if named:
        return _by_name(names, {**dict(zip(names, given, strict=False)), **named})
    if len(given) != len(names):
        raise ArgumentError(f"{len(names)} inputs are wanted, {', '.join(names)}; {len(given)} came")
    return list(given)


def by_output(names: Sequence[str], value: Any, what: str, partial: bool = False) -> list[Any]:
    """One value for each output, from a dict by their names or a list in their order.

    partial: a dict may leave outputs out; they get None. ArgumentError for a name that no output has, or for another
    number of values than outputs.
    """
    if isinstance(value, Mapping):
        unknown = sorted(str(key) for key in value if key not in names)
        missing = [] if partial else [name for name in names if name not in value]
        if unknown or missing:
            wrong = f"{unknown[0]!r} is no output" if unknown else f"{missing[0]!r} is missing"
            raise ArgumentError(f"{what} goes by the outputs {', '.join(names)}: {wrong}")
        return [value.get(name) for name in names]
    if len(value) != len(names):
        outputs = f"the {len(names)} outputs {', '.join(names)}"
        raise ArgumentError(f"one {what} for each output is wanted, of {outputs}, and {len(value)} came")
    return list(value)


def for_outputs_of(names: Sequence[str], ranks: Sequence[int], value: Any, what: str) -> list[Any]:
    """One value for each output, from an array, a list or a dict by name; a single output's may be rows in a list."""
    if isinstance(value, Mapping):
        return by_output(names, value, what)
    listed = isinstance(value, (list, tuple))
    if len(names) == 1:
        held = (
            listed
            and len(value) == 1
            and (np.ndim(value[0]) > 0 if _is_array(value[0]) else _rank(value[0]) >= ranks[0])
        )
        return list(value) if held and ranks[0] else [value]
    return by_output(names, value if listed else [value], what)


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape")


def _rank(value: Any) -> int:
    if isinstance(value, (list, tuple)):
        return 1 + (_rank(value[0]) if len(value) else 0)
    return np.ndim(value)


def _by_name(names: Sequence[str], given: Mapping[str, Any]) -> list[Any]:
    unknown, missing = given.keys() - set(names), set(names) - given.keys()
    if unknown or missing:
        wrong = [f"unknown: {', '.join(sorted(map(str, unknown)))}"] * bool(unknown)
        wrong += [f"missing: {', '.join(sorted(missing))}"] * bool(missing)
        raise ArgumentError(f"inputs go by the names {', '.join(names)}; {'; '.join(wrong)}")
    return [given[name] for name in names]


def check_outputs(
    out: Sequence[Any], shapes: Sequence[tuple[int, ...]], dtypes: Sequence[np.dtype], inputs: Sequence[np.ndarray]
) -> None:
    """Raise unless each array of `out` can take its result, and none overlaps an input or another."""
    if len(out) != len(shapes):
        raise ArgumentError(f"out= wants {len(shapes)} arrays, and got {len(out)}")
    for position, (array, shape, dtype) in enumerate(zip(out, shapes, dtypes, strict=True)):
        if not isinstance(array, np.ndarray):
            raise DTypeError(f"out= wants an ndarray, and got a {type(array).__name__}")
        if array.shape != shape:
            raise ShapeError(f"out= wants shape {shape}, and got {array.shape}")
        if array.dtype != dtype:
            raise DTypeError(f"out= wants {dtype}, and got {array.dtype}")
        if not (array.flags.writeable and array.flags.c_contiguous):
            raise ArgumentError("out= wants a writable array in C order")
        if any(np.may_share_memory(array, other) for other in (*inputs, *out[:position])):
            raise ArgumentError("out= overlaps an input or another output")
