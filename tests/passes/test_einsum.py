"""Every contraction ends in one spelling, without transposes, and means what it meant."""

from __future__ import annotations

from typing import Any

import pytest
from graphs import made, ops, same
from hypothesis import given, settings
from hypothesis import strategies as st

from kgraph.gradients.autodiff import gradients
from kgraph.graph.ir import Graph
from kgraph.graph.sizes import N, axis
from kgraph.ops.arithmetic import square
from kgraph.ops.contract import einsum
from kgraph.ops.move import broadcast_to, reshape, transpose
from kgraph.ops.products import einsum as public_einsum
from kgraph.ops.reduce import sum_row
from kgraph.ops.transcendental import tanh
from kgraph.passes.einsum import canonicalise
from kgraph.passes.simplify import simplify

T = axis("T")
LETTERS = {"a": N, "b": 5, "c": 3, "d": 4, "e": 2, "i": N, "n": 6, "x": 3, "y": 4, "h": 2}
EINSUM_DENSE = (
    "ab,b->a", "ab,bc->ac", "abc,cd->abd", "abc,cde->abde", "abcd,cde->abe", "i,d->id", "ibd,nd->ibn",
    "...x,xy->...y", "...b,bc->...c", "...abc,cde->...abde", "...abc,cd->...abd", "...i,d->...id",
    "aecd,abcd->acbe", "acbe,aecd->abcd", "abc,cde->abe",
)  # fmt: skip


def specs(graph: Graph) -> list[str]:
    return [node.attrs["spec"] for node in graph if node.op == "einsum"]


def shapes_of(spec: str, rest: int = 2) -> list[tuple[Any, ...]]:
    """Shapes for the operands of an equation; "..." stands for two axes."""
    terms = spec.split("->")[0].split(",")
    return [
        tuple(N if letter == "." else LETTERS[letter] for letter in term.replace("...", "." * rest)) for term in terms
    ]


def spelled(spec: str, *shapes: Any) -> Graph:
    """The canonical graph of one einsum."""
    before = made(lambda *xs: einsum(*xs, spec=spec), *(shapes or shapes_of(spec)))
    return same(before, canonicalise(before), 1e-4)


@pytest.mark.parametrize("equation", EINSUM_DENSE)
def test_the_equations_of_einsum_dense_need_no_transpose(equation: str) -> None:
    before = made(lambda *xs: public_einsum(equation, *xs), *shapes_of(equation))
    after = same(before, canonicalise(before), 1e-4)
    assert set(ops(after)) <= {"einsum", "reshape", "multiply", "sum"}
    assert ops(after).count("einsum") <= 1


@pytest.mark.parametrize("equation", EINSUM_DENSE)
def test_nor_do_their_gradients(equation: str) -> None:
    before = made(lambda *xs: public_einsum(equation, *xs), *shapes_of(equation))
    before = gradients(before, before.outputs[0], before.inputs)
    after = same(before, simplify(canonicalise(before)), 1e-4)
    assert "transpose" not in ops(after)


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ("xy,yz->xz", "ab,bc->ac"),
        ("ik,kj->ij", "ab,bc->ac"),
        ("kj,ik->ij", "ab,bc->ac"),
        ("bc,ab->ac", "ab,bc->ac"),
        ("ik,kj->ji", "ab,ca->bc"),
        ("ik,jk->ij", "ab,cb->ac"),
        ("ki,kj->ij", "ab,ac->bc"),
        ("bij,bjk->bik", "abc,acd->abd"),
        ("bjk,bij->bik", "abc,acd->abd"),
        ("j,ij->i", "ab,b->a"),
        ("abcd,ced->abe", "abcd,ced->abe"),
    ],
)
def test_one_spelling_for_one_contraction(spec: str, wanted: str) -> None:
    sizes = dict(zip("abcdeijkxyz", (N, 3, 4, 5, 6, N, 4, 3, N, 3, 5), strict=True))
    assert specs(
        spelled(spec, *(tuple(sizes[letter] for letter in term) for term in spec.split("->")[0].split(",")))
    ) == [wanted]


@pytest.mark.parametrize(
    ("spec", "shapes", "wanted"),
    [
        ("ab->ab", [(N, 3)], []),
        ("ab->ba", [(N, 3)], ["transpose"]),
        ("ab->a", [(N, 3)], ["sum"]),
        ("abc->ca", [(N, 3, 4)], ["sum", "transpose"]),
        ("aab->b", [(3, 3, 4)], ["diagonal", "sum"]),
        ("aa->", [(3, 3)], ["diagonal", "sum"]),
        ("aa->a", [(3, 3)], ["diagonal"]),
        ("aaa->a", [(3, 3, 3)], ["diagonal", "diagonal"]),
        ("abc,cd->ad", [(N, 3, 4), (4, 2)], ["sum", "einsum"]),
        ("aab,bc->c", [(3, 3, 4), (4, 2)], ["diagonal", "sum", "einsum"]),
        ("a,b->ab", [(3,), (4,)], ["reshape", "multiply"]),
        ("a,b->ba", [(3,), (4,)], ["reshape", "multiply"]),
        ("ab,b->ab", [(N, 4), (4,)], ["multiply"]),
        ("ab,a->ab", [(N, 4), (N,)], ["reshape", "multiply"]),
        ("ab,ab->ba", [(N, 4), (N, 4)], ["einsum"]),
        (",ab->ab", [(), (N, 4)], ["multiply"]),
        (",->", [(), ()], ["multiply"]),
        ("ab,ab->a", [(N, 4), (N, 4)], ["multiply", "sum"]),
        ("ab,ab->", [(N, 4), (N, 4)], ["multiply", "sum"]),
        ("a,a->", [(4,), (4,)], ["multiply", "sum"]),
        ("ab,ba->", [(4, 4), (4, 4)], ["einsum"]),
        ("ab,bc->ac", [(N, 1), (1, 4)], ["reshape", "multiply"]),
        ("abc,cd->abd", [(N, 1, 3), (3, 4)], ["reshape", "einsum", "reshape"]),
        ("ab,bc->ac", [(N, 1), (3, 4)], ["sum", "multiply"]),
        ("abc,abd->acd", [(N, 1, 3), (1, 5, 2)], ["reshape", "sum", "reshape", "multiply"]),
    ],
)  # fmt: skip
def test_special_cases_become_plain_ops(spec: str, shapes: list[Any], wanted: list[str]) -> None:
    assert ops(simplify(spelled(spec, *shapes))) == wanted


def test_many_operands_become_pairs_in_a_cheap_order() -> None:
    after = spelled("ab,bc,cd,d->a", (N, 50), (50, 60), (60, 70), (70,))
    assert specs(after) == ["ab,b->a"] * 3, "from the vector on, never a matrix times a matrix"


def test_a_product_of_three_with_batch() -> None:
    after = spelled("nij,njk,nk->ni", (N, 3, 4), (N, 4, 5), (N, 5))
    assert specs(after) == ["abc,ac->ab"] * 2


def test_operands_are_read_through_transposes() -> None:
    before = made(lambda x, y: einsum(transpose(x, axes=(1, 0)), y, spec="ab,bc->ac"), (3, N), (3, 4))
    after = same(before, canonicalise(before))
    assert (ops(after), specs(after)) == (["einsum"], ["ab,ac->bc"])


def test_a_transpose_with_other_readers_stays_for_them() -> None:
    def call(x: Any, y: Any) -> Any:
        t = transpose(x, axes=(1, 0))
        return [einsum(t, y, spec="ab,bc->ac"), tanh(t)]

    before = made(call, (3, N), (3, 4))
    after = same(before, canonicalise(before))
    assert after.arguments(after.outputs[0]) == ["x0", "x1"]
    assert "transpose" in ops(after)


def test_operands_are_read_through_axes_of_size_1() -> None:
    before = made(lambda x, y: einsum(reshape(x, shape=(N, 1, 3)), y, spec="abc,cd->abd"), (N, 3), (3, 4))
    after = same(before, canonicalise(before))
    assert (ops(after), specs(after)) == (["einsum", "reshape"], ["ab,bc->ac"])


def test_operands_are_read_through_broadcasts() -> None:
    before = made(lambda x, y: einsum(x, broadcast_to(y, shape=(N, 3, 4)), spec="abc,acd->abd"), (N, 5, 3), (3, 4))
    after = same(before, canonicalise(before))
    assert (ops(after), specs(after)) == (["einsum"], ["abc,cd->abd"])


def test_a_broadcast_that_alone_has_the_size_stays() -> None:
    before = made(lambda x, y: einsum(broadcast_to(x, shape=(7, 3)), y, spec="ab,bc->ac"), (3,), (3, 4))
    after = same(before, canonicalise(before))
    assert "broadcast_to" in ops(after)
    before = made(lambda x: einsum(broadcast_to(x, shape=(7, 3)), spec="ab->b"), (3,))
    same(before, canonicalise(before))


@pytest.mark.parametrize("shapes", [((N, 3), (N, 0)), ((0, 3), (0, 4)), ((N, 0), (N, 0))])
def test_without_elements_to_multiply_there_are_zeros(shapes: tuple[Any, Any]) -> None:
    before = made(lambda x, y: reshape(einsum(x, y, spec="ab,ac->cb"), shape=(1, shapes[1][1], shapes[0][1])), *shapes)
    after = same(before, canonicalise(before))
    assert ops(after) == ["broadcast_to", "reshape"]


def test_a_transpose_after_an_einsum_is_absorbed() -> None:
    before = made(lambda x, y: transpose(einsum(x, y, spec="abc,cd->abd"), axes=(2, 0, 1)), (N, 5, 3), (3, 4))
    after = same(before, canonicalise(before))
    assert (ops(after), specs(after)) == (["einsum"], ["ab,cda->bcd"])


def test_so_is_one_after_an_axis_of_size_1() -> None:
    def call(x: Any, y: Any) -> Any:
        return transpose(reshape(einsum(x, y, spec="ab,bc->ac"), shape=(N, 1, 4)), axes=(2, 1, 0))

    before = made(call, (N, 3), (3, 4))
    after = same(before, canonicalise(before))
    assert ops(after) == ["einsum", "reshape"]


def test_a_transpose_is_not_absorbed_where_the_product_has_other_readers() -> None:
    def call(x: Any, y: Any) -> Any:
        z = einsum(x, y, spec="ab,bc->ac")
        return [transpose(z, axes=(1, 0)), square(z)]

    before = made(call, (N, 3), (3, 4))
    assert ops(same(before, canonicalise(before))) == ops(before)
    before = made(lambda x, y: [z := einsum(x, y, spec="ab,bc->ac"), transpose(z, axes=(1, 0))], (N, 3), (3, 4))
    assert ops(same(before, canonicalise(before))) == ops(before)


def test_attention_by_hand_has_no_transpose() -> None:
    def call(q: Any, k: Any, v: Any) -> Any:
        q, k, v = (transpose(x, axes=(0, 2, 1, 3)) for x in (q, k, v))
        scores = tanh(public_einsum("nhtd,nhsd->nhts", q, k))
        return transpose(public_einsum("nhts,nhsd->nhtd", scores, v), axes=(0, 2, 1, 3))

    before = made(call, *[(N, T, 2, 3)] * 3)
    after = same(before, canonicalise(before), 1e-4)
    assert ops(after) == ["einsum", "tanh", "einsum"]
    assert specs(after)[1] == "abcd,adbe->acbe"


def test_a_transpose_is_absorbed_through_an_elementwise_op() -> None:
    def call(q: Any, k: Any) -> Any:
        q, k = (transpose(x, axes=(0, 2, 1, 3)) for x in (q, k))
        return public_einsum("nhtd,nhsd->nhts", tanh(q) / 3.0, square(k))

    before = made(call, *[(N, T, 2, 3)] * 2)
    after = same(before, canonicalise(before), 1e-4)
    assert "transpose" not in ops(after)
    assert specs(after) == ["abcd,aecd->acbe"]


def test_but_not_where_the_op_has_other_readers() -> None:
    before = made(lambda x, y: [einsum(t := tanh(transpose(x, axes=(1, 0))), y, spec="ab,bc->ac"), t], (3, N), (3, 4))
    assert ops(same(before, canonicalise(before))) == ops(before)


def test_the_new_einsum_keeps_name_and_origin() -> None:
    before = made(lambda x, y: einsum(transpose(x, axes=(1, 0)), y, spec="ab,bc->ac"), (3, N), (3, 4))
    after = canonicalise(before)
    assert after.outputs == before.outputs
    assert after["einsum"].origin == before["einsum"].origin
    assert ops(before) == ["transpose", "einsum"], "the argument is left alone"


def test_canonical_graphs_stay_as_they_are() -> None:
    for equation in EINSUM_DENSE:
        once = simplify(canonicalise(made(lambda *xs, e=equation: public_einsum(e, *xs), *shapes_of(equation))))
        assert str(simplify(canonicalise(once))) == str(once)


def test_integers_and_half_floats() -> None:
    from kgraph.graph.types import TensorType

    for dtype in ("int32", "float16", "bool"):
        kinds = [TensorType((N, 3, 4), dtype), TensorType((4, 2), dtype)]
        before = made(lambda x, y: einsum(x, y, spec="abc,cd->d"), *kinds)
        same(before, canonicalise(before), 1e-2)


@st.composite
def equations(draw: Any) -> tuple[str, list[tuple[Any, ...]]]:
    """An equation with its shapes: repeated labels, axes of size 1, one to four operands."""
    sizes = {"a": 2, "b": 3, "c": 1, "d": 4, "e": N}
    terms = draw(st.lists(st.text("abcde", max_size=4), min_size=1, max_size=4))
    labels = sorted({label for term in terms for label in term})
    output = "".join(draw(st.permutations(labels)))[: draw(st.integers(0, len(labels)))]
    shapes = []
    for term in terms:
        stretched = {label for label in term if draw(st.integers(0, 5)) == 0}
        shapes.append(tuple(1 if label in stretched else sizes[label] for label in term))
    return f"{','.join(terms)}->{output}", shapes


@settings(max_examples=150, deadline=None)
@given(equations())
def test_any_einsum_means_the_same_in_its_canonical_spelling(equation: Any) -> None:
    spec, shapes = equation
    after = spelled(spec, *shapes)
    for node in after:
        if node.op == "einsum":
            inputs = node.attrs["spec"].split("->")[0].split(",")
            assert len(inputs) == 2
            assert all(len(set(term)) == len(term) for term in inputs)
            letters = list(dict.fromkeys("".join(inputs)))
            assert letters == sorted(letters) and letters[:1] in ([], ["a"])
            assert all(1 not in after[name].tensor.shape for name in after.arguments(node.name))


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(3)), st.permutations(range(2)), st.permutations(range(3)))
def test_transposes_on_all_sides_are_absorbed(left: list[int], right: list[int], out: list[int]) -> None:
    shape, other = (N, 3, 4), (4, 5)
    start = tuple(shape[left.index(axis)] for axis in range(3))
    begin = tuple(other[right.index(axis)] for axis in range(2))

    def call(x: Any, y: Any) -> Any:
        x, y = transpose(x, axes=tuple(left)), transpose(y, axes=tuple(right))
        return transpose(einsum(x, y, spec="abc,cd->abd"), axes=tuple(out))

    before = made(call, tuple(start), tuple(begin))
    assert ops(same(before, canonicalise(before), 1e-4)) == ["einsum"]


def test_a_sum_after_is_left_alone() -> None:
    before = made(lambda x, y: sum_row(einsum(x, y, spec="ab,bc->ac"), axes=(0,), keepdims=False), (N, 3), (3, 4))
    assert ops(canonicalise(before)) == ["einsum", "sum"]
