"""The models that `kgraph bench` measures: a few small ones, each of another kind, and all for a full comparison."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kgraph import ops
from kgraph.layers import (
    GRU,
    LSTM,
    Add,
    BatchNormalization,
    Bidirectional,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    EinsumDense,
    Embedding,
    Flatten,
    Input,
    LayerNormalization,
    MaxPooling2D,
    MultiHeadAttention,
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


def perceptron(*widths: int) -> Any:
    """Dense layers with relu between them; the first width is the input's."""
    value = x = Input(widths[:1], name="x")
    for number, width in enumerate(widths[1:-1]):
        value = Dense(width, activation="relu", name=f"dense_{number}")(value)
    return Model(x, Dense(widths[-1], name="last")(value), name="perceptron")


def residual(blocks: int, width: int) -> Any:
    """Narrow blocks with a shortcut each: many small kernels after one another."""
    x = Input((width,), name="x")
    value = x
    for number in range(blocks):
        inner = Dense(width, activation="relu", name=f"inner_{number}")(value)
        outer = Dense(width, name=f"outer_{number}")(inner)
        value = Add(name=f"block_{number}")([value, outer])
    return Model(x, Dense(10, name="digit")(value), name="deep_residual")


def attended(x: Any, heads: int, bias: bool = False) -> Any:
    """x plus self-attention over its tokens, normalised; written with EinsumDense and einsum."""
    length, width = x.shape[1:]
    size, axes = width // heads, "hk" if bias else None
    query, key, value = (
        EinsumDense("btd,dhk->bthk", output_shape=(length, heads, size), bias_axes=axes, name=name)(x)
        for name in ("query", "key", "value")
    )
    scores = ops.softmax(ops.einsum("bthk,bshk->bhts", query, key) * size**-0.5)
    mixed = ops.einsum("bhts,bshk->bthk", scores, value)
    axes = "d" if bias else None
    joined = EinsumDense("bthk,hkd->btd", output_shape=(length, width), bias_axes=axes, name="joined")(mixed)
    return LayerNormalization(name="normal")(Add(name="residual")([x, joined]))


def attention_block() -> Any:
    """Self-attention over 32 tokens with 4 heads."""
    x = Input((32, 64), name="tokens")
    return Model(x, attended(x, 4), name="attention")


def transformer_block() -> Any:
    """A block of a transformer: 128 tokens, 256 wide, 8 heads, and two products with gelu between them."""
    x = Input((128, 256), name="tokens")
    value = attended(x, 8, bias=True)
    inner = EinsumDense("btd,de->bte", output_shape=(128, 1024), bias_axes="e", activation="gelu", name="up")(value)
    outer = EinsumDense("bte,ed->btd", output_shape=(128, 256), bias_axes="d", name="down")(inner)
    return Model(x, LayerNormalization(name="last")(Add(name="sum")([value, outer])), name="transformer")


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


def elementwise() -> Any:
    """A weight and a bias for each column, then six ops on each element: nothing but memory and transcendentals."""
    x = Input((512,), name="x")
    value = scaled(x)
    value = ops.sigmoid(ops.tanh(value) * 2.0 - value) * value + 0.1
    return Model(x, value, name="elementwise")


def scaled(x: Any) -> Any:
    """x times a weight plus a bias, each as wide as x."""
    return EinsumDense("ab,b->ab", output_shape=x.shape[1:], bias_axes="b", name="scaled")(x)


def softmax_rows(with_weights: bool) -> Any:
    """softmax along 1024 columns; with_weights: of columns that are scaled before, so that there are gradients."""
    x = Input((1024,), name="x")
    return Model(x, ops.softmax(scaled(x) if with_weights else x), name="softmax")


def normalised_rows() -> Any:
    """Layer normalisation along 1024 columns."""
    x = Input((1024,), name="x")
    return Model(x, LayerNormalization(name="normal")(x), name="layer_norm")


def looped(loop: Any) -> Any:
    """A hundred words, read one after the other; the last state is classified."""
    x = Input((100,), dtype="int32", name="words")
    read = loop(Embedding(1000, 32, name="table")(x))
    return Model(x, Dense(5, activation="softmax", name="topic")(read), name="loop")


def small_cnn() -> Any:
    """The network of the textbooks for images of digits."""
    value = x = Input((28, 28, 1), name="image")
    for number, channels in enumerate((32, 64)):
        value = Conv2D(channels, 3, activation="relu", name=f"conv_{number}")(value)
        value = MaxPooling2D(name=f"pool_{number}")(value)
    return Model(x, Dense(10, activation="softmax", name="digit")(Flatten(name="flat")(value)), name="cnn")


def separable_block() -> Any:
    """A convolution of each channel by itself, and a product of channels: the block of small networks for images."""
    x = Input((56, 56, 64), name="image")
    deep = DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    return Model(x, Conv2D(64, 1, activation="relu", name="pointwise")(deep), name="separable")


def multi_head() -> Any:
    """Keras's layer for self-attention: 128 tokens, 256 wide, 8 heads."""
    x = Input((128, 256), name="tokens")
    return Model(x, MultiHeadAttention(8, 32, name="attention")(x, x), name="multi_head")


MODELS: dict[str, Callable[[], Any]] = {
    "mlp 64-64-10": small_mlp,
    "mlp 784-512-512-10": large_mlp,
    "mlp 1024-1024-1024": partial(perceptron, 1024, 1024, 1024),
    "mlp 37-113-29-7": partial(perceptron, 37, 113, 29, 7),
    "mlp 256-4096-256": partial(perceptron, 256, 4096, 256),
    "dense 784-128": partial(perceptron, 784, 128),
    "dense 512-512": partial(perceptron, 512, 512),
    "dense 64-64": partial(perceptron, 64, 64),
    "residual 16 x 32": partial(residual, 16, 32),
    "residual 32 x 96": partial(residual, 32, 96),
    "attention 32 x 64": attention_block,
    "transformer 128 x 256": transformer_block,
    "embedding 20 x 32": embedded,
    "normalised mlp": normalised_mlp,
    "elementwise 512": elementwise,
    "softmax 1024": partial(softmax_rows, False),
    "scaled softmax 1024": partial(softmax_rows, True),
    "layer norm 1024": normalised_rows,
    "lstm 100 x 64": lambda: looped(LSTM(64, name="loop")),
    "gru 100 x 64": lambda: looped(GRU(64, name="loop")),
    "bidirectional lstm 100 x 64": lambda: looped(Bidirectional(LSTM(64), name="loop")),
    "cnn 28 x 28": small_cnn,
    "separable 56 x 56 x 64": separable_block,
    "multi-head 128 x 256": multi_head,
}
FEW = ("mlp 64-64-10", "mlp 784-512-512-10", "residual 16 x 32", "attention 32 x 64", "embedding 20 x 32",
       "normalised mlp")  # fmt: skip
SIZES: dict[str, tuple[int, ...]] = {
    "mlp 64-64-10": (1, 32, 1024),
    "mlp 784-512-512-10": (1, 8, 32, 256, 2048),
    "mlp 1024-1024-1024": (1, 64, 512),
    "mlp 37-113-29-7": (1, 33, 1000),
    "mlp 256-4096-256": (1, 64),
    "dense 784-128": (1, 128),
    "dense 512-512": (1, 2, 4, 8),
    "dense 64-64": (64,),
    "residual 16 x 32": (1,),
    "residual 32 x 96": (1, 32, 512),
    "attention 32 x 64": (1, 32),
    "transformer 128 x 256": (1, 8),
    "embedding 20 x 32": (1, 32, 512),
    "normalised mlp": (1, 128),
    "elementwise 512": (4096,),
    "softmax 1024": (4096,),
    "scaled softmax 1024": (4096,),
    "layer norm 1024": (4096,),
    "lstm 100 x 64": (1, 32),
    "gru 100 x 64": (1, 32),
    "bidirectional lstm 100 x 64": (1, 32),
    "cnn 28 x 28": (1, 32),
    "separable 56 x 56 x 64": (1, 8),
    "multi-head 128 x 256": (1, 8),
}
WITHOUT = {
    "softmax 1024": ("grad", "step"),
    "scaled softmax 1024": ("forward",),
}  # one has no weights, one is for its gradients
CELLS = [
    (name, batch, tuple(mode for mode in ("forward", "grad", "step") if mode not in WITHOUT.get(name, ())))
    for name, batches in SIZES.items()
    for batch in batches
]  # the full comparison: model, batch size, modes
