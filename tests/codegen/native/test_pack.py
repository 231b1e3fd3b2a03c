"""Panels against numpy: any strides, odd widths, zeros past the last column, batches."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from kgraph.codegen.native.host import host

WORD, POINTER = ctypes.c_int64, ctypes.c_void_p
TASK = ctypes.CFUNCTYPE(WORD, POINTER, WORD, WORD)


def packed(native, dtype, source, width, shape, strides):
    """What the runtime makes of `source`, read as [outer batch, batch, outer, inner, columns] with these strides."""
    large, small, outer, inner, columns = shape
    panels = -(-columns // width)
    out = np.full((large * small, panels, outer * inner, width), np.nan, dtype)
    sizes = [width, columns, strides[4], outer, strides[2], inner, strides[3], strides[0], small, strides[1]]
    words = np.array([source.ctypes.data, out.ctypes.data, *sizes], np.int64)
    name = "kg_pack_f32" if dtype == np.float32 else "kg_pack_f64"
    assert TASK(native.symbols[name])(words.ctypes.data, 0, large * small * panels) == 0
    return out


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [1, 7, 8, 9, 33])
def test_panels_hold_every_element_and_zeros_beyond(native, dtype, columns):
    source = np.random.default_rng(columns).normal(size=(2, 3, 4, 5, columns)).astype(dtype)
    strides = [step // source.itemsize for step in source.strides]
    out = packed(native, dtype, source, 8, source.shape, strides)
    rows = source.reshape(6, 20, columns)
    panels = out.transpose(0, 2, 1, 3).reshape(6, 20, -1)
    np.testing.assert_array_equal(panels[..., :columns], rows)
    assert (panels[..., columns:] == 0).all()


def test_a_transposed_operand_is_read_through_its_strides(native):
    source = np.random.default_rng(0).normal(size=(11, 6)).astype(np.float32)  # columns run along the first axis
    out = packed(native, np.float32, source, 4, (1, 1, 1, 6, 11), (0, 0, 0, 1, 6))
    panels = out[0].transpose(1, 0, 2).reshape(6, -1)
    np.testing.assert_array_equal(panels[:, :11], source.T)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("vectors", [1, 2])
def test_squares_are_transposed_in_registers_and_the_rest_one_by_one(native, dtype, extra, vectors):
    lanes = host().lanes(dtype)
    width, inner = vectors * lanes, 2 * lanes + extra
    columns = 2 * width + extra
    source = np.random.default_rng(1).normal(size=(3, columns, inner)).astype(dtype)
    steps = (columns * inner, 0, 0, 1, inner)
    out = packed(native, source.dtype, source, width, (3, 1, 1, inner, columns), steps)
    panels = out.transpose(0, 2, 1, 3).reshape(3, inner, -1)
    np.testing.assert_array_equal(panels[..., :columns], source.transpose(0, 2, 1))
    assert (panels[..., columns:] == 0).all()
