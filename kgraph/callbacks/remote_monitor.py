"""Telling a server how training goes."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np

from kgraph.callbacks.callback import Callback


class RemoteMonitor(Callback):
    """POST the epoch and its metrics to `root + path` after each epoch.

    send_as_json: the body is JSON; otherwise a form with JSON in its field `field`. headers: more headers. A server
    that does not answer is a warning, and training goes on. Source: Keras.
    """

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: dict[str, str] | None = None,
        send_as_json: bool = False,
    ) -> None:
        super().__init__()
        self.root, self.path, self.field, self.headers, self.send_as_json = root, path, field, headers, send_as_json

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        from urllib import error, parse, request

        said = {"epoch": epoch, **{name: _plain(value) for name, value in (logs or {}).items()}}
        text = json.dumps(said) if self.send_as_json else parse.urlencode({self.field: json.dumps(said)})
        kind = "application/json" if self.send_as_json else "application/x-www-form-urlencoded"
        asked = request.Request(self.root + self.path, text.encode(), {"Content-Type": kind, **(self.headers or {})})
        try:
            request.urlopen(asked, timeout=10).close()
        except (error.URLError, OSError) as reason:
            warnings.warn(f"RemoteMonitor did not reach {self.root}: {reason}", stacklevel=2)


def _plain(value: Any) -> Any:
    return np.asarray(value).tolist() if isinstance(value, np.ndarray | np.generic) else value
