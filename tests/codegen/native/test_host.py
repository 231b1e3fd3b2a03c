"""The host: widths that belong to its registers, and a name for cache keys."""

from __future__ import annotations

import pytest

from kgraph.codegen.native.host import Host, host


@pytest.mark.parametrize(("bits", "single", "double"), [(512, 16, 8), (256, 8, 4), (128, 4, 2)])
def test_lanes_fill_a_register(bits, single, double):
    cpu = Host("x86_64", "", "", bits)
    assert (cpu.lanes("float32"), cpu.lanes("float64")) == (single, double)


@pytest.mark.parametrize(
    ("cpu", "registers"),
    [
        (Host("x86_64", "", "", 512), 32),
        (Host("x86_64", "", "", 256), 16),
        (Host("x86_64", "", "", 128), 16),
        (Host("aarch64", "", "", 128), 32),
    ],
)
def test_a_tile_two_vectors_wide_fits_the_registers(cpu, registers):
    assert 2 * cpu.rows + 3 <= registers


def test_the_signature_tells_cpus_apart_and_is_stable():
    assert host().signature() == host().signature()
    assert Host("x86_64", "znver5", "+avx2", 256).signature() != Host("x86_64", "znver5", "", 256).signature()


def test_an_unknown_cpu_is_refused(python):
    text = """
from kgraph.codegen.native.host import host
try:
    host()
except ValueError as error:
    print(error)
"""
    assert python(text, KGRAPH_CPU="pentium") == "KGRAPH_CPU must be empty or 'generic', not 'pentium'"
