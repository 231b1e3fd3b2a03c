"""What this machine can do at most, measured by kernels of our own: fused multiply-adds, and bytes copied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from time import perf_counter

import numpy as np
from llvmlite import ir

from kgraph.codegen.native import emit
from kgraph.codegen.native.emit import F32, I64, PTR, at, number
from kgraph.codegen.native.host import host
from kgraph.codegen.native.objects import compile_ir, load
from kgraph.codegen.native.runner import Step, encode
from kgraph.codegen.native.runtime import runtime

TRIES = 20  # of which the best counts
LONG_ENOUGH = 2e-3  # seconds of a try: waking the other threads takes a few microseconds
SMALLEST = 1 << 14  # bytes in all for which a copy is measured
LAST_CACHE = 32 << 20  # bytes, where the system does not say


@dataclass
class Limits:
    """The limits of so many threads: float32 multiply-adds, and copies in memory and in the caches."""

    threads: int
    flops: float = 0.0  # per second; a multiply-add counts 2
    known: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.flops = multiply_adds(self.threads)

    def bandwidth(self, size: int) -> float:
        """Bytes per second, read and written, of a copy that touches about `size` bytes again and again."""
        size = min(max(1 << (size - 1).bit_length(), SMALLEST * self.threads), self.in_memory)
        if size not in self.known:
            self.known[size] = copied(size, self.threads)
        return self.known[size]

    @property
    def in_cache(self) -> int:
        """Bytes that stay in each core's own cache."""
        return self.threads << 18

    @property
    def in_memory(self) -> int:
        """Bytes that no cache holds."""
        return 1 << (4 * last_cache() - 1).bit_length()


def multiply_adds(threads: int) -> float:
    """Operations per second of independent float32 multiply-adds in registers."""
    values = np.array([1.0, 1e-9], np.float32)
    results = np.zeros(16 * threads, np.float32)
    each = 2 * accumulators() * host().lanes("float32")

    def run(times: int) -> float:
        return seconds(symbols()["kg_limit_fma"], threads, [times, values.ctypes.data, results.ctypes.data])

    return best(run, each * threads)


def copied(size: int, threads: int) -> float:
    """Bytes per second of each thread copying its part of one half of `size` bytes to the other half."""
    vector = host().bits // 8
    part = size // 2 // threads // (4 * vector) * (4 * vector)
    source, target = np.zeros(part * threads, np.uint8), np.zeros(part * threads, np.uint8)

    def run(times: int) -> float:
        words = [times, source.ctypes.data, target.ctypes.data, part]
        return seconds(symbols()["kg_limit_copy"], threads, words)

    return best(run, 2 * part * threads)


def best(run: Callable[[int], float], amount: int) -> float:
    """The largest rate of a few tries, each long enough; `run` does `amount` so many times."""
    times = 1
    while (took := run(times)) < LONG_ENOUGH:
        times = max(2 * times, min(100 * times, int(1.2 * times * LONG_ENOUGH / max(took, 1e-9))))
    return amount * times / min(run(times) for _ in range(TRIES))


def seconds(address: int, threads: int, words: list[int]) -> float:
    """The time of one kernel on every thread."""
    frame = np.array([threads, *words], np.int64)
    code = encode([Step(address, 0, 1, range(1, len(frame)))])
    start = perf_counter()
    runtime().run(code, 1, frame, threads)
    return perf_counter() - start


@cache
def symbols() -> dict[str, int]:
    """The addresses of both kernels; compiled, and the runtime loaded, before any clock runs."""
    runtime()
    module = ir.Module("limits")
    emit_fma(module)
    emit_copy(module)
    return load(compile_ir(str(module), unroll=False), ["kg_limit_fma", "kg_limit_copy"])


def accumulators() -> int:
    """Enough for every unit and its latency, as few as the registers hold."""
    return 12 if host().bits == 256 else 20


def vector() -> ir.VectorType:
    """A register of float32."""
    return ir.VectorType(F32, host().lanes("float32"))


def emit_fma(module: ir.Module) -> None:
    """args: times, two numbers, where the results go: one for each chunk."""
    made, build = emit.function(module, "kg_limit_fma", I64, [PTR, I64, I64])
    args, begin, _ = made.args
    times, numbers, results = word(build, args, 0), pointer(build, args, 1), pointer(build, args, 2)
    lanes = host().lanes("float32")
    factor, summand = (emit.splat(build, emit.load(build, at(build, numbers, k, F32), F32), lanes) for k in (0, 1))
    sums = [emit.variable(build, vector(), summand) for _ in range(accumulators())]
    with emit.loop(build, number(0), times):
        for one in sums:
            value = emit.multiply_add(build, emit.load(build, one, vector()), factor, summand)
            emit.store(build, value, one)
    total = emit.load(build, sums[0], vector())
    for one in sums[1:]:
        total = build.fadd(total, emit.load(build, one, vector()))
    place = at(build, results, build.mul(begin, number(16)), F32)
    emit.store(build, build.extract_element(total, number(0)), place)
    build.ret(number(0))


def emit_copy(module: ir.Module) -> None:
    """args: times, source, target, bytes of each chunk; four vectors at a time."""
    made, build = emit.function(module, "kg_limit_copy", I64, [PTR, I64, I64])
    args, begin, _ = made.args
    times, size = word(build, args, 0), word(build, args, 3)
    offset = build.mul(begin, size)
    source, target = (emit.moved(build, pointer(build, args, slot), offset) for slot in (1, 2))
    step = host().bits // 8
    with emit.loop(build, number(0), times), emit.loop(build, number(0), size, 4 * step) as index:
        for k in range(4):
            here = build.add(index, number(k * step))
            value = emit.load(build, emit.moved(build, source, here), vector())
            emit.store(build, value, emit.moved(build, target, here))
    build.ret(number(0))


def word(build: ir.IRBuilder, args: ir.Value, slot: int) -> ir.Value:
    """An argument of the kernel."""
    return emit.load(build, at(build, args, slot))


def pointer(build: ir.IRBuilder, args: ir.Value, slot: int) -> ir.Value:
    """An argument that is an address."""
    return emit.load(build, at(build, args, slot), PTR)


@cache
def last_cache() -> int:
    """The bytes of the largest cache, as Linux tells."""
    sizes = [LAST_CACHE]
    for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = path.read_text().strip()
        sizes.append(int(text[:-1]) << {"K": 10, "M": 20}.get(text[-1:], 0) if text[:-1].isdigit() else 0)
    return max(sizes[1:] or sizes)
