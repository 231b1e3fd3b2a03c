"""The command `kgraph`: measure models, and look at what the compiler makes of them.

It exits with 0; with 2 for a command line or a model that is wrong; with 1 for what went wrong otherwise. Mistakes are
one line on stderr. What a command needs is imported when it runs, so that --help answers at once.
"""

from __future__ import annotations

import os
import sys
from argparse import Action, ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

import kgraph
from kgraph.errors import KGraphError, MissingExtraError
from kgraph.locate import UsageError, model_at

FORMATS = ("text", "dot", "source", "asm", "llvm")
MODEL_HELP = (
    "FILE.py:NAME, a model or a function without arguments that returns one; FILE.py if it holds one model; "
    "FILE.keras, a saved model"
)


class Parser(ArgumentParser):
    """argparse, with errors of one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


class Version(Action):
    """--version."""

    def __call__(self, parser: ArgumentParser, *_: Any, **__: Any) -> NoReturn:
        print(f"kgraph {kgraph.__version__}")
        parser.exit(0)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit status."""
    try:
        if sys.stdout is None:  # closed by the shell: >&-
            raise UsageError("standard output is closed")
        options = parser().parse_args(argv)
        status = options.run(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        discard_output()
        return 1
    except OSError as error:  # such as a full disk
        discard_output()
        return complain(error, 1)
    except KeyboardInterrupt:
        print("kgraph: stopped", file=sys.stderr)
        return 130
    except (MissingExtraError, MemoryError) as error:
        return complain(error, 1)
    except (UsageError, KGraphError) as error:
        return complain(error, 2)


def discard_output() -> None:
    """Write what is still in stdout's buffer nowhere, so that Python does not fail at it once more when it ends."""
    with suppress(OSError):  # a stdout that is no file has none
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(error: Exception, status: int) -> int:
    """Say on one line what went wrong, notes included."""
    said = [str(error), *getattr(error, "__notes__", ())]
    print(f"kgraph: {'; '.join(' '.join(part.split()) for part in said if part.strip())}", file=sys.stderr)
    return status


def parser() -> ArgumentParser:
    """The command line's grammar."""
    made = Parser(prog="kgraph", description="A compiler for neural networks written the Keras way.")
    made.add_argument("--version", action=Version, nargs=0, help="print the version and exit")
    commands = made.add_subparsers(metavar="COMMAND", required=True)
    _add_bench(commands)
    _add_show(commands)
    return made


def _add_bench(commands: Any) -> None:
    bench = commands.add_parser(
        "bench",
        help="compile models and measure them",
        description="Compile a model, or built-in ones, and measure calls and gradients beside others that compute\n"
        "the same. Each contestant has a process of its own, and they take turns.",
        epilog="examples:\n"
        "  kgraph bench                                  six small models beside numpy\n"
        "  kgraph bench model.py:build --batch 1,256     your own\n"
        "  kgraph bench 'mlp 64-64-10' --vs jax,torch    a built-in one beside others, which kgraph[bench] installs\n"
        "  kgraph bench --all --vs all --json            the full comparison\n"
        "  kgraph bench model.py:build --profile         the time of each kernel",
        formatter_class=RawDescriptionHelpFormatter,
    )
    bench.add_argument("model", nargs="?", metavar="MODEL",
                       help=f"{MODEL_HELP}; or the name of a built-in one (default: six of these)")  # fmt: skip
    bench.add_argument("--all", action="store_true", help="all built-in models, each with batch sizes of its own")
    bench.add_argument("--batch", type=batches, metavar="N,...", help="batch sizes (default: 1,32)")
    bench.add_argument("--mode", type=modes, default=("forward", "grad"), metavar="MODE,...",
                       help="forward: the outputs; grad: the loss and all gradients; step: a training step with Adam; "
                       "default: forward,grad")  # fmt: skip
    bench.add_argument("--loss", default="mse", help="the loss whose gradient is measured (default: mse)")
    bench.add_argument("--seconds", type=positive_seconds, default=0.3, metavar="S",
                       help="for how long each call is measured (default: 0.3)")  # fmt: skip
    bench.add_argument("--threads", type=positive, metavar="N",
                       help="threads for the kernels, CPUs for each process (default: all)")  # fmt: skip
    bench.add_argument("--vs", default="", metavar="NAME,...",
                       help="measure these beside kgraph: numpy (default), keras, jax, torch, torch-compile, "
                       "onnxruntime, openvino; or all that are installed")  # fmt: skip
    bench.add_argument("--profile", action="store_true", help="measure the kernels one by one, and no peers")
    bench.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    bench.set_defaults(run=run_bench)


def _add_show(commands: Any) -> None:
    show = commands.add_parser(
        "show",
        help="print what the compiler makes of a model",
        description="Print a model's graph after a pass, the generated source, or its machine code.",
        epilog="examples:\n"
        "  kgraph show model.py:build --after trace      the calls of layers\n"
        "  kgraph show model.py:build --loss mse         one node for each kernel, gradients included\n"
        "  kgraph show model.py:build --format dot | dot -Tsvg > model.svg",
        formatter_class=RawDescriptionHelpFormatter,
    )
    show.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    show.add_argument(
        "--after", metavar="PASS", help="the pass to stop after: trace, inline, ..., fuse (default: the last)"
    )
    show.add_argument("--format", choices=FORMATS, default="text",
                      help="text or dot for graphs; source, llvm or asm for the kernels (default: text)")  # fmt: skip
    show.add_argument("--loss", metavar="LOSS", help="show the program that computes this loss and its gradients")
    show.set_defaults(run=run_show)


def run_bench(options: Namespace) -> int:
    """`kgraph bench`."""
    return import_module("kgraph.bench.command").run(options)


def run_show(options: Namespace) -> int:
    """`kgraph show`."""
    if options.after and options.format not in ("text", "dot"):
        raise UsageError(f"--after goes with --format text or dot; the {options.format} is that of the last stage")
    model = model_at(options.model)
    machine_code = options.format in ("asm", "llvm")
    compiled = kgraph.compile(model, loss=options.loss, lower_only=not machine_code)
    if options.format in ("text", "dot"):
        graph = stage(compiled.stages, options.after)
        print(import_module("kgraph.graph.show").dot(graph) if options.format == "dot" else graph)
    elif machine_code:
        print(compiled.asm() if options.format == "asm" else compiled.llvm())
    else:
        print(compiled.source)
    return 0


def stage(stages: dict[str, Any], name: str | None) -> Any:
    """The graph after the pass of this name; the last one for None."""
    if name is None:
        return list(stages.values())[-1]
    if name not in stages:
        raise UsageError(f"there is no pass {name!r}; the stages are {', '.join(stages)}")
    return stages[name]


def batches(text: str) -> tuple[int, ...]:
    """ "1,32" as numbers."""
    found = tuple(positive(part) for part in text.split(","))
    return tuple(dict.fromkeys(found))


def modes(text: str) -> tuple[str, ...]:
    """ "forward,grad" as names."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for name in found:
        if name not in ("forward", "grad", "step"):
            raise ArgumentTypeError(f"{name!r} is no mode: forward, grad or step")
    return found


def positive(text: str) -> int:
    """A whole number above 0."""
    if not text.strip().isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def positive_seconds(text: str) -> float:
    """A number of seconds above 0."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 3600:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds between 0 and 3600")
    return seconds
