"""How a layer finds the variables and layers it owns: by attribute assignment, inside lists and dicts too."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Notice = Callable[[Any], None]


def watched(value: Any, notice: Notice) -> Any:
    """Tell `notice` of the leaves of a nest now, and of those put into its lists and dicts later."""
    if type(value) in (list, WatchedList):
        return WatchedList((watched(item, notice) for item in value), notice)
    if type(value) in (dict, WatchedDict):
        return WatchedDict({key: watched(item, notice) for key, item in value.items()}, notice)
    if type(value) is tuple:
        return tuple(watched(item, notice) for item in value)
    notice(value)
    return value


class WatchedList(list):
    """A list that tells its layer about what is put into it."""

    def __init__(self, items: Iterable[Any] = (), notice: Notice = lambda item: None) -> None:
        super().__init__(items)
        self._notice = notice

    def append(self, item: Any) -> None:
        super().append(watched(item, self._notice))

    def extend(self, items: Iterable[Any]) -> None:
        super().extend(watched(item, self._notice) for item in items)

    def insert(self, index: Any, item: Any) -> None:
        super().insert(index, watched(item, self._notice))

    def __iadd__(self, items: Any) -> Any:  # type: ignore[misc]
        self.extend(items)
        return self

    def __setitem__(self, index: Any, item: Any) -> None:
        super().__setitem__(index, watched(item, self._notice))

    def __reduce__(self) -> Any:
        return list, (list(self),)


class WatchedDict(dict):
    """A dict that tells its layer about what is put into it."""

    def __init__(self, items: Any = (), notice: Notice = lambda item: None) -> None:
        super().__init__(items)
        self._notice = notice

    def __setitem__(self, key: Any, item: Any) -> None:
        super().__setitem__(key, watched(item, self._notice))

    def update(self, *mappings: Any, **items: Any) -> None:
        for key, item in dict(*mappings, **items).items():
            self[key] = item

    def setdefault(self, key: Any, default: Any = None) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def __reduce__(self) -> Any:
        return dict, (dict(self),)
