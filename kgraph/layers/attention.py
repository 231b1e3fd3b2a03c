"""Attention over lists [query, value] or [query, value, key]: by products (Luong) and by sums (Bahdanau)."""

from __future__ import annotations

from typing import Any

from kgraph import ops, random
from kgraph.errors import ArgumentError, ShapeError
from kgraph.layers.layer import Layer, is_shape
from kgraph.layers.regularization import checked_share
from kgraph.ops.nn import triangle


class Attention(Layer):
    """softmax(query @ key) @ value, over (batch, steps, size); the key is the value where no other is given.

    score_mode "concat" scores by sums of tanh(query + key) instead of products. use_scale learns one factor for the
    scores. mask: [query's, value's], booleans (batch, steps): values that are masked are not seen, and the results for
    masked queries are 0. use_causal_mask: no query sees a value behind it. Luong et al., 2015.
    """

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if score_mode not in ("dot", "concat"):
            raise ArgumentError(f"score_mode must be 'dot' or 'concat', not {score_mode!r}")
        self.use_scale, self.score_mode = use_scale, score_mode
        self.dropout = checked_share(dropout, "dropout", type(self).__name__)
        self.seed = seed
        if dropout > 0:
            self.seed_generator = random.SeedGenerator(seed)

    def build(self, input_shape: Any) -> None:
        self._check_list(input_shape if isinstance(input_shape, list) and not is_shape(input_shape) else None)
        self.scale = self.concat_score_weight = None
        if self.use_scale:
            self.scale = self.add_weight((), "ones", name="scale")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight((), "ones", name="concat_score_weight")

    def _check_list(self, inputs: Any, what: str = "inputs") -> None:
        if not isinstance(inputs, list) or not 2 <= len(inputs) <= 3:
            raise ShapeError(
                f"layer {self.name!r} ({type(self).__name__}) wants its {what} as a list, [query, value] or "
                "[query, value, key]"
            )

    def scores(self, query: Any, key: Any) -> Any:
        """How well each query goes with each key: (batch, queries, keys)."""
        if self.score_mode == "dot":
            found = ops.einsum("bqd,bkd->bqk", query, key) if query.ndim == 3 else ops.matmul(query, turned(key))
            return found if self.scale is None else ops.multiply(found, self.scale)
        sums = pairs(query, key)
        bent = ops.tanh(sums if self.scale is None else ops.multiply(self.scale, sums))
        return ops.multiply(self.concat_score_weight, ops.sum(bent, axis=-1))

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: bool = False,
        return_attention_scores: bool = False,
        use_causal_mask: bool = False,
    ) -> Any:
        query, value = inputs[:2]
        if mask is not None:
            self._check_list(mask, "mask")
        query_mask, value_mask = (None, None) if mask is None else mask[:2]
        scores = self.scores(query, inputs[-1])
        seen = None if value_mask is None else ops.expand_dims(ops.cast(value_mask, "bool"), -2)
        if use_causal_mask:
            rows, columns = scores.type.shape[-2:]
            before = ops.expand_dims(triangle(rows, columns), 0)
            seen = before if seen is None else ops.logical_and(seen, before)
        if seen is not None:
            scores = ops.where(seen, scores, ops.subtract(scores, 65504.0 if scores.dtype == "float16" else 1e9))
        weights = ops.softmax(scores, -1)
        if training and self.dropout > 0:
            weights = random.dropout(weights, self.dropout, seed=self.seed_generator)
        result = ops.matmul(weights, value)
        if query_mask is not None:
            result = ops.where(ops.expand_dims(ops.cast(query_mask, "bool"), -1), result, 0)
        return (result, weights) if return_attention_scores else result

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return None if mask is None else mask[0]


class AdditiveAttention(Attention):
    """Attention whose scores are sums of scale * tanh(query + key), with a learned scale. Bahdanau et al., 2014."""

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **options: Any) -> None:
        super().__init__(use_scale=use_scale, dropout=dropout, **options)

    def build(self, input_shape: Any) -> None:
        self._check_list(input_shape if isinstance(input_shape, list) and not is_shape(input_shape) else None)
        self.scale = self.add_weight((input_shape[0][-1],), "glorot_uniform", name="scale") if self.use_scale else None

    def scores(self, query: Any, key: Any) -> Any:
        bent = ops.tanh(pairs(query, key))
        return ops.sum(bent if self.scale is None else ops.multiply(self.scale, bent), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {key: value for key, value in super().get_config().items() if key != "score_mode"}


def pairs(query: Any, key: Any) -> Any:
    """The sum of each query and each key: (batch, queries, keys, size)."""
    return ops.add(ops.expand_dims(query, -2), ops.expand_dims(key, -3))


def turned(x: Any) -> Any:
    """x with its last two axes exchanged."""
    return ops.swapaxes(x, -2, -1)
