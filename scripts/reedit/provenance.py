"""What produced a file: settings, model revision, code, package versions."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

PACKAGES = ("torch", "transformers", "numpy", "pandas", "pyarrow", "snakemake")


def provenance(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """The given parts in one dictionary, later ones first to hold, with the versions of what computed it."""
    merged: dict[str, Any] = {}
    for part in parts:
        merged |= part
    return merged | {"packages": {name: version(name) for name in PACKAGES}}
