"""From an einsum of two operands to batches of matrix products: which letters are batch, rows, columns and summed.

Transposes cost nothing here. Every operand is read through strides, so an order of letters is only a choice of strides;
the right operand is copied into panels anyway, ahead of the call when it is a weight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from kgraph.codegen.schedule.apart import fall_together, panels_at_a_time
from kgraph.codegen.schedule.ending import ending_of
from kgraph.codegen.schedule.kernel import (
    LOOP_NAMES,
    Accumulator,
    Fold,
    Kernel,
    Lines,
    Nest,
    Pack,
    Parameter,
    Product,
    Strides,
)
from kgraph.codegen.schedule.reduction import Frame, reductions, row_blocks
from kgraph.codegen.schedule.source import strips
from kgraph.codegen.schedule.task import Task, estimate, renamed_loops
from kgraph.codegen.schedule.values import constructor, rounded
from kgraph.graph.index import Index, Loop, index, unflatten
from kgraph.graph.ir import Node
from kgraph.graph.sizes import Dim, Shape, least, maximum, minimum, product, rename_axes
from kgraph.graph.types import TensorType
from kgraph.ops.windows import strides_of_windows

BLOCK = 96  # rows, about, for which a panel stays in the cache
UNIT = 1 << 19  # multiplications that are worth handing to a thread
FEW_ROWS = 4  # with fewer, reading the right operand takes longer than to multiply
NEAR = 12288  # elements of it that the first cache of a core holds
FEW = 96  # rows, up to which packing the other operand costs more than it gains
COPY = 1 << 15  # elements that are worth handing to a thread when they are only copied

Tile = Callable[[str, int], tuple[int, int]]  # (dtype, vectors) -> rows and columns of the target's tile


@dataclass(frozen=True)
class Letters:
    """The axes of a contraction by role, each a string of letters; `size` and the strides are per letter."""

    batch: str
    row: str
    column: str
    inner: str
    size: dict[str, Dim]
    left: dict[str, Dim]
    right: dict[str, Dim]
    out: dict[str, Dim]

    def extent(self, letters: str) -> Dim:
        """How many combinations of these letters there are."""
        return product(self.size[letter] for letter in letters)


@dataclass(frozen=True)
class Panels:
    """The kernel that packs a right operand."""

    kernel: Kernel
    elements: Dim  # of the packed operand, in the graph's sizes
    source: int  # which input of the body it is


@dataclass(frozen=True)
class Contraction:
    """The kernel of a contraction, and those that pack operands for it."""

    kernel: Kernel
    panels: tuple[Panels, ...]  # the kernel's last inputs; none where the right operand is read where it lies
    sources: tuple[int, ...]  # the inputs of the body that the kernel takes as they are


def strides_of(term: str, size: dict[str, Dim]) -> dict[str, Dim]:
    """Row-major strides of an operand whose axes are called by these letters."""
    strides: dict[str, Dim] = {}
    step: Dim = 1
    for letter in reversed(term):
        strides[letter] = step
        step = step * size[letter]
    return strides


def letters_of(
    spec: str, shapes: Sequence[Sequence[Dim]], strides: Sequence[Shape | None] = (None, None, None)
) -> Letters:
    """The roles of the letters of "ab,bc->ac", from the shapes of operands and result.

    The operands are distinct tensors with no letter twice. A letter of the result alone is a batch of equal products.
    strides: of operands that are not in row-major order, windows of another tensor.
    """
    terms, result = spec.split("->")
    first, second = terms.split(",")
    size: dict[str, Dim] = {}
    for term, shape in zip((first, second, result), shapes, strict=True):
        for letter, extent in zip(term, shape, strict=True):
            size[letter] = extent if letter not in size or isinstance(extent, int) else size[letter]
    roles: dict[str, list[str]] = {"batch": [], "row": [], "column": [], "inner": []}
    for letter in result:
        if size[letter] == 1:
            continue
        role = "batch" if (letter in first) == (letter in second) else "row" if letter in first else "column"
        roles[role].append(letter)
    roles["inner"] = [one for one in first if one in second and one not in result and size[one] != 1]
    own = [
        strides_of(term, size) if given is None else dict(zip(term, given, strict=True))
        for term, given in zip((first, second, result), strides, strict=True)
    ]
    split = {role: "".join(found) for role, found in roles.items()}
    return Letters(split["batch"], split["row"], split["column"], split["inner"], size, *own)


def mirrored(letters: Letters) -> Letters:
    """The same contraction with the operands in the other order."""
    return replace(letters, row=letters.column, column=letters.row, left=letters.right, right=letters.left)


def settled(letters: Letters) -> Letters:
    """With rows, columns and, as far as it goes, summed axes that can be walked as one; the rest become batch loops."""
    row, more = one_run(letters.row, letters.size, letters.left, letters.out)
    column, others = one_run(letters.column, letters.size, letters.right, letters.out)
    return replace(letters, batch=letters.batch + more + others, row=row, column=column)


def one_run(run: str, size: dict[str, Dim], *operands: dict[str, Dim]) -> tuple[str, str]:
    """The longest tail of letters that every operand walks with one stride, and the letters before it."""
    start = max(len(run) - 1, 0)
    while start > 0 and all(strides[run[start - 1]] == strides[run[start]] * size[run[start]] for strides in operands):
        start -= 1
    return run[start:], run[:start]


def operands_of(task: Task) -> list[str]:
    """The inputs of the body that its einsum reads: as they are, or windows of them."""
    body = task.body
    operands = (body[name] for name in body.arguments(task.contraction.name))
    return [body.arguments(node.name)[0] if node.op == "windows" else node.name for node in operands]


def reads_windows(task: Task) -> bool:
    """Whether an operand of the einsum is windows of an input."""
    return any(node.op == "windows" for node in task.body)


def _strides_given(task: Task, name: str) -> Shape | None:
    """The strides of an operand that is windows of an input, in that input."""
    node = task.body[name]
    if node.op != "windows":
        return None
    whole = task.body[task.body.arguments(name)[0]].tensor.shape
    return strides_of_windows(whole, **node.attrs)


def swapped(letters: Letters, result: str, weights: Sequence[bool]) -> bool:
    """Whether to pack the first operand: the result runs along its axes, or it alone is a weight."""
    if letters.row and letters.column:
        return result.index(letters.row[-1]) > result.index(letters.column[-1])
    return weights[0] and not weights[1]


def _alone(letters: Letters, columns: int) -> Dim:
    """1 where one thread had better do all: few rows, by what its first cache holds; else 0."""
    elements = letters.extent(letters.inner) * strips(letters.extent(letters.column), columns) * columns
    is_large = minimum(letters.extent(letters.batch) * elements // (NEAR + 1), 1)
    return (1 - minimum(letters.extent(letters.row) // FEW_ROWS, 1)) * (1 - is_large)


def contracting(task: Task, tile: Tile, static: Sequence[bool], packed: bool | None = None) -> Contraction:
    """The kernels of a body with an einsum; static says which inputs of the body are made from weights alone.

    packed: whether the right operand is copied into panels; as is best for calls of unknown sizes where it is None.
    """
    node, letters, left, right = sides(task, static)
    dtype, vectors = node.tensor.dtype, vectors_for(task, node, letters, tile)
    if packed is None:
        packed = static[right] or not readable_in_place(task, letters)
    names = task.inputs[left], "panels" if packed else task.inputs[right]
    schedule, stems = product_of(task, node, letters, names, vectors, packed)
    rows, columns = tile(dtype, vectors)
    block = rows if schedule.whole_rows else rows * max(1, BLOCK // rows)
    across = strips(letters.extent(letters.column), columns)
    extent = letters.extent(letters.batch) * strips(letters.extent(letters.row), block)
    extent = extent if schedule.whole_rows else extent * across
    depth = estimate(task.known(letters.extent(letters.inner)))
    work = min(block, estimate(task.known(letters.extent(letters.row)))) * columns * depth
    grain: Dim = max(1, UNIT // work)
    schedule = with_apart(task, schedule, letters, rows)
    if schedule.apart and not schedule.whole_rows:
        grain = maximum(grain, panels_at_a_time(extent, across, task.threads))
    grain = grain + _alone(letters, columns) * extent
    sources = sources_read(task, node, (left,) if packed else (left, right))
    given = [task.parameters[slot] for slot in sources] + [Parameter("panels", dtype)] * packed
    kernel = replace(task.kernel(schedule, extent, grain, stems), parameters=(*given, *task.outs))
    panels = (panels_for(task, letters, dtype, vectors, columns, right),) if packed else ()
    return Contraction(kernel, panels, sources)


def with_apart(task: Task, schedule: Product, letters: Letters, rows: int) -> Product:
    """The product that copies rows of its left operand, if those of a tile, which are so many, fall together."""
    pitch = task.known(letters.left[letters.row[-1]]) if letters.row else 0
    return replace(schedule, apart=fall_together(schedule, pitch, rows))


def vectors_for(task: Task, node: Node, letters: Letters, tile: Tile) -> int:
    """How many vectors wide the tiles are: one is enough for few columns."""
    width = task.known(letters.extent(letters.column))
    return 1 if isinstance(width, int) and width <= tile(node.tensor.dtype, 1)[1] else 2


def readable_in_place(task: Task, letters: Letters) -> bool:
    """Whether the right operand is as good as packed: columns are neighbours, and few rows are multiplied with it."""
    rows = task.known(letters.extent(letters.row))
    return has_neighbours(letters) and isinstance(rows, int) and rows <= FEW


def has_neighbours(letters: Letters) -> bool:
    """Whether the elements of the right operand that are multiplied together lie beside each other."""
    return not letters.column or letters.right[letters.column[-1]] == 1


def few_rows(task: Task, static: Sequence[bool]) -> Dim | None:
    """1 in calls of so few rows that the right operand is better read in place, else 0; None where that is known."""
    _, letters, _, right = sides(task, static)
    rows = letters.extent(letters.row)
    known = task.known(rows)
    if static[right] or isinstance(known, int) or not has_neighbours(letters):
        return None
    return 1 - minimum(rows // (FEW + 1), 1) if least(known) <= FEW else None


def in_place(task: Task) -> Kernel:
    """The kernel of a body with an einsum for targets that read both operands where they lie.

    Its extent counts the batches; the target decides how rows and columns are tiled.
    """
    node, letters, left, right = sides(task, [False] * len(task.body.inputs))
    schedule, stems = product_of(task, node, letters, (f"in{left}", f"in{right}"), 1, False)
    return task.kernel(schedule, letters.extent(letters.batch), 1, stems)


def sides(task: Task, static: Sequence[bool]) -> tuple[Node, Letters, int, int]:
    """The einsum of a body, the roles of its letters, and which inputs are its left and right operands."""
    node = task.contraction
    operands, spec = task.body.arguments(node.name), node.attrs["spec"]
    shapes = [*(task.body[name].tensor.shape for name in operands), node.tensor.shape]
    letters = letters_of(spec, shapes, [*(_strides_given(task, name) for name in operands), None])
    sources = [task.body.inputs.index(name) for name in operands_of(task)]
    turned = swapped(letters, spec.split("->")[1], [static[slot] for slot in sources])
    if reductions(task):  # rows are reduced, so they must be the rows of the product
        turned = spec.split("->")[1][-1] in letters.row
    letters = settled(mirrored(letters) if turned else letters)
    left, right = reversed(sources) if turned else sources
    return node, letters, left, right


def sources_read(task: Task, contraction: Node, operands: Sequence[int]) -> tuple[int, ...]:
    """The inputs of the body that a kernel reads besides panels: these operands, and what follows the contraction."""
    return tuple(
        slot
        for slot, name in enumerate(task.body.inputs)
        if slot in operands or any(reader != contraction.name for reader in task.body.readers(name))
    )


def summing(task: Task) -> Kernel:
    """The same as plain loops: for integers, and for targets that tile it in their own way."""
    node = task.contraction
    terms, result = node.attrs["spec"].split("->")
    operands = list(zip(terms.split(","), task.body.arguments(node.name), strict=True))
    size: dict[str, Dim] = {}
    for term, name in operands:
        size.update(zip(term, task.body[name].tensor.shape, strict=True))
    inner = [letter for letter in dict.fromkeys(terms.replace(",", "")) if letter not in result]
    loops = {letter: Loop(LOOP_NAMES[number], size[letter]) for number, letter in enumerate([*result, *inner])}
    place = {letter: Index() if size[letter] == 1 else index(loop) for letter, loop in loops.items()}
    values = task.values()
    value = " * ".join(values.element(name, [place[letter] for letter in term]) for term, name in operands)
    accumulator = Accumulator("total", node.tensor.dtype, f"{constructor(node.tensor.dtype)}(0)", "{0} + {1}", value)
    fold = Fold(tuple(renamed_loops([loops[letter] for letter in inner], task)), tuple(values.taken()), (accumulator,))
    at = [place[letter] for letter in result]
    values.known = {(node.name, tuple(at)): "total"}
    values.stems["total"] = node.name
    stores = task.stores(values, [at] * len(task.roots))
    outer = [loops[letter] for letter in result if size[letter] != 1]
    blocks = (fold, Lines(tuple(values.taken()), stores))
    extent, depth = product(loop.extent for loop in outer), product(size[letter] for letter in inner)
    return task.kernel(
        Nest(tuple(renamed_loops(outer, task)), blocks), extent, UNIT // estimate(depth) // 8, values.stems
    )


def product_of(
    task: Task,
    node: Node,
    letters: Letters,
    operands: tuple[str, str],
    vectors: int,
    packed: bool,
    taken: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Product, dict[str, str]]:
    """The schedule of a contraction and what follows it, and what its temporaries hold, those taken before included."""
    batch = [Loop(LOOP_NAMES[number], letters.size[letter]) for number, letter in enumerate(letters.batch)]
    row, column = Loop("row", letters.extent(letters.row)), Loop("column", letters.extent(letters.column))
    place: dict[str, Index] = dict(zip(letters.batch, map(index, batch), strict=True))
    for loop, run in ((row, letters.row), (column, letters.column)):
        place.update(zip(run, unflatten(index(loop), tuple(letters.size[letter] for letter in run)), strict=True))
    at = [place.get(letter, Index()) for letter in node.attrs["spec"].split("->")[1]]
    values, found = task.values(), reductions(task)
    values.known[(node.name, tuple(at))] = rounded("line[column]" if found else "total", node.tensor.dtype)
    values.stems = {**taken, "total": node.name}
    if found:
        frame = Frame(node.tensor, (node.tensor.rank - 1,), (), (column,), tuple(at))
        blocks = row_blocks(task, values, frame, found)
    else:
        terms = zip(node.attrs["spec"].split("->")[1], at, strict=True)
        moving = [one for letter, one in terms if letters.size[letter] != 1]
        stores = task.stores(values, [_spaced(moving, root.tensor) for root in task.roots])
        blocks = [Lines(tuple(values.taken()), stores)]
    inner = [Loop(f"k{number}", letters.size[letter]) for number, letter in enumerate(letters.inner)]
    walked = one_run(letters.inner, letters.size, letters.left, *([] if packed else [letters.right]))[0]
    ending = ending_of(task, node, letters.column)
    direct = ending is not None and letters.out[letters.column[-1]] == 1
    row, column = renamed_loops([row, column], task)
    schedule = Product(
        left=operands[0],
        right=operands[1],
        dtype=constructor(node.tensor.dtype),
        operand_dtype=node.tensor.dtype,
        batch=tuple(renamed_loops(batch, task)),
        row=row,
        column=column,
        inner=tuple(renamed_loops(inner, task)),
        run=len(walked),
        left_strides=_strides(letters, letters.left, letters.row, letters.batch, task),
        right_strides=_strides(letters, letters.right, letters.column, letters.batch, task),
        panel_batch=tuple(letter in letters.right for letter in letters.batch),
        vectors=vectors,
        blocks=tuple(blocks),
        whole_rows=bool(found),
        packed=packed,
        out_strides=_strides(letters, letters.out, letters.row, letters.batch, task) if direct else None,
        ending=ending if direct else None,
    )
    return schedule, values.stems


def _spaced(moving: Sequence[Index], kind: TensorType) -> list[Index]:
    """The index into a root, which may have more axes of size 1 than the product."""
    rest = iter(moving)
    return [Index() if size == 1 else next(rest) for size in kind.shape]


def _strides(letters: Letters, strides: dict[str, Dim], run: str, batch: str, task: Task) -> Strides:
    along = strides[run[-1]] if run else 0
    found = (
        tuple(strides.get(letter, 0) for letter in batch),
        along,
        tuple(strides.get(one, 0) for one in letters.inner),
    )
    return Strides(*rename_axes(found, task.names))


def panels_for(task: Task, letters: Letters, dtype: str, vectors: int, columns: int, source: int) -> Panels:
    """How the right operand is packed, into panels of so many columns."""
    own = "".join(letter for letter in letters.batch if letter in letters.right)
    depth, count = letters.extent(letters.inner), letters.extent(own) * strips(letters.extent(letters.column), columns)
    grain = COPY // (columns * estimate(task.known(depth)))
    return Panels(_pack(task, letters, own, dtype, vectors, count, grain), count * depth * columns, source)


def _pack(task: Task, letters: Letters, own: str, dtype: str, vectors: int, extent: Dim, grain: int) -> Kernel:
    loops = [Loop(LOOP_NAMES[number], letters.size[letter]) for number, letter in enumerate(own)]
    inner = [Loop(f"k{number}", letters.size[letter]) for number, letter in enumerate(letters.inner)]
    column = renamed_loops([Loop("column", letters.extent(letters.column))], task)[0]
    strides = _strides(letters, letters.right, letters.column, own, task)
    batch = tuple(renamed_loops(loops, task))
    schedule = Pack("in0", dtype, batch, column, tuple(renamed_loops(inner, task)), strides, vectors)
    parameters = (Parameter("in0", dtype), Parameter("out", dtype))
    extent = rename_axes(extent, task.names)
    return Kernel(parameters, tuple(task.names.values()), schedule, extent, max(1, grain), dtype)
