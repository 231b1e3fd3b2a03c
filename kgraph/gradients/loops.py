"""Gradients of loops and branches: a loop that goes the other way, and a branch between gradients.

The loop that is differentiated returns, besides its results, the values of each step that the gradients need and that
are not cheaply computed again; a loop that recomputes returns nothing of the kind. The gradient of what all steps
share is a sum over the steps: where it is a product or a sum in each step, it becomes one product or sum after the
loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from string import ascii_letters

import numpy as np

from kgraph.errors import GraphError
from kgraph.graph.ir import Graph, Node
from kgraph.graph.loop import Parts, ancestors, descendants, results_of
from kgraph.graph.op import DIVISION, OPS
from kgraph.graph.types import TensorType, is_float, numpy_dtype
from kgraph.tracing.trace import Symbol, filled, insert, record, reference, reshaped

Pullback = Callable[..., Graph]  # autodiff.pullback


class LoopGradient:
    """What the gradient of one loop needs, found before the gradients of the graph are."""

    def __init__(self, graph: Graph, name: str, pullback: Pullback) -> None:
        """Let the loop return what its gradient reads."""
        node = graph[name]
        if node.attrs["guarded"]:
            raise GraphError(
                f"{name} has no gradient: only a call knows how many steps a while_loop has. Use fori_loop or scan, "
                "with ops.where for steps that should change nothing"
            )
        body = node.attrs["body"]
        self.node, self.inputs = node, Parts.of(node, body.inputs)
        self.wrt = [one for one in body.inputs if is_float(body[one].tensor.dtype)]
        self.joint = pullback(body, body.outputs, self.wrt, keep=True)
        self.cotangents = self.joint.inputs[len(body.inputs) :]
        self.joint.outputs = self.joint.outputs[len(body.outputs) :]
        self.grads = dict(zip(self.wrt, self.joint.outputs, strict=True))
        self.recomputes = node.attrs.get("recompute", False)
        self.saved = self._carried_before() if self.recomputes else self._saved()
        forward = self.joint.copy()
        forward.outputs = [*body.outputs, *self.saved]
        forward.inputs = list(body.inputs)
        forward.nx.remove_nodes_from(descendants(forward, self.cotangents))
        attrs = {**node.attrs, "body": forward.prune()}
        graph.set(name, attrs=attrs, type=OPS["loop"].type(**attrs))

    def _carried_before(self) -> list[str]:
        """Of what a step carries, the values that its gradients depend on: all else is computed again from them."""
        used = ancestors(self.joint, self.joint.outputs)
        return [one for one in self.inputs.carried if one in used]

    def _saved(self) -> list[str]:
        """The values of a step that the gradients read, where they are neither at hand nor cheap."""
        joint = self.joint
        after = descendants(joint, self.cotangents)
        read = [one for node in joint if node.name in after for one in joint.arguments(node.name) if one not in after]
        read += [one for one in joint.outputs if one not in after]
        saved: dict[str, None] = {}
        for one in dict.fromkeys(read):
            needed = [source for source in dict.fromkeys(self._stored(one)) if source not in saved]
            saved.update(dict.fromkeys(needed if len(needed) <= 1 else [one]))
        return list(saved)

    def _stored(self, name: str) -> list[str]:
        """What must be stored to have a value again."""
        node = self.joint[name]
        if node.op == "const" or name in self.inputs.scanned or name in self.inputs.constant:
            return []
        op = OPS.get(node.op)
        cheap = op is not None and op.kind in ("map", "move") and op.cost < DIVISION
        return [one for source in self.joint.arguments(name) for one in self._stored(source)] if cheap else [name]

    def __call__(self, g: Sequence[Symbol | None], y: Symbol, xs: Sequence[Symbol]) -> list[Symbol | None]:
        """The gradients of the loop's arguments."""
        return _Backward(self, g, y, xs).results()


class _Backward:
    """The loop that goes the other way, under construction."""

    def __init__(self, found: LoopGradient, g: Sequence[Symbol | None], y: Symbol, xs: Sequence[Symbol]) -> None:
        self.found, node = found, found.node
        self.body = body = found.joint.copy()
        body.inputs = []
        self.length = node.attrs["length"]
        self.given = Parts.of(node, [f"{slot}" for slot in range(len(xs))])
        self.values = dict(zip(found.inputs.all, xs, strict=True))  # inputs of the loop -> its arguments
        self.sliced: dict[str, Symbol] = {}  # values of each step -> all of them, stacked
        for number, one in enumerate(found.saved, len(results_of(node))):
            kind = TensorType((self.length, *body[one].tensor.shape), body[one].tensor.dtype)
            self.sliced[one] = Symbol("item", (y,), {"index": number}, kind, f"{y.stem}/{one}")
            body.nx.remove_edges_from(list(body.nx.in_edges(one, keys=True)))
            body.set(one, op="input", attrs={})
        self.sliced.update((one, self.values[one]) for one in found.inputs.scanned if one not in self.sliced)
        self.cotangents: list[tuple[str, Symbol]] = []  # of what is carried: its input, and the first value
        carried = node.attrs["carried"]
        for number, (one, part) in enumerate(zip(found.cotangents, g, strict=False)):
            kind = body[one].tensor
            if number >= carried and part is not None:
                self.sliced[one] = part
            elif number < carried and is_float(kind.dtype):
                self.cotangents.append((one, filled(0.0, kind) if part is None else part))
            else:
                value = {"value": np.zeros((), numpy_dtype(kind.dtype))}
                zero = body.add(Node(body.fresh("zero"), "const", TensorType((), kind.dtype), value))
                body.set(one, op="broadcast_to", attrs={"shape": kind.shape})
                body.nx.add_edge(zero, one, key=0)
        self.stacks: list[str] = []  # values of each step that the sums after the loop read

    def results(self) -> list[Symbol | None]:
        """The gradients of the loop's arguments."""
        inputs, grads = self.found.inputs, self.found.grads
        carried, cut, constant = (
            [one for one in part if one in grads] for part in (inputs.carried, inputs.scanned, inputs.constant)
        )
        later = {one: None if self.found.recomputes else self.later(grads[one]) for one in constant}
        kept = [one for one, whole in later.items() if whole is None]  # added up from step to step
        sums = dict(self.summed(grads[one]) for one in kept)
        back = [*(grads[one] for one in carried), *sums.values()]
        self.body.outputs = [*back, *(grads[one] for one in cut), *self.stacks]
        items = self.looped(list(sums), len(back))
        names = [*carried, *kept, *cut]
        made = dict(zip(names, items, strict=False))
        stacked = dict(zip(self.stacks, items[len(names) :], strict=True)) | self.sliced
        made.update((one, whole(stacked)) for one, whole in later.items() if whole is not None)
        return [made.get(one) for one in inputs.all]

    def looped(self, sums: Sequence[str], carried: int) -> list[Symbol]:
        """The results of the loop, whose body loses what they do not need. sums: its inputs that start at 0."""
        body, node = self.body, self.found.node
        used = ancestors(body, body.outputs)
        sliced = [one for one in self.sliced if one in used]
        constants = [one for one in self.found.inputs.constant if one in used and one not in self.sliced]
        body.inputs = [*(one for one, _ in self.cotangents), *sums, *sliced, *constants]
        body.nx.remove_nodes_from([one for one in body.nodes if one not in used and one not in body.inputs])
        arguments = [part for _, part in self.cotangents]
        arguments += [filled(0.0, body[one].tensor) for one in sums]
        arguments += [self.sliced[one] for one in sliced] + [self.values[one] for one in constants]
        shape = {"carried": carried, "scanned": len(sliced), "reverse": not node.attrs["reverse"]}
        attrs = {**node.attrs, "body": body, **shape}
        kinds = OPS["loop"].type(**attrs)
        loop = Symbol("loop", tuple(arguments), attrs, kinds, "loop")
        return [Symbol("item", (loop,), {"index": i}, kind, f"loop.{i}") for i, kind in enumerate(kinds)]

    def summed(self, name: str) -> tuple[str, str]:
        """An input that carries what has been added up, and that with one step's value more."""
        kind = self.body[name].tensor
        total = self.body.add(Node(self.body.fresh(f"sum/{name}"), "input", kind))
        added = record(OPS["add"], (reference(self.body, total), reference(self.body, name)), {})
        names = {part.serial: part.stem for part in added.inputs}
        return total, insert(self.body, replace(added, stem=self.body.fresh(f"{total}/add")), names)

    def later(self, name: str) -> Callable[[dict[str, Symbol]], Symbol] | None:
        """How the sum of a value over all steps follows from other values of all steps; None if it must be added up."""
        body, node = self.body, self.body[name]
        sources = body.arguments(name)
        if node.op == "einsum":
            cut = [self.stack(source) for source in sources]
            if not any(cut):
                return None
            spec = _spec_of_all(node.attrs["spec"], cut)
            return lambda all_: record(
                OPS["einsum"],
                [all_[one] if is_cut else self.values[one] for one, is_cut in zip(sources, cut, strict=True)],
                {"spec": spec},
            )
        if node.op == "sum" and self.stack(sources[0]):
            axes = (0, *(axis + 1 for axis in node.attrs["axes"]))
            shape = node.tensor.shape
            return lambda all_: reshaped(
                record(OPS["sum"], (all_[sources[0]],), {"axes": axes, "keepdims": False}), shape
            )
        if node.op in ("reshape", "transpose"):
            inner = self.later(sources[0])
            return inner and (lambda all_: record(OPS[node.op], (inner(all_),), node.attrs))
        if node.op == "add":
            parts = [self.later(source) for source in sources]
            if all(parts):
                return lambda all_: record(OPS["add"], [part(all_) for part in parts if part], {})
        return None

    def stack(self, name: str) -> bool:
        """See to it that a value of each step is at hand after the loop; False for what all steps share."""
        if name in self.found.inputs.constant and name not in self.sliced:
            return False
        if name not in self.sliced and name not in self.stacks:
            self.stacks.append(name)
        return True


def cond_gradient(
    node: Node, g: Sequence[Symbol | None], xs: Sequence[Symbol], pullback: Pullback
) -> list[Symbol | None]:
    """The gradients of a branch's arguments: those of the branch that was taken, which is computed again."""
    bodies = [node.attrs["body"], node.attrs["other"]]
    floats = [slot for slot, one in enumerate(bodies[0].inputs) if is_float(bodies[0][one].tensor.dtype)]
    joints = [pullback(body, body.outputs, [body.inputs[slot] for slot in floats]) for body in bodies]
    given = [filled(0.0, kind) if part is None else part for part, kind in zip(g, results_of(node), strict=True)]
    attrs = {"body": joints[0], "other": joints[1]}
    kinds = OPS["cond"].type(**attrs)
    made = Symbol("cond", (*xs, *given), attrs, kinds, "cond")
    items = {slot: Symbol("item", (made,), {"index": i}, kinds[i], f"cond.{i}") for i, slot in enumerate(floats)}
    return [None, *(items.get(slot) for slot in range(len(xs) - 1))]


def _spec_of_all(spec: str, cut: Sequence[bool]) -> str:
    """The product, summed over the steps as well."""
    inputs, output = spec.split("->")
    letter = next(one for one in reversed(ascii_letters[:26]) if one not in spec)
    terms = [letter + term if is_cut else term for term, is_cut in zip(inputs.split(","), cut, strict=True)]
    return f"{','.join(terms)}->{output}"
