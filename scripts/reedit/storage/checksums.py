"""The sha256 of a folder's files, noted beside them as `sha256sum` does and compared later on."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reedit.storage.files import file_sha256, visible_files, visible_tree, write_text

SUMS = ".sha256sums"  # hidden: no part of the content; `sha256sum --check .sha256sums` reads it, too


def write_sums(folder: Path) -> None:
    """Note the sha256 of every file of a folder in it."""
    write_text(folder / SUMS, _listed(_sums(folder)))


def contents(path: Path) -> str:
    """sha256 of a file, or of the names and contents of all files of a folder but hidden ones.

    What is the same has the same one, wherever and whenever it was made. Sums that are noted in a folder are
    taken for the files that are no newer than the note: models are large.
    """
    if path.is_file():
        return file_sha256(path)
    noted = noted_sums(path) or {}
    since, sums = (path / SUMS).stat().st_mtime_ns if noted else 0, {}
    for file in visible_tree(path):
        name = file.relative_to(path).as_posix()
        known = name in noted and file.stat().st_mtime_ns <= since
        sums[name] = noted[name] if known else file_sha256(file)
    return hashlib.sha256(_listed(sums).encode()).hexdigest()


def folder_sha256(folder: Path) -> str:
    """sha256 over the names and contents of a folder's files, as ``sha256sum`` would list them."""
    sums = {path.name: file_sha256(path) for path in visible_files(folder)}
    return hashlib.sha256(_listed(sums).encode()).hexdigest()


def changed_since_noted(folder: Path) -> str | None:
    """The first file of a folder that is not as its noted sums say; None where all are."""
    return _change(noted_sums(folder) or {}, _sums(folder), "it was noted")


def changed_since_fetched(folder: Path, source: Mapping[str, Any]) -> str | None:
    """What is wrong with the fetched `folder` of a definition of `sources`, None where nothing is.

    Its files are compared with the sums noted when they were fetched and with the configuration's sha256.
    """
    found = _sums(folder)
    noted = noted_sums(folder)
    if noted is None and not source.get("sha256"):
        return None if found else "no file in it"
    return _change(noted or found, found, "it was fetched") or _differs_from_configuration(found, source)


def _change(noted: Mapping[str, str], found: Mapping[str, str], when: str) -> str | None:
    for name in sorted(noted.keys() | found.keys()):
        was, now = noted.get(name, "nothing"), found.get(name, "nothing")
        if was != now:
            return f"{name}: sha256 is {now}, was {was} when {when}"
    return None


def _differs_from_configuration(found: Mapping[str, str], source: Mapping[str, Any]) -> str | None:
    expected = source.get("sha256") or {}
    if isinstance(expected, str):  # of a folder its list's; of anything else the one file's
        whole = hashlib.sha256(_listed(found).encode()).hexdigest()
        found = {"content": whole if source["kind"] == "folder" else ", ".join(found.values())}
        expected = {"content": expected}
    for name, sha256 in expected.items():
        if found.get(name) != sha256:
            return f"{name}: sha256 is {found.get(name, 'nothing')}, the configuration has {sha256}"
    return None


def _sums(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in visible_tree(folder)}


def _listed(sums: Mapping[str, str]) -> str:
    return "".join(f"{sha256}  {name}\n" for name, sha256 in sums.items())


def noted_sums(folder: Path) -> dict[str, str] | None:
    """The sha256 noted of a folder's files; None where it was fetched before any were noted."""
    path = folder / SUMS
    if not path.is_file():
        return None
    lines = [line.partition("  ") for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    return {name: sha256 for sha256, _, name in lines}
