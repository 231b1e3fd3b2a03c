"""Nests: what is mapped and packed, and what is refused."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from kgraph import tree
from kgraph.errors import ArgumentError

NEST = {"b": (1, [2]), "a": 3}


def test_packing_wants_a_leaf_for_each_place() -> None:
    assert tree.pack_sequence_as(structure=NEST, flat_sequence=iter([7, 8, 9])) == {"b": (8, [9]), "a": 7}
    for flat in ([], [7, 8], [7, 8, 9, 10]):
        with pytest.raises(ArgumentError, match=f"places for 3 leaves, and was given {len(flat)}"):
            tree.pack_sequence_as(NEST, flat)
    with pytest.raises(ArgumentError, match="places for 1 leaves"):
        tree.pack_sequence_as("leaf", [])


def test_nests_that_are_mapped_together_are_alike() -> None:
    assert tree.map_structure(lambda x, y: x + y, [1, (2,)], [10, (20,)]) == [11, (22,)]
    pairs: list[tuple[Any, Any]] = [([1, 2], [1]), ([1], 2), ({"a": 1}, {"b": 1}), ({"a": 1}, {"a": 1, "b": 1})]
    for one, other in pairs:
        with pytest.raises(ArgumentError, match="not alike"):
            tree.map_structure(lambda x, y: x, one, other)
    with pytest.raises(ArgumentError, match="wants a structure"):
        tree.map_structure(len)


def test_none_may_be_no_leaf() -> None:
    for module in (tree, keras.tree):
        assert module.map_structure(lambda x: x is None, [1, None]) == [False, True]
        assert module.map_structure(lambda x: -x, [1, None, (2,)], none_is_leaf=False) == [-1, None, (-2,)]
