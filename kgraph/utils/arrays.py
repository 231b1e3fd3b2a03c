"""Arrays as models want them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kgraph.errors import ArgumentError, DTypeError, RangeError, ShapeError

SIDES = ("pre", "post")


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """Rows with a 1 at the index and 0 elsewhere, float32; a last axis of size 1 of x is dropped.

    num_classes defaults to the largest index plus 1. RangeError for an index outside.
    """
    indices = np.asarray(x, dtype="int64")
    shape = indices.shape[:-1] if indices.ndim > 1 and indices.shape[-1] == 1 else indices.shape
    flat = indices.reshape(-1)
    width = int(num_classes or (flat.max() + 1 if flat.size else 0))
    if flat.size and not -width <= flat.min() <= flat.max() < width:
        raise RangeError(f"class {int(flat.max())} is outside 0 to {width - 1}")
    rows = np.zeros((flat.size, width), "float32")
    rows[np.arange(flat.size), flat] = 1
    return rows.reshape(*shape, width)


def normalize(x: Any, axis: int = -1, order: int = 2) -> np.ndarray:
    """x with vectors along `axis` of norm 1."""
    x = np.asarray(x)
    norm = np.atleast_1d(np.linalg.norm(x, order, axis))
    return x / np.expand_dims(np.where(norm == 0, 1, norm), axis)


def pad_sequences(
    sequences: Sequence[Any],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray:
    """Sequences of different lengths as one array (len(sequences), maxlen, ...), filled up with `value`.

    maxlen: default that of the longest. padding: "pre" or "post", where `value` goes; truncating: "pre" or "post",
    where sequences that are longer lose elements. dtype: of the array; strings want dtype=object. The elements may be
    arrays, of one shape.

    Raises ArgumentError for other words than these, a negative maxlen, and what is no sequence of sequences;
    ShapeError for elements of different shapes; DTypeError for a value that the dtype does not hold. Source: Keras.
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in SIDES:
            raise ArgumentError(f"{name}={side!r:.60} is neither 'pre' nor 'post'")
    if not hasattr(sequences, "__len__") or not all(hasattr(one, "__len__") for one in sequences):
        raise ArgumentError(f"pad_sequences wants a list of sequences, not {sequences!r:.60}")
    kind = np.dtype(dtype)
    if isinstance(value, str) and kind.kind not in "OSU":
        raise DTypeError(f"dtype {kind} does not hold value={value!r:.60}; strings want dtype=object")
    length = max(map(len, sequences), default=0) if maxlen is None else int(maxlen)
    if length < 0:
        raise ArgumentError(f"maxlen={maxlen} is negative")
    shape = next((np.asarray(one).shape[1:] for one in sequences if len(one)), ())
    padded = np.full((len(sequences), length, *shape), value, dtype=dtype)
    for row, (place, sequence) in zip(padded, enumerate(sequences), strict=True):
        surplus = max(len(sequence) - length, 0)
        kept = sequence[surplus:] if truncating == "pre" else sequence[: len(sequence) - surplus]
        if not len(kept):
            continue
        elements = np.asarray(kept, dtype=dtype)
        if elements.shape[1:] != shape:
            raise ShapeError(f"elements of sequence {place} have shape {elements.shape[1:]}, and those before {shape}")
        first = 0 if padding == "post" else length - len(elements)
        row[first : first + len(elements)] = elements
    return padded
