"""In which dtype a layer keeps its weights, and in which it computes."""

from __future__ import annotations

from typing import Any

from kgraph import config
from kgraph.errors import ArgumentError
from kgraph.types import standard_dtype

_global: list[str] = []


class DTypePolicy:
    """A dtype for both, such as "float32", or "mixed_bfloat16": weights in float32, arithmetic in bfloat16."""

    def __init__(self, name: str | None = None) -> None:
        name = name or config.floatx()
        if not isinstance(name, str):
            raise ArgumentError(f"a dtype policy is named by a string, not {name!r}")
        self.name = name
        mixed = name.startswith("mixed_")
        self.compute_dtype = standard_dtype(name.removeprefix("mixed_"))
        if mixed and self.compute_dtype not in ("float16", "bfloat16"):
            raise ArgumentError(f"there is no policy {name!r}; the mixed ones are mixed_float16 and mixed_bfloat16")
        self.variable_dtype = "float32" if mixed else self.compute_dtype

    def get_config(self) -> dict[str, Any]:
        """What `from_config` makes the policy again from."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> DTypePolicy:
        """The policy of `get_config`'s description."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicy) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f'<DTypePolicy "{self.name}">'


def get(identifier: Any) -> DTypePolicy:
    """A policy from itself, its name, a dtype, its config, or None for the default."""
    if isinstance(identifier, DTypePolicy):
        return identifier
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, dict):
        return DTypePolicy(identifier.get("config", identifier)["name"])
    return DTypePolicy(identifier if isinstance(identifier, str) else standard_dtype(identifier))


def dtype_policy() -> DTypePolicy:
    """The policy of layers that are given none: `config.floatx()` unless `set_dtype_policy` changed it."""
    return DTypePolicy(_global[-1] if _global else None)


def set_dtype_policy(policy: Any) -> None:
    """Change the policy of layers that are given none."""
    _global[:] = [get(policy).name]


def serialize(policy: DTypePolicy) -> str:
    """The policy's name, which `get` understands."""
    return policy.name
