"""Layers that turn categories and ranges of numbers into indices, and indices into vectors."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Any

import numpy as np

from kgraph import ops
from kgraph.errors import ArgumentError
from kgraph.layers.core import positive
from kgraph.layers.layer import Layer
from kgraph.layers.preprocessing import batches

MODES = ("int", "one_hot", "multi_hot", "count")


class CategoryEncoding(Layer):
    """Integers below num_tokens as vectors of that length.

    output_mode "one_hot": one for each integer; "multi_hot": 1 for each that occurs in a sample; "count": how often it
    occurs, or with count_weights the sum of their weights.
    """

    def __init__(
        self, num_tokens: int | None = None, output_mode: str = "multi_hot", sparse: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        if num_tokens is None:
            raise ArgumentError("CategoryEncoding needs num_tokens, the number of categories")
        self.num_tokens = positive(num_tokens, "num_tokens", "CategoryEncoding")
        self.output_mode = checked_mode(output_mode, MODES[1:])
        refuse_sparse(sparse, "CategoryEncoding")

    def call(self, inputs: Any, count_weights: Any = None) -> Any:
        if count_weights is not None and self.output_mode != "count":
            raise ArgumentError(f"count_weights go with output_mode 'count', not {self.output_mode!r}")
        return encoded(inputs, self.output_mode, self.num_tokens, self.dtype, count_weights)


class Discretization(Layer):
    """The number of the range that each input is in: 0 below the first of bin_boundaries, 1 from there on.

    Or num_bins ranges with about as many elements each are found by `adapt(data)`. output_mode as in CategoryEncoding,
    or "int" for the number itself. NaN is in the last range. epsilon is taken for Keras's sake: quantiles are exact.
    """

    def __init__(
        self,
        bin_boundaries: Any = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        sparse: bool = False,
        dtype: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if (num_bins is None) == (bin_boundaries is None):
            raise ArgumentError(f"Discretization wants bin_boundaries or num_bins, not {bin_boundaries} and {num_bins}")
        if num_bins is not None:
            positive(num_bins, "num_bins", "Discretization")
        self.bin_boundaries = None if bin_boundaries is None else [float(one) for one in bin_boundaries]
        self.num_bins, self.epsilon = num_bins, epsilon
        self.output_mode = checked_mode(output_mode, MODES)
        self.sparse = refuse_sparse(sparse, "Discretization")

    def call(self, inputs: Any) -> Any:
        if self.bin_boundaries is None:
            raise ArgumentError(f"layer {self.name!r} has no boundaries yet: call adapt(data) before it")
        below = ops.less(ops.expand_dims(inputs, -1), np.asarray(self.bin_boundaries, "float32"))
        place = ops.sum(ops.cast(ops.logical_not(below), "int32"), axis=-1)
        dtype = "int32" if self.output_mode == "int" else self.compute_dtype
        return encoded(place, self.output_mode, len(self.bin_boundaries) + 1, dtype)

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Set the boundaries to the quantiles of an array, or of (the first `steps` of) an iterable of batches."""
        if self.num_bins is None:
            raise ArgumentError(f"layer {self.name!r} was given bin_boundaries; with num_bins it can adapt")
        parts = [np.asarray(batch, "float32").ravel() for batch in islice(batches(data), steps)]
        values = np.sort(np.concatenate(parts)) if parts else np.zeros(0)
        if not values.size:
            raise ArgumentError(f"layer {self.name!r} cannot adapt to no data")
        shares = np.arange(1, self.num_bins) / self.num_bins
        self.bin_boundaries = np.interp(shares, np.arange(1, values.size + 1) / values.size, values).tolist()

    def get_config(self) -> dict[str, Any]:
        return {key: value for key, value in super().get_config().items() if key != "trainable"}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        if config.get("num_bins") is None or config.get("bin_boundaries") is None:
            return cls(**config)
        layer = cls(**{key: value for key, value in config.items() if key != "bin_boundaries"})
        layer.bin_boundaries = config["bin_boundaries"]
        return layer


class IntegerLookup(Layer):
    """The index of each integer in a vocabulary, which is given or found by `adapt(data)`, the most frequent first.

    Behind the mask_token (0, if there is one and output_mode is "int") come num_oov_indices for integers that are not
    in the vocabulary: of several, the integer's remainder picks one; of none, there is an error. invert gives the
    integers of indices. output_mode as in CategoryEncoding, or "int"; with pad_to_max_tokens vectors have max_tokens
    elements.
    """

    index_dtype = "int64"

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int = -1,
        vocabulary: Any = None,
        vocabulary_dtype: str = "int64",
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        sparse: bool = False,
        pad_to_max_tokens: bool = False,
        *,
        name: str | None = None,
        **options: Any,
    ) -> None:
        options = {key: value for key, value in options.items() if key not in ("vocabulary_size", "trainable", "dtype")}
        super().__init__(name=name, **options)
        if (max_tokens is not None and max_tokens <= 1) or (pad_to_max_tokens and max_tokens is None):
            raise ArgumentError(f"IntegerLookup wants max_tokens above 1, and some to pad to, not {max_tokens}")
        if isinstance(num_oov_indices, bool) or num_oov_indices < 0:
            raise ArgumentError(f"IntegerLookup wants num_oov_indices from 0 on, not {num_oov_indices}")
        if vocabulary_dtype != "int64" or idf_weights is not None:
            raise ArgumentError("IntegerLookup knows vocabularies of int64 without idf_weights only")
        self.max_tokens, self.num_oov_indices = max_tokens, num_oov_indices
        self.mask_token, self.oov_token = mask_token, oov_token
        self.vocabulary_dtype, self.invert = vocabulary_dtype, invert
        self.output_mode = checked_mode(output_mode, MODES)
        if invert and self.output_mode != "int":
            raise ArgumentError(f"IntegerLookup(invert=True) gives integers, not {output_mode!r}")
        self.sparse = refuse_sparse(sparse, "IntegerLookup")
        self.pad_to_max_tokens = pad_to_max_tokens
        self._masks = mask_token is not None and self.output_mode == "int"
        self.vocabulary: Any = None
        if vocabulary is not None:
            self.set_vocabulary(vocabulary)

    def set_vocabulary(self, vocabulary: Any) -> None:
        """Take these integers, with or without the special tokens at their beginning."""
        tokens = [int(one) for one in vocabulary]
        special = self._special()
        tokens = tokens[len(special) :] if special and tokens[: len(special)] == special else tokens
        twice = [token for token, count in Counter(tokens).items() if count > 1]
        if not tokens or twice or self.mask_token in tokens or (self.invert and self.oov_token in tokens):
            raise ArgumentError(
                f"a vocabulary has integers, each once, and special tokens {special} only at its beginning"
                + (f"; {twice[:5]} are there twice" if twice else "")
            )
        if self.max_tokens is not None and len(special) + len(tokens) > self.max_tokens:
            raise ArgumentError(f"{len(special) + len(tokens)} tokens are more than max_tokens, {self.max_tokens}")
        self.vocabulary = tokens

    def _special(self) -> list[int]:
        return ([self.mask_token] if self._masks else []) + [self.oov_token] * self.num_oov_indices  # type: ignore[return-value]

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[int]:
        """The integer of each index."""
        return (self._special() if include_special_tokens else []) + list(self.vocabulary or [])

    def vocabulary_size(self) -> int:
        """The number of indices, special ones included."""
        return len(self.get_vocabulary())

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Make the vocabulary of the integers of an array, or of (the first `steps` of) an iterable of batches."""
        counts: Counter[int] = Counter()
        for batch in islice(batches(data), steps):
            counts.update(np.asarray(batch).ravel().tolist())
        for token in (self.mask_token, self.oov_token):
            counts.pop(token, None)  # type: ignore[arg-type]
        tokens = sorted(counts, key=lambda token: (counts[token], token), reverse=True)
        room = None if self.max_tokens is None else self.max_tokens - len(self._special())
        self.set_vocabulary(tokens[:room])

    def call(self, inputs: Any) -> Any:
        if self.vocabulary is None:
            raise ArgumentError(f"layer {self.name!r} has no vocabulary yet: give one, or call adapt(data) before it")
        tokens, x = self.get_vocabulary(), ops.cast(inputs, "int64")
        if self.invert:
            inside = ops.logical_and(ops.greater_equal(x, 0), ops.less(x, len(tokens)))
            return ops.take(np.asarray([*tokens, self.oov_token], "int64"), ops.where(inside, x, len(tokens)), axis=0)
        first = len(tokens) - len(self.vocabulary)
        found, place = looked_up(x, np.asarray(self.vocabulary, "int64"))
        if self.num_oov_indices == 0:
            # A place outside the table: reading there is the error that says so.
            place = ops.take(np.arange(len(self.vocabulary)), ops.where(found, place, len(self.vocabulary)), axis=0)
            found = True
        outside = ops.mod(x, max(1, self.num_oov_indices)) + (first - self.num_oov_indices)
        index = place + first if found is True else ops.where(found, place + first, outside)
        if self.mask_token is not None:
            hidden = 0 if self._masks else -1
            index = ops.where(ops.equal(x, self.mask_token), hidden, index)
        depth = self.max_tokens if self.pad_to_max_tokens else len(tokens)
        dtype = "int64" if self.output_mode == "int" else self.compute_dtype
        return encoded(ops.cast(index, "int64"), self.output_mode, depth, dtype)

    def get_config(self) -> dict[str, Any]:
        config = {key: value for key, value in super().get_config().items() if key not in ("dtype", "trainable")}
        return {**config, "idf_weights": None, "vocabulary_size": self.vocabulary_size() if self.vocabulary else None}


def looked_up(x: Any, vocabulary: np.ndarray) -> tuple[Any, Any]:
    """Whether integers are in a vocabulary, and where: a binary search that takes the same steps for all."""
    bits = max(1, int(vocabulary.size).bit_length())
    order = np.argsort(vocabulary, kind="stable")
    table = np.full(2**bits, np.iinfo(np.int64).max)
    table[: vocabulary.size] = vocabulary[order]
    ranks = np.zeros(2**bits, np.int64)
    ranks[: vocabulary.size] = order
    low = ops.zeros_like(x)
    for bit in reversed(range(bits)):
        middle = low + 2**bit
        low = ops.where(ops.less_equal(ops.take(table, middle, axis=0), x), middle, low)
    found = ops.logical_and(ops.equal(ops.take(table, low, axis=0), x), ops.less(low, vocabulary.size))
    return found, ops.take(ranks, low, axis=0)


def encoded(indices: Any, mode: str, depth: Any, dtype: str, weights: Any = None) -> Any:
    """Indices themselves, or as vectors of `depth` elements: see CategoryEncoding."""
    if mode == "int":
        return ops.cast(indices, dtype)
    if indices.ndim == 0:
        indices = ops.expand_dims(indices, -1)
    if mode == "multi_hot":
        return ops.multi_hot(indices, depth, dtype=dtype)
    if mode == "one_hot":
        thin = indices.ndim > 1 and indices.type.shape[-1] == 1
        return ops.one_hot(ops.squeeze(indices, -1) if thin else indices, depth, dtype=dtype)
    hot = ops.one_hot(indices, depth, dtype=dtype)
    if weights is not None:
        hot = ops.multiply(hot, ops.expand_dims(ops.cast(weights, dtype), -1))
    return ops.sum(hot, axis=1 if indices.ndim > 1 else 0)


def checked_mode(mode: str, known: tuple[str, ...]) -> str:
    """A name of a way to encode; ArgumentError for an unknown one."""
    mode = "multi_hot" if mode == "binary" else mode
    if mode not in known:
        raise ArgumentError(f"output_mode must be one of {', '.join(known)}, not {mode!r}")
    return mode


def refuse_sparse(sparse: bool, layer: str) -> bool:
    """False; ArgumentError for True, since there are no sparse tensors here."""
    if sparse:
        raise ArgumentError(f"{layer}(sparse=True): there are no sparse tensors here")
    return False
