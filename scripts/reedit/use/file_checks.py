"""Whether one file or folder that a job wrote is whole, kind by kind.

Each check raises InputError: what was found, and what was expected.
"""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import torch

from reedit.edit.kept_weights import kept_iterations
from reedit.errors import InputError
from reedit.prepare.preparation import REVISION
from reedit.storage import parquet
from reedit.storage.tensors import tensors_in


def finite_tensors(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of a file; InputError where one is not readable or has a number that is not finite."""
    for name, tensor in tensors_in(path):
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise InputError(f"{name} has entries that are not finite")
        yield name, tensor


def check_tensors(path: Path) -> None:
    if not [name for name, _ in finite_tensors(path)]:
        raise InputError("holds no tensor")


def check_readable(path: Path) -> None:
    for _ in tensors_in(path):
        pass


def check_model(folder: Path) -> None:
    """All that a prepared model consists of is there."""
    for name in ("config.json", REVISION):
        expect_file(folder / name, "in a prepared model")
    if not any(folder.glob("*.safetensors")):
        raise InputError("holds no *.safetensors, expected a prepared model")
    for index in sorted(folder.glob("*.safetensors.index.json")):
        check_json(index)
        for name in sorted(set(json.loads(index.read_bytes()).get("weight_map", {}).values())):
            expect_file(folder / name, f"by {index.name}")


def check_kept(folder: Path) -> None:
    """The weights of every k that the run keeps; a damaged table of its iterations is a fault of its own."""
    iterations = folder.parent / "iterations.parquet"
    try:
        rows, keep = (
            parquet.read(iterations, "iterations"),
            parquet.read_provenance(iterations)["keep_weights"],
        )
    except (InputError, KeyError):
        return
    for k in kept_iterations(rows, keep) if rows else []:
        expect_file(folder / f"k{k}.safetensors", f"with keep_weights: {keep}")


def check_json(path: Path) -> None:
    try:
        json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"not JSON ({error})") from error


def check_zip(path: Path) -> None:
    """Every member of an .npz file has the checksum noted in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"not an .npz file ({error})") from error
    if damaged is not None:
        raise InputError(f"{damaged} in it has another checksum than when it was written")


def check_not_empty(path: Path) -> None:
    if path.stat().st_size == 0:
        raise InputError("is empty")


def check_end(path: Path, mark: bytes) -> None:
    """A PDF or PNG goes on to the mark that ends it."""
    if mark not in path.read_bytes()[-1024:]:
        raise InputError(f"is cut off: no {mark.decode()} at its end")


def expect_file(path: Path, where: str) -> None:
    if not path.is_file():
        raise InputError(f"{path.name} is missing, expected {where}")
