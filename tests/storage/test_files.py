"""Files that are written whole or not at all; a full disk is told with the file that it is about."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from reedit.edit import journal
from reedit.edit.journal import Iteration, Journal
from reedit.edit.memory import Memory
from reedit.errors import InputError
from reedit.fetch.sources import fetch
from reedit.storage.files import atomic, link_or_copy, naming, whole_folder, write_text
from reedit.storage.tensors import read_tensors

FULL = OSError(errno.ENOSPC, "No space left on device")


class ForeignError(Exception):
    """As safetensors raises them: no OSError, no path."""


def on_the_way_out(error: Exception) -> Exception:
    """As matplotlib has it: another exception, raised while the disk's was on its way."""
    later = AttributeError("no attribute pos")
    later.__context__ = error
    return later


@pytest.mark.parametrize(
    "error",
    [
        FULL,
        OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28] No space left on device"),
        ForeignError("Error while serializing: I/O error: No space left on device (os error 28)"),
        on_the_way_out(FULL),
    ],
    ids=["python", "pyarrow", "safetensors", "matplotlib"],
)
def test_a_full_disk_is_told_with_the_file_and_leaves_nothing(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught, atomic(tmp_path / "new/a.parquet") as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "new/a.parquet"))
    assert caught.value.strerror == "No space left on device"
    assert list((tmp_path / "new").iterdir()) == []


def test_what_else_goes_wrong_stays_as_it_is(tmp_path: Path) -> None:
    missing = FileNotFoundError(errno.ENOENT, "No such file or directory", "input.json")
    denied = PermissionError(errno.EACCES, "Permission denied", "input.json")
    for error in (missing, denied, ValueError("a bug"), on_the_way_out(denied)):
        with pytest.raises(type(error)) as caught, atomic(tmp_path / "a.parquet"):
            raise error
        assert caught.value is error


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o027, 0o077])
def test_what_is_written_has_the_permissions_that_the_umask_leaves(mask: int, tmp_path: Path) -> None:
    """Temporary folders and safetensors' files are private; what is linked is the user's own."""
    (tmp_path / "theirs").write_text("weights")
    (tmp_path / "theirs").chmod(0o640)
    before = os.umask(mask)
    try:
        write_text(tmp_path / "new/a.txt", "a")
        with whole_folder(tmp_path / "model") as folder:
            (folder / "inner").mkdir()
            save_file({"w": torch.ones(2)}, folder / "inner/model.safetensors")
            link_or_copy(tmp_path / "theirs", folder / "linked")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in sorted(tmp_path.rglob("*"))}
    assert modes.pop("linked") == modes.pop("theirs") == 0o640
    assert {modes[name] for name in ("new", "model", "inner")} == {0o777 & ~mask}
    assert {modes[name] for name in ("a.txt", "model.safetensors")} == {0o666 & ~mask}


def test_a_copy_that_fails_is_told_by_its_target(tmp_path: Path) -> None:
    temporary = tmp_path / ".model.abcdefgh"
    error = OSError(errno.ENOSPC, "No space left on device", "/mine/a.json", None, str(temporary / "a.json"))
    with pytest.raises(OSError) as caught, naming(tmp_path / "model", temporary):
        raise error
    assert caught.value.filename == str(tmp_path / "model")


def test_a_source_that_does_not_fit_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.json").write_text("[]")
    (tmp_path / "sources").mkdir()

    def full(source: Path, target: Path) -> None:
        Path(target).write_text("[")
        raise OSError(errno.ENOSPC, "No space left on device", str(source), None, str(target))

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OSError) as caught:
        fetch("mine", {"kind": "file", "path": str(tmp_path / "mine.json")}, tmp_path / "sources/mine")
    assert caught.value.filename == str(tmp_path / "sources/mine")
    assert os.listdir(tmp_path / "sources") == []


def test_an_iteration_that_does_not_fit_leaves_those_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, updates = Journal(tmp_path / "state", "1"), {"w": torch.ones(2)}
    state.complete(1, Iteration({"k": 1}, []), updates, Memory())

    def full(tensors: Any, path: Path, metadata: Any) -> None:
        path.write_bytes(b"half")
        raise ForeignError("No space left on device (os error 28)")

    monkeypatch.setattr(journal, "save_file", full)
    with pytest.raises(OSError) as caught:
        state.complete(2, Iteration({"k": 2}, []), updates, Memory())
    assert caught.value.filename == str(tmp_path / "state/k2")
    assert sorted(os.listdir(tmp_path / "state")) == ["fingerprint", "k1"]
    assert Journal(tmp_path / "state", "1").completed() == 1


def test_a_damaged_state_says_what_to_delete(tmp_path: Path) -> None:
    state = Journal(tmp_path / "state", "1")
    state.complete(1, Iteration({"k": 1}, []), {"w": torch.ones(2)}, Memory())
    assert read_tensors(state.weights(1))["w"].tolist() == [1, 1]
    state.weights(1).write_bytes(state.weights(1).read_bytes()[:-1])
    with pytest.raises(
        InputError, match=r"k1/weights\.safetensors: not readable as safetensors \(.+\); delete"
    ):
        read_tensors(state.weights(1))
    (tmp_path / "state/k1/iteration.json").write_text('{"row":')
    with pytest.raises(
        InputError, match=r"k1/iteration\.json: no iteration \(.+\); delete .+/state and rerun"
    ):
        state.load(1)
