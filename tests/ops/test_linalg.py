"""Functions of matrices: what numpy says, gradients by differences, compiled for every target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from agreement import agrees, gradients_agree

import kgraph as kg
from kgraph import ops
from kgraph.codegen.targets import TARGETS
from kgraph.errors import ArgumentError, ShapeError

RANDOM = np.random.default_rng(7)
A = RANDOM.normal(size=(2, 4, 4))  # elimination has to exchange rows
B = RANDOM.normal(size=(2, 4, 3))
S = A @ np.swapaxes(A, 1, 2) + np.eye(4)
TALL = RANDOM.normal(size=(6, 3))


def positive(a: Any) -> Any:
    """Symmetric, positive definite matrices, smooth in a."""
    return ops.matmul(a, ops.swapaxes(a, -1, -2)) + np.eye(4)


CALLS: dict[str, tuple[Callable[..., Any], Any, tuple[np.ndarray, ...]]] = {
    "cholesky": (lambda a: ops.cholesky(positive(a)), np.linalg.cholesky(S), (A,)),
    "upper": (lambda a: ops.cholesky(positive(a), upper=True), np.swapaxes(np.linalg.cholesky(S), 1, 2), (A,)),
    "cholesky_inverse": (lambda a: ops.cholesky_inverse(ops.cholesky(positive(a))), np.linalg.inv(S), (A,)),
    "inv": (ops.inv, np.linalg.inv(A), (A,)),
    "det": (ops.det, np.linalg.det(A), (A,)),
    "slogdet": (ops.slogdet, tuple(np.linalg.slogdet(A)), (A,)),
    "logdet": (lambda a: ops.logdet(positive(a)), np.linalg.slogdet(S)[1], (A,)),
    "solve": (ops.solve, np.linalg.solve(A, B), (A, B)),
    "one side for all": (ops.solve, np.linalg.solve(A, B[:1]), (A, B[:1])),
    "a vector": (lambda a, b: ops.solve(a[0], b[0, :, 0]), np.linalg.solve(A[0], B[0, :, 0]), (A, B)),
    "upper triangle": (ops.solve_triangular, np.linalg.solve(np.triu(S), B), (S, B)),
    "lower triangle": (lambda a, b: ops.solve_triangular(a, b, lower=True), np.linalg.solve(np.tril(S), B), (S, B)),
    "lstsq": (ops.lstsq, np.linalg.lstsq(TALL, TALL[:, 0] ** 2)[0], (TALL, TALL[:, 0] ** 2)),
}
each = pytest.mark.parametrize("name", CALLS)


@each
def test_they_are_numpys_with_gradients(name: str) -> None:
    call, wanted, given = CALLS[name]
    agrees(call, wanted, *given, shapes=[("N", *x.shape[1:]) if len(x) == len(A) else x.shape for x in given])
    gradients_agree(call, *given)


@pytest.mark.parametrize("target", TARGETS)
def test_compiled_in_one_program(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KGRAPH_CUDA", "emulate")
    names = ("cholesky", "det", "inv")  # the others are rows, and judged with these

    def call(a: Any, b: Any) -> list[Any]:
        return [CALLS[name][0](*(a, b)[: len(CALLS[name][2])]) for name in names]

    with_b = [positive(A).astype(np.float32), B.astype(np.float32)]
    run = kg.compile(call, inputs=[kg.Input((4, 4)), kg.Input((4, 3))], target=target)
    for found, wanted in zip(kg.tree.flatten(run(*with_b)), kg.tree.flatten(call(*with_b)), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=1e-3)


def test_qr() -> None:
    q, r = ops.qr(TALL)
    np.testing.assert_allclose(q @ r, TALL, atol=1e-12)
    np.testing.assert_allclose(q.T @ q, np.eye(3), atol=1e-12)
    assert (np.diag(r) > 0).all() and (np.tril(r, -1) == 0).all()
    gradients_agree(ops.qr, TALL)


def test_matrices_without_an_inverse_or_a_root() -> None:
    assert np.isnan(ops.cholesky(-np.eye(3))).any()
    assert not np.isfinite(ops.inv(np.zeros((2, 2)))).any()
    assert ops.det(np.zeros((2, 2))) == 0
    root = kg.compile(ops.cholesky, inputs=kg.Input((2, 2)))(np.stack([np.eye(2), -np.eye(2)]).astype(np.float32))
    assert (root[0] == np.eye(2)).all() and np.isnan(root[1]).any()


def test_what_is_refused() -> None:
    for name in ("cholesky", "inv", "det", "slogdet", "logdet", "cholesky_inverse"):
        with pytest.raises(ShapeError, match=r"square matrices .* \(4, 3\)"):
            getattr(ops, name)(B[0])
    with pytest.raises(ShapeError, match=r"wants b of shape \(\.\.\., 4, m\)"):
        ops.solve(A, B[:, :3])
    with pytest.raises(ArgumentError, match="mode is reduced"):
        ops.qr(TALL, "complete")
    with pytest.raises(ShapeError, match="as many rows"):
        ops.qr(TALL.T)
    with pytest.raises(AttributeError, match="complex"):
        _ = ops.fft
