"""What the names in a printed kernel mean, and in the scalar functions that it calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any


def rebound(
    language: Mapping[str, Any],
    helpers: Mapping[str, Callable[..., Any]],
    wrap: Callable[[FunctionType], Any] = lambda function: function,
) -> dict[str, Any]:
    """The namespace of a kernel. In helpers, names of the language and of other helpers mean what they mean there."""
    namespace: dict[str, Any] = {"__name__": "kgraph.kernels", **language}
    globals_of_helpers = []
    for name, helper in helpers.items():
        plain = getattr(helper, "py_func", helper)
        globals_of_helpers.append(dict(plain.__globals__))
        code = FunctionType(plain.__code__, globals_of_helpers[-1], name, plain.__defaults__, plain.__closure__)
        namespace[name] = wrap(code)
    for names in globals_of_helpers:
        names.update(namespace)
    return namespace
