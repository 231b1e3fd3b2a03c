"""Kernels printed for CUDA: Python that numba-cuda compiles, one function of pointers and sizes that each thread runs.

What is added up together does not depend on the GPU: which thread takes what is fixed by a `Geometry`, and partial sums
meet in a fixed order, so equal inputs give equal results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

from kgraph.codegen.cuda_product import contract
from kgraph.codegen.cuda_rows import Team, one_block, row_length
from kgraph.codegen.kernel import Check, Columns, Kernel, Lines, Nest, Product, Running, Scatter, Sweep
from kgraph.codegen.source import (
    Source,
    closed,
    combined,
    digits,
    strips,
    write,
)
from kgraph.index import Loop
from kgraph.sizes import Dim, minimum, product
