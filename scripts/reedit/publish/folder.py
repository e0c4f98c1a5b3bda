"""A published folder: the names of its files, what its provenance tells, and whether they are as it says."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reedit.errors import InputError
from reedit.storage.files import file_sha256

CONFIG, CELLS, PROVENANCE, CRATE = "config.yaml", "cells.parquet", "provenance.json", "ro-crate-metadata.json"


def read_told(folder: Path) -> Mapping[str, Any]:
    """Date, commit and files (their sha256) of a published folder; InputError where none are told."""
    path = folder / PROVENANCE
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        files = {str(name): str(sha256) for name, sha256 in told["files"].items()}
        told = {name: told[name] for name in ("published", "commit")} | {"files": files}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: expected what make publish writes ({error})") from None
    return told


def check_files(folder: Path, files: Mapping[str, str], names: Iterable[str]) -> None:
    """Raise InputError where some files are not those that were published, `files`: their sha256 by name."""
    for name in names:
        if not (folder / name).is_file() or file_sha256(folder / name) != files.get(name):
            raise InputError(f"{folder / name}: is not the file that was published ({PROVENANCE}: files)")
