"""The workshop: the same object files as without it, whatever becomes of the helpers, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pytest
from llvmlite import ir

from kgraph.codegen.native import emit, objects, workshop
from kgraph.codegen.native.emit import I64, number
from kgraph.codegen.native.host import host
from kgraph.codegen.native.optimise import FULL
from kgraph.codegen.native.workshop import Workshop, can_help

pytestmark = pytest.mark.skipif(os.name != "posix", reason="helpers are tried on POSIX only")

ROOT = Path(__file__).parents[3]
COMPILE = """
import os, sys, time
from kgraph.codegen.native.workshop import Workshop
from kgraph.codegen.native import workshop
text = 'define i64 @one(i64 %x) {{ ret i64 %x }}'
with Workshop(3) as shop:
    made = [shop.submit(text).result() for _ in range(3)]
    {then}
print(len(set(made)), not workshop._trouble, len(shop._helpers) > 0)
"""


@pytest.fixture(autouse=True)
def two_processors(monkeypatch):
    """So that helpers are tried, and each test is the first to see one fail."""
    monkeypatch.setenv("KGRAPH_NUM_THREADS", "2")
    monkeypatch.setattr(workshop, "_trouble", [])


def adding(amount: int) -> str:
    module = ir.Module(f"adding{amount}")
    made, build = emit.function(module, f"test_adding_{amount}", I64, [I64])
    build.ret(build.add(made.args[0], number(amount)))
    return str(module)


TEXTS = [adding(amount) for amount in range(6)]


def results(futures: list[Future[bytes]]) -> list[bytes]:
    return [future.result() for future in futures]


def test_helpers_make_the_objects_that_are_made_here():
    with Workshop(len(TEXTS)) as shop:
        made = results([shop.submit(text) for text in TEXTS])
        assert 1 <= len(shop._helpers) <= 2
    assert made == [objects.compile_ir(text) for text in TEXTS]
    assert not workshop._trouble


def test_several_texts_are_linked_and_options_arrive():
    main = "declare i64 @test_part(i64)\ndefine i64 @test_whole(i64 %x) { %y = call i64 @test_part(i64 %x) ret i64 %y }"
    part = "define linkonce_odr i64 @test_part(i64 %x) alwaysinline { %y = mul i64 %x, 3 ret i64 %y }"
    with Workshop(3) as shop:
        whole, light = shop.submit([main, part]).result(), shop.submit(TEXTS[0], False, 1).result()
    assert whole == objects.compile_ir([main, part])
    assert light == objects.compile_ir(TEXTS[0], False, 1)


def test_parts_of_shared_libraries_are_made_so_by_helpers_too():
    wanted = [objects.compile_ir(text, shared=True) for text in TEXTS]
    assert not set(wanted) & set(map(objects.compile_ir, TEXTS))
    with Workshop(len(TEXTS), shared=True) as shop:
        assert results([shop.submit(text) for text in TEXTS]) == wanted
        cpu = host()
        helper = workshop.Helper()
        assert helper.ask((cpu.name, cpu.features, True, (TEXTS[0],), FULL, True)) == wanted[0]
        helper.kill()
        helper.close()
    assert not workshop._trouble


def test_few_texts_are_compiled_here():
    with Workshop(2) as shop:
        assert results([shop.submit(text) for text in TEXTS[:2]]) == list(map(objects.compile_ir, TEXTS[:2]))
        assert not shop._helpers


def test_what_is_wrong_with_a_text_is_raised_here():
    with Workshop(3) as shop:
        good, bad = shop.submit(TEXTS[0]), shop.submit("define void @broken(")
        with pytest.raises(RuntimeError, match="expected type"):
            bad.result()
        assert good.result() == objects.compile_ir(TEXTS[0])
    assert not workshop._trouble


def test_a_helper_that_dies_costs_only_time():
    with Workshop(len(TEXTS)) as shop:
        for helper in shop._helpers:
            helper.process.kill()
        assert results([shop.submit(text) for text in TEXTS]) == list(map(objects.compile_ir, TEXTS))
    assert workshop._trouble
    assert not can_help()  # the next workshop tries none


@pytest.mark.parametrize("program", ["", None, "/nowhere/python3", "/bin/true", "/bin/cat", "python-with-no-path"])
def test_a_program_that_is_not_python_costs_only_time(monkeypatch, program):
    monkeypatch.setattr(sys, "executable", program)
    with Workshop(len(TEXTS)) as shop:
        assert results([shop.submit(text) for text in TEXTS]) == list(map(objects.compile_ir, TEXTS))


def test_a_program_that_only_looks_like_python_costs_only_time(monkeypatch, tmp_path):
    for name, line in (("python-mute", "exit 0"), ("python-babble", "while :; do echo nonsense; done")):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))
        monkeypatch.setattr(workshop, "_trouble", [])
        with Workshop(len(TEXTS)) as shop:
            assert results([shop.submit(text) for text in TEXTS]) == list(map(objects.compile_ir, TEXTS))
        assert workshop._trouble


def test_no_helpers_in_a_frozen_program_nor_on_one_processor(monkeypatch):
    assert can_help()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert not can_help()
    monkeypatch.undo()
    monkeypatch.setenv("KGRAPH_NUM_THREADS", "1")
    assert not can_help()


def test_threads_that_cannot_start_cost_only_time(monkeypatch):
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        shop = Workshop(3)
        shop.__enter__()
    assert shop.submit(TEXTS[0]).result() == objects.compile_ir(TEXTS[0])
    shop.__exit__()
    assert all(helper.process.returncode is not None for helper in shop._helpers)


def test_nothing_is_left_behind():
    def held() -> tuple[int, int]:
        return threading.active_count(), len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    with Workshop(3) as shop:  # what the first use leaves for good
        shop.submit(TEXTS[0]).result()
    before = held()
    with Workshop(len(TEXTS)) as shop:
        futures = [shop.submit(text) for text in TEXTS]
        futures[0].result()
        helpers = list(shop._helpers)
    assert held() == before
    assert helpers
    for helper in helpers:
        with pytest.raises(ChildProcessError):
            os.waitpid(helper.process.pid, os.WNOHANG)  # it ended, and has been waited for


def test_leaving_by_an_exception_stops_the_work():
    slow = "\n".join(text for text in [adding(7)] + [adding(amount).split("\n", 3)[-1] for amount in range(8, 400)])
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Workshop(40) as shop:
        futures = [shop.submit(slow) for _ in range(40)]
        raise KeyboardInterrupt
    assert time.monotonic() - began < 10
    assert not workshop._trouble
    assert any(future.cancelled() or future.exception() for future in futures)


@pytest.mark.parametrize("way", ["-c", "-", "file"])
def test_any_way_to_run_python_will_do(way, tmp_path):
    text = COMPILE.format(then="pass")
    arguments = [text] if way == "-c" else []
    if way == "file":
        path = tmp_path / "of user.py"
        path.write_text(text)
        way = str(path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, way, *arguments],
        input=text if way == "-" else None,
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["1", "True", "True"], done.stderr


def test_modules_of_the_users_folder_do_not_come_before_pythons(tmp_path):
    (tmp_path / "llvmlite.py").write_text("raise SystemExit('the wrong one')")
    text = f"import sys; sys.path.append(sys.path.pop(0))\n{COMPILE.format(then='pass')}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", text], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert run.stdout.split() == ["1", "True", "True"], run.stderr


def test_helpers_end_when_their_parent_is_killed():
    text = COMPILE.format(then="print(*[one.process.pid for one in shop._helpers], flush=True); time.sleep(60)")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", text], env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        helpers = [int(word) for word in parent.stdout.readline().split()]
        parent.send_signal(signal.SIGKILL)
    assert helpers
    deadline = time.monotonic() + 10
    while any(map(is_running, helpers)):
        assert time.monotonic() < deadline, "a helper outlives its parent"
        time.sleep(0.02)


def is_running(process: int) -> bool:
    """Whether a process is there and is no zombie that its new parent has yet to see."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
