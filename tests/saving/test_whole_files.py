"""A file that is written takes the place of the old one in one step, whatever happens on the way."""

import io
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kgraph as kg
from kgraph.errors import SavingError
from kgraph.saving.atomic import written_whole

X = np.ones((1, 4), "float32")


def model_with(value: float) -> Any:
    model = kg.Sequential([kg.Input((4,)), kg.layers.Dense(64), kg.layers.Dense(8)])
    model.set_weights([np.full(weight.shape, value, "float32") for weight in model.get_weights()])
    return model


def load(path: Path) -> Any:
    if path.name.endswith(".keras"):
        return kg.models.load_model(path)
    model = model_with(0)
    model.load_weights(path)
    return model


KINDS = ["model.keras", "model.weights.h5", "model.safetensors"]

# Children that each die at the n-th of the events they come by while they write the second file, for many n.
KILLED = """
    import os, signal, sys
    from pathlib import Path
    import numpy as np
    import kgraph as kg
    from kgraph.saving import atomic

    folder, name = Path(sys.argv[1]), sys.argv[2]
    seen, last = 0, 0

    def count():
        global seen
        seen += 1
        if seen == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(call):
        return lambda *args, **options: (count(), call(*args, **options), count())[1]

    class Counted:
        def __init__(self, file):
            self.file = file

        def __getattr__(self, name):
            found = getattr(self.file, name)
            return counted(found) if name in ("write", "flush", "truncate") else found

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

    real = open
    os.fsync, os.replace = counted(os.fsync), counted(os.replace)
    atomic.open = lambda *args: Counted(counted(real)(*args))

    model = kg.Sequential([kg.Input((4,)), kg.layers.Dense(64), kg.layers.Dense(8)])
    other = kg.Sequential([kg.Input((4,)), kg.layers.Dense(64), kg.layers.Dense(8)])

    def save(value, path):
        model.set_weights([np.full(weight.shape, value, "float32") for weight in model.get_weights()])
        (model.save if name.endswith(".keras") else model.save_weights)(path)

    def killed_at(number):
        global seen, last
        path = folder / name
        save(1, path)
        child = os.fork()
        if child == 0:
            seen, last = 0, number
            save(2, path)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        other.load_weights(path)
        values = {float(value) for weight in other.get_weights() for value in weight.flat}
        assert len(values) == 1, values
        return os.WIFSIGNALED(status), values.pop()

    found, number = [], 1
    while not found or found[-1][0]:
        found.append(killed_at(number))
        number += 1 + number // 5
    print(*(int(value) for _, value in found))
"""


@pytest.mark.parametrize("name", KINDS)
def test_a_process_killed_while_it_saves_leaves_the_old_file_or_the_new(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    values = list(map(int, done.stdout.split()))
    assert len(values) > 6
    assert values == sorted(values)  # old files up to one moment, and new ones from there on
    assert set(values) == {1, 2}


@pytest.mark.parametrize("name", KINDS)
def test_an_error_on_the_way_leaves_the_old_file_and_nothing_else(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    old, new = model_with(1), model_with(2)
    save = (lambda model: model.save(path)) if name == "model.keras" else (lambda model: model.save_weights(path))
    save(old)
    for number in range(4):
        with monkeypatch.context() as patch:
            store = type(new.layers[1]).save_own_variables
            fails = [lambda *a: 1 / 0, lambda self, store: store.update({"0": object()})]
            if number < 2:
                patch.setattr(type(new.layers[1]), "save_own_variables", fails[number])
            elif number == 2:
                patch.setattr(os, "fsync", lambda *a: (_ for _ in ()).throw(OSError("no space left")))
            else:
                patch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt()))
            with pytest.raises(
                (ZeroDivisionError, OSError, KeyboardInterrupt, SavingError, TypeError, KeyError, ValueError)
            ):
                save(new)
            assert type(new.layers[1]).save_own_variables is store or number < 2
        assert [one.name for one in tmp_path.iterdir()] == [name]
        assert (load(path).get_weights()[0] == 1).all()
    save(new)
    assert (load(path).get_weights()[0] == 2).all()


def test_a_link_stays_a_link_and_a_mode_stays_a_mode(tmp_path: Path) -> None:
    real, link = tmp_path / "deep" / "real.keras", tmp_path / "link.keras"
    real.parent.mkdir()
    model_with(1).save(real)
    assert real.stat().st_mode & 0o777 == 0o666 & ~current_umask()
    real.chmod(0o640)
    link.symlink_to(real)
    model_with(2).save(link)
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert (load(real).get_weights()[0] == 2).all()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_places_that_are_none_are_refused(tmp_path: Path) -> None:
    model = model_with(1)
    model.save(tmp_path / "model.keras")
    with pytest.raises(SavingError, match="there already"):
        model.save(tmp_path / "model.keras", overwrite=False)
    with pytest.raises(SavingError, match="no directory"):
        model.save(tmp_path / "none" / "model.keras")
    (tmp_path / "folder.keras").mkdir()
    with pytest.raises(SavingError, match="is a directory"):
        model.save(tmp_path / "folder.keras")
    for name in ("model", "model.pt", "model.weights.h5"):
        with pytest.raises(SavingError, match=r"ends in \.keras"):
            model.save(tmp_path / name)
    for name in ("model", "model.pt", "model.h5"):
        with pytest.raises(SavingError, match=r"ends in \.weights\.h5"):
            model.save_weights(tmp_path / name)
    with pytest.raises(SavingError, match="zipped"):
        model.save(tmp_path / "model.keras", zipped=False)


def test_a_file_that_is_open_gets_the_bytes() -> None:
    file = io.BytesIO()
    model_with(3).save(file)
    file.seek(0)
    assert (kg.models.load_model(file).get_weights()[0] == 3).all()


def test_threads_that_save_to_one_place_leave_one_of_their_files(tmp_path: Path) -> None:
    path = tmp_path / "model.weights.h5"
    models = [model_with(number) for number in range(4)]
    threads = [threading.Thread(target=lambda one=one: [one.save_weights(path) for _ in range(5)]) for one in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    weights = load(path).get_weights()
    assert all((weight == weights[0].flat[0]).all() for weight in weights)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_the_block_writes_beside_the_place(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with written_whole(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
        assert len(list(tmp_path.iterdir())) == 2
    assert path.read_bytes() == b"new"
