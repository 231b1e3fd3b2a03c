"""Random numbers: the row random_bits, a pure function of (seed, counter), and distributions made of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kgraph.errors import ArgumentError, DTypeError, ShapeError
from kgraph.graph.index import Apply, Index, Operand, flatten, index
from kgraph.graph.op import CURVE, FUNCTIONS, Op
from kgraph.graph.sizes import Shape, shown
from kgraph.graph.types import FLOATS, TensorType, numpy_dtype
from kgraph.ops.arithmetic import add, cast, mod, multiply, negative, subtract, where
from kgraph.ops.compare import less, right_shift
from kgraph.ops.creating import ones
from kgraph.ops.move import shape_of
from kgraph.ops.normal import erfinv
from kgraph.ops.shapes import expand_dims
from kgraph.ops.transcendental import log
from kgraph.tracing.trace import primitive

MULTIPLIERS = 0xD2511F53, 0xCD9E8D57  # Philox 4x32-10: Salmon et al., "Parallel random numbers", SC 2011
WEYL = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10


def philox(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Philox 4x32-10: for counters (n, 4), four random words each; uint64 holding 32 bits."""
    low = np.uint64(0xFFFFFFFF)
    c = [counter[:, place].astype(np.uint64) for place in range(4)]
    k = [int(word) for word in key]
    for _ in range(ROUNDS):
        first, second = (np.uint64(m) * c[place] for m, place in zip(MULTIPLIERS, (0, 2), strict=True))
        upper = second >> np.uint64(32) ^ c[1] ^ np.uint64(k[0])
        lower = first >> np.uint64(32) ^ c[3] ^ np.uint64(k[1])
        c = [upper, second & low, lower, first & low]
        k = [(word + step) & 0xFFFFFFFF for word, step in zip(k, WEYL, strict=True)]
    return np.stack(c, axis=1)


def _bits_type(seed: TensorType, shape: Shape) -> TensorType:
    if seed.shape != (2,):
        raise ShapeError(f"a seed has two words, (seed, counter); this one has shape {shown(seed.shape)}")
    if seed.dtype != "uint32":
        raise DTypeError(f"a seed is uint32, not {seed.dtype}")
    return TensorType(tuple(shape), "uint32")


def _bits_numpy(seed: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    count = math.prod(shape)
    counter = np.zeros((-(-count // 4), 4), np.uint64)
    counter[:, 0] = np.arange(len(counter), dtype=np.uint64) & np.uint64(0xFFFFFFFF)
    words = philox(counter, (int(seed[0]), int(seed[1])))
    return words.reshape(-1)[:count].reshape(shape).astype(np.uint32)


def _bits_read(at: list[Index], seed: Operand, shape: Shape) -> Apply:
    return Apply("philox({0}, {1}, {2})", (seed[[0]], seed[[1]], flatten(at, shape)))


def _part_type(seed: TensorType, first: TensorType, sample: TensorType, shape: Shape, **_: Any) -> TensorType:
    return _bits_type(seed, shape)


def _part_numpy(
    seed: np.ndarray, first: Any, sample: Any, shape: tuple[int, ...], whole: tuple[int, ...], row: int,
    sample_axis: int | None,
) -> np.ndarray:  # fmt: skip
    part = _bits_numpy(seed, whole)
    part = part if sample_axis is None else np.take(part, [int(sample)], sample_axis)
    rows = shape[row - (sample_axis is not None and sample_axis < row)]
    return np.take(part, np.arange(int(first), int(first) + rows), row).reshape(shape)


def _part_read(
    at: list[Index], seed: Operand, first: Operand, sample: Operand, shape: Shape, whole: Shape, row: int,
    sample_axis: int | None,
) -> Apply:  # fmt: skip
    place = [*at] if sample_axis is None else [*at[:sample_axis], index(sample[[]]), *at[sample_axis:]]
    place[row] = place[row] + index(first[[]])
    return Apply("philox({0}, {1}, {2})", (seed[[0]], seed[[1]], flatten(place, whole)))


random_bits = primitive(  # element k, in row-major order, is word k % 4 of block k // 4 under the key (seed, counter)
    Op(
        name="random_bits",
        kind="move",
        type=_bits_type,
        numpy=_bits_numpy,
        read=_bits_read,
        vjp=lambda g, y, seed, shape: (None,),
        cost=CURVE,
    )
)


primitive(  # the bits that rows from `first` on, of one sample, have in random_bits of the shape `whole`
    Op(
        name="random_part",
        kind="move",
        type=_part_type,
        numpy=_part_numpy,
        read=_part_read,
        vjp=lambda g, y, seed, first, sample, **_: (None, None, None),
        cost=CURVE,
    )
)


# distributions ---------------------------------------------------------------------------------------------------


def unit(seed: Any, shape: Shape, dtype: str, centred: bool = False) -> Any:
    """Uniform numbers in [0, 1), all exact in the dtype; centred: in (0, 1), odd multiples of half the spacing."""
    if dtype not in FLOATS:
        raise DTypeError(f"random numbers of dtype {dtype}: it must be a float type")
    digits = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 32}[dtype]
    digits -= centred and dtype != "float64"  # one for the half
    number = cast(right_shift(random_bits(seed, shape=shape), np.uint32(32 - digits)), dtype)
    if centred:
        number = add(number, 0.5)
    return multiply(number, 2.0**-digits)


def uniform_of(seed: Any, shape: Shape, low: Any, high: Any, dtype: str) -> Any:
    """Uniform numbers in [low, high)."""
    number = unit(seed, shape, dtype)
    if isinstance(low, (int, float)) and isinstance(high, (int, float)):
        if (low, high) == (0, 1):
            return number
        return add(multiply(number, float(high) - float(low)), float(low))
    low, high = cast(low, dtype), cast(high, dtype)
    return add(multiply(number, subtract(high, low)), low)


def normal_of(seed: Any, shape: Shape, dtype: str, cut: float = math.inf) -> Any:
    """Standard normal numbers, by the inverse of their distribution function; cut: none beyond so many deviations."""
    work = dtype if dtype in ("float32", "float64") else "float32"
    reach = math.erf(cut / math.sqrt(2.0))
    number = subtract(multiply(unit(seed, shape, work, centred=True), 2 * reach), reach)
    drawn = multiply(erfinv(number), math.sqrt(2.0))
    return drawn if dtype == work else cast(drawn, dtype)


def chance(seed: Any, shape: Shape, probability: float) -> Any:
    """True with this probability: a comparison of words, so no float is made."""
    words = round(probability * 2**32)
    if words >= 2**32:
        return ones(shape, "bool")
    return less(random_bits(seed, shape=shape), np.uint32(max(words, 0)))


def integers_of(seed: Any, shape: Shape, low: int, high: int, dtype: str) -> Any:
    """Integers from low to high - 1: a word modulo their number."""
    kind = numpy_dtype(dtype)
    if kind.kind not in "iu":
        raise DTypeError(f"random integers of dtype {dtype}")
    if not 0 < high - low <= 2**32:
        raise ArgumentError(f"randint from {low} to {high}: there must be 1 to 2**32 numbers to choose from")
    bits = random_bits(seed, shape=shape)
    if high - low < 2**32:
        bits = mod(bits, np.uint32(high - low))
    return add(cast(bits, dtype), np.asarray(low, kind))


def dropped(seed: Any, inputs: Any, rate: float, noise_shape: Shape, dtype: str) -> Any:
    """inputs with elements set to 0 with probability rate, and the others scaled by 1 / (1 - rate)."""
    kept = chance(seed, noise_shape, 1.0 - rate)
    scaled = multiply(inputs, 1.0 / (1.0 - rate)) if rate < 1 else inputs
    return where(kept, scaled, cast(0, dtype))


def classes_of(seed: Any, logits: Any, num_samples: int, dtype: str) -> Any:
    """Classes drawn with probabilities softmax(logits): (batch, classes) gives (batch, num_samples). Gumbel's way."""
    batch, classes = shape_of(logits)
    noise = unit(seed, (batch, num_samples, classes), "float32", centred=True)
    gumbel = negative(log(negative(log(noise))))
    best = FUNCTIONS["argmax"](add(expand_dims(logits, 1), gumbel), axis=-1)
    return cast(best, dtype)
