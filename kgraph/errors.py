"""What goes wrong by the user's hand. Each error says what, where in the graph, where in the user's file, what now."""

from __future__ import annotations


class KGraphError(Exception):
    """Wrong input to kgraph."""


class ShapeError(KGraphError, ValueError):
    """Shapes that do not fit each other, or do not fit what a layer wants."""


class DTypeError(KGraphError, TypeError):
    """A dtype that does not fit, or a value that cannot become a tensor."""


class GraphError(KGraphError, ValueError):
    """A definition that is no graph: disconnected, cyclic, or with one name twice."""


class ArgumentError(KGraphError, ValueError):
    """An argument outside what a function takes."""


class RangeError(KGraphError, IndexError, ValueError):
    """An index outside the axis it points into."""


class CallIndexError(KGraphError, AttributeError, ValueError):
    """A question about a layer's calls that was called never, more than once, or less often than asked for."""


class NotTracedError(KGraphError, TypeError):
    """A symbol used where only its value would do: `if`, `float`, `np.asarray`."""


class SettingError(KGraphError, TypeError):
    """A setting that cannot be changed, because something else decides it."""


class MissingExtraError(KGraphError, ImportError):
    """An optional package that is not installed; the message names the extra that brings it."""


class SavingError(KGraphError, ValueError):
    """A file or configuration that cannot be written or read, or that is refused because it could do harm."""
