"""Calls that take functions, lists or keys, beside keras.ops; and that no function of both is left uncompared."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from test_against_keras import B, I, J, P, U, X, same

from kgraph import ops
from kgraph.graph.op import FUNCTIONS

FOLDER = Path(__file__).parent
SPD = np.einsum("aik,ajk->aij", X[:, :3], X[:, :3]) + np.eye(3, dtype=np.float32)
CALLS: dict[str, Callable[[Any], Any]] = {
    "array": lambda o: o.array([1, 2], "float32"),
    "vectorized_map": lambda o: o.vectorized_map(lambda row: o.sum(row) + row, U),
    "map": lambda o: o.map(lambda row: o.sum(row) * 2, U),
    "scan": lambda o: o.scan(lambda total, row: (total + row, total * row), U[0], U),
    "scan of a length, backwards": lambda o: o.scan(lambda a, _: (a * 2, a), U[0], length=3, reverse=True),
    "fori_loop": lambda o: o.fori_loop(1, 4, lambda i, x: x * 0.5 + o.cast(i, "float32"), U),
    "while_loop": lambda o: o.while_loop(lambda n, x: n < 5, lambda n, x: (n + 2, x * 1.5), (0, U)),
    "while_loop that is cut short": lambda o: o.while_loop(lambda x: o.sum(x) < 1e9, lambda x: (x + 1,), (U,), 3),
    "cond": lambda o: o.cond(o.sum(P) > 0, lambda: U * 2, lambda: U),
    "the other side of cond": lambda o: o.cond(o.sum(P) < 0, lambda: U * 2, lambda: U),
    "switch": lambda o: o.switch(1, [lambda x, y: x, lambda x, y: x - y], U, P[:, :, 0]),
    "switch beyond its branches": lambda o: o.switch(7, [lambda x: x, lambda x: -x], U),
    "select": lambda o: o.select([B, U > 0], [U, U * 2], 7.0),
    "stack": lambda o: o.stack([X, P], 1),
    "hstack": lambda o: o.hstack([X, P]),
    "vstack": lambda o: o.vstack([X, P]),
    "dstack": lambda o: o.dstack([X, P]),
    "get_item": lambda o: o.get_item(X, (slice(None, None, 2), 1)),
    "moments": lambda o: o.moments(X, (0, 2), keepdims=True),
    "custom_gradient": lambda o: o.custom_gradient(lambda x: (x * 2, lambda *args, upstream=None: upstream))(U),
    "convert_to_numpy": lambda o: o.convert_to_numpy(o.convert_to_tensor(I)),
    "ndim": lambda o: o.ndim(X),
    "is_tensor": lambda o: [o.is_tensor(o.convert_to_tensor(I)), o.is_tensor("x")],
    "empty_like": lambda o: o.empty_like(X[:0], dtype="int32"),
    "view": lambda o: o.view(X, dtype="int32"),
    "argpartition": lambda o: o.take_along_axis(U, o.argpartition(U, 2), -1)[..., 2],  # the others are in any order
    "bincount": lambda o: o.bincount(J, minlength=7),
    "nonzero": lambda o: o.nonzero(I > 2),
    "unique": lambda o: o.unique(J),
    "cholesky": lambda o: o.cholesky(SPD),
    "inv": lambda o: o.inv(SPD),
    "det": lambda o: o.det(SPD),
    "logdet": lambda o: o.logdet(SPD),
    "qr": lambda o: o.matmul(*o.qr(X[..., :3])),
    "the sizes in qr, whose signs are free": lambda o: o.absolute(o.qr(X[..., :3])[1]),
    "lstsq": lambda o: o.lstsq(U.T, U[0] + U[1]),
    "solve": lambda o: o.solve(SPD, X[:, :3]),
    "solve_triangular": lambda o: o.solve_triangular(np.tril(SPD), X[:, :3], lower=True),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_calls(call: Callable[[Any], Any]) -> None:
    have, want = (keras.tree.flatten(call(one)) for one in (ops, keras.ops))
    for one, other in zip(have, want, strict=True):
        same(one, other)


def compared_in(path: Path) -> Iterator[str]:
    """The words by which a file's tests could name what they compare: those of the tests and of their tables."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    tables = {ast.unparse(name): node for node in body for name in targets(node)}
    for test in body:
        text = ast.unparse(test)
        if isinstance(test, ast.FunctionDef) and ("keras.ops" in text or "agree(" in text) and "signature" not in text:
            used = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
            for part in (test, *(tables[name] for name in used & tables.keys())):
                yield from filter(None, map(word_of, ast.walk(part)))


def targets(node: ast.stmt) -> list[ast.expr]:
    """What an assignment gives a value."""
    return node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []


def word_of(node: ast.AST) -> str | None:
    """A text, or the name of what is taken from keras.ops, or from the argument `o` that stands for it."""
    if isinstance(node, ast.Attribute):
        return node.attr if ast.unparse(node.value) in ("keras.ops", "o", "one") else None
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def test_every_function_of_both_is_compared() -> None:
    compared = {word for path in FOLDER.glob("test_*.py") for word in compared_in(path)}
    both = {name for name in FUNCTIONS if hasattr(keras.ops, name)}
    assert sorted(both - compared) == []
