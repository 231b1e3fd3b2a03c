"""Attention with several heads, each on its own projection of query, key and value."""

from __future__ import annotations

import math
from string import ascii_lowercase
from typing import Any

from kgraph import constraints, initializers, ops, regularizers
from kgraph.errors import ArgumentError, ShapeError
from kgraph.layers.activation import masked_softmax
from kgraph.layers.core import EinsumDense, positive
from kgraph.layers.layer import Layer
from kgraph.layers.regularization import Dropout, checked_share
from kgraph.ops.nn import triangle
from kgraph.tracing.trace import with_mask


class Heads(Layer):
    """What both layers share: options, masks, and attention of projected queries, keys and values.

    Projections have the axes (batch, ..., heads, size). `_attended` are the axes between which attention runs, counted
    in these.
    """

    _attended: tuple[int, ...] = (1,)
    query_dense: EinsumDense
    key_dense: EinsumDense
    value_dense: EinsumDense
    gate_dense: EinsumDense
    output_dense: EinsumDense
    dropout_layer: Dropout

    def __init__(self, options: dict[str, Any], layer_options: dict[str, Any]) -> None:
        regularizer = regularizers.get(options.pop("activity_regularizer"))
        super().__init__(**layer_options)
        kind = type(self).__name__
        self.dropout = checked_share(options.pop("dropout"), "dropout", kind)
        self.use_bias, self.use_gate = options.pop("use_bias"), options.pop("use_gate")
        window = options.pop("sliding_window")
        self.sliding_window = None if window is None else positive(window, "sliding_window", kind)
        self.flash_attention = options.pop("flash_attention")
        if self.flash_attention and self.dropout > 0:
            raise ArgumentError(f"{kind}: flash_attention goes without dropout, not with {self.dropout}")
        self.seed = options.pop("seed")
        self._activity_regularizer = regularizer
        for what, find in (("initializer", initializers), ("regularizer", regularizers), ("constraint", constraints)):
            for name in ("kernel", "bias"):
                setattr(self, f"{name}_{what}", find.get(options[f"{name}_{what}"]))
        self.supports_masking = True

    def project(self, equation: str, shape: Any, bias_axes: str, name: str, activation: Any = None) -> EinsumDense:
        """A dense layer with the options of this one; an initializer without a seed draws anew for each."""
        how = {
            f"{weight}_{what}": getattr(self, f"{weight}_{what}")
            for weight in ("kernel", "bias")
            for what in ("initializer", "regularizer", "constraint")
        }
        for option, one in how.items():
            how[option] = one.clone() if isinstance(one, initializers.Initializer) else one
        return EinsumDense(
            equation,
            shape,
            activation=activation,
            bias_axes=bias_axes if self.use_bias else None,
            name=name,
            dtype=self.dtype_policy,
            activity_regularizer=self._activity_regularizer,
            **how,
        )

    def seen(self, query: Any, value: Any, masks: tuple[Any, Any, Any], given: Any, causal: bool) -> Any:
        """Which query sees which key, (batch, queries, keys) or what broadcasts to it; None where each sees all."""
        found = [] if given is None else [ops.cast(given, "bool")]
        for mask, axis in zip(masks, (-1, -2, -2), strict=True):
            if mask is not None:
                found.append(ops.expand_dims(ops.cast(mask, "bool"), axis))
        rows, columns = query.type.shape[1], value.type.shape[1]
        if causal:
            found.append(ops.expand_dims(triangle(rows, columns), 0))
        if self.sliding_window is not None:
            near = ops.logical_and(
                triangle(rows, columns, self.sliding_window - 1),
                ops.logical_not(triangle(rows, columns, -self.sliding_window)),
            )
            found.append(ops.expand_dims(near, 0))
        result = found[0] if found else None
        for mask in found[1:]:
            result = ops.logical_and(result, mask)
        return result

    def attend(self, query: Any, key: Any, value: Any, seen: Any, training: Any, wants_scores: bool) -> tuple[Any, Any]:
        """The mean of the values, weighted for each query, and the weights (None unless they are asked for)."""
        if wants_scores and self.flash_attention:
            raise ArgumentError(f"layer {self.name!r}: flash_attention makes no attention scores to return")
        size, rank = query.type.shape[-1], query.ndim
        if seen is not None:
            batch_axes = rank - 1 - len(self._attended)
            missing = batch_axes + 2 * len(self._attended) - seen.ndim
            place = seen.ndim - 2 * len(self._attended)
            have = ops.shape(seen)
            seen = ops.reshape(seen, (*have[:place], *[1] * missing, *have[place:]))
        if rank == 4 and self._attended == (1,) and self.dropout == 0 and not wants_scores:
            return ops.dot_product_attention(query, key, value, mask=seen, scale=1 / math.sqrt(size)), None
        scored, combined = equations(rank, self._attended)
        scores = ops.einsum(scored, key, ops.multiply(query, 1 / math.sqrt(size)))
        weights = masked_softmax(scores, seen, tuple(range(scores.ndim - len(self._attended), scores.ndim)))
        kept = self.dropout_layer(weights, training=training) if self.dropout > 0 else weights
        return ops.einsum(combined, kept, value), weights

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        key = value if key is None else key
        masks = (query_mask, value_mask, key_mask)
        seen = self.seen(query, value, masks, attention_mask, use_causal_mask)
        gate = self.gate_dense(query) if self.use_gate else None
        query, value, key = (with_mask(x, None) for x in (query, value, key))
        queries, keys, values = self.query_dense(query), self.key_dense(key), self.value_dense(value)
        result, weights = self.attend(queries, keys, values, seen, training, return_attention_scores)
        result = self.output_dense(result if gate is None else ops.multiply(result, gate))
        if query_mask is not None:
            result = with_mask(result, query_mask)
        return (result, weights) if return_attention_scores else result

    def get_config(self) -> dict[str, Any]:
        config = {key: value for key, value in super().get_config().items() if key != "flash_attention"}
        config["activity_regularizer"] = None
        if self._activity_regularizer is not None:
            config["activity_regularizer"] = regularizers.serialize(self._activity_regularizer)
        return config


class MultiHeadAttention(Heads):
    """softmax(query @ key / sqrt(key_dim)) @ value in num_heads projections, and a projection of all heads together.

    query, value and key (the value by default) are (batch, ..., size); attention runs over `attention_axes`, by
    default all between batch and size. output_shape: the sizes behind them in the result; the query's by default.
    value_dim: the size of a head of the values, key_dim by default. dropout (0): the share of the attention that is
    dropped while training. use_gate multiplies by sigmoids of the query; sliding_window: how near a key must be to be
    seen. Called with return_attention_scores=True, it gives (result, scores), scores (batch, heads, queries, keys).
    attention_mask, (batch, queries, keys) or what broadcasts to it, is True where a query sees a key, and
    use_causal_mask hides the keys behind it. Vaswani et al., 2017.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: Any = None,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: Any = None,
        **options: Any,
    ) -> None:
        own = {name: value for name, value in locals().items() if name not in ("self", "options", "__class__")}
        super().__init__(own, options)
        self.num_heads = positive(num_heads, "num_heads", "MultiHeadAttention")
        self.key_dim = positive(key_dim, "key_dim", "MultiHeadAttention")
        self.value_dim = positive(key_dim if value_dim is None else value_dim, "value_dim", "MultiHeadAttention")
        self._sizes_behind = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape or ()) or None
        if not isinstance(attention_axes, (int, list, tuple, type(None))):
            raise ArgumentError(f"attention_axes is a whole number or several, not {attention_axes!r}")
        self.attention_axes = (attention_axes,) if isinstance(attention_axes, int) else attention_axes

    def build(  # type: ignore[override]
        self, query_shape: Any, value_shape: Any, key_shape: Any = None
    ) -> None:
        key_shape = value_shape if key_shape is None else key_shape
        check_lengths(self.name, value_shape, key_shape)
        rank = len(value_shape) + 1
        axes = range(1, rank - 2) if self.attention_axes is None else self.attention_axes
        self._attended = tuple(axis if axis >= 0 else rank - 1 + axis for axis in axes)
        self.attention_axes = self._attended
        self.query_dense = self._into_heads("query", query_shape, self.key_dim)
        self.key_dense = self._into_heads("key", key_shape, self.key_dim)
        if self.use_gate:
            self.gate_dense = self._into_heads("gate", query_shape, self.value_dim, "sigmoid")
        self.value_dense = self._into_heads("value", value_shape, self.value_dim)
        if self.dropout > 0:
            self.dropout_layer = Dropout(self.dropout, dtype=self.dtype_policy, seed=self.seed)
        behind = self._sizes_behind or (query_shape[-1],)
        free = ascii_lowercase[: len(query_shape) - 1]
        made = ascii_lowercase[len(free) + 2 : len(free) + 2 + len(behind)]
        both = ascii_lowercase[len(free) : len(free) + 2]
        shape = (*[None] * (len(free) - 1), *behind)
        self.output_dense = self.project(f"{free}{both},{both}{made}->{free}{made}", shape, made, "attention_output")
        self.output_dense.build((*query_shape[:-1], self.num_heads, self.value_dim))

    def _into_heads(self, name: str, shape: Any, size: int, activation: Any = None) -> EinsumDense:
        free, x, y = ascii_lowercase[: len(shape) - 1], *(ascii_lowercase[len(shape) - 1 :][:1], "yz")
        sizes = (*[None] * (len(free) - 1), self.num_heads, size)
        dense = self.project(f"{free}{x},{x}{y}->{free}{y}", sizes, y, name, activation)
        dense.build(shape)
        return dense

    def compute_output_shape(  # type: ignore[override]
        self, query_shape: Any, value_shape: Any, key_shape: Any = None
    ) -> Any:
        check_lengths(self.name, value_shape, value_shape if key_shape is None else key_shape)
        return (*query_shape[:-1], *(self._sizes_behind or query_shape[-1:]))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "output_shape": self._sizes_behind}


class GroupedQueryAttention(Heads):
    """Attention in which several heads of the query share one head of key and value. Ainslie et al., 2023.

    query, value and key (the value by default) are (batch, steps, size); so is the result, with the query's size.
    head_dim is the size of each head. The num_query_heads share the num_key_value_heads equally. What else it is made
    and called with: MultiHeadAttention.
    """

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: Any = None,
        **options: Any,
    ) -> None:
        own = {name: value for name, value in locals().items() if name not in ("self", "options", "__class__")}
        super().__init__(own, options)
        self.head_dim = positive(head_dim, "head_dim", "GroupQueryAttention")
        self.num_query_heads = positive(num_query_heads, "num_query_heads", "GroupQueryAttention")
        self.num_key_value_heads = positive(num_key_value_heads, "num_key_value_heads", "GroupQueryAttention")
        if self.num_query_heads % self.num_key_value_heads:
            raise ArgumentError(
                f"{num_query_heads} heads of the query cannot share {num_key_value_heads} heads equally"
            )

    def build(  # type: ignore[override]
        self, query_shape: Any, value_shape: Any, key_shape: Any = None
    ) -> None:
        key_shape = value_shape if key_shape is None else key_shape
        check_lengths(self.name, value_shape, key_shape)
        self.query_dense = self._into_heads("query", query_shape, self.num_query_heads)
        self.key_dense = self._into_heads("key", key_shape, self.num_key_value_heads)
        if self.use_gate:
            self.gate_dense = self._into_heads("gate", query_shape, self.num_query_heads, "sigmoid")
        self.value_dense = self._into_heads("value", value_shape, self.num_key_value_heads)
        if self.dropout > 0:
            self.dropout_layer = Dropout(self.dropout, dtype=self.dtype_policy, seed=self.seed)
        self.output_dense = self.project("bquh,uhm->bqm", (None, query_shape[-1]), "m", "attention_output")
        self.output_dense.build((None, None, self.num_query_heads, self.head_dim))

    def _into_heads(self, name: str, shape: Any, heads: int, activation: Any = None) -> EinsumDense:
        dense = self.project("bqm,muh->bquh", (None, heads, self.head_dim), "uh", name, activation)
        dense.build(shape)
        return dense

    def attend(self, query: Any, key: Any, value: Any, seen: Any, training: Any, wants_scores: bool) -> tuple[Any, Any]:
        shared = self.num_query_heads // self.num_key_value_heads
        key, value = (ops.repeat(one, shared, axis=2) for one in (key, value))
        return super().attend(query, key, value, seen, training, wants_scores)

    def compute_output_shape(  # type: ignore[override]
        self, query_shape: Any, value_shape: Any, key_shape: Any = None
    ) -> Any:
        check_lengths(self.name, value_shape, value_shape if key_shape is None else key_shape)
        return tuple(query_shape)


def check_lengths(name: str, value: Any, key: Any) -> None:
    """ShapeError unless value and key have the same steps."""
    if tuple(value[1:-1]) != tuple(key[1:-1]):
        raise ShapeError(f"layer {name!r}: value {tuple(value)} and key {tuple(key)} must differ in the last axis only")


def equations(rank: int, axes: tuple[int, ...]) -> tuple[str, str]:
    """Einsums of keys and queries to scores (batch axes, queries', keys'), and of scores and values back."""
    query = ascii_lowercase[:rank]
    other = iter(ascii_lowercase[rank:])
    key = "".join(next(other) if place in axes else letter for place, letter in enumerate(query))
    batch = "".join(letter for place, letter in enumerate(query[:-1]) if place not in axes)
    scores = batch + "".join(query[axis] for axis in axes) + "".join(key[axis] for axis in axes)
    return f"{key},{query}->{scores}", f"{scores},{key}->{query}"
