"""Settings that are read from the system."""

from __future__ import annotations

from math import inf

import pytest

from kgraph import config
from kgraph.errors import ArgumentError


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, inf),
        ({"cpu.max": "max 100000"}, inf),
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, inf),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
        ({"cpu.max": "not a number"}, inf),
    ],
)
def test_the_quota_of_a_control_group(tmp_path, files, cpus):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert config.cgroup_cpus(tmp_path) == cpus


def test_threads_stay_within_the_quota_and_are_at_least_one(monkeypatch):
    monkeypatch.delenv("KGRAPH_NUM_THREADS", raising=False)
    monkeypatch.setattr(config, "cgroup_cpus", lambda: 0.5)
    assert config.num_threads() == 1
    monkeypatch.setattr(config, "cgroup_cpus", lambda: inf)
    assert config.num_threads() >= 1
    monkeypatch.setenv("KGRAPH_NUM_THREADS", "7")
    assert config.num_threads() == 7


def test_a_setting_takes_only_what_it_knows():
    with pytest.raises(ArgumentError, match="floatx must be a float type, not 'int32'"):
        config.set_floatx("int32")
    with pytest.raises(ArgumentError, match="image_data_format must be channels_last or channels_first, not 'nhwc'"):
        config.set_image_data_format("nhwc")
