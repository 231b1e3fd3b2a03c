"""The axes a function runs along: from what a user writes to the attribute of a row."""

from __future__ import annotations

from typing import Any

import numpy as np

from kgraph.errors import ArgumentError
from kgraph.graph.sizes import shown
from kgraph.ops.move import shape_of
from kgraph.tracing.trace import Symbol


def is_pattern(x: Any) -> bool:
    """Whether x stands for anything, in a pattern of a rewrite rule: it has neither shape nor dtype."""
    return isinstance(x, Symbol) and x.type is None


def axes_of(x: Any, axis: Any) -> Any:
    """The axes meant by None (all), one number, or a sequence of them: each from 0 on, in ascending order.

    A wildcard of a pattern is handed back as it is; on a pattern, axes must be written from 0 on already.
    ArgumentError: an axis that x has not, or one named twice.
    """
    if isinstance(axis, Symbol):
        return axis
    if axis is not None and not isinstance(axis, (int, np.integer, tuple, list)):
        raise ArgumentError(f"an axis is an integer, a sequence of integers or None, not {axis!r}")
    listed: list[Any] = list(axis) if isinstance(axis, (tuple, list)) else [axis]
    if is_pattern(x):
        return _of_pattern(listed)
    have = shape_of(x)
    if axis is None:
        return tuple(range(len(have)))
    for one in listed:
        if not -len(have) <= one < len(have):
            raise ArgumentError(f"axis {one} is outside a tensor of shape {shown(have)}, which has {len(have)} axes")
    found = sorted(int(one) % len(have) for one in listed)
    if len(set(found)) != len(found):
        raise ArgumentError(f"axes {tuple(listed)} of a tensor of shape {shown(have)} name one axis twice")
    return tuple(found)


def axis_of(x: Any, axis: Any) -> Any:
    """One axis, from 0 on; a wildcard is handed back as it is."""
    if isinstance(axis, Symbol):
        return axis
    if not isinstance(axis, (int, np.integer)) or isinstance(axis, bool):
        raise ArgumentError(f"one axis is wanted, an integer, not {axis!r}")
    return axes_of(x, axis)[0]


def _of_pattern(axes: Any) -> tuple[Any, ...]:
    """Axes as a pattern may have them: numbers from 0 on, or wildcards."""
    if any(not isinstance(one, Symbol) and (one is None or one < 0) for one in axes):
        raise ArgumentError(f"a pattern knows no rank, so its axes are written from 0 on, not as {axes}")
    return tuple(axes)
