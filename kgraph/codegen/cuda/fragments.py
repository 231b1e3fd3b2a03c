"""What tensor cores do, for the emulation: the tiles that the 32 lanes of a warp hold, and their product.

The places are those of mma.m16n8k16 in NVIDIA's "Parallel Thread Execution ISA": lane 4 * group + place has
left   [16, 16]: four pairs of columns, at row group + 8 * (number % 2) and pair place + 4 * (number // 2)
right  [16, 8]:  two pairs of rows, at column group and pair place + 4 * number
sums   [16, 8]:  four numbers, at row group + 8 * (number // 2) and column 2 * place + number % 2
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kgraph.graph.types import numpy_dtype

PRODUCTS = ("mma_float16", "mma_bfloat16")
LANES = np.arange(32)[:, None]
GROUP, PLACE = LANES // 4, LANES % 4


def multiplied(what: str, lanes: Sequence[Sequence[int | float]]) -> list[tuple[np.float32, ...]]:
    """The new sums of each lane; a lane gives four left pairs, two right ones, and four sums."""
    dtype, sums = what.removeprefix("mma_"), np.empty((16, 8), np.float32)
    left, right = np.empty((16, 8), np.uint32), np.empty((8, 8), np.uint32)
    number = np.arange(4)
    left[GROUP + 8 * (number % 2), PLACE + 4 * (number // 2)] = [lane[:4] for lane in lanes]
    right[GROUP, PLACE + 4 * number[:2]] = [lane[4:6] for lane in lanes]
    places = GROUP + 8 * (number // 2), 2 * PLACE + number % 2
    sums[places] = [lane[6:] for lane in lanes]
    rows, columns = (numbers(pairs, dtype) for pairs in (left, right))
    found = (sums + rows @ columns.T).astype(np.float32)
    return [tuple(lane) for lane in found[places]]


def numbers(pairs: np.ndarray, dtype: str) -> np.ndarray:
    """Rows of pairs of halves as rows of numbers, the lower bits first."""
    bits = np.stack([pairs & 0xFFFF, pairs >> 16], axis=-1).astype(np.uint16)
    return bits.view(numpy_dtype(dtype)).astype(np.float64).reshape(len(pairs), -1)
