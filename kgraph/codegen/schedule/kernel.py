"""What a kernel does, before it is printed for a target: its parameters, its loops, and what stands inside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from string import ascii_uppercase

from kgraph.graph.index import Loop
from kgraph.graph.sizes import Dim, product
from kgraph.graph.types import memory_dtype, numpy_dtype

LOOP_NAMES = "ijklmpqsuvw" + ascii_uppercase  # one letter each; kernels have an r and a c of their own
STRIP_BYTES = 8192  # of all strips that columns are added up in
STRIP_COLUMNS = (256, 1024)  # of one strip, at least and at most
NO_ROOM = 2  # what a kernel returns that finds no memory; one that finds an index outside returns 1


@dataclass(frozen=True)
class Parameter:
    """A pointer the kernel takes: its identifier, and the dtype of the elements."""

    name: str
    dtype: str


@dataclass(frozen=True)
class Store:
    """`target[address] = value`."""

    target: str
    address: str
    value: str


@dataclass(frozen=True)
class Lines:
    """Statements as they are, then stores."""

    lines: tuple[str, ...]
    stores: tuple[Store, ...] = ()


@dataclass(frozen=True)
class Accumulator:
    """One result of a reduction: `combine` is an expression of {0}, what it holds, and {1}, the next element."""

    name: str
    dtype: str
    initial: str
    combine: str
    value: str


GREATEST = "greatest({0}, {1})"  # combines numbers of which none is NaN, or it does not matter then


@dataclass(frozen=True)
class Fold:
    """Loops that reduce elements into accumulators, and may store elements on the way."""

    loops: tuple[Loop, ...]
    lines: tuple[str, ...]
    accumulators: tuple[Accumulator, ...]
    stores: tuple[Store, ...] = ()


@dataclass(frozen=True)
class Find:
    """A loop that looks for the extreme element: `found` ends as its position. better is an expression of {0}, {1}."""

    loop: Loop
    lines: tuple[str, ...]
    value: str
    better: str
    found: str


@dataclass(frozen=True)
class Sweep:
    """Loops that compute and store elements."""

    loops: tuple[Loop, ...]
    lines: tuple[str, ...]
    stores: tuple[Store, ...]
    band: int = 0  # where the last loop is cut in pieces this long, each of which goes through the others


Block = Lines | Fold | Find | Sweep


@dataclass(frozen=True)
class Rows:
    """Parameters that lie in memory row by row, as the outer loops go: those read and written, with their itemsizes."""

    length: int
    read: tuple[tuple[str, int], ...]
    written: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Nest:
    """For each combination of the outer loops, in any order and in parallel: the blocks, one after the other."""

    outer: tuple[Loop, ...]
    blocks: tuple[Block, ...]
    rows: Rows | None = None  # where blocks walk through each row several times


@dataclass(frozen=True)
class Columns:
    """A reduction over axes that are not the last: rows are added up, for a strip of columns at a time."""

    outer: tuple[Loop, ...]
    column: Loop
    loops: tuple[Loop, ...]
    lines: tuple[str, ...]
    accumulators: tuple[Accumulator, ...]  # their values and what comes after are functions of the column
    after: tuple[str, ...]
    stores: tuple[Store, ...]  # of the columns' results
    stores_inside: tuple[Store, ...] = ()  # of elements, while they are added up

    @property
    def strip(self) -> int:
        """The columns that a thread adds up at a time: many, since each row of them is a new place in memory, but no
        more than keep their sums in the first cache."""
        fewest, most = STRIP_COLUMNS
        room = STRIP_BYTES // sum(numpy_dtype(memory_dtype(one.dtype)).itemsize for one in self.accumulators)
        return min(max(room // fewest, 1) * fewest, most)


@dataclass(frozen=True)
class Parts:
    """A long reduction in two steps: over parts of one of its loops, then over what they left in partial0, ...

    The kernel is told by the size `is_total` which of the two it is to do.
    """

    whole: Nest | Columns
    loop: Loop
    length: int  # of a part; the last one takes what remains, too


@dataclass(frozen=True)
class Strides:
    """Distances in memory, in elements, of one operand of a contraction: along batch loops, rows and summed axes."""

    batch: tuple[Dim, ...]
    row: Dim
    inner: tuple[Dim, ...]


@dataclass(frozen=True)
class Ending:
    """What is done to the sums of a product where they are, before they are stored once and for all."""

    bias: str  # a row that is added to every row; empty if there is none
    is_relu: bool


@dataclass(frozen=True)
class Product:
    """A batch of matrix products out[b, m, n] = sum over k of left[b, m, k] * right[b, k, n], and what follows it.

    right is read as panels (see `Pack`), or where it lies if it is not packed. `row` and `column` are the loops over m
    and n. The blocks see one sum as `total`, for each row and column; with whole_rows they are given a row at a time,
    and see `line[column]`.
    """

    left: str
    right: str
    dtype: str  # in which products are added up
    operand_dtype: str  # another one for halves
    batch: tuple[Loop, ...]
    row: Loop
    column: Loop
    inner: tuple[Loop, ...]  # over k: one loop for each summed axis
    run: int  # how many of the last of them the left operand lets be one
    left_strides: Strides
    right_strides: Strides  # row: the distance along n
    panel_batch: tuple[bool, ...]  # the batch loops that right depends on
    vectors: int  # vectors in a panel's width
    blocks: tuple[Block, ...]
    whole_rows: bool
    packed: bool
    out_strides: Strides | None  # of the result, where tiles can be made in it: its columns are neighbours, and nothing
    ending: Ending | None  # but this follows the sums
    part: int = 0  # where the first batch loop runs over parts of the sum: how long they are
    apart: bool = False  # rows of left lie so that a cache cannot hold those of a tile: they are copied apart

    @property
    def depth(self) -> Dim:
        """How many products each sum has."""
        return product(loop.extent for loop in self.inner)


@dataclass(frozen=True)
class Chain:
    """A product whose rows are reduced, and one whose left operand these rows are: attention.

    What the blocks of the first leave in `kept[column]` of each row is a row of the left operand of the second. Both
    have the same batch and rows.
    """

    rows: Product
    product: Product
    pitch: Dim  # elements from one row that is kept to the next


@dataclass(frozen=True)
class Pack:
    """right[b, k, n] copied into panels [b, n // width, k, n % width], with zeros past the last column."""

    source: str
    dtype: str
    batch: tuple[Loop, ...]
    column: Loop
    inner: tuple[Loop, ...]
    strides: Strides
    vectors: int


@dataclass(frozen=True)
class Running:
    """A running reduction along one axis, for each combination of the outer loops."""

    outer: tuple[Loop, ...]
    loop: Loop
    accumulator: Accumulator
    store: Store


@dataclass(frozen=True)
class Scatter:
    """Copy `base`, then for each position add or write a row of updates where the index says."""

    outer: tuple[Loop, ...]  # the other axes: in parallel, since updates may meet
    column: Loop  # the last of them, walked in strips
    strip: int  # how wide these are
    axis: Loop  # of the result
    position: Loop  # of the indices
    base: str
    index: str  # the expression of one index
    update: str
    address: str  # in the result, where the axis' loop may be at any place
    combine: str
    dtype: str
    source: tuple[str, str] = ("", "")  # of the updates: the parameter, and where in it
    is_sorted: bool = False  # each place of the axis by itself: `order[starts[a - 1]:starts[a]]` are its updates


@dataclass(frozen=True)
class Sort:
    """The positions of the indices by the place they point to, and the end of each place's part of these."""

    position: Loop
    place: Loop
    value: str


@dataclass(frozen=True)
class Merge:
    """The positions of the elements of each row in the order of the elements, equal ones in that of their places."""

    row: Loop
    place: Loop
    has_nan: bool


@dataclass(frozen=True)
class Check:
    """Does each index lie in [low, high)? A kernel that finds one outside returns 1."""

    loop: Loop
    value: str
    low: Dim
    high: Dim


@dataclass(frozen=True)
class TurnedTile:
    """A tile of an input whose elements are neighbours along the row loop, and `step` apart along the column loop."""

    name: str
    parameter: str
    dtype: str
    place: str  # of the element at row 0 and column 0
    step: Dim


@dataclass(frozen=True)
class Turned:
    """Elements in tiles, since inputs have them in another order: lines and stores see tile[r * side + c] for each."""

    outer: tuple[Loop, ...]
    row: Loop
    column: Loop  # along which the results are neighbours
    side: int
    tiles: tuple[TurnedTile, ...]
    lines: tuple[str, ...]
    stores: tuple[Store, ...]


Schedule = Nest | Columns | Parts | Product | Chain | Pack | Running | Scatter | Sort | Merge | Check | Turned


@dataclass(frozen=True)
class Kernel:
    """A schedule with its parameters. Equal kernels are equal: names in it are canonical, so it is compiled once."""

    parameters: tuple[Parameter, ...]  # inputs, then outputs
    sizes: tuple[str, ...]  # int64 parameters that follow the pointers
    schedule: Schedule
    extent: Dim  # values of the parallel index, in the canonical sizes
    grain: Dim  # consecutive values that one thread takes: by sizes alone, so that results do not depend on threads
    dtype: str  # in which it computes: picks the scalar functions
    stems: tuple[tuple[str, str], ...] = field(default=(), compare=False)  # canonical name -> the graph's, for readers

    @property
    def products(self) -> tuple[Product, ...]:
        """The products it makes."""
        if isinstance(self.schedule, Chain):
            return (self.schedule.rows, self.schedule.product)
        return (self.schedule,) if isinstance(self.schedule, Product) else ()
