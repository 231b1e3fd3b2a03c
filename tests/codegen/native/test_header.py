"""Headers of exported libraries: names and types of C."""

from __future__ import annotations

import pytest

from kgraph.codegen.native.header import border, header, identifier
from kgraph.errors import ArgumentError
from kgraph.graph.sizes import N, axis
from kgraph.graph.types import TensorType

X = TensorType((N, axis("T"), 3), "float64")


def test_texts_become_identifiers():
    assert [identifier(text) for text in ("policy", "my-net.v2", "2nd", "größe", "")] == [
        "policy", "my_net_v2", "v_2nd", "gr__e", "v_"]  # fmt: skip


def test_every_name_is_its_own():
    made = border("f", [("a/b", X), ("a b", X), ("N", X)], ["N", "T"], [("f", X), ("for", X)])
    names = [name for part in (made.inputs, made.axes, made.outputs) for name, _ in part]
    assert names == ["a_b", "a_b_2", "N", "N_2", "T", "f_2", "for_"]


def test_types_and_shapes_are_said():
    kinds = [TensorType((), dtype) for dtype in ("bool", "uint8", "int64", "float32")]
    made = border("f", zip("abcd", kinds, strict=True), ["T"], [("y", X)])
    assert made.prototype == (
        "int f(const bool *a, const uint8_t *b, const int64_t *c, const float *d, int64_t T, double *out);"
    )
    text = header(made, "f.so", "x86_64 (any)", 4)
    assert " *   a    input, bool, one number\n *   b" in text
    assert " *   T    the size T in these shapes, 0 or more\n *   out  output, float64 (N, T, 3)\n" in text
    assert "x86_64 (any)" in text and "4 threads" in text and "f.so" in text


@pytest.mark.parametrize("name", ["while", "class", "main", "kg_run", "_start"])
def test_names_that_c_has_are_refused(name):
    with pytest.raises(ArgumentError, match=name):
        border(name, [("x", X)], ["N"], [("y", X)])
