"""What produced a file: settings, model revision, code, package versions."""

import json
from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import version
from typing import Any

PACKAGES = ("torch", "transformers", "numpy", "pandas", "pyarrow", "snakemake")


def provenance(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """The given parts in one dictionary, later ones first to hold, with the versions of what computed it."""
    merged: dict[str, Any] = {}
    for part in parts:
        merged |= part
    return merged | {"packages": {name: version(name) for name in PACKAGES}}


def digest(value: Any) -> str:
    """Short content hash of plain values."""
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
