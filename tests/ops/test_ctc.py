"""Connectionist temporal classification: Keras's numbers, gradients by differences, compiled for every target."""

from __future__ import annotations

from itertools import product

import keras
import numpy as np
import pytest
from agreement import gradients_agree

import kgraph as kg
from kgraph import ops
from kgraph.codegen.targets import TARGETS
from kgraph.errors import ArgumentError, ShapeError

RANDOM = np.random.default_rng(9)
LABELS = np.array([[1, 2, 2], [3, 0, 0], [1, 1, 1]], np.int32)
LOGITS = RANDOM.normal(size=(3, 7, 4))
LENGTHS = np.array([3, 1, 2], np.int32), np.array([7, 4, 6], np.int32)


def test_the_loss_is_the_sum_over_alignments() -> None:
    found = ops.ctc_loss(LABELS[:1, :2], LOGITS[:1, :4], [2], [4])
    chances = np.exp(LOGITS[0, :4]) / np.exp(LOGITS[0, :4]).sum(1, keepdims=True)
    total = 0.0
    for path in product(range(4), repeat=4):
        spelled = [one for place, one in enumerate(path) if one and (place == 0 or path[place - 1] != one)]
        total += np.prod(chances[range(4), path]) * (spelled == [1, 2])
    np.testing.assert_allclose(found, [-np.log(total)], rtol=1e-9)


def test_the_loss_is_kerass() -> None:
    given = LABELS, LOGITS.astype(np.float32), *LENGTHS
    np.testing.assert_allclose(ops.ctc_loss(*given, mask_index=3), keras.ops.ctc_loss(*given, mask_index=3), rtol=1e-5)


def test_gradients() -> None:
    gradients_agree(lambda x: ops.ctc_loss(LABELS, x, *LENGTHS), LOGITS)


@pytest.mark.parametrize("target", TARGETS)
def test_compiled(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")
    x = kg.Input((7, 4))
    run = kg.compile(kg.Model(x, x * 2.0), loss="ctc", target=target)
    loss, _ = run.value_and_grad(LOGITS.astype(np.float32), LABELS)
    wanted = keras.losses.CTC()(LABELS, LOGITS.astype(np.float32) * 2)
    np.testing.assert_allclose(loss, wanted, rtol=1e-5)


@pytest.mark.parametrize("merge_repeated", [False, True])
@pytest.mark.parametrize("mask_index", [0, 2])
def test_decoding_is_kerass(merge_repeated: bool, mask_index: int) -> None:
    given = LOGITS.astype(np.float32), LENGTHS[1]
    options = {"merge_repeated": merge_repeated, "mask_index": mask_index}
    for have, want in zip(ops.ctc_decode(*given, **options), keras.ops.ctc_decode(*given, **options), strict=True):
        assert have.dtype == want.dtype
        np.testing.assert_allclose(have, want, rtol=1e-6)


def test_what_is_refused() -> None:
    with pytest.raises(ArgumentError, match="beam search"):
        ops.ctc_decode(LOGITS, LENGTHS[1], strategy="beam_search")
    with pytest.raises(ShapeError, match=r"batch, time, classes"):
        ops.ctc_loss(LABELS, LOGITS[0], *LENGTHS)
