"""Connectionist temporal classification (Graves et al., 2006): a loss for labels without alignment, and decoding."""

from __future__ import annotations

from typing import Any

from kgraph.errors import ArgumentError, ShapeError
from kgraph.graph.op import FUNCTIONS
from kgraph.graph.sizes import shown, unify
from kgraph.ops import gather, statistics
from kgraph.ops.arithmetic import add, cast, negative, where
from kgraph.ops.compare import equal, greater_equal, less, logical_and, not_equal
from kgraph.ops.creating import dtype_of
from kgraph.ops.joining import concatenate
from kgraph.ops.loops import scan
from kgraph.ops.move import iota, part, shape_of
from kgraph.ops.pointwise import logaddexp
from kgraph.ops.shapes import broadcast_to, expand_dims, reshape, transpose
from kgraph.ops.sorting import argsort
from kgraph.ops.tensors import composed, floating, tensor

IMPOSSIBLE = -1e5  # the logarithm of a probability that counts as 0; its gradient is 0 rather than NaN


@composed
def ctc_loss(target: Any, output: Any, target_length: Any, output_length: Any, mask_index: int = 0) -> Any:
    """Minus the logarithm of the probability of each target, summed over its alignments with the output.

    target: int (batch, labels); output: logits (batch, time, classes); target_length, output_length: int (batch,), how
    much of these counts; mask_index: the class of the blank. Returns (batch,), about 1e5 where a target fits into no
    output. ShapeError: other shapes. As `keras.ops.ctc_loss`.
    """
    target, output = cast(tensor(target), "int32"), floating(output)
    if len(shape_of(target)) != 2 or len(shape_of(output)) != 3:
        shapes = f"{shown(shape_of(target))} and {shown(shape_of(output))}"
        raise ShapeError(f"ctc_loss: target (batch, labels) and output (batch, time, classes), not {shapes}")
    unify(shape_of(target)[0], shape_of(output)[0])
    batch, labels = shape_of(target)
    target_length, output_length = (cast(tensor(one), "int32") for one in (target_length, output_length))
    states, length, time = _states(target, mask_index), 2 * labels + 1, shape_of(output)[1]
    indices = broadcast_to(expand_dims(states, 1), (batch, time, length))
    emitted = transpose(gather.take_along_axis(FUNCTIONS["log_softmax"](output), indices, axis=2), (1, 0, 2))
    place = iota(shape=(1, length), axis=1, dtype="int32")
    before = _later(states, 2, -1, length)
    skips = logical_and(logical_and(not_equal(states, mask_index), not_equal(states, before)), greater_equal(place, 2))
    start = broadcast_to(where(equal(place, 0), 0.0, IMPOSSIBLE), (batch, length))

    def step(score: Any, given: Any) -> tuple[Any, None]:
        number, chances = given
        one = _later(score, 1, IMPOSSIBLE, length)
        two = where(skips, _later(score, 2, IMPOSSIBLE, length), IMPOSSIBLE)
        made = add(logaddexp(logaddexp(score, one), two), chances)
        return where(less(number, expand_dims(output_length, 1)), made, score), None

    turns = iota(shape=(time,), axis=0, dtype="int32")
    score = scan(step, cast(start, dtype_of(output)), (turns, emitted))[0]
    last = 2 * expand_dims(target_length, 1)
    final = where(logical_and(less(place, last + 1), greater_equal(place, last - 1)), score, IMPOSSIBLE * 1e5)
    return negative(statistics.logsumexp(final, 1))


def _states(target: Any, blank: int) -> Any:
    """A blank before each label, and one at the end."""
    batch, labels = shape_of(target)
    empty = FUNCTIONS["full"]((batch, labels, 1), blank, dtype="int32")
    pairs = reshape(concatenate([empty, expand_dims(target, 2)], 2), (batch, 2 * labels))
    return concatenate([pairs, FUNCTIONS["full"]((batch, 1), blank, dtype="int32")], 1)


def _later(x: Any, count: int, value: Any, length: Any) -> Any:
    """Each row moved on by some places."""
    moved = FUNCTIONS["pad"](x, ((0, 0), (count, 0)), constant_values=value)
    return part(moved, 1, 0, length)


@composed
def ctc_decode(
    inputs: Any, sequence_lengths: Any, strategy: str = "greedy", beam_width: int = 100, top_paths: int = 1,
    merge_repeated: bool = True, mask_index: int = 0,
) -> tuple[Any, Any]:  # fmt: skip
    """The labels that the most likely class of each step spells, -1 after their end, and minus the sum of its scores.

    inputs: (batch, time, classes); sequence_lengths: int (batch,). Blanks (mask_index) are left out, and, with
    merge_repeated, labels that repeat the step before. Returns int32 (1, batch, time) and (batch, 1). ArgumentError:
    another strategy than "greedy"; a beam search is not built. As `keras.ops.ctc_decode`.
    """
    if strategy != "greedy":
        more = f"; beam_width={beam_width} and top_paths={top_paths} belong to a beam search, which is not built"
        raise ArgumentError(f"ctc_decode: the only strategy is greedy, not {strategy!r}{more}")
    inputs, lengths = floating(inputs), cast(tensor(sequence_lengths), "int32")
    if len(shape_of(inputs)) != 3:
        raise ShapeError(f"ctc_decode of (batch, time, classes), not of shape {shown(shape_of(inputs))}")
    time = shape_of(inputs)[1]
    turns = iota(shape=(1, time), axis=1, dtype="int32")
    counts = less(turns, expand_dims(lengths, 1))
    labels = where(counts, statistics.argmax(inputs, 2), mask_index)
    scores = where(counts, statistics.max(inputs, 2), 0)
    kept = not_equal(labels, mask_index)
    if merge_repeated:
        earlier = FUNCTIONS["pad"](part(labels, 1, 0, time - 1), ((0, 0), (1, 0)), constant_values=-1)
        kept = logical_and(kept, not_equal(labels, earlier))
    order = argsort(where(kept, turns, time), 1)
    found = gather.take_along_axis(where(kept, labels, -1), order, axis=1)
    return expand_dims(found, 0), expand_dims(negative(statistics.sum(scores, 1)), 1)
