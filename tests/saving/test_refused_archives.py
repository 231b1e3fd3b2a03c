"""Files made to do harm: archives whose members lead out, fill the memory, lie, describe no model, or are damaged."""

import io
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harmful_files import file_of, honest, refused

import kgraph as kg
from kgraph.errors import KGraphError

pytestmark = pytest.mark.usefixtures("first_use", "nothing_happens")


def archive_with(name: str, data: bytes = b"evil", **info: Any) -> Path:
    path = file_of()
    with zipfile.ZipFile(path, "a") as archive:
        member = zipfile.ZipInfo(name)
        for key, value in info.items():
            setattr(member, key, value)
        archive.writestr(member, data)
    return path


@pytest.mark.parametrize(
    "name",
    ["../evil", "../../evil", "/tmp/evil", "assets/../../evil", "..\\evil", "\\evil", "C:\\evil", "a/../../evil"],
)
def test_paths_out_of_the_archive_are_refused(name: str) -> None:
    refused(archive_with(name), "leads out of it")


def test_links_in_the_archive_are_refused() -> None:
    refused(archive_with("assets", b"/etc", external_attr=0o120777 << 16, create_system=3), "leads out of it")


def test_members_that_nobody_asked_for_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive_with("assets/layers/dense/evil.txt")
    opened: list[str] = []
    opens = zipfile.ZipFile.open

    def noted(archive: zipfile.ZipFile, member: Any, *args: Any, **options: Any) -> Any:
        opened.append(getattr(member, "filename", member))
        return opens(archive, member, *args, **options)

    monkeypatch.setattr(zipfile.ZipFile, "open", noted)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = sorted(tmp_path.rglob("*"))
    kg.models.load_model(path)
    assert sorted(tmp_path.rglob("*")) == before
    assert "config.json" in opened and not [name for name in opened if "evil" in name]


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_an_archive_with_a_member_twice_is_refused(name: str) -> None:
    path = file_of()
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"{}")
    refused(path, "two members")


def test_zip_bombs_are_refused(little_memory: None) -> None:
    for name in ("config.json", "model.weights.h5", "assets/other"):
        path = Path("model.keras")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member in {"config.json", "model.weights.h5", name}:
                archive.writestr(member, b" " * (1 << 24) if member == name else b"{}")
        refused(path, "made to fill the memory")


def test_a_member_that_lies_about_its_size_is_refused(little_memory: None) -> None:
    data = bytearray(file_of().read_bytes())
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        info = archive.getinfo("model.weights.h5")
    place = data.rindex(b"model.weights.h5") - 46
    assert data[place : place + 4] == b"PK\x01\x02"
    struct.pack_into("<II", data, place + 20, 2**31, 2**31)
    Path("model.keras").write_bytes(bytes(data))
    refused("model.keras", "made to fill the memory|damaged|no .keras file")
    assert info.file_size < 2**31


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "nothing", "", "[]", "3", '{"class_name": 3, "config": 4}']
)
def test_texts_that_describe_no_model_are_refused(text: str) -> None:
    with zipfile.ZipFile("model.keras", "w") as archive:
        archive.writestr("config.json", text)
        archive.writestr("model.weights.h5", b"")
    refused("model.keras", "JSON|describe|class_name|model")
    with pytest.raises(KGraphError):
        kg.models.model_from_json(text)


def test_a_configuration_of_something_else_is_no_model() -> None:
    dense = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 3}, "registered_name": None}
    refused(file_of(lambda _: dense), "describes a Dense, and no model")


@pytest.mark.parametrize("cut", [0.0, 0.3, 0.7, 0.99])
def test_files_that_were_cut_off_are_refused(cut: float) -> None:
    data = file_of().read_bytes()
    Path("model.keras").write_bytes(data[: int(len(data) * cut)])
    refused("model.keras", "no .keras file")


def test_damaged_bytes_never_give_a_model_with_other_numbers_or_another_error() -> None:
    data = file_of().read_bytes()
    draw = np.random.default_rng(0)
    model = honest()
    for place in draw.integers(0, len(data), 300):
        changed = bytearray(data)
        changed[place] ^= 1 << int(draw.integers(8))
        Path("model.keras").write_bytes(bytes(changed))
        try:
            model = kg.models.load_model("model.keras")
        except KGraphError:
            continue
        assert [weight.shape for weight in model.get_weights()] == [(3, 2), (2,)]
