"""Kernels one by one, and the limits they are held against."""

from __future__ import annotations

import json

from kgraph.bench.case import Task
from kgraph.bench.limits import Limits
from kgraph.bench.profile import profile
from kgraph.bench.report import profile_document, profile_table

TASK = Task("mlp 37-113-29-7", 5)


def test_every_step_is_a_kernel_with_its_work() -> None:
    forward, grad = profile(TASK, 1, 0.001)
    assert (forward.mode, grad.mode) == ("forward", "grad") and len(grad.kernels) > len(forward.kernels) >= 3
    assert all(one.sample.median > 0 and one.bytes > 0 for one in grad.kernels)
    products = 2 * 5 * (37 * 113 + 113 * 29 + 29 * 7)
    done = sum(one.operations for one in forward.kernels)
    assert products <= done <= products + 5 * 3 * (113 + 29 + 7)
    assert forward.total == sum(one.sample.median for one in forward.kernels)


def test_state_and_checks_are_run_too() -> None:
    for model in ("normalised mlp", "embedding 20 x 32"):
        for found in profile(Task(model, 4), 2, 0.001):
            assert found.kernels and found.call.median > 0


def test_profiles_are_shown_beside_the_limits_of_the_machine() -> None:
    limits = Limits(1)
    assert limits.flops > 1e8 and limits.bandwidth(limits.in_cache) > 1e8
    limits.known[limits.in_memory] = 1e9  # a copy of that size takes a while
    assert limits.bandwidth(1 << 40) == 1e9
    found = profile(TASK, 1, 0.001)
    made = json.loads(profile_document(found, limits))
    assert [one["mode"] for one in made["profiles"]] == ["forward", "grad"]
    first = made["profiles"][0]["kernels"][0]
    assert first["flop_share"] > 0 and first["bandwidth_share"] > 0 and made["limits"]["flops"] == limits.flops
    assert profile_table(found[0], limits).row_count == len(found[0].kernels)
