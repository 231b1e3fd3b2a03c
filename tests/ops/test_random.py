"""Random numbers: the published test vectors, purity, and the moments of every distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from agreement import traced

from kgraph import ops, random
from kgraph.errors import ArgumentError, DTypeError, ShapeError
from kgraph.graph.evaluate import evaluate
from kgraph.graph.sizes import N, axis
from kgraph.graph.types import TensorType
from kgraph.ops.random import philox, random_bits
from kgraph.tracing.trace import trace


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [  # kat_vectors of Random123 1.14
        ([0] * 4, (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ([0xFFFFFFFF] * 4, (0xFFFFFFFF, 0xFFFFFFFF), "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], (0xA4093822, 0x299F31D0),
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)  # fmt: skip
def test_philox_is_the_published_one(counter: list[int], key: tuple[int, int], words: str) -> None:
    found = philox(np.array([counter], np.uint64), key)[0]
    assert " ".join(f"{int(word):08x}" for word in found) == words


def seed(*words: int) -> np.ndarray:
    return np.array(words, np.uint32)


def test_element_k_is_word_k_of_the_stream_whatever_the_shape() -> None:
    flat = random_bits(seed(5, 1), shape=(30,))
    np.testing.assert_array_equal(random_bits(seed(5, 1), shape=(2, 3, 5)).reshape(-1), flat)
    np.testing.assert_array_equal(random_bits(seed(5, 1), shape=(7,)), flat[:7])
    assert random_bits(seed(5, 1), shape=(0, 3)).shape == (0, 3)
    assert (random_bits(seed(5, 2), shape=(30,)) != flat).all()
    assert (random_bits(seed(6, 1), shape=(30,)) != flat).all()
    block = philox(np.array([[2, 0, 0, 0]], np.uint64), (5, 1))[0]
    np.testing.assert_array_equal(flat[8:12], block)


DRAWS = {
    "uniform": (lambda s, d: random.uniform((400, 500), 2.0, 4.0, d, s), 3.0, 1 / np.sqrt(3)),
    "normal": (lambda s, d: random.normal((400, 500), 1.0, 2.0, d, s), 1.0, 2.0),
    "truncated_normal": (lambda s, d: random.truncated_normal((400, 500), 1.0, 2.0, d, s), 1.0, 2.0 * 0.8796257),
}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", DRAWS)
def test_moments(name: str, dtype: str) -> None:
    draw, mean, deviation = DRAWS[name]
    found = draw(3, dtype)
    assert found.dtype == dtype
    found = found.astype(np.float64)
    assert abs(found.mean() - mean) < 5 * deviation / np.sqrt(found.size)
    assert abs(found.std() - deviation) < 0.01 * deviation
    assert np.isfinite(found).all()


def test_normal_numbers_have_the_normal_distribution() -> None:
    from scipy.stats import kstest

    assert kstest(random.normal((20000,), seed=1), "norm").pvalue > 1e-3
    assert kstest(random.uniform((20000,), seed=1), "uniform").pvalue > 1e-3
    cut = random.truncated_normal((20000,), seed=1)
    assert abs(cut).max() < 2
    assert kstest(cut, "truncnorm", (-2, 2)).pvalue > 1e-3


def test_uniform_numbers_are_below_the_upper_end() -> None:
    for dtype in ("float16", "float32", "float64"):
        found = random.uniform((100_000,), dtype=dtype, seed=2)
        assert found.min() >= 0
        assert found.max() < 1


def test_integers_are_equally_likely() -> None:
    found = random.randint((60_000,), -2, 4, seed=5)
    assert found.dtype == np.int32
    values, counts = np.unique(found, return_counts=True)
    np.testing.assert_array_equal(values, np.arange(-2, 4))
    assert abs(counts - 10_000).max() < 500
    wide = random.randint((1000,), -(2**31), 2**31 - 1, seed=5)
    assert wide.min() < -(2**29) and wide.max() > 2**29


def test_classes_are_drawn_with_their_probabilities() -> None:
    logits = np.log(np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 1e-30]], np.float32))
    found = random.categorical(logits, 20_000, seed=1)
    assert (found.shape, found.dtype) == ((2, 20_000), np.int32)
    shares = np.stack([np.bincount(row, minlength=3) for row in found]) / 20_000
    np.testing.assert_allclose(shares, [[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]], atol=0.015)


def test_dropout_scales_what_it_keeps() -> None:
    x = np.ones((300, 400), np.float32)
    found = random.dropout(x, 0.3, seed=1)
    assert abs((found == 0).mean() - 0.3) < 0.01
    np.testing.assert_allclose(found[found != 0], 1 / 0.7, rtol=1e-6)
    rows = random.dropout(x, 0.5, noise_shape=(None, 1), seed=1)
    assert (rows == rows[:, :1]).all() and 0 < (rows == 0).mean() < 1
    assert random.dropout(x, 0, seed=1) is x
    assert (random.dropout(x, 1.0, seed=1) == 0).all()


def test_an_integer_seed_gives_the_same_numbers_and_a_generator_others() -> None:
    np.testing.assert_array_equal(random.normal((5,), seed=7), random.normal((5,), seed=7))
    generator = random.SeedGenerator(7)
    first, second = random.normal((5,), seed=generator), random.normal((5,), seed=generator)
    np.testing.assert_array_equal(first, random.normal((5,), seed=7))
    assert (first != second).all()
    np.testing.assert_array_equal(generator.state.value, [7, 2])
    assert (random.uniform((5,)) != random.uniform((5,))).all()


def test_a_traced_draw_updates_its_generator() -> None:
    generator = random.SeedGenerator(7)
    wanted = [random.uniform((3, 2), seed=random.SeedGenerator(7))]
    graph = trace(
        lambda x: (random.uniform(ops.shape(x), seed=generator), random.uniform((2,), seed=generator)),
        TensorType((N, 2)),
    )
    (first, second), updates = evaluate(graph, [np.zeros((3, 2), np.float32)])
    np.testing.assert_array_equal(first, wanted[0])
    assert second[0] != first[0, 0]
    np.testing.assert_array_equal(updates[generator.state], [7, 2])
    np.testing.assert_array_equal(generator.state.value, [7, 0])


@pytest.mark.parametrize(
    "call",
    [
        lambda shape: random.normal(shape, seed=3), lambda shape: random.truncated_normal(shape, seed=3),
        lambda shape: random.uniform(shape, -1, 1, seed=3), lambda shape: random.randint(shape, 0, 9, seed=3),
        lambda shape: random.bernoulli(shape, 0.3, seed=3),
    ],
)  # fmt: skip
def test_traced_draws_are_the_eager_ones(call: Any) -> None:
    x = np.zeros((3, 5), np.float32)
    (found,) = traced(lambda x: call(ops.shape(x)), [x], [("N", "T")])
    np.testing.assert_array_equal(found, call((3, 5)))


def test_shuffle_keeps_the_rows() -> None:
    x = np.arange(20).reshape(10, 2)
    found = random.shuffle(x, seed=1)
    assert (found != x).any()
    np.testing.assert_array_equal(found[np.argsort(found[:, 0])], x)


def test_what_cannot_be_drawn_is_an_error() -> None:
    with pytest.raises(DTypeError, match="int32"):
        random.uniform((2,), dtype="int32", seed=1)
    with pytest.raises(ArgumentError, match="randint from 3 to 3"):
        random.randint((2,), 3, 3, seed=1)
    with pytest.raises(ArgumentError, match="rate"):
        random.dropout(np.ones(3), 1.5, seed=1)
    with pytest.raises(ShapeError, match="two words"):
        random_bits(seed(1, 2, 3), shape=(axis("T"),))
    with pytest.raises(ArgumentError, match="seed"):
        random.SeedGenerator(-1)
