"""Low-rank adaptation (Hu et al. 2021): a weight stays as it is, and the product of two thin factors is added to it."""

from __future__ import annotations

from typing import Any

from kgraph import initializers, ops
from kgraph.errors import ArgumentError, GraphError
from kgraph.layers.layer import Layer
from kgraph.tracing.trace import active
from kgraph.tracing.variable import Variable


class Adaptable(Layer):
    """A layer one of whose weights can be frozen and adapted: W + alpha / rank * A @ B, where A and B are trained.

    lora_rank enables it when the layer is built, `enable_lora` later. lora_alpha defaults to the rank.
    """

    bias: Any
    adapted = "kernel"  # the name of that weight
    lora_enabled = False

    def _set_lora(self, rank: int | None, alpha: float | None) -> None:
        if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 1):
            raise ArgumentError(f"layer {self.name!r}: lora_rank is a whole number above 0, not {rank!r}")
        self.lora_rank, self.lora_alpha = rank, rank if alpha is None else alpha

    def enable_lora(
        self,
        rank: int,
        lora_alpha: float | None = None,
        a_initializer: Any = "he_uniform",
        b_initializer: Any = "zeros",
    ) -> None:
        """Freeze the weight, and add the factors A (..., rank) and B (rank, ...), which begin with a product of 0.

        GraphError: the layer is not built yet, or adapted already. ArgumentError: its weight has a constraint.
        """
        name = self.adapted
        if getattr(self, f"{name}_constraint") is not None:
            raise ArgumentError(f"layer {self.name!r} constrains its {name}, which a sum with factors would not keep")
        if not self.built and not self._building:
            raise GraphError(f"layer {self.name!r} has no {name} to adapt before it is built: call layer.build(shape)")
        if self.lora_enabled:
            raise GraphError(f"layer {self.name!r} is adapted already")
        self._set_lora(rank, lora_alpha)
        weight: Variable = getattr(self, name)
        self.unlock_state()
        penalty = getattr(self, f"{name}_regularizer")
        for part, shape, begin in (
            ("a", (*weight.shape[:-1], rank), a_initializer),
            ("b", (rank, weight.shape[-1]), b_initializer),
        ):
            made = self.add_weight(
                name=f"lora_{name}_{part}", shape=shape, initializer=initializers.get(begin), regularizer=penalty
            )
            setattr(self, f"lora_{name}_{part}", made)
        weight.trainable = False
        object.__setattr__(self, "lora_enabled", True)
        if self.built:
            self.lock_state()

    @property
    def factors(self) -> tuple[Any, Any]:
        """A, and B with the scale in it."""
        a, b = (getattr(self, f"lora_{self.adapted}_{part}") for part in "ab")
        return a, ops.multiply(b, float(self.lora_alpha) / int(self.lora_rank))  # type: ignore[arg-type]

    def merged(self) -> Any:
        """The weight with what is added to it: made once, ahead of calls, as long as no weight changes."""
        weight = getattr(self, self.adapted)
        return ops.add(weight, ops.matmul(*self.factors)) if self.lora_enabled else weight

    def trains_factors(self) -> bool:
        """Whether to apply the factors one after the other, which spares training the sum of the size of the weight."""
        trace = active()
        return self.lora_enabled and trace is not None and bool(trace.training)

    def save_own_variables(self, store: Any) -> None:
        """As Keras does: the weight with the factors' product added to it, and the bias, but no factors."""
        if not self.lora_enabled:
            super().save_own_variables(store)
            return
        kept = [self.merged(), getattr(self, "bias", None)]
        store.update({str(number): value for number, value in enumerate(kept) if value is not None})

    def load_own_variables(self, store: Any) -> None:
        """The weight takes the sum, and the second factor is 0, so that the product adds nothing to it."""
        if not self.lora_enabled:
            super().load_own_variables(store)
            return
        getattr(self, self.adapted).assign(store["0"])
        if getattr(self, "bias", None) is not None:
            self.bias.assign(store["1"])
        factor: Variable = getattr(self, f"lora_{self.adapted}_b")
        factor.assign(factor.numpy() * 0)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if not self.lora_rank:
            config.pop("lora_rank", None)
            config.pop("lora_alpha", None)
        return config
