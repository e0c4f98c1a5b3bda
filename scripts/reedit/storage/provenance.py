"""What produced a file: settings, model revision, code, package versions."""

import json
import platform
import re
from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

# what decides, beside the code, what jobs that write provenance compute; pandas is for the tables after them
PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "gguf", "numpy", "pyarrow", "snakemake")


def provenance(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """The given parts in one dictionary, later ones first to hold, with the versions of what computed it."""
    merged: dict[str, Any] = {}
    for part in parts:
        merged |= part
    return merged | {"packages": {name: version(name) for name in PACKAGES}}


def digest(value: Any) -> str:
    """Short content hash of plain values."""
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name as Linux gives it in `cpuinfo`, elsewhere as Python knows it."""
    if cpuinfo.exists():
        found = re.search(r"^model name\s*:\s*(.*\S)", cpuinfo.read_text(errors="replace"), re.MULTILINE)
        if found:
            return found[1]
    return platform.processor() or platform.machine() or "unknown processor"
