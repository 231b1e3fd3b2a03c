"""Numbers as people read them."""

from __future__ import annotations

import pytest

from kgraph.bench.report import duration, quantity


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (2.5, "2.5 s"),
        (0.014, "14 ms"),
        (3.14e-6, "3.14 µs"),
        (4.2e-7, "0.42 µs"),
        (1234.0, "1234 s"),
        (0.99996, "1 s"),
        (9.9999e-4, "1 ms"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("number", "shown"), [(950, "950 "), (12345, "12.3 k"), (4.5e6, "4.5 M"), (999_999, "1 M"), (0, "0 ")]
)
def test_quantities(number: float, shown: str) -> None:
    assert quantity(number) == shown
