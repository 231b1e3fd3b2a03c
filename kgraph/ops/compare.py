"""Rows of kind map whose results are conditions or bits: comparisons, logic, bitwise operations, is_..."""

from __future__ import annotations

import numpy as np

from kgraph.errors import DTypeError
from kgraph.graph.op import common
from kgraph.graph.types import TensorType, is_float
from kgraph.ops.elementwise import all_bools, elementwise, met, truth


def integers(*xs: TensorType) -> TensorType:
    """Operands are broadcast; they must be integers or bool."""
    for x in xs:
        if is_float(x.dtype):
            raise DTypeError(f"operations on bits take integers, not {x.dtype}")
    return met(*xs)


# comparisons -----------------------------------------------------------------------------------------------------

equal = elementwise(
    "Whether x1 is x2, element by element.",
    "x1 x2",
    name="equal",
    type=truth,
    numpy=np.equal,
    scalar="{0} == {1}",
    casts=common,
    commutes=True,
)
not_equal = elementwise(
    "Whether x1 is not x2, element by element; a NaN is equal to nothing.",
    "x1 x2",
    name="not_equal",
    type=truth,
    numpy=np.not_equal,
    scalar="{0} != {1}",
    casts=common,
    commutes=True,
)
less = elementwise(
    "Whether x1 < x2, element by element.",
    "x1 x2",
    name="less",
    type=truth,
    numpy=np.less,
    scalar="{0} < {1}",
    casts=common,
)
less_equal = elementwise(
    "Whether x1 <= x2, element by element.",
    "x1 x2",
    name="less_equal",
    type=truth,
    numpy=np.less_equal,
    scalar="{0} <= {1}",
    casts=common,
)
greater = elementwise(
    "Whether x1 > x2, element by element.",
    "x1 x2",
    name="greater",
    type=truth,
    numpy=np.greater,
    scalar="{0} > {1}",
    casts=common,
)
greater_equal = elementwise(
    "Whether x1 >= x2, element by element.",
    "x1 x2",
    name="greater_equal",
    type=truth,
    numpy=np.greater_equal,
    scalar="{0} >= {1}",
    casts=common,
)

# logic: numbers other than 0 count as true -------------------------------------------------------------------------

logical_and = elementwise(
    "Whether both are true.",
    "x1 x2",
    name="logical_and",
    type=truth,
    numpy=np.logical_and,
    scalar="{0} & {1}",
    casts=all_bools,
    commutes=True,
)
logical_or = elementwise(
    "Whether one of them is true.",
    "x1 x2",
    name="logical_or",
    type=truth,
    numpy=np.logical_or,
    scalar="{0} | {1}",
    casts=all_bools,
    commutes=True,
)
logical_xor = elementwise(
    "Whether exactly one of them is true.",
    "x1 x2",
    name="logical_xor",
    type=truth,
    numpy=np.logical_xor,
    scalar="{0} != {1}",
    casts=all_bools,
    commutes=True,
)
logical_not = elementwise(
    "Whether x is false.", name="logical_not", type=truth, numpy=np.logical_not, scalar="not {0}", casts=all_bools
)

# bits --------------------------------------------------------------------------------------------------------------

bitwise_and = elementwise(
    "The bits that both have.",
    "x y",
    name="bitwise_and",
    type=integers,
    numpy=np.bitwise_and,
    scalar="{0} & {1}",
    casts=common,
    commutes=True,
)
bitwise_or = elementwise(
    "The bits that one of them has.",
    "x y",
    name="bitwise_or",
    type=integers,
    numpy=np.bitwise_or,
    scalar="{0} | {1}",
    casts=common,
    commutes=True,
)
bitwise_xor = elementwise(
    "The bits that exactly one of them has.",
    "x y",
    name="bitwise_xor",
    type=integers,
    numpy=np.bitwise_xor,
    scalar="{0} ^ {1}",
    casts=common,
    commutes=True,
)
bitwise_not = elementwise(
    "The bits that x has not.", name="bitwise_not", type=integers, numpy=np.bitwise_not, scalar="{0} ^ {T}(-1)"
)
left_shift = elementwise(
    "The bits of x moved up by y places.",
    "x y",
    name="left_shift",
    type=integers,
    numpy=np.left_shift,
    scalar="shifted_left({0}, {1}, {A}(63))",
    casts=common,
)
right_shift = elementwise(
    "The bits of x moved down by y places; negative numbers stay negative.",
    "x y",
    name="right_shift",
    type=integers,
    numpy=np.right_shift,
    scalar="shifted_right({0}, {1}, {A}(63))",
    casts=common,
)

# is_... -------------------------------------------------------------------------------------------------------------

isnan = elementwise("Where x is not a number.", name="isnan", type=truth, numpy=np.isnan, scalar="isnan({0})")
isinf = elementwise("Where x is infinite.", name="isinf", type=truth, numpy=np.isinf, scalar="isinf({0})")
isfinite = elementwise(
    "Where x is neither infinite nor NaN.", name="isfinite", type=truth, numpy=np.isfinite, scalar="isfinite({0})"
)
