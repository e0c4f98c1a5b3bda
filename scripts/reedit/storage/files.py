"""Files and folders: what is in them, and writing them whole or not at all."""

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from reedit.errors import InputError

# a fault of the place, not of the code
PLACE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR),
)


@contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary sibling of `path` that takes its place on success and is removed on failure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{token_hex(4)}.tmp")  # two nodes may have one process number
    try:
        with naming(path, temporary):
            yield temporary
            flush(temporary)
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary sibling that takes the place of `folder` on success and is removed on failure."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        with naming(folder, temporary):
            yield temporary
            for path in (temporary, *temporary.rglob("*")):
                if path.is_dir() or path.stat().st_nlink == 1:  # of a link, the other name is not ours
                    _make_ordinary(path)
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def lasting_folder(folder: Path) -> Iterator[Path]:
    """Yield `{folder}.partial`, whose files are on the disk before it becomes `folder`."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with naming(folder, partial):
            partial.mkdir()
            yield partial
            for written in partial.iterdir():
                flush(written)
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def naming(path: Path, temporary: Path) -> Iterator[None]:
    """Raise what the disk says of `temporary` (a file or folder), or of no file, as an OSError of `path`."""
    try:
        yield
    except Exception as error:
        number = _said_by_disk(error, temporary)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def _said_by_disk(error: BaseException | None, temporary: Path) -> int | None:
    """The error number behind `error`, which a library may raise in its own way or on its way out."""
    while error is not None:
        if found := re.search(r"\(os error (\d+)\)", str(error)):  # safetensors
            return int(found[1])
        if isinstance(error, OSError) and error.errno in PLACE:
            written = str(error.filename2 or error.filename or temporary)
            return error.errno if written.startswith(str(temporary)) else None
        error = error.__cause__ or error.__context__
    return None


def write_text(path: Path | str, text: str) -> None:
    """Write a text file as a whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def flush(path: Path) -> None:
    """Bring a written file to the disk, with the permissions of an ordinary new file."""
    _make_ordinary(path)
    with open(path, "rb") as written:
        os.fsync(written.fileno())


def _make_ordinary(path: Path) -> None:
    """Give what is new the permissions that the umask leaves; tempfile's and safetensors's are private."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link, or a copy where the file system has none; weights are large and never written again.

    Of a symbolic link what it leads to: it may be relative.
    """
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copyfile(source, target)


def visible_files(folder: Path) -> list[Path]:
    """The files of a folder by name, without hidden ones (Snakemake marks the time of a folder in one)."""
    return [path for path in sorted(folder.iterdir()) if path.is_file() and path.name[0] != "."]


def visible_tree(folder: Path) -> list[Path]:
    """The files of a folder and of all folders in it by path, without anything hidden."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in found if not any(p[0] == "." for p in path.relative_to(folder).parts)]


def tree(folder: Path) -> list[Path]:
    """All that lies below a folder, by path; links to folders are followed, but none that leads back."""
    found = []
    for place, folders, files in os.walk(folder, followlinks=True):
        above = Path(place).resolve()
        found += [Path(place, name) for name in (*folders, *files)]
        folders[:] = [n for n in folders if not above.is_relative_to(Path(place, n).resolve())]
    return sorted(found)


def payload(folder: Path) -> Path:
    """The single file of a fetched source, or InputError."""
    files = visible_tree(folder)
    if len(files) != 1:
        raise InputError(f"{folder}: holds {len(files)} files, expected exactly one")
    return files[0]


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
