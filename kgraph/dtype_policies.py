"""In which dtype a layer keeps its weights, and in which it computes."""

from __future__ import annotations

from typing import Any

from kgraph.config import DTypePolicy as DTypePolicy
from kgraph.config import dtype_policy as dtype_policy
from kgraph.config import set_dtype_policy as set_dtype_policy
from kgraph.graph.types import standard_dtype
from kgraph.missing import missing


def get(identifier: Any) -> DTypePolicy:
    """A policy from itself, its name, a dtype, its config, or None for the default."""
    if isinstance(identifier, DTypePolicy):
        return identifier
    if identifier is None:
        return dtype_policy()
    if isinstance(identifier, dict):
        return DTypePolicy(identifier.get("config", identifier)["name"])
    mixed = isinstance(identifier, str) and identifier.startswith("mixed_")
    return DTypePolicy(identifier if mixed else standard_dtype(identifier))


def serialize(dtype_policy: DTypePolicy) -> str:
    """The policy's name, which `get` understands."""
    return dtype_policy.name


def deserialize(config: Any, custom_objects: Any = None) -> DTypePolicy:
    """The policy that `serialize` described, or a configuration of Keras's; custom_objects can name no policy."""
    return get(config)


def __getattr__(name: str) -> Any:
    raise missing("dtype_policies", name)
