"""What is in files and folders, whenever and wherever they were made."""

import os
from pathlib import Path

import pytest
from tiny import save_tiny_model

from reedit.prepare.preparation import prepare_model
from reedit.storage import checksums
from reedit.storage.checksums import contents, write_sums


def folder_of(place: Path, **files: str) -> Path:
    place.mkdir(parents=True)
    for name, text in files.items():
        (place / name).write_text(text)
    return place


def test_the_same_files_are_the_same_wherever_and_whenever_they_were_made(tmp_path: Path) -> None:
    one, other = (folder_of(tmp_path / name, a="1", b="2") for name in ("one", "other"))
    os.utime(other / "a", (1, 1))
    (other / ".hidden").write_text("of Snakemake")
    assert contents(one) == contents(other) != contents(folder_of(tmp_path / "third", a="1", c="2"))
    assert contents(one / "a") == contents(other / "a") != contents(one / "b")
    unnoted = contents(one)
    write_sums(one)
    assert contents(one) == unnoted


def test_noted_sums_spare_reading_and_hide_no_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, read = folder_of(tmp_path / "one", a="1", b="2"), []
    write_sums(folder)
    as_noted, hashed = contents(folder), checksums.file_sha256
    monkeypatch.setattr(checksums, "file_sha256", lambda path: read.append(path.name) or hashed(path))
    assert contents(folder) == as_noted and read == []
    note = (folder / checksums.SUMS).stat()
    (folder / "b").write_text("3")  # in place, of the same size
    os.utime(folder / "b", ns=(note.st_mtime_ns + 1, note.st_mtime_ns + 1))
    changed = contents(folder)
    assert changed != as_noted and read == ["b"]
    (folder / "c").write_text("4")
    assert contents(folder) not in (as_noted, changed)
    for name in "bc":
        (folder / name).unlink()
    assert contents(folder) not in (as_noted, changed)


def test_a_model_that_was_deleted_and_came_back_is_the_same(tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "fetched")
    source, known = {"kind": "folder", "path": "x"}, []
    for name in ("one", "other"):
        prepare_model(tmp_path / "fetched", tmp_path / name, source)
        assert (tmp_path / name / checksums.SUMS).exists()
        known.append(contents(tmp_path / name))
    assert known[0] == known[1]
