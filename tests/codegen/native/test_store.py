"""The store: what comes back is what was put, or nothing."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from kgraph.codegen.native.store import Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "objects"


def the_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_a_payload_comes_back_in_another_store(folder):
    Store(folder).put("key", b"payload")
    assert Store(folder).get("key") == b"payload"


def test_an_empty_payload_is_a_payload(folder):
    Store(folder).put("key", b"")
    assert Store(folder).get("key") == b""


def test_what_was_never_put_is_none(folder):
    assert Store(folder).get("key") is None


def test_a_later_payload_replaces_an_earlier_one(folder):
    store = Store(folder)
    store.put("key", b"old")
    store.put("key", b"new")
    assert store.get("key") == Store(folder).get("key") == b"new"


def test_without_a_directory_it_remembers_for_the_process_only():
    store = Store(None)
    store.put("key", b"payload")
    assert store.get("key") == b"payload"
    assert Store(None).get("key") is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: entry[:-1],
        lambda entry: entry[:20],
        lambda entry: b"",
        lambda entry: entry + b"x",
        lambda entry: entry[:-1] + bytes([entry[-1] ^ 1]),
        lambda entry: entry[:30] + bytes([entry[30] ^ 1]) + entry[31:],
        lambda entry: b"\x7fELF" + entry,
    ],
)
def test_a_damaged_entry_is_missing_and_removed(folder, damage):
    Store(folder).put("key", b"payload")
    path = the_file(folder)
    path.write_bytes(damage(path.read_bytes()))
    assert Store(folder).get("key") is None
    assert not path.exists()


def test_an_entry_under_another_keys_name_is_missing(folder):
    Store(folder).put("one", b"payload")
    entry = the_file(folder).read_bytes()
    Store(folder).put("two", b"other")
    for path in folder.iterdir():
        path.write_bytes(entry)
    assert Store(folder).get("two") is None
    assert Store(folder).get("one") == b"payload"


def test_a_directory_that_cannot_be_made_costs_only_time(tmp_path):
    (tmp_path / "file").write_text("in the way")
    store = Store(tmp_path / "file" / "cache")
    store.put("key", b"payload")
    assert store.get("key") == b"payload"
    assert Store(store.directory).get("key") is None


def test_a_directory_that_refuses_files_costs_only_time(folder, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError("read-only")

    store = Store(folder)
    monkeypatch.setattr("tempfile.mkstemp", refuse)
    store.put("key", b"payload")
    assert store.get("key") == b"payload"


def test_a_disk_that_is_full_leaves_no_file_behind(folder, monkeypatch):
    def refuse(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    Store(folder).put("key", b"payload")
    assert list(folder.iterdir()) == []


def test_a_folder_in_the_place_of_an_entry_is_missing(folder):
    Store(folder).put("key", b"payload")
    path = the_file(folder)
    path.unlink()
    path.mkdir()
    store = Store(folder)
    assert store.get("key") is None
    store.put("key", b"payload")
    assert store.get("key") == b"payload"


def write_and_read(folder: Path, letter: str) -> bool:
    """Whether each read finds one whole payload, of whoever wrote it."""
    store = Store(folder)
    whole = True
    for _ in range(50):
        store.put("key", letter.encode() * 50_000)
        found = Store(folder).get("key")
        whole = whole and found is not None and len(set(found)) == 1 and len(found) == 50_000
    return whole


def test_concurrent_processes_read_whole_entries(folder):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.starmap(write_and_read, [(folder, "a"), (folder, "b")]) == [True, True]
    assert len(list(folder.iterdir())) == 1
