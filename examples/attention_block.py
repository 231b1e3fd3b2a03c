"""A block of a transformer, built from layers, beside the graph that it becomes.

python examples/attention_block.py
"""

from __future__ import annotations

from typing import Any

import numpy as np

import kgraph as kg
from kgraph.layers import Add, Dense, LayerNormalization, MultiHeadAttention


def block(x: Any, heads: int, width: int, name: str) -> Any:
    """Attention and two dense layers, each after a normalisation and with a way around it."""
    normed = LayerNormalization(name=f"{name}_norm")(x)
    attended = MultiHeadAttention(heads, width // heads, name=f"{name}_attention")(normed, normed)
    x = Add(name=f"{name}_attended")([x, attended])
    hidden = Dense(4 * width, activation="gelu", name=f"{name}_wide")(LayerNormalization(name=f"{name}_norm_2")(x))
    return Add(name=f"{name}_out")([x, Dense(width, name=f"{name}_narrow")(hidden)])


def main() -> None:
    """Compile two blocks, look at their kernels, and at the gradients."""
    tokens = kg.Input((None, 64), name="tokens")
    model = kg.Model(tokens, block(block(tokens, 4, 64, "first"), 4, 64, "second"))
    f = kg.compile(model)
    print(f.ir)
    calls = [node for node in f.ir if node.op not in ("input", "param", "const", "reshape")]
    kernels = sum(line.startswith("def ") for line in f.source.splitlines())
    print(f"\n{len(f.stages['inline'])} ops became {len(calls)} kernel calls of {kernels} different kernels")

    random = np.random.default_rng(0)
    for length in (8, 33):  # any length runs through the one function
        x = random.normal(size=(2, length, 64)).astype("float32")
        assert f(x).shape == x.shape
    out, pullback = f.vjp(x)
    d_x, d_weights = pullback(np.ones_like(out))
    print(f"gradients of the input, {d_x.shape}, and of {len(d_weights)} weights")


if __name__ == "__main__":
    main()
