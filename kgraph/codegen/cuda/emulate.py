"""A printed CUDA kernel run thread by thread on the CPU, and stopped where a GPU would go on with garbage.

The very text that the GPU gets is run. Where threads meet, at barriers and shuffles, it gets a `yield`: a thread is a
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
from collections import namedtuple
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import groupby, product
from types import CodeType, MappingProxyType, SimpleNamespace
from typing import Any, NoReturn

import numpy as np

from kgraph.codegen.cuda.fragments import PRODUCTS, multiplied
from kgraph.codegen.cuda.language import LANGUAGE, Integer
from kgraph.codegen.scalars.binding import rebound

WARP = 32
FULL_WARP = 0xFFFFFFFF
ATOMIC = 0xFFF  # in place of a thread's number: those that add atomically do not exclude each other
SHUFFLES = ("shfl_sync", "shfl_xor_sync", "shfl_up_sync", "shfl_down_sync")
MEETINGS = ("syncthreads", "syncwarp", "ballot_sync", *SHUFFLES, *PRODUCTS)


class EmulationError(RuntimeError):
    """A kernel did what has no defined result on a GPU."""


def emulate(
    source: str,
    name: str,
    grid: tuple[int, ...],
    block: tuple[int, ...],
    arguments: Sequence[np.ndarray | int],
    helpers: Mapping[str, Callable[..., Any]] = MappingProxyType({}),
) -> None:
    """Launch the function `name` of a printed source; arrays, flat as pointers are, change in place."""
    code, parameters, meets = _translate(source, name)
    namespace = rebound(LANGUAGE, helpers)
    exec(code, namespace)
    launch = _Launch(name, _triple(grid), _triple(block))
    assert math.prod(block) <= 1024, f"a block has at most 1024 threads, not {block}"
    pointers = _pointers(parameters, arguments, launch)
    run_block = _run_meeting if meets else _run_alone
    with np.errstate(all="ignore"):
        for launch.block_number, launch.block_index in enumerate(_every(launch.grid)):  # noqa: B020
            try:
                run_block(namespace[name], pointers, launch)
            except (ArithmeticError, TypeError, ValueError) as error:
                error.add_note(f"in {launch.place()}")
                raise


class _Translator(ast.NodeTransformer):
    """Turns calls that wait for other threads into `yield (what, line, *arguments)`, and tells arrays their names."""

    meets = False

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        if isinstance(node.value, ast.Call) and _callee(node.value) in ("shared.array", "local.array"):
            node.value.keywords.append(ast.keyword("name", ast.Constant(ast.unparse(node.targets[0]))))
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if _callee(node) not in MEETINGS:
            return node
        self.meets = True
        parts = [ast.Constant(_callee(node)), ast.Constant(node.lineno), *node.args]
        return ast.copy_location(ast.Yield(ast.Tuple(parts, ast.Load())), node)


def _callee(node: ast.Call) -> str:
    """What is called, without `cuda.`; empty if it is nothing of cuda's."""
    text = ast.unparse(node.func)
    return text.removeprefix("cuda.") if text.startswith("cuda.") else ""


@lru_cache(maxsize=512)
def _translate(source: str, name: str) -> tuple[CodeType, tuple[str, ...], bool]:
    """The text as code whose kernel takes `cuda` last, the other parameters, and whether its threads meet."""
    file = f"<emulated {name} {sha256(source.encode()).hexdigest()[:12]}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    module = ast.parse(source, file)
    kernel = next(part for part in module.body if isinstance(part, ast.FunctionDef) and part.name == name)
    parameters = tuple(argument.arg for argument in kernel.args.args)
    translator = _Translator()
    translator.visit(kernel)
    kernel.args.args.append(ast.arg("cuda"))
    return compile(ast.fix_missing_locations(module), file, "exec"), parameters, translator.meets


Triple = namedtuple("Triple", "x y z")  # threadIdx, blockIdx, blockDim, gridDim


def _triple(sizes: tuple[int, ...]) -> Triple:
    return Triple(*sizes, *[1] * (3 - len(sizes)))


def _every(sizes: Triple) -> Iterator[Triple]:
    """All indices below these sizes, x the fastest."""
    return (Triple(x, y, z) for z, y, x in product(range(sizes.z), range(sizes.y), range(sizes.x)))


class _Launch:
    """Where a launch has come to: the thread that runs, and the stamp it leaves on what it touches."""

    def __init__(self, kernel: str, grid: Triple, block: Triple) -> None:
        self.kernel, self.grid, self.block = kernel, grid, block
        self.block_index = self.thread_index = Triple(0, 0, 0)
        self.block_number = self.stamp = 0
        self.arrays: dict[str, SeenArray] = {}  # the shared ones of the block

    def enter(self, number: int, thread: Triple, barriers: int = 0, warp_barriers: int = 0) -> None:
        """Let this thread of the block run, after so many barriers."""
        self.thread_index = thread
        self.stamp = (self.block_number << 64) | (barriers << 40) | (warp_barriers << 12) | number

    def is_before(self, stamp: int) -> bool:
        """Whether what was stamped so surely happened before what the running thread does now."""
        if stamp >> 40 != self.stamp >> 40:
            return stamp >> 64 == self.block_number
        same_warp = (stamp & 0xFFF) // WARP == (self.stamp & 0xFFF) // WARP
        return self.is_own(stamp) or (same_warp and stamp >> 12 != self.stamp >> 12)

    def is_own(self, stamp: int) -> bool:
        """Whether the running thread left this stamp."""
        return stamp >> 64 == self.block_number and stamp & 0xFFF == self.stamp & 0xFFF

    def place(self) -> str:
        """Where it is now, for messages."""
        return f"kernel {self.kernel}, block {tuple(self.block_index)}, thread {tuple(self.thread_index)}"


class _Cuda:
    """The name `cuda` as one thread sees it."""

    def __init__(self, launch: _Launch, thread: Triple) -> None:
        self.threadIdx, self.blockIdx, self._launch = thread, launch.block_index, launch
        self.blockDim, self.gridDim = launch.block, launch.grid
        self.shared, self.local = SimpleNamespace(array=self._shared), SimpleNamespace(array=self._local)
        self.atomic = SimpleNamespace(add=SeenArray.add)

    def grid(self, rank: int) -> int | tuple[int, ...]:
        x = self.blockIdx.x * self.blockDim.x + self.threadIdx.x
        y = self.blockIdx.y * self.blockDim.y + self.threadIdx.y
        return x if rank == 1 else (x, y, self.blockIdx.z * self.blockDim.z + self.threadIdx.z)[:rank]

    def gridsize(self, rank: int) -> int:
        assert rank == 1, "grids are walked along one axis"
        return self.gridDim.x * self.blockDim.x

    def _shared(self, shape: Any, dtype: Any, alignment: int = 0, name: str = "") -> Array:
        assert name, "a shared array has to be assigned to a name of its own"
        assert isinstance(dtype, (Integer, type)), f"{name}: a shared array of {dtype}, which is no dtype"
        if name not in self._launch.arrays:
            self._launch.arrays[name] = SeenArray(
                name, *_poisoned(shape, dtype), dtype, self._launch, may_write=self._launch.is_before
            )
        return self._launch.arrays[name]

    def _local(self, shape: Any, dtype: Any, alignment: int = 0, name: str = "") -> Array:
        return Array(name, *_poisoned(shape, dtype), dtype, self._launch)


def _poisoned(shape: int | tuple[int, ...], dtype: Any) -> tuple[tuple[int, ...], list[Any]]:
    """A shape, and values for it: NaN, or a number far outside of everything."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    poison = int(np.iinfo(dtype.dtype).max) if isinstance(dtype, Integer) else dtype(math.nan)
    return shape, [poison] * math.prod(shape)


class Array:
    """Memory of one thread: an index is flat, or one number per axis, and has to lie inside."""

    def __init__(self, name: str, shape: tuple[int, ...], values: Any, dtype: Callable, launch: _Launch) -> None:
        self._name, self._shape, self._values, self._cast, self._launch = name, shape, values, dtype, launch
        self._size = shape[0] if len(shape) == 1 else 0  # below which an index is flat
        is_whole = isinstance(values, np.ndarray) and values.dtype.kind in "iub"
        self._load = values.item if is_whole else values.__getitem__

    def __getitem__(self, index: Any) -> Any:
        return self._load(self._place(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        self._values[self._place(index)] = self._cast(value)

    def _place(self, index: Any) -> int:
        if not isinstance(index, tuple):
            if 0 <= index < self._size:
                return index
            index = (index,)
        place = 0
        for i, size in zip(index, self._shape, strict=True):
            if not 0 <= i < size:
                self._fail(index, f"outside of its shape {self._shape}")
            place = place * size + i
        return place

    def _fail(self, index: Any, why: str) -> NoReturn:
        shown = ", ".join(map(str, index)) if isinstance(index, tuple) else index
        raise EmulationError(f"{self._launch.place()} touches {self._name}[{shown}], {why}")


class SeenArray(Array):
    """Memory of many threads, which remembers the stamps of its last writer and of its last two readers.

    Of all who read since a barrier, two are enough: one of them is not the thread that writes next. An element of an
    argument is written by one thread of a launch only, which `may_write` says of the stamp of the last writer.
    """

    def __init__(self, *array: Any, may_write: Callable[[int], bool]) -> None:
        super().__init__(*array)
        self._may_write = may_write
        self.records: tuple[dict[int, int], ...] = {}, {}, {}  # of writers, readers and earlier readers: stamps

    def __getitem__(self, index: Any) -> Any:
        place, stamp = self._place(index), self._launch.stamp
        writers, readers, earlier_readers = self.records
        writer = writers.get(place, stamp)
        if writer != stamp and not self._launch.is_before(writer):
            self._fail(index, "a race: it reads what another wrote since the last barrier")
        reader = readers.get(place, stamp)
        if reader != stamp and not self._launch.is_own(reader):
            earlier_readers[place] = reader
        readers[place] = stamp
        return self._load(place)

    def __setitem__(self, index: Any, value: Any) -> None:
        place, stamp = self._place(index), self._launch.stamp
        writers, *both_readers = self.records
        writer = writers.get(place, stamp)
        if writer != stamp and not self._may_write(writer):
            self._fail(index, "a second write: another thread wrote it, and no barrier makes this legal")
        for readers in both_readers:
            reader = readers.get(place, stamp)
            if reader != stamp and not self._launch.is_before(reader):
                self._fail(index, "a race: it writes what another read since the last barrier")
        writers[place] = stamp
        self._values[place] = self._cast(value)

    def add(self, index: Any, value: Any) -> Any:
        """Atomic addition; gives what was there."""
        place, writers = self._place(index), self.records[0]
        writer = writers.get(place, ATOMIC)
        if writer & ATOMIC != ATOMIC and not self._launch.is_before(writer):
            self._fail(index, "a race: it adds to what another wrote since the last barrier")
        writers[place] = self._launch.stamp | ATOMIC
        before = self._load(place)
        self._values[place] = self._cast(before + value)
        return before


def _pointers(names: Sequence[str], arguments: Sequence[np.ndarray | int], launch: _Launch) -> list[Any]:
    """The arguments as kernels see them; pointers to one address share their records."""
    records: dict[int, tuple[dict[int, int], ...]] = {}
    given: list[Any] = []
    for name, argument in zip(names, arguments, strict=True):
        if isinstance(argument, np.ndarray):
            assert argument.ndim == 1, f"{launch.kernel}: {name} is {argument.ndim}-D, and not a flat array"
            cast = LANGUAGE.get(argument.dtype.name, argument.dtype.type)
            pointer = SeenArray(name, argument.shape, argument, cast, launch, may_write=launch.is_own)
            pointer.records = records.setdefault(argument.ctypes.data, pointer.records)
        given.append(pointer if isinstance(argument, np.ndarray) else int(argument))
    return given


def _run_alone(kernel: Callable[..., None], arguments: list[Any], launch: _Launch) -> None:
    """A block whose threads never meet: one call each."""
    cuda = _Cuda(launch, Triple(0, 0, 0))
    for number, cuda.threadIdx in enumerate(_every(launch.block)):
        launch.enter(number, cuda.threadIdx)
        kernel(*arguments, cuda)


@dataclass
class _Lane:
    """A thread that meets others: what it waits for, and what it is told when it goes on."""

    number: int
    thread: Triple
    steps: Generator[tuple, Any, None]
    event: tuple = ()  # (what, line, *arguments); empty while it runs
    answer: Any = None
    warp_barriers: int = 0

    def step(self, launch: _Launch, barriers: int) -> None:
        """Run to where it next waits."""
        launch.enter(self.number, self.thread, barriers, self.warp_barriers)
        try:
            self.event = self.steps.send(self.answer)
        except StopIteration:
            self.event = ("end", 0)
        if self.event[0] in PRODUCTS or self.event == ("syncwarp", self.event[1]):
            self.event = (*self.event[:2], FULL_WARP, *self.event[2:])
        self.answer = None


def _run_meeting(kernel: Callable[..., Generator], arguments: list[Any], launch: _Launch) -> None:
    """A block whose threads meet: its warps go from barrier to barrier."""
    launch.arrays = {}
    threads = enumerate(_every(launch.block))
    lanes = [_Lane(number, thread, kernel(*arguments, _Cuda(launch, thread))) for number, thread in threads]
    warps = [lanes[first : first + WARP] for first in range(0, len(lanes), WARP)]
    barriers = 0
    while lanes[0].event[:1] != ("end",):
        barriers += 1
        for warp in warps:
            _to_barrier(warp, launch, barriers)
        if len({lane.event for lane in lanes}) > 1:
            _diverge(lanes, launch)


def _to_barrier(warp: list[_Lane], launch: _Launch, barriers: int) -> None:
    """Advance the lanes of a warp until each is at a barrier of the block, or has ended."""
    running = warp
    while running:
        for lane in running:
            lane.step(launch, barriers)
        waiting = {lane.event[:3] for lane in warp if lane.event[0] not in ("syncthreads", "end")}
        running = [lane for event in sorted(waiting) for lane in _meet(warp, *event)]
        if waiting and not running:
            _diverge(warp, launch)


def _meet(warp: list[_Lane], what: str, line: int, mask: int) -> list[_Lane]:
    """Answer the lanes of this mask, if all of them are here; gives those that may go on."""
    members = {lane.number % WARP: lane for lane in warp if mask >> (lane.number % WARP) & 1}
    if any(lane.event[:3] != (what, line, mask) for lane in members.values()):
        return []
    products = multiplied(what, [members[place].event[3:] for place in range(WARP)]) if what in PRODUCTS else []
    for place, lane in members.items():
        lane.warp_barriers += what == "syncwarp"
        lane.answer = products[place] if products else _answer(what, place, members)
    return list(members.values())


def _answer(what: str, place: int, members: dict[int, _Lane]) -> Any:
    """What a shuffle or a vote gives to the lane at this place of the warp."""
    if what == "syncwarp":
        return None
    if what == "ballot_sync":
        return sum(1 << other for other, lane in members.items() if lane.event[3])
    value, step = members[place].event[3:]
    origins = {"sync": step % WARP, "xor_sync": place ^ step, "up_sync": place - step, "down_sync": place + step}
    origin = origins[what.removeprefix("shfl_")]
    if not 0 <= origin < WARP:
        return value
    return members[origin].event[3] if origin in members else math.nan


def _diverge(lanes: list[_Lane], launch: _Launch) -> NoReturn:
    """Name who waits for what."""
    runs = [(event, list(run)) for event, run in groupby(lanes, lambda lane: lane.event[:2])]
    waits = [f"{run[0].number} to {run[-1].number} wait at {what}, line {line}" for (what, line), run in runs[:6]]
    place = f"kernel {launch.kernel}, block {tuple(launch.block_index)}"
    raise EmulationError(f"{place}: its threads diverge: {'; '.join(waits)}")
