"""What a rule matches, what it must not match, and what the graph looks like after it."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from graphs import made, ops, same

from kgraph.graph.sizes import N
from kgraph.graph.types import TensorType
from kgraph.ops.arithmetic import add, negative, square, subtract
from kgraph.ops.move import reshape, transpose
from kgraph.ops.transcendental import exp, log, tanh
from kgraph.passes.rewrite import Rule, again, number_of, one_of, rewrite, row

total = row("sum")
LOG_OF_EXP = Rule("log of exp", lambda x: log(exp(x)), lambda x: x)


def test_a_rule_replaces_what_it_matches() -> None:
    before = made(lambda x: tanh(log(exp(x))), (N, 3))
    assert ops(same(before, rewrite(before, [LOG_OF_EXP]))) == ["tanh"]
    assert ops(before) == ["exp", "log", "tanh"], "the argument is left alone"


def test_the_new_node_takes_over_name_and_origin() -> None:
    before = made(lambda x: square(x * x), (N, 3))
    rule = Rule("difference", lambda x: square(x), lambda x: x * x)
    after = same(before, rewrite(before, [rule]))
    assert after.outputs == before.outputs
    assert after[after.outputs[0]].origin == before[before.outputs[0]].origin
    assert after[after.outputs[0]].op == "multiply"


def test_what_a_replacement_adds_is_named_after_the_node() -> None:
    before = made(lambda x: tanh(x), (N, 3))
    after = rewrite(before, [Rule("odd", lambda x: tanh(x), lambda x: negative(square(exp(x))))])
    assert [node.name for node in after] == ["x0", "tanh/exp", "tanh/square", "tanh"]
    assert {node.origin for node in after if node.op != "input"} == {before["tanh"].origin}


def test_a_result_keeps_its_name_when_another_value_takes_its_place() -> None:
    before = made(lambda x: log(exp(tanh(x))), (N, 3))
    after = same(before, rewrite(before, [LOG_OF_EXP]))
    assert after.outputs == ["log"]
    assert after["log"].op == "tanh"


def test_a_value_read_from_outside_is_not_matched() -> None:
    before = made(lambda x: (e := exp(x), log(e)), (N, 3))
    assert ops(rewrite(before, [LOG_OF_EXP])) == ["exp", "log"]


def test_a_result_inside_a_match_is_not_matched() -> None:
    before = made(lambda x: [log(e := exp(x)), e], (N, 3))
    assert ops(rewrite(before, [LOG_OF_EXP])) == ["exp", "log"]


def test_a_shared_rule_leaves_inner_values_to_their_other_readers() -> None:
    before = made(lambda x: [tanh(log(e := exp(x))), e], (N, 3))
    rule = Rule("log of exp", lambda x: log(exp(x)), lambda x: x, shared=True)
    assert sorted(ops(same(before, rewrite(before, [rule])))) == ["exp", "tanh"]


def test_a_pattern_may_read_an_inner_value_twice() -> None:
    def twice(x: Any) -> Any:
        e = exp(x)
        return e * square(e)

    rule = Rule("cube", twice, lambda x: exp(x * 3))
    assert ops(rewrite(made(twice, (N,)), [rule])) == ["multiply", "exp"]
    other = made(lambda x, y: exp(x) * square(exp(y)), (N,), (N,))
    assert ops(rewrite(other, [rule])) == ops(other)


def test_a_wildcard_that_occurs_twice_fits_one_value_only() -> None:
    rule = Rule("x * x", lambda x: x * x, lambda x: square(x))
    assert ops(rewrite(made(lambda x, y: x * y, (N,), (N,)), [rule])) == ["multiply"]
    assert ops(rewrite(made(lambda x, y: x * x, (N,), (N,)), [rule])) == ["square"]


def test_commutative_ops_match_both_ways() -> None:
    rule = Rule("fold", lambda x, y: x + negative(y), lambda x, y: x - y)
    for call in (lambda x, y: x + -y, lambda x, y: -y + x):
        before = made(call, (N,), (N,))
        assert ops(same(before, rewrite(before, [rule]))) == ["subtract"]


def test_others_match_one_way() -> None:
    rule = Rule("x - -y", lambda x, y: x - negative(y), lambda x, y: x + y)
    assert ops(rewrite(made(lambda x, y: -y - x, (N,), (N,)), [rule])) == ["negative", "subtract"]


def test_an_inner_match_is_found_again_in_every_order() -> None:
    rule = Rule("a * b + c * d", lambda a, b, c: exp(a) * b + tanh(c), lambda a, b, c: a + b + c)
    for call in (
        lambda a, b, c: exp(a) * b + tanh(c),
        lambda a, b, c: b * exp(a) + tanh(c),
        lambda a, b, c: tanh(c) + exp(a) * b,
        lambda a, b, c: tanh(c) + b * exp(a),
    ):
        assert ops(rewrite(made(call, (N,), (N,), (N,)), [rule])) == ["add", "add"]


def test_one_of_binds_the_node_it_finds() -> None:
    seen = []
    rule = Rule(
        "negated operand",
        lambda x: one_of("f", exp, tanh)(negative(x)),
        lambda x, f: negative(again(f)(x)),
        lambda f: seen.append(f.op) or (f.op != "tanh" and "only tanh is odd"),
    )
    assert ops(rewrite(made(lambda x: tanh(-x), (N,)), [rule])) == ["tanh", "negative"]
    assert ops(rewrite(made(lambda x: exp(-x), (N,)), [rule])) == ["negative", "exp"]
    assert ops(rewrite(made(lambda x: log(-x), (N,)), [rule])) == ["negative", "log"]
    assert set(seen) == {"exp", "tanh"}


def test_a_parameter_used_as_an_attribute_fits_any_attribute() -> None:
    rule = Rule(
        "transpose of transpose",
        lambda x, a, b: transpose(transpose(x, axes=a), axes=b),
        lambda x, a, b: transpose(x, axes=tuple(a[axis] for axis in b)),
    )
    before = made(lambda x: transpose(transpose(x, axes=(1, 2, 0)), axes=(1, 0, 2)), (2, 3, 4))
    after = same(before, rewrite(before, [rule]))
    assert after[after.outputs[0]].attrs == {"axes": (2, 1, 0)}


def test_an_attribute_used_twice_must_be_the_same() -> None:
    rule = Rule(
        "norm",
        lambda x, a: total(x, axes=a, keepdims=True) / total(square(x), axes=a, keepdims=True),
        lambda x, a: total(x, axes=a, keepdims=True),
    )

    def quotient(axes: Any, others: Any) -> Any:
        return lambda x: total(x, axes=axes, keepdims=True) / total(square(x), axes=others, keepdims=True)

    assert ops(rewrite(made(quotient((0,), (0,)), (3, 3)), [rule])) == ["sum"]
    assert len(ops(rewrite(made(quotient((0,), (1,)), (3, 1)), [rule]))) == 4


def test_an_attribute_that_is_written_out_must_be_equal() -> None:
    rule = Rule("rows", lambda x: total(x, axes=(1,), keepdims=True), lambda x: total(-x, axes=(1,), keepdims=True))
    assert ops(rewrite(made(lambda x: total(x, axes=(0,), keepdims=True), (3, 3)), [rule])) == ["sum"]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32"])
def test_a_number_fits_constants_of_every_dtype(dtype: str) -> None:
    rule = Rule("x + 0", lambda x: x + 0, lambda x: x)
    before = made(lambda x: -(x + 0), TensorType((N, 3), dtype))
    assert ops(same(before, rewrite(before, [rule]))) == ["negative"]


def test_a_number_fits_a_constant_array_of_that_number() -> None:
    rule = Rule("x + 0", lambda x: x + 0, lambda x: x)
    before = made(lambda x: -(x + np.zeros(3, "float32")), (N, 3))
    assert ops(rewrite(before, [rule])) == ["negative"]
    assert ops(rewrite(made(lambda x: x + np.asarray([0, 0, 1], "float32"), (N, 3)), [rule])) == ["add"]


def test_a_replacement_of_another_type_is_not_made() -> None:
    log: list[str] = []
    before = made(lambda x: x + np.zeros((4, 3), "float32"), (3,))
    after = rewrite(before, [Rule("x + 0", lambda x: x + 0, lambda x: x)], log.append)
    assert ops(after) == ["add"]
    assert log == ["x + 0: not at add, it would make a f32[3] of a f32[4,3]"]


def test_a_replacement_may_be_a_number() -> None:
    before = made(lambda x: x * 0, TensorType((N, 3), "int32"))
    after = same(before, rewrite(before, [Rule("x * 0", lambda x: x * 0, lambda x: 0)]))
    assert ops(after) == ["broadcast_to"]


def test_unless_gives_the_reason_in_the_log() -> None:
    rule = Rule("log of exp", lambda x: log(exp(x)), lambda x: x, lambda x: f"{x.name} is {x.type}, and that is that")
    said: list[str] = []
    assert ops(rewrite(made(lambda x: log(exp(x)), (N, 3)), [rule], said.append)) == ["exp", "log"]
    assert said == ["log of exp: not at log, x0 is f32[N,3], and that is that"]


def test_a_wildcard_knows_the_constant_it_stands_for() -> None:
    rule = Rule(
        "halve", lambda x, c: x / c, lambda x, c: x * (1 / number_of(c)), lambda c: number_of(c) is None and "?"
    )
    before = made(lambda x: x / 4.0, (N,))
    assert ops(same(before, rewrite(before, [rule]))) == ["multiply"]
    assert ops(rewrite(made(lambda x, y: x / y, (N,), (N,)), [rule])) == ["divide"]


def test_the_log_is_printed_where_the_environment_asks_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = made(lambda x: log(exp(x)), (N,))
    rewrite(before, [LOG_OF_EXP])
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("KGRAPH_SHOW", "rules")
    rewrite(before, [LOG_OF_EXP])
    assert capsys.readouterr().err == "# log of exp: at log\n"


def test_the_first_rule_that_fits_wins() -> None:
    first = Rule("first", lambda x: exp(x), lambda x: tanh(x))
    second = Rule("second", lambda x: exp(x), lambda x: log(x))
    assert ops(rewrite(made(lambda x: exp(x), (N,)), [first, second])) == ["tanh"]


def test_what_one_rule_makes_another_may_match() -> None:
    rules = [
        Rule("x + 0", lambda x: x + 0, lambda x: x),
        Rule("-(-x)", lambda x: negative(negative(x)), lambda x: x),
        LOG_OF_EXP,
    ]
    before = made(lambda x: tanh(log(negative(negative(exp(x) + 0)))), (N,))
    assert ops(same(before, rewrite(before, rules), 1e-4)) == ["tanh"]


def test_a_match_opens_up_when_another_reader_goes_away() -> None:
    rules = [Rule("x * 0", lambda x: x * 0, lambda x: 0), Rule("x - 0", lambda x: x - 0, lambda x: x), LOG_OF_EXP]

    def call(x: Any) -> Any:
        e = exp(x)
        return log(e) - e * 0

    assert ops(rewrite(made(call, (N,)), rules)) in ([], ["broadcast_to", "subtract"])


def test_rules_that_never_settle_are_named() -> None:
    rules = [
        Rule("there", lambda x, y: add(x, y), lambda x, y: subtract(x, -y)),
        Rule("and back", lambda x, y: subtract(x, -y), lambda x, y: add(x, y)),
        LOG_OF_EXP,
    ]
    with pytest.raises(RuntimeError, match=r"the rules '(there|and back)', '(and back|there)' do not settle"):
        rewrite(made(lambda x, y: x + y, (N,), (N,)), rules)


def test_a_thousand_nodes_settle_in_well_under_a_second() -> None:
    def call(x: Any) -> Any:
        for _ in range(125):
            x = tanh(log(exp(x))) + 0
            x = reshape(negative(negative(x * 1)), shape=(N, 3))
        return x

    before = made(call, (N, 3))
    assert len(ops(before)) >= 875
    rules = [
        Rule("x + 0", lambda x: x + 0, lambda x: x),
        Rule("x * 1", lambda x: x * 1, lambda x: x),
        Rule("-(-x)", lambda x: negative(negative(x)), lambda x: x),
        Rule("reshape", lambda x, s: reshape(x, shape=s), lambda x: x, lambda x, s: x.type.shape != s and "another"),
        LOG_OF_EXP,
    ]
    start = time.process_time()
    after = rewrite(before, rules)
    assert time.process_time() - start < 2
    assert ops(after) == ["tanh"] * 125
