"""Safetensors files, with one line about one that was damaged after it was written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from reedit.errors import MENDED, InputError


def read_tensors(path: Path, device: str = "cpu") -> dict[str, Tensor]:
    """All tensors of a file by name. Raises InputError if it is missing or not whole."""
    with _readable(path):
        return load_file(path, device=device)


def tensors_in(path: Path) -> Iterator[tuple[str, Tensor]]:
    """The same one after the other, for a file that memory need not hold."""
    with _readable(path), safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118 (no mapping)
            yield name, file.get_tensor(name)


def shapes_in(path: Path) -> dict[str, list[int]]:
    """The shape of each tensor, from the file's header alone."""
    with _readable(path), safe_open(path, framework="pt") as file:
        return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118


def metadata_of(path: Path) -> dict[str, str]:
    """What the header says beside the tensors."""
    with _readable(path), safe_open(path, framework="pt") as file:
        return file.metadata() or {}


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # safetensors raises its own types
        raise InputError(f"{path}: not readable as safetensors ({error}){MENDED}") from error
