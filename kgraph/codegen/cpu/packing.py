"""Which packing kernels the native runtime does, and the words it is given for them."""

from __future__ import annotations

from dataclasses import dataclass

from kgraph.codegen.native.host import tile_shape
from kgraph.codegen.native.pack import MOST_BATCH, MOST_INNER, packer_name
from kgraph.codegen.schedule.kernel import Kernel, Pack
from kgraph.graph.sizes import Dim


@dataclass(frozen=True)
class Packer:
    """A task of the runtime, and the words that follow its two pointers, in the kernel's sizes."""

    name: str
    words: tuple[Dim, ...]


def native_packer(kernel: Kernel) -> Packer | None:
    """The runtime's task for a packing kernel; None for other kernels, and where more axes are packed than it takes."""
    pack = kernel.schedule
    if not isinstance(pack, Pack) or len(pack.inner) > MOST_INNER or len(pack.batch) > MOST_BATCH:
        return None
    width = tile_shape(pack.dtype, pack.vectors)[1]
    inner = [(loop.extent, step) for loop, step in zip(pack.inner, pack.strides.inner, strict=True)]
    batch = [(loop.extent, step) for loop, step in zip(pack.batch, pack.strides.batch, strict=True)]
    inner = [(1, 0)] * (MOST_INNER - len(inner)) + inner
    batch = [(1, 0)] * (MOST_BATCH - len(batch)) + batch
    summed = [word for pair in inner for word in pair]
    words = (width, pack.column.extent, pack.strides.row, *summed, batch[0][1], *batch[1])
    return Packer(packer_name(pack.dtype), words)
