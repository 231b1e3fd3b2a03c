"""The emulation of printed CUDA kernels computes what a GPU would, and refuses what a GPU would get wrong."""

from __future__ import annotations

import math
from math import ceil

import numpy as np
import pytest

from kgraph.codegen.cuda.emulate import EmulationError, emulate

RELU_ADD = """
# hidden: f32[N,64] = relu(x + hidden.bias)      mnist.py:14
def relu_add(x, bias, out, N):
    for i in range(cuda.grid(1), N * 64, cuda.gridsize(1)):
        out[i] = maximum(x[i] + bias[i % 64], float32(0.0))
"""

ROW_SUM = """
def row_sum(x, out, rows, columns):
    partial = cuda.shared.array(4, float32)
    thread = cuda.threadIdx.x
    for row in range(cuda.blockIdx.x, rows, cuda.gridDim.x):
        total = float32(0.0)
        for j in range(thread, columns, 128):
            total = total + x[row * columns + j]
        total = total + cuda.shfl_xor_sync(0xFFFFFFFF, total, 16)
        total = total + cuda.shfl_xor_sync(0xFFFFFFFF, total, 8)
        total = total + cuda.shfl_xor_sync(0xFFFFFFFF, total, 4)
        total = total + cuda.shfl_xor_sync(0xFFFFFFFF, total, 2)
        total = total + cuda.shfl_xor_sync(0xFFFFFFFF, total, 1)
        if thread % 32 == 0:
            partial[thread // 32] = total
        cuda.syncthreads()
        if thread == 0:
            out[row] = partial[0] + partial[1] + partial[2] + partial[3]
        cuda.syncthreads()
"""

MATMUL = """
def matmul(a, b, out, M, N, K):
    a_tile = cuda.shared.array((16, 16), float32)
    b_tile = cuda.shared.array((16, 17), float32)
    n, m = cuda.grid(2)
    across, down = cuda.threadIdx.x, cuda.threadIdx.y
    total = float32(0.0)
    for first in range(0, K, 16):
        a_tile[down, across] = a[m * K + first + across] if m < M and first + across < K else float32(0.0)
        b_tile[down, across] = b[(first + down) * N + n] if n < N and first + down < K else float32(0.0)
        cuda.syncthreads()
        for k in range(16):
            total += a_tile[down, k] * b_tile[k, across]
        cuda.syncthreads()
    if m < M and n < N:
        out[m * N + n] = total
"""


def maximum(x: float, y: float) -> float:
    return x if x > y or math.isnan(x) else y


def smooth(x: float) -> float:
    return maximum(x, float32(0.5)) * math.tanh(x)  # type: ignore[name-defined]  # noqa: F821


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def empty(size: int, dtype: str = "float32") -> np.ndarray:
    return np.full(size, np.nan if dtype == "float32" else 0, dtype)


def run(body: str, *arguments: np.ndarray | int, block: int = 64) -> None:
    """Run the lines of a kernel of a, b, ... in one block."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    emulate(f"def kernel({', '.join('abcdef'[: len(arguments)])}):\n{lines}\n", "kernel", (1,), (block,), arguments)


def matmul(source: str, m: int, n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    a, b, out = normal(m, k), normal(k, n), empty(m * n)
    emulate(source, "matmul", (ceil(n / 16), ceil(m / 16)), (16, 16), [a.ravel(), b.ravel(), out, m, n, k])
    return out.reshape(m, n), a @ b


@pytest.mark.parametrize("blocks", [1, 3, 40])
def test_a_grid_of_any_size_walks_over_all_elements(blocks: int) -> None:
    x, bias, out = normal(33 * 64), normal(64), empty(33 * 64)
    emulate(RELU_ADD, "relu_add", (blocks,), (96,), [x, bias, out, 33], {"maximum": maximum})
    np.testing.assert_array_equal(out, np.maximum(x.reshape(33, 64) + bias, 0).ravel())


def test_an_empty_batch_runs() -> None:
    emulate(RELU_ADD, "relu_add", (1,), (32,), [empty(0), normal(64), empty(0), 0], {"maximum": maximum})


@pytest.mark.parametrize("columns", [1, 31, 300])
def test_a_block_reduces_a_row_with_shuffles_and_shared_memory(columns: int) -> None:
    x, out = normal(5, columns), empty(5)
    emulate(ROW_SUM, "row_sum", (2,), (128,), [x.ravel(), out, 5, columns])
    np.testing.assert_allclose(out, x.sum(1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (17, 33, 20)])
def test_a_tiled_matmul_is_right_at_odd_sizes(sizes: tuple[int, int, int]) -> None:
    out, wanted = matmul(MATMUL, *sizes)
    np.testing.assert_allclose(out, wanted, rtol=1e-5, atol=1e-5)


def test_arithmetic_is_in_float32() -> None:
    x, out = np.array([16777216.0, 1000.0, -1.0], np.float32), empty(3)
    run("a = a\nb[0] = a[0] + float32(1.0)\nb[1] = math.exp(a[1])\nb[2] = math.log(a[2])", x, out, block=1)
    assert out[:2].tolist() == [16777216.0, np.inf]
    assert np.isnan(out[2])


def test_functions_that_numpy_lacks_keep_float32() -> None:
    out = empty(1)
    run("b[0] = math.erf(a[0])", np.array([0.5], np.float32), out, block=1)
    assert out[0] == np.float32(math.erf(0.5))


def test_integers_wrap_where_they_are_cast() -> None:
    seeds, out = np.array([4294967295], np.uint32), empty(3, "int64")
    run("b[0] = uint32(a[0] * 3)\nb[1] = int32(a[0])\nb[2] = (a[0] * 3) >> 32", seeds, out, block=1)
    assert out.tolist() == [4294967293, -1, 2]


def test_helpers_call_helpers_in_the_language_of_the_kernel() -> None:
    out, source = empty(1), "def kernel(a):\n    a[0] = smooth(float32(4.0))\n"
    emulate(source, "kernel", (1,), (1,), [out], {"smooth": smooth, "maximum": maximum})
    assert out[0] == np.float32(4.0) * np.tanh(np.float32(4.0))


def test_atomics_add_from_all_threads() -> None:
    total = np.zeros(1, np.float32)
    run("cuda.atomic.add(a, 0, float32(cuda.threadIdx.x))", total)
    assert total[0] == 63 * 32


def test_the_block_reads_after_a_barrier_what_its_threads_wrote() -> None:
    out, reversed_out = empty(64), empty(64)
    run("i = cuda.grid(1)\na[i] = float32(i)\ncuda.syncthreads()\nb[i] = a[63 - i]", out, reversed_out)
    assert reversed_out.tolist() == list(range(63, -1, -1))


def test_warps_shuffle_each_at_its_own_time() -> None:
    out = empty(1)
    run("if cuda.threadIdx.x < 32:\n    v = cuda.shfl_down_sync(-1, float32(cuda.threadIdx.x), 5)", out)
    run("if cuda.threadIdx.x < 32:\n    v = cuda.shfl_sync(-1, float32(3.0), 5)\ncuda.syncthreads()", out)


@pytest.mark.parametrize(
    ("shuffle", "wanted"),
    [
        ("shfl_xor_sync(-1, lane, 3)", [i ^ 3 for i in range(32)]),
        ("shfl_down_sync(-1, lane, 5)", [i + 5 if i < 27 else i for i in range(32)]),
        ("shfl_up_sync(-1, lane, 5)", [i - 5 if i > 4 else i for i in range(32)]),
        ("shfl_sync(-1, lane, 7)", [7] * 32),
        ("ballot_sync(-1, lane < 4)", [15] * 32),
    ],
)
def test_lanes_get_what_the_warp_gives(shuffle: str, wanted: list[int]) -> None:
    out = empty(64, "int64")
    run(f"lane = cuda.threadIdx.x % 32\na[cuda.threadIdx.x] = cuda.{shuffle}", out)
    assert out.tolist() == wanted * 2


def test_what_shared_memory_holds_at_first_is_nan() -> None:
    out = empty(64)
    run("tile = cuda.shared.array(64, float32)\na[cuda.threadIdx.x] = tile[cuda.threadIdx.x]", out)
    assert np.isnan(out).all()


def test_a_warp_that_met_shares_memory_with_itself_only() -> None:
    exchange = (
        "tile = cuda.shared.array(64, int32)\ni = cuda.threadIdx.x\ntile[i] = i\ncuda.syncwarp()\na[i] = tile[i ^ {}]"
    )
    out = empty(64, "int64")
    run(exchange.format(1), out)
    assert out.tolist() == [i ^ 1 for i in range(64)]
    with pytest.raises(EmulationError, match="a race: it writes what another read"):
        run(exchange.format(32), out)


def test_a_missing_barrier_is_a_race() -> None:
    first, last = MATMUL.split("        cuda.syncthreads()\n        for")
    with pytest.raises(EmulationError, match=r"kernel matmul, block .*_tile.*a race"):
        matmul(f"{first}        for{last}", 20, 20, 20)
    with pytest.raises(EmulationError, match=r"_tile.*a race"):
        matmul(
            f"{first}        cuda.syncthreads()\n        for{last.replace('cuda.syncthreads()', 'pass')}", 20, 20, 20
        )


@pytest.mark.parametrize("index", ["-1", "64", "1000"])
def test_an_index_outside_an_argument_is_refused(index: str) -> None:
    for line in (f"b[0] = a[{index}]", f"a[{index}] = float32(0.0)", f"cuda.atomic.add(a, {index}, 1)"):
        with pytest.raises(EmulationError, match=rf"kernel kernel, block .*, thread \(0, 0, 0\) touches a\[{index}\]"):
            run(line, empty(64), empty(1))


@pytest.mark.parametrize("index", ["4, 0", "0, -1", "0, 4"])
def test_an_index_outside_a_shared_or_local_array_is_refused(index: str) -> None:
    for kind in ("shared", "local"):
        with pytest.raises(EmulationError, match=rf"tile\[{index}\], outside of its shape \(4, 4\)"):
            run(f"tile = cuda.{kind}.array((4, 4), float32)\ntile[{index}] = 1", empty(1))


@pytest.mark.parametrize(
    "body",
    [
        "if cuda.threadIdx.x < 32:\n    cuda.syncthreads()",
        "if cuda.threadIdx.x < 32:\n    cuda.syncthreads()\nelse:\n    cuda.syncthreads()",
        "if cuda.threadIdx.x % 2:\n    cuda.shfl_xor_sync(0xFFFFFFFF, 1, 1)",
        "if cuda.threadIdx.x == 5:\n    return\ncuda.syncthreads()",
    ],
)
def test_threads_that_do_not_meet_are_refused(body: str) -> None:
    with pytest.raises(EmulationError, match=r"its threads diverge: .* wait at .*, line"):
        run(body, empty(1))


def test_an_element_that_two_threads_write_is_refused() -> None:
    with pytest.raises(EmulationError, match=r"thread \(1, 0, 0\) touches a\[0\], a second write"):
        run("a[0] = float32(1.0)", empty(1))
    with pytest.raises(EmulationError, match=r"block \(1, 0, 0\), thread \(0, 0, 0\) touches out\[0\], a second write"):
        emulate("def f(out):\n    out[cuda.threadIdx.x] = 1", "f", (2,), (8,), [empty(8)])


def test_arguments_that_are_one_array_race_with_each_other() -> None:
    x = normal(64)
    run("a[cuda.grid(1)] = b[cuda.grid(1)] * float32(2.0)", x, x)
    for other in ("63 - i", "i"):
        with pytest.raises(EmulationError, match="a race"):
            run(f"i = cuda.grid(1)\na[i] = b[(i + 1) % 64]\nb[{other}] = a[i]", x, x)


def test_other_errors_say_which_thread_made_them() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run("a[cuda.grid(1)] = 1 // (cuda.grid(1) - 3)", empty(64))
    assert caught.value.__notes__ == ["in kernel kernel, block (0, 0, 0), thread (3, 0, 0)"]
