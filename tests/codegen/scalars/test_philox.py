"""The scalar generator of kernels gives the words of the row random_bits."""

from __future__ import annotations

import numpy as np
from numba import njit

from kgraph.codegen.scalars.philox import philox
from kgraph.ops.random import random_bits


def test_plain_and_compiled_words_are_those_of_the_row() -> None:
    seed = np.array([0xFFFFFFFE, 77], np.uint32)
    wanted = random_bits(seed, shape=(41,))
    compiled = njit(philox)
    for position in range(41):
        assert philox(seed[0], seed[1], position) == wanted[position]
        assert compiled(seed[0], seed[1], position) == wanted[position]
