"""The C header of an exported library, and the names in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kgraph.codegen.native.library import BAD_INDEX, BAD_SIZE, DONE, NO_MEMORY
from kgraph.errors import ArgumentError
from kgraph.graph.sizes import shown
from kgraph.graph.types import TensorType

_C_TYPES = {"float32": "float", "float64": "double", "bool": "bool"}
_RESERVED = """alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl concept const
    constexpr continue decltype default delete do double else enum explicit export extern false final float for friend
    goto if inline int linux long main mutable namespace new noexcept not not_eq nullptr operator or or_eq private
    protected public register requires restrict return short signed sizeof static static_assert struct switch template
    this thread_local throw true try typedef typeid typename typeof union unix unsigned using virtual void volatile
    wchar_t while xor xor_eq"""  # in C or in C++
_KEYWORDS = frozenset(_RESERVED.split())
_OWN = ("kg_", "kernel_", "_")  # how names in the library begin, or in the C library
_STATUSES = (
    ("OK", DONE, "the outputs are filled"),
    ("BAD_SIZE", BAD_SIZE, "a size is negative, or sizes do not fit each other"),
    ("BAD_INDEX", BAD_INDEX, "a number of an input is an index that points outside of its table"),
    ("NO_MEMORY", NO_MEMORY, "there is no memory for what is in between"),
)
_WIDTH = 100
_TEMPLATE = """/* {name}: a neural network compiled by kgraph. It needs neither Python nor kgraph at run time.
 *
 *     cc program.c {file} -Wl,-rpath,'$ORIGIN'
 *
 * Machine code for this processor: {cpu}. Others may lack its instructions.
 * Weights are those of the moment of export. A call computes with {threads} threads at most, its own among them,
 * and any number of threads may call at once. Arrays lie in C order: the last axis is contiguous. Outputs
 * overlap neither inputs nor each other.
 */
#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>
#ifndef __cplusplus
#include <stdbool.h>
#endif

#ifdef __cplusplus
extern "C" {{
#endif

/* What the function returns. After another status than 0, what is in the outputs means nothing. */
enum {{
{statuses}
}};

{comment}
{prototype}

#ifdef __cplusplus
}}
#endif

#endif
"""


@dataclass(frozen=True)
class Border:
    """What the exported function takes and makes: names in C, and types."""

    name: str
    inputs: Sequence[tuple[str, TensorType]]
    axes: Sequence[tuple[str, str]]  # the name in C, and that in shapes
    outputs: Sequence[tuple[str, TensorType]]

    @property
    def prototype(self) -> str:
        """The declaration of the function."""
        words = [f"const {_c_type(kind)} *{name}" for name, kind in self.inputs]
        words += [f"int64_t {name}" for name, _ in self.axes]
        words += [f"{_c_type(kind)} *{name}" for name, kind in self.outputs]
        line = f"int {self.name}({', '.join(words)});"
        if len(line) <= _WIDTH:
            return line
        return f"int {self.name}(\n    " + ",\n    ".join(words) + ");"


def border(
    name: str, inputs: Iterable[tuple[str, TensorType]], axes: Iterable[str], outputs: Sequence[tuple[str, TensorType]]
) -> Border:
    """The border with names that C takes; a single output is `out`."""
    if name in _KEYWORDS or name.startswith(_OWN):
        raise ArgumentError(
            f"the function would be called {name}, a name that C or the library uses; export to another"
        )
    taken = {name}
    given = [(_fresh(one, taken), kind) for one, kind in inputs]
    sizes = [(_fresh(one, taken), one) for one in axes]
    made = [(_fresh("out" if len(outputs) == 1 else one, taken), kind) for one, kind in outputs]
    return Border(name, given, sizes, made)


def identifier(text: str) -> str:
    """A text as an identifier of C: other characters than letters and digits become underscores."""
    word = re.sub(r"\W", "_", text, flags=re.ASCII)
    return f"v_{word}" if not word or word[0].isdigit() else word


def header(made: Border, file: str, cpu: str, threads: int) -> str:
    """The text of the header. file: what the library is called."""
    upper, last = made.name.upper(), len(_STATUSES) - 1
    statuses = [
        f"    {upper}_{word} = {number}{',' * (place < last)} /* {text} */"
        for place, (word, number, text) in enumerate(_STATUSES)
    ]
    return _TEMPLATE.format(
        name=made.name, file=file, cpu=cpu, threads=threads, upper=upper, statuses="\n".join(statuses),
        comment="\n".join(_comment(made)), prototype=made.prototype,
    )  # fmt: skip


def _comment(made: Border) -> list[str]:
    rows = [(name, f"input, {_shape(kind)}") for name, kind in made.inputs]
    rows += [(name, f"the size {axis} in these shapes, 0 or more") for name, axis in made.axes]
    rows += [(name, f"output, {_shape(kind)}") for name, kind in made.outputs]
    width = max(len(name) for name, _ in rows)
    return ["/*", *(f" *   {name:{width}}  {text}" for name, text in rows), " */"]


def _shape(kind: TensorType) -> str:
    return f"{kind.dtype} {shown(kind.shape)}" if kind.shape else f"{kind.dtype}, one number"


def _c_type(kind: TensorType) -> str:
    return _C_TYPES.get(kind.dtype, f"{kind.dtype}_t")


def _fresh(text: str, taken: set[str]) -> str:
    """An identifier that is no keyword, and taken from now on."""
    stem = identifier(text)
    number, word = 1, f"{stem}_" if stem in _KEYWORDS else stem
    while word in taken:
        number += 1
        word = f"{stem}_{number}"
    taken.add(word)
    return word
