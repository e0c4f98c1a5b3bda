"""Which files of a model's folder are read, and how what is wrong with one of them is said."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from reedit.errors import InputError
from reedit.storage.files import visible_files

WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"  # of weights in several files
CODE = "trust_remote_code"  # in what transformers says where a model comes with code
POINTER = b"version https://git-lfs"  # how a file begins that git has not fetched
UNREAD = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx")  # weights that are not read


@dataclass(frozen=True)
class Weights:
    """The one set of weights that is read of a folder, and the names of others that lie beside it unread.

    The rule: model.safetensors, or else the files that model.safetensors.index.json names; a GGUF file only
    where there is no safetensors; nothing that has to be unpickled, ever.
    """

    files: tuple[Path, ...]
    beside: tuple[str, ...] = ()

    @property
    def gguf(self) -> Path | None:
        return self.files[0] if self.files[0].suffix == ".gguf" else None


def weights_in(folder: Path) -> Weights:
    """The set of weights that a folder is read for, by the rule of `Weights`.

    Raises InputError where there is none, or where the rule does not say which one of several it is.
    """
    files = {file.name: file for file in visible_files(folder)}
    safetensors = {name: file for name, file in files.items() if file.suffix == ".safetensors"}
    gguf = {name: file for name, file in files.items() if file.suffix == ".gguf"}
    if not safetensors:
        if not gguf:
            other = [name for name, file in files.items() if file.suffix in UNREAD]
            found = f", found {', '.join(other)}" if other else ""
            raise InputError(
                f"{folder}: no *.safetensors and no *.gguf, expected a model (no pickle is read){found}"
            )
        if len(gguf) > 1:
            raise InputError(
                f"{folder}: several models, {', '.join(gguf)}; expected one, in a folder of its own"
            )
        chosen = gguf
    elif (folder / INDEX).is_file():
        named = _named_by_index(folder)
        if WHOLE in safetensors and named != {WHOLE}:
            raise InputError(
                f"{folder}: two sets of weights, {WHOLE} and those that {INDEX} names;"
                " expected one, in a folder of its own"
            )
        chosen = {name: safetensors[name] for name in sorted(named)}
    elif WHOLE in safetensors:
        chosen = {WHOLE: safetensors[WHOLE]}
    else:
        raise InputError(f"{folder}: {', '.join(safetensors)}, but no {WHOLE} and no {INDEX}, expected one")
    beside = (safetensors.keys() | gguf.keys()) - chosen.keys()
    return Weights(tuple(chosen.values()), tuple(sorted(beside)))


def headers(folder: Path, weights: Weights) -> dict[str, tuple[str, list[int]]]:
    """Number format and shape of every tensor by name, by the files' headers alone.

    Raises InputError for a file that is damaged, and where tensors of the index are in no file.
    """
    found = {}
    for file in weights.files:
        check_fetched(file)
        with (
            refused(f"{folder}: {file.name}: not a model that loads: damaged or cut off"),
            safe_open(file, framework="np") as opened,
        ):
            for name in opened.keys():  # noqa: SIM118 (no mapping)
                part = opened.get_slice(name)
                found[name] = part.get_dtype(), part.get_shape()
    if (folder / INDEX).is_file():
        listed = json_object(folder / INDEX)["weight_map"]
        if missing := sorted(set(listed) - set(found)):
            raise InputError(f"{folder}: {INDEX}: {len(missing)} tensors are in no file: {missing[0]}")
    return found


@contextmanager
def refused(what: str) -> Iterator[None]:
    """Whatever the libraries raise on hostile or damaged files, as one line that begins with `what`."""
    try:
        yield
    except Exception as error:
        told = str(error).strip()
        reason = "it asks for code of its own to be run" if CODE in told else told.partition("\n")[0]
        raise InputError(f"{what} ({reason or type(error).__name__})") from error


def check_fetched(file: Path) -> None:
    """Raise InputError for a file that is empty, or that git has not fetched."""
    with open(file, "rb") as opened:
        start = opened.read(len(POINTER))
    if start == POINTER:
        raise InputError(
            f"{file.parent}: {file.name}: a pointer of Git LFS, expected the file (git lfs pull)"
        )
    if not start:
        raise InputError(f"{file.parent}: {file.name}: not a model that reads: the file is empty")


def json_object(path: Path) -> dict[str, Any]:
    """A JSON object; InputError where it is none."""
    with refused(f"{path.parent}: not a model that loads: {path.name}"):
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"found {type(found).__name__}, expected an object")
        return found


def _named_by_index(folder: Path) -> set[str]:
    """The files of an index, all of them safetensors beside it: others transformers may unpickle."""
    index = folder / INDEX
    with refused(f"{index}: not an index of weights"):
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    wrong = named - {file.name for file in visible_files(folder) if file.suffix == ".safetensors"}
    if wrong:
        raise InputError(f"{index}: names {min(map(str, wrong))}, expected *.safetensors that lie beside it")
    return named
