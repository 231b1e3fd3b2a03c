"""The models that `kgraph bench` measures when it is given none: small ones, each of another kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kgraph import ops
from kgraph.layers import (
    Add,
    BatchNormalization,
    Dense,
    EinsumDense,
    Embedding,
    Flatten,
    Input,
    LayerNormalization,
)
from kgraph.models import Model


def small_mlp() -> Any:
    """Two layers that fit the first cache: what is measured is mostly the call."""
    x = Input((64,), name="x")
    hidden = Dense(64, activation="relu", name="hidden")(x)
    return Model(x, Dense(10, activation="softmax", name="digit")(hidden), name="mlp_64")


def large_mlp() -> Any:
    """The classifier of the textbooks, for images of 28 by 28."""
    x = Input((784,), name="x")
    first = Dense(512, activation="relu", name="first")(x)
    second = Dense(512, activation="relu", name="second")(first)
    return Model(x, Dense(10, activation="softmax", name="digit")(second), name="mlp_784")


def deep_residual() -> Any:
    """Sixteen narrow blocks with a shortcut each: many small kernels after one another."""
    x = Input((32,), name="x")
    value = x
    for number in range(16):
        inner = Dense(32, activation="relu", name=f"inner_{number}")(value)
        outer = Dense(32, name=f"outer_{number}")(inner)
        value = Add(name=f"block_{number}")([value, outer])
    return Model(x, Dense(10, name="digit")(value), name="deep_residual")


def attention_block() -> Any:
    """Self-attention over 32 tokens with 4 heads, written with EinsumDense and einsum."""
    x = Input((32, 64), name="tokens")
    query, key, value = (
        EinsumDense("btd,dhk->bthk", output_shape=(32, 4, 16), name=name)(x) for name in ("query", "key", "value")
    )
    scores = ops.softmax(ops.einsum("bthk,bshk->bhts", query, key) * 0.25)
    mixed = ops.einsum("bhts,bshk->bthk", scores, value)
    joined = EinsumDense("bthk,hkd->btd", output_shape=(32, 64), name="joined")(mixed)
    return Model(x, LayerNormalization(name="normal")(Add(name="residual")([x, joined])), name="attention")


def embedded() -> Any:
    """Twenty words out of a thousand, looked up and classified."""
    x = Input((20,), dtype="int32", name="words")
    flat = Flatten(name="flat")(Embedding(1000, 32, name="table")(x))
    hidden = Dense(64, activation="relu", name="hidden")(flat)
    return Model(x, Dense(5, activation="softmax", name="topic")(hidden), name="embedding")


def normalised_mlp() -> Any:
    """Both normalisations, which are reductions among products."""
    x = Input((128,), name="x")
    value = x
    for number, width in enumerate((128, 64)):
        value = Dense(width, name=f"dense_{number}")(value)
        normal: Any = BatchNormalization if number else LayerNormalization
        value = ops.gelu(normal(name=f"normal_{number}")(value))
    return Model(x, Dense(1, name="score")(value), name="normalised")


MODELS: dict[str, Callable[[], Any]] = {
    "mlp 64-64-10": small_mlp,
    "mlp 784-512-512-10": large_mlp,
    "residual 16 x 32": deep_residual,
    "attention 32 x 64": attention_block,
    "embedding 20 x 32": embedded,
    "normalised mlp": normalised_mlp,
}
