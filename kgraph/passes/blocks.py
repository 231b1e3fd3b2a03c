"""Products of long rows, such as softmax(q @ k) @ v, for a block of rows at a time.

Attention over T steps makes T rows of T scores, and needs each for one product only. Where they are many, the product
and all that its rows are computed from becomes a loop over blocks of rows, in a loop over the samples of a batch. The
gradients of these loops compute the rows of a block again, so nothing of the size T x T is stored, forward or backward.

Runs before the gradients are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field

from kgraph.graph.ir import GRADIENTS, LEAVES, Graph, Node
from kgraph.graph.op import OPS
from kgraph.graph.sizes import Dim, axes_of, product, resolve
from kgraph.graph.types import TensorType
from kgraph.passes.chain import bytes_of
from kgraph.passes.rewrite import substitute
from kgraph.passes.rows import in_operands, some_rows, without
from kgraph.tracing.capture import capture
from kgraph.tracing.trace import Symbol, as_symbol, record, symbol_input

LEAST = 1 << 20  # elements of the rows, of one head of one sample, from which on they are not stored
LESS = 4  # times as many elements must the rows have as what they are made of and what is made of them
BLOCKS = 16  # that rows are cut into; but a block has
FEWEST, MOST = 128, 256  # so many at least and at most, or down to half of that where then none are left over
OPEN = 1024  # what a size counts as that only a call knows
REDUCING = ("reduce", "compose")  # kinds of ops that put the elements of a row together


@dataclass(frozen=True)
class Place:
    """A value, and which of its axes is that of the rows, and that of the samples; None where it has none."""

    name: str
    row: int | None
    sample: int | None


FIRST, NUMBER = Place("first", None, -1), Place("number", None, -1)  # of a block's rows, and of the sample: no nodes


@dataclass
class Rows:
    """A product of rows, and what they are computed from."""

    product: Place
    count: Dim
    summed: Set[Dim]  # the sizes along a row, and what is assumed to be equal to one of them
    inside: dict[str, Place] = field(default_factory=dict)  # what is computed for each block
    operands: dict[str, list[Place]] = field(default_factory=dict)  # of each of these
    given: list[Place] = field(default_factory=list)  # what is computed before


def in_blocks(graph: Graph, longest: int | None = None, by_sample: bool = True) -> Graph:
    """The graph with products of long rows as loops.

    longest: rows that `chain` can keep in one kernel are left alone, and so are others of at most so many bytes, or of
    nobody knows how many; None: no rows are. by_sample: whether samples are done one after the other, where each has
    many rows.
    """
    for node in [node for node in graph if node.op == "einsum"]:
        rows = rows_of(graph, node, longest, by_sample) if node.name in graph else None
        if rows is not None:
            graph = graph.copy()
            substitute(graph, node.name, _looped(graph, rows))
            graph.prune()
    return graph


# finding -------------------------------------------------------------------------------------------------------------


def rows_of(graph: Graph, node: Node, longest: int | None = None, by_sample: bool = True) -> Rows | None:
    """The rows that this node is the product of, if they are to be made in blocks."""
    terms, result = node.attrs["spec"].split("->")
    terms = terms.split(",")
    if len(terms) != 2:
        return None
    samples = [place for place, one in enumerate(result) if all(one in term for term in terms)] if by_sample else []
    sample = samples[0] if samples[:1] == [0] else None
    for own, other, source in zip(terms, terms[::-1], graph.arguments(node.name), strict=True):
        sizes = dict(zip(own, graph[source].tensor.shape, strict=True))
        summed = [sizes[one] for one in own if one in other and one not in result]
        free = [one for one in own if one in result and one not in other and "N" not in axes_of(sizes[one])]
        if not summed or not free or graph[source].op in LEAVES:
            continue
        letter = max(free, key=lambda one: _guess(sizes[one]))
        own_sample = sample if isinstance(sizes[letter], int) else None  # of samples with few rows each, many at once
        rows = Rows(Place(node.name, result.index(letter), own_sample), sizes[letter], _alike(graph, summed))
        width = product(summed)
        is_open = not isinstance(width, int)
        if longest is not None and (is_open or width * bytes_of(graph[source].tensor.dtype) <= longest):
            continue
        if _guess(width * rows.count) >= LEAST and _guess(rows.count) >= 2 * block_of(rows.count):
            _fill(graph, rows)
            is_worth = source in rows.inside and _are_private(graph, rows) and _pays(graph, rows, source)
            if is_worth and (longest is None or not _is_one_kernel(graph, rows, graph[source])):
                return rows
    return None


def block_of(count: Dim) -> int:
    """How many rows a block has. Of rows that only a call counts there are mostly few: these are one block."""
    block = min(max(FEWEST, count // BLOCKS), MOST) if isinstance(count, int) else MOST
    even = (size for size in range(block, block // 2 - 1, -1) if isinstance(count, int) and count % size == 0)
    return next(even, block)


def _guess(size: Dim) -> int:
    """The size, of one sample; of an axis that only a call knows, the size one expects."""
    return int(resolve(size, {name: 1 if name == "N" else OPEN for name in axes_of(size)}))


def _alike(graph: Graph, sizes: Iterable[Dim]) -> set[Dim]:
    """These sizes, and those that a call must bring along as equal to one of them."""
    found = {*sizes}
    more = {other for a, b, _ in graph.assumed for one, other in ((a, b), (b, a)) if one in found} - found
    return _alike(graph, found | more) if more else found


def _fill(graph: Graph, rows: Rows) -> None:
    """Find what the rows are computed from, up to what is not as large as they are."""
    wanted = {rows.product.name: {rows.product}}
    reached: dict[str, tuple[Place, list[Place]]] = {}
    for node in reversed(list(graph)):
        places = [*wanted.get(node.name, ())]
        if len(places) != 1 or any(graph[one].op == GRADIENTS for one in graph.readers(node.name)):
            continue
        operands = operands_of(graph, node, places[0])
        if operands is None:
            continue
        reached[node.name] = places[0], operands
        for one in operands:
            follows = node.op != "einsum" or (one.row is not None and _is_long(graph[one.name], one.row, rows))
            if follows or one.name in wanted:
                wanted.setdefault(one.name, set()).add(one)
    for node in graph:
        if node.name in reached:
            place, operands = reached[node.name]
            depends = any(one.name in rows.inside for one in operands)
            if depends or node.op == "iota" or _is_long(node, place.row, rows):
                rows.inside[node.name], rows.operands[node.name] = place, operands
    given = [one for operands in rows.operands.values() for one in operands if one.name not in rows.inside]
    rows.given = list(dict.fromkeys(given))


def operands_of(graph: Graph, node: Node, place: Place) -> list[Place] | None:
    """The operands of which an op makes some rows of a sample; None if it needs more of them than these rows."""
    if place.row is None or (node.op == "iota" and node.attrs["axis"] == place.sample):
        return None
    names = graph.arguments(node.name)
    rows = in_operands(graph, node, place.row)
    samples = [None] * len(names) if place.sample is None else in_operands(graph, node, place.sample)
    if rows is None or samples is None:
        return None
    return [Place(name, row, sample) for name, row, sample in zip(names, rows, samples, strict=True)]


def _is_long(node: Node, axis: int | None, rows: Rows) -> bool:
    """Whether each row of a value has an element for each of a row that the product reads."""
    return any(size in rows.summed for place, size in enumerate(node.tensor.shape) if place != axis)


def _are_private(graph: Graph, rows: Rows) -> bool:
    """Whether rows are reduced on the way to the product, and nobody else reads what depends on them."""
    heavy: set[str] = set()  # what depends on a product or a reduction, and so is not computed twice
    for node in graph:
        follows = any(name in heavy for name in graph.arguments(node.name))
        if node.name in rows.inside and (follows or OPS[node.op].kind in ("contract", *REDUCING)):
            heavy.add(node.name)
    inner = heavy - {rows.product.name}
    alone = all(rows.inside.keys() >= {*graph.readers(name)} and name not in graph.results for name in inner)
    return alone and any(OPS[graph[name].op].kind in REDUCING for name in inner)


def _is_one_kernel(graph: Graph, rows: Rows, source: Node) -> bool:
    """Whether the rows are those of one product, with nothing but elementwise ops and reductions along them."""
    nodes = [graph[name] for name in rows.inside if name != rows.product.name]
    wide = [OPS[one.op].kind for one in nodes if one.tensor.shape == source.tensor.shape]
    kept = [one for one in nodes if OPS[one.op].kind == "reduce"]
    return (
        wide.count("contract") == 1
        and {*wide} <= {"map", "compose", "contract"}
        and all(one.attrs["axes"] == (source.tensor.rank - 1,) for one in kept)
    )


def _pays(graph: Graph, rows: Rows, source: str) -> bool:
    """Whether the rows are much larger than what they are made of, and what is made of them."""
    ends = [graph[one.name] for one in rows.given if one.row is None or not _is_long(graph[one.name], one.row, rows)]
    least = LESS * sum(_guess(one.tensor.size) for one in [*ends, graph[rows.product.name]])
    return _guess(graph[source].tensor.size) >= least


# making --------------------------------------------------------------------------------------------------------------


def _looped(graph: Graph, rows: Rows) -> Symbol:
    """The product as a loop over the samples, if there are any."""
    values = {place: _whole(graph[place.name]) for place in rows.given}
    if rows.product.sample is None:
        return _in_blocks(graph, rows, values)
    length = graph[rows.product.name].tensor.shape[rows.product.sample]
    cut = {NUMBER: _counted(length)}
    cut.update((place, _first(values[place], place.sample)) for place in rows.given if place.sample is not None)
    return _loop(cut, values, length, lambda inside: _in_blocks(graph, rows, inside), "samples")


def _in_blocks(graph: Graph, rows: Rows, values: Mapping[Place, Symbol]) -> Symbol:
    """The product of one sample: a loop over blocks, and what is left over."""
    block = block_of(rows.count)
    blocks = rows.count // block
    begin, rest = blocks * block, rows.count - blocks * block
    axes = {place: _behind(place.row, place.sample) for place in [rows.product, *values]}
    cut = {place: axis for place, axis in axes.items() if place in values and axis is not None}

    stacked = {FIRST: record(OPS["multiply"], (_counted(blocks), block), {})}
    stacked.update((place, _blocks(_part(values[place], axis, 0, begin), axis, block)) for place, axis in cut.items())
    axis = axes[rows.product]
    assert axis is not None
    made = _loop(stacked, values, blocks, lambda inside: _rows(graph, rows, inside, block), "blocks")
    parts = [_joined(made, axis)]
    if not isinstance(rest, int) or rest:
        left = {place: _part(values[place], axis, begin, rest) for place, axis in cut.items()}
        number = as_symbol(begin, "int32") if isinstance(begin, int) else record(OPS["size"], (), {"dim": begin})
        parts.append(_rows(graph, rows, {**values, **left, FIRST: number}, rest))
    return parts[0] if len(parts) == 1 else record(OPS["concatenate"], parts, {"axis": axis})


def _rows(graph: Graph, rows: Rows, values: Mapping[Place, Symbol], count: Dim) -> Symbol:
    """The product for some rows of one sample, from these rows of what they are computed from."""
    made = dict(values)
    numbers = values[FIRST], values[NUMBER] if NUMBER in values else as_symbol(0, "int32")
    for node in graph:
        if node.name in rows.inside:
            place, operands = rows.inside[node.name], rows.operands[node.name]
            samples = [one.sample for one in operands]
            assert place.row is not None
            made[place] = some_rows(
                node, [made[one] for one in operands], place.row, count, numbers, place.sample, samples
            )
    return made[rows.product]


def _loop(
    cut: Mapping[Place, Symbol], values: Mapping[Place, Symbol], length: Dim,
    step: Callable[[Mapping[Place, Symbol]], Symbol], name: str,
) -> Symbol:  # fmt: skip
    """What `step` makes of each slice of what is cut, and of all other values, stacked."""
    shared = {place: one for place, one in values.items() if place not in cut and not _is_number(one)}
    slices = {place: symbol_input(place.name, _slice(one.type)) for place, one in cut.items()}
    constants = {place: symbol_input(place.name, one.type) for place, one in shared.items()}
    given = [*slices.values(), *constants.values()]
    body, captured = capture([step({**values, **slices, **constants})], given)
    attrs = {
        "body": body, "carried": 0, "scanned": len(slices), "length": length, "reverse": False, "guarded": False,
        "recompute": True,
    }  # fmt: skip
    assumed = tuple((a, b) for a, b, _ in body.assumed)
    body.assumed = []  # of sizes that are known outside as well
    kinds = OPS["loop"].type(**attrs)
    loop = Symbol("loop", (*cut.values(), *shared.values(), *captured), attrs, kinds, name, assumed=assumed)
    return Symbol("item", (loop,), {"index": 0}, kinds[0], f"{name}.0")


def _counted(length: Dim) -> Symbol:
    """0, 1, 2, ..."""
    return record(OPS["iota"], (), {"shape": (length,), "axis": 0, "dtype": "int32"})


def _whole(node: Node) -> Symbol:
    """A value; a number by itself, so that kernels have it in their text."""
    ref = Symbol("ref", (), {}, node.type, node.name)
    return (
        Symbol("const", (), node.attrs, node.type, node.name) if node.op == "const" and not node.tensor.shape else ref
    )


def _is_number(value: Symbol) -> bool:
    return value.op == "const" and value.type.shape == ()


def _slice(kind: TensorType) -> TensorType:
    return TensorType(kind.shape[1:], kind.dtype)


def _behind(axis: int | None, sample: int | None) -> int | None:
    """Where an axis is when that of the samples is gone."""
    return axis if axis is None or sample is None else axis - (sample < axis)


def _part(value: Symbol, axis: int, start: Dim, count: Dim) -> Symbol:
    """Some rows of a value."""
    shape = value.type.shape
    if (start, count) == (0, shape[axis]):
        return value
    starts = tuple(start if place == axis else 0 for place in range(len(shape)))
    sizes = (*shape[:axis], count, *shape[axis + 1 :])
    return record(OPS["slice"], (value,), {"starts": starts, "sizes": sizes, "steps": (1,) * len(shape)})


def _blocks(value: Symbol, axis: int, block: int) -> Symbol:
    """The blocks of rows along a new first axis."""
    shape = value.type.shape
    sizes = (*shape[:axis], shape[axis] // block, block, *shape[axis + 1 :])
    return _first(record(OPS["reshape"], (value,), {"shape": sizes}), axis)


def _first(value: Symbol, axis: int | None) -> Symbol:
    """The value with this axis before all others."""
    if not axis:
        return value
    axes = (axis, *without(tuple(range(value.type.rank)), axis))
    return record(OPS["transpose"], (value,), {"axes": axes})


def _joined(stacked: Symbol, axis: int) -> Symbol:
    """Blocks along the first axis, one after the other along this axis of theirs."""
    blocks, *shape = stacked.type.shape
    if axis:
        axes = (*range(1, axis + 1), 0, *range(axis + 1, len(shape) + 1))
        stacked = record(OPS["transpose"], (stacked,), {"axes": axes})
    sizes = (*shape[:axis], blocks * shape[axis], *shape[axis + 1 :])
    return record(OPS["reshape"], (stacked,), {"shape": sizes})
