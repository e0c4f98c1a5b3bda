"""What is made layer by layer: a job that is asked for one more layer makes that one alone.

Snakemake wipes a job's output folder; so the files of a job that has ended have other names (hard links) in a
folder of their own.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from reedit.storage.files import file_sha256, link_or_copy, whole_folder, write_text

NOTE = "layers.json"  # beside the files: what each was made of, and its sha256


def take_layers(finished: Path, marks: Mapping[int, str], output: Path) -> list[int]:
    """Put the layers of `finished` that are made of the same, and not damaged, into `output`.

    `marks`: by layer, of all that it is made of. Gives the layers that are still to be made.
    """
    try:
        noted = json.loads((finished / NOTE).read_text())
    except (OSError, ValueError):
        noted = {}
    missing = []
    for layer, mark in marks.items():
        file = finished / f"{layer}.safetensors"
        if file.exists() and noted.get(file.name) == [mark, file_sha256(file)]:
            output.mkdir(parents=True, exist_ok=True)
            link_or_copy(file, output / file.name)
        else:
            missing.append(layer)
    return missing


def leave_layers(finished: Path, marks: Mapping[int, str], output: Path) -> None:
    """Keep the files of `output` for take_layers; nothing where the file system has no hard links."""
    noted = {}
    try:
        with whole_folder(finished) as folder:
            for layer, mark in marks.items():
                file = folder / f"{layer}.safetensors"
                os.link(output / file.name, file)
                noted[file.name] = [mark, file_sha256(file)]
            write_text(folder / NOTE, json.dumps(noted))
    except OSError:
        shutil.rmtree(finished, ignore_errors=True)
