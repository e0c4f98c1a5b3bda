"""Sources to fetch, a pip that brings them, and what a refusal leaves."""

import subprocess
import zipfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from reedit.errors import InputError
from reedit.fetch import sources
from reedit.fetch.downloads import Web
from reedit.fetch.sources import fetch

CONTENT = b"some content"
HASH = sha256(CONTENT).hexdigest()
WHEEL = {
    "kind": "wheel",
    "package": "pack-age",
    "version": "1.2",
    "member": "pack/data/file.bin",
    "sha256": HASH,
}


def refused(source: dict[str, Any], place: Path, message: str, web: Web | None = None) -> None:
    """The fetch fails with one line that names the source, and leaves things as they were."""
    with pytest.raises(InputError, match=message) as caught:
        fetch("data", source, place, web)
    assert str(caught.value).startswith("source data: ") and "\n" not in str(caught.value)
    assert [path.name for path in place.parent.iterdir()] == ["data"], "nothing half-written is left"
    assert [path.name for path in place.iterdir()] == ["old"]


def pip(
    monkeypatch: pytest.MonkeyPatch, members: dict[str, bytes] | None, code: int = 0, stderr: str = ""
) -> list[list[str]]:
    """A pip that downloads a wheel of these members, or fails."""
    commands: list[list[str]] = []

    def run(command: list[str], **how: Any) -> subprocess.CompletedProcess:
        commands.append(command)
        if members is not None:
            folder = Path(command[command.index("--dest") + 1])
            folder.mkdir()
            with zipfile.ZipFile(folder / "pack_age-1.2-py3-none-any.whl", "w") as archive:
                for name, content in members.items():
                    archive.writestr(name, content)
        return subprocess.CompletedProcess(command, code, "", stderr)

    monkeypatch.setattr(sources.subprocess, "run", run)
    return commands
