"""A printed CUDA kernel run thread by thread on the CPU, and stopped where a GPU would go on with garbage.

The very text that the GPU gets is run. Where threads meet, at barriers and shuffles, it gets a `yield`: each thread is a
generator, and a warp goes on when its lanes are there. A kernel without such calls is called once per thread. Checked:

- every index into an argument, a shared or a local array lies inside it;
- no two threads touch one element, one of them writing, without a barrier between; no two write one of an argument;
- the threads of a block meet at the same barriers, the lanes of a warp at the same shuffles;
- shared and local memory starts as NaN, so that what is read before it is written shows in the result.

Integers are Python's: int32, uint32 and so on wrap when they are called, sums and products do not.
"""

from __future__ import annotations

import ast
import linecache
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import batched, groupby, product
from math import prod
from types import CodeType, MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple, NoReturn

import numpy as np

from kgraph.codegen.cubin import rebound

WARP = 32
FULL_WARP = 0xFFFFFFFF
ATOMIC = 0xFFF  # in place of a thread: those that add atomically do not exclude each other
MEETINGS = ("syncthreads", "syncwarp", "shfl_sync", "shfl_xor_sync", "shfl_up_sync", "shfl_down_sync", "ballot_sync")
