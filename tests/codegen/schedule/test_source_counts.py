"""Quotients of sizes in the text of a kernel: those that stand in several places have a name."""

from __future__ import annotations

from kgraph.codegen.schedule.source import counted


def test_a_quotient_in_several_places_has_a_name():
    text = "def kernel(n0, n1):\n    a = 3 * ((n0 + 95)//96)\n    b = a // (((n0 + 95)//96)*n1)\n    return 0\n"
    assert counted(text) == (
        "def kernel(n0, n1):\n    count0 = (n0 + 95)//96\n    a = 3 * count0\n    b = a // (count0*n1)\n    return 0\n"
    )


def test_so_have_quotients_of_quotients():
    blocks = "((n0 + 95)//96)"
    even = f"((n0 + {blocks} - 1)//{blocks})"
    text = f"def kernel(n0):\n    a = {even}\n    b = {even}\n    return 0\n"
    assert counted(text) == (
        "def kernel(n0):\n    count0 = (n0 + 95)//96\n    count1 = (n0 + count0 - 1)//count0\n"
        "    a = count1\n    b = count1\n    return 0\n"
    )


def test_what_stands_once_or_depends_on_a_loop_stays():
    text = "def kernel(n0):\n    a = ((n0 + 3)//4)\n    for i in range(a):\n        b = (i//2) + (i//2)\n    return 0\n"
    assert counted(text) == text


def test_calls_keep_their_parentheses():
    text = "def kernel(n0):\n    a = min(((n0 + 3)//4))\n    b = max(((n0 + 3)//4), 1)\n"
    assert counted(text) == "def kernel(n0):\n    count0 = (n0 + 3)//4\n    a = min(count0)\n    b = max(count0, 1)\n"
