"""Where a user's own checkout of EasyEdit lies, whether it is one, and which commit of it is there.

Nothing here downloads or imports it; engine.py does the latter, in the editing job alone.
"""

from pathlib import Path

from reedit.errors import InputError
from reedit.methods.spelling import spelling
from reedit.storage.files import file_sha256
from reedit.storage.git import said_by_git
from reedit.storage.provenance import digest


def apply_module(algorithm: str) -> str:
    """The module of EasyEdit that applies an algorithm."""
    names = spelling(algorithm)
    return f"easyeditor.models.{names.folder}.{names.functions}_main"


def names_in(algorithm: str) -> tuple[str, str]:
    """The function in it that does so, and the class of its hyperparameters."""
    names = spelling(algorithm)
    return f"apply_{names.functions}_to_model", f"{names.classes}HyperParams"


def check_checkout(path: Path, algorithm: str, where: str) -> None:
    """Raise InputError, naming `where` it was asked for, if `path` holds no EasyEdit with the algorithm."""
    file = apply_module(algorithm).replace(".", "/") + ".py"
    if not (path / file).is_file():
        raise InputError(f"{where}: no checkout of EasyEdit at {path}, expected {file} in it")


def commit_of(path: Path) -> str | None:
    """The commit that a checkout is at, with "-changed" where its files differ from it.

    None where `path` is no git repository of its own, or there is no git to ask.
    """
    top, commit = (said_by_git(path, "rev-parse", of) for of in ("--show-toplevel", "HEAD"))
    if not top or not commit or Path(top).resolve() != path.resolve():  # unpacked inside another repository
        return None
    changed = said_by_git(path, "status", "--porcelain", "--untracked-files=no")
    return None if changed is None else f"{commit}-changed" if changed else commit


def code_of(path: Path) -> str:
    """A digest of a checkout's code: no commit tells what was changed since, or of what is no repository."""
    files = sorted((path / "easyeditor").rglob("*.py"))
    return digest([[str(file.relative_to(path)), file_sha256(file)] for file in files])
