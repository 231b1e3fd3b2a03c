"""Settings: what Keras users set in `keras.config`, and the environment flags of the compiler."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from math import ceil, inf
from pathlib import Path
from typing import Any

from kgraph.errors import ArgumentError
from kgraph.missing import missing

MOST_THREADS = 1 << 16  # that may be asked for: the pool makes fewer, but no count of processors is wrong
_state: dict[str, object] = {
    "floatx": "float32",
    "epsilon": 1e-7,
    "image_data_format": "channels_last",
    "dtype_policy": None,
}


def floatx() -> str:
    """The dtype of weights and inputs that name none: "float32" unless `set_floatx` changed it."""
    return str(_state["floatx"])


def set_floatx(value: str) -> None:
    """Make "float16", "bfloat16", "float32" or "float64" the default dtype."""
    if value not in ("float16", "bfloat16", "float32", "float64"):
        raise ArgumentError(f"floatx must be a float type, not {value!r}")
    _state["floatx"] = value


def epsilon() -> float:
    """The fuzz factor that keeps losses away from log(0): 1e-7 unless `set_epsilon` changed it."""
    return float(_state["epsilon"])  # type: ignore[arg-type]


def set_epsilon(value: float) -> None:
    """Change the fuzz factor of the losses."""
    _state["epsilon"] = float(value)


def image_data_format() -> str:
    """ "channels_last" unless `set_image_data_format` changed it."""
    return str(_state["image_data_format"])


def set_image_data_format(data_format: str) -> None:
    """Make "channels_last" or "channels_first" the default of image layers."""
    if data_format not in ("channels_last", "channels_first"):
        raise ArgumentError(f"image_data_format must be channels_last or channels_first, not {data_format!r}")
    _state["image_data_format"] = data_format


class DTypePolicy:
    """In which dtype a layer keeps its weights, `variable_dtype`, and in which it computes, `compute_dtype`.

    "float32" and other dtypes stand for both; "mixed_float16" and "mixed_bfloat16" for weights in float32 and
    arithmetic in the dtype they name. name defaults to the global policy's. ArgumentError for other names.
    """

    def __init__(self, name: str | None = None) -> None:
        name = dtype_policy().name if name is None else name
        if not isinstance(name, str):
            raise ArgumentError(f"a dtype policy is named by a string, not {name!r}")
        known = re.fullmatch(r"(mixed_)?(b?float16)|(float(32|64)|bool|u?int(8|16|32|64))", name)
        if known is None:
            raise ArgumentError(
                f"there is no dtype policy {name!r}; there are mixed_float16, mixed_bfloat16, and the names of dtypes"
            )
        self.name: str = name
        self.compute_dtype = name.removeprefix("mixed_")
        self.variable_dtype = "float32" if known[1] else self.compute_dtype

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


def dtype_policy() -> DTypePolicy:
    """The policy of layers that are given none: `floatx()` unless `set_dtype_policy` changed it."""
    return DTypePolicy(str(_state["dtype_policy"] or floatx()))


def set_dtype_policy(policy: Any) -> None:
    """Change the policy of layers that are given none: a DTypePolicy or the name of one."""
    _state["dtype_policy"] = DTypePolicy(getattr(policy, "name", policy)).name


def settings() -> tuple[object, ...]:
    """All that was set here, which layers may read when they are traced."""
    return tuple(_state.values())


def num_threads() -> int:
    """How many threads kernels use: KGRAPH_NUM_THREADS, else the CPUs this process may run on and is given time of.

    Raises ArgumentError where KGRAPH_NUM_THREADS is no number.
    """
    asked = os.environ.get("KGRAPH_NUM_THREADS", "").strip()
    if asked:
        if not asked.isdecimal():
            raise ArgumentError(f"KGRAPH_NUM_THREADS wants a whole number, and got {asked!r}")
        return min(max(1, int(asked)), MOST_THREADS)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_cpus()
    return max(1, allowed if quota == inf else min(allowed, ceil(quota)))


def cgroup_cpus(root: Path = Path("/sys/fs/cgroup")) -> float:
    """How many CPUs the control groups of this process give time for, as in a container; infinity for no limit."""
    found = [inf]
    for folder in (root, root / "cpu"):  # version 2, version 1
        with suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            found.append(inf if quota == "max" else int(quota) / int(period))
        with suppress(OSError, ValueError):
            quota, period = ((folder / f"cpu.cfs_{one}_us").read_text() for one in ("quota", "period"))
            found.append(inf if int(quota) < 0 else int(quota) / int(period))
    return min(found)


def cache_dir() -> Path | None:
    """Where compiled code is kept: KGRAPH_CACHE_DIR (empty: nowhere), else the user's cache folder."""
    asked = os.environ.get("KGRAPH_CACHE_DIR")
    if asked is not None:
        return Path(asked) if asked else None
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kgraph"


def checking() -> bool:
    """KGRAPH_CHECK=1: verify the graph after every pass."""
    return os.environ.get("KGRAPH_CHECK", "") not in ("", "0")


def shown() -> frozenset[str]:
    """KGRAPH_SHOW=trace,fuse: the stages to print as they are made; source: the kernels; rules: which rules fired."""
    return frozenset(filter(None, os.environ.get("KGRAPH_SHOW", "").split(",")))


def dump_dir() -> Path | None:
    """KGRAPH_DUMP=dir: write every stage there and the kernels' source, as numbered files."""
    asked = os.environ.get("KGRAPH_DUMP", "")
    return Path(asked) if asked else None


def emulate_cuda() -> bool:
    """KGRAPH_CUDA=emulate: run CUDA kernels thread by thread on the CPU, to check them where there is no GPU."""
    return os.environ.get("KGRAPH_CUDA", "") == "emulate"


def __getattr__(name: str) -> Any:
    raise missing("config", name)
