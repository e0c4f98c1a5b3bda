"""Verified downloads: every source ends as a folder of its own whose content has the expected sha256.

Nothing of what is fetched is executed or unpacked: one named member is read out of a wheel.
"""

import hashlib
import http.client
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from reedit.errors import InputError
from reedit.files import file_sha256, link_or_copy, naming, visible_files, visible_tree

if TYPE_CHECKING:
    from huggingface_hub import HfApi

ATTEMPTS = 3
MODEL_FILES = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
# any interpreter can take a wheel as data when pip is told whose it is
WHEEL_TARGET = ["--python-version", "3.11", "--platform", "manylinux_2_28_x86_64", "--implementation", "cp"]


def fetch(name: str, source: Mapping[str, Any], folder: Path) -> None:
    """Bring a source into `folder`, which appears as a whole or not at all.

    `source` is a definition of the configuration's `sources`. Raises InputError on a missing file, a
    failed download, or content of another sha256.
    """
    fetchers: Mapping[str, Callable[[], None]]
    temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=folder.parent))
    where = f"source {name}"
    fetchers = {
        "file": lambda: _copy_file(where, Path(source["path"]), temporary, source.get("sha256")),
        "folder": lambda: _link_folder(where, Path(source["path"]), temporary, source.get("sha256")),
        "wheel": lambda: _fetch_wheel(where, source, temporary),
        "url": lambda: _fetch_url(where, source, temporary),
        "hub": lambda: _fetch_hub(where, source, temporary),
    }
    try:
        with naming(folder, temporary):
            fetchers[source["kind"]]()
            shutil.rmtree(folder, ignore_errors=True)
            temporary.chmod(0o755)
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def payload(folder: Path) -> Path:
    """The single file of a fetched source, or InputError."""
    files = visible_tree(folder)
    if len(files) != 1:
        raise InputError(f"{folder}: holds {len(files)} files, expected exactly one; delete it and rerun")
    return files[0]


def folder_sha256(folder: Path) -> str:
    """sha256 over the names and contents of a folder's files, as ``sha256sum`` would list them."""
    lines = [f"{file_sha256(path)}  {path.name}\n" for path in visible_files(folder)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


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
    """Hard links where the file system allows them: a model's weights are not copied."""
    if not path.is_dir():
        raise InputError(f"{where}: no such folder: {path}")
    for file in visible_files(path):
        link_or_copy(file.resolve(), folder / file.name)
    if expected is not None:
        _check(where, folder_sha256(folder), expected)


def _fetch_wheel(where: str, source: Mapping[str, Any], folder: Path) -> None:
    requirement = f"{source['package']}=={source['version']}"
    wheels = folder / "wheels"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    command += ["--disable-pip-version-check", *WHEEL_TARGET, "--dest", str(wheels), requirement]
    logging.getLogger("reedit").info("pip download %s", requirement)
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    found = sorted(wheels.glob("*.whl")) if wheels.exists() else []
    if run.returncode or len(found) != 1:
        errors = [line for line in run.stderr.splitlines() if line.startswith("ERROR")] or ["no wheel"]
        raise InputError(f"{where}: pip could not fetch {requirement} ({errors[-1]}); is there a network?")
    member = source["member"]
    target = folder / PurePosixPath(member).name
    try:
        with zipfile.ZipFile(found[0]) as archive, archive.open(member) as packed, open(target, "wb") as file:
            shutil.copyfileobj(packed, file)
    except KeyError as error:
        raise InputError(f"{where}: {found[0].name} has no member {member}") from error
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise InputError(f"{where}: {found[0].name} is damaged ({error}); rerun to fetch it again") from error
    shutil.rmtree(wheels)
    _check(f"{where}: {member}", file_sha256(target), source["sha256"])


def _fetch_url(where: str, source: Mapping[str, Any], folder: Path) -> None:
    url = source["url"]
    target = folder / PurePosixPath(url.split("?")[0]).name
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(url, timeout=60) as answer, open(target, "wb") as file:
                if not answer.geturl().startswith("https://"):
                    raise InputError(f"{where}: {url} leads to a place without https")
                shutil.copyfileobj(answer, file)
            break
        except (OSError, http.client.HTTPException) as error:  # URLError is an OSError, too
            reason = getattr(error, "reason", error)
            code = getattr(error, "code", None)
            if attempt == ATTEMPTS or (code is not None and code < 500):
                raise InputError(f"{where}: could not fetch {url} ({code or reason})") from error
            time.sleep(2**attempt)
    _check(where, file_sha256(target), source["sha256"])


def _fetch_hub(where: str, source: Mapping[str, Any], folder: Path) -> None:
    """A pinned revision of a hub repository: the files named, or else a model's weights and text files.

    Nothing executable is taken. A token comes from the environment alone.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HTTPError  # HTTPError: of whichever client it uses

    repo, hub = source["repo"], HfApi(token=os.environ.get("HF_TOKEN") or False)
    try:
        if "files" in source:
            _fetch_hub_files(where, source, folder, hub)
        else:
            hub.snapshot_download(
                repo, revision=source["revision"], local_dir=folder, allow_patterns=MODEL_FILES
            )
    except GatedRepoError as error:
        raise InputError(
            f"{where}: {repo} is gated; accept its licence on the hub and set HF_TOKEN in the environment"
        ) from error
    except (HTTPError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{where}: could not fetch {repo} ({reason})") from error
    shutil.rmtree(folder / ".cache", ignore_errors=True)


def _fetch_hub_files(where: str, source: Mapping[str, Any], folder: Path, hub: "HfApi") -> None:
    """The files named, each of the sha256 that the configuration gives, or else the hub at that revision."""
    repo, names = source["repo"], source["files"]
    pinned = {"revision": source["revision"], "repo_type": source.get("repo_type", "model")}
    found = hub.get_paths_info(repo, names, **pinned)
    listed = {entry.path: entry for entry in found if hasattr(entry, "size")}  # files, not folders
    expected = {}
    for name in names:
        if name not in listed:
            raise InputError(f"{where}: {repo} has no file {name} at that revision")
        large = listed[name].lfs
        expected[name] = source.get("sha256", {}).get(name) or (large and large.sha256)
        if not expected[name]:
            raise InputError(f"{where}: the hub knows no sha256 of {name}, expected one in the configuration")
    for number, name in enumerate(names, 1):
        size = listed[name].size / 1e6
        logging.getLogger("reedit").info("%s: %s (%d of %d, %.0f MB)", repo, name, number, len(names), size)
        hub.hf_hub_download(repo, name, local_dir=folder, **pinned)
        _check(f"{where}: {name}", file_sha256(folder / name), expected[name])
