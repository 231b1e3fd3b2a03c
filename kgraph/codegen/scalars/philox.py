"""The generator of random_bits as a scalar function: plain Python that numba compiles for the CPU and for CUDA."""

from __future__ import annotations

from typing import Any

from numpy import uint32, uint64


def philox(seed: Any, counter: Any, position: Any) -> Any:
    """Word `position` of the stream of the key (seed, counter): Philox 4x32-10, uint32.

    The same numbers as kgraph.ops.random.philox; written with 64-bit words, whose products do not overflow.
    """
    low, shift = uint64(0xFFFFFFFF), uint64(32)
    place = uint64(position)
    a, b, c, d = (place >> uint64(2)) & low, uint64(0), uint64(0), uint64(0)
    key, other = uint64(seed), uint64(counter)
    for _ in range(10):
        first, second = uint64(0xD2511F53) * a, uint64(0xCD9E8D57) * c
        a, b, c, d = (second >> shift) ^ b ^ key, second & low, (first >> shift) ^ d ^ other, first & low
        key, other = (key + uint64(0x9E3779B9)) & low, (other + uint64(0xBB67AE85)) & low
    word = place & uint64(3)
    lower = a if word == uint64(0) else b
    upper = c if word == uint64(2) else d
    return uint32(lower if word < uint64(2) else upper)
