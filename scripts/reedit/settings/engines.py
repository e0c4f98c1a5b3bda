"""What edits: our engine, or a checkout of EasyEdit."""

from typing import Any

from reedit.edit.easyedit.checkout import check_checkout, code_of, commit_of
from reedit.errors import InputError
from reedit.settings.runs import Method
from reedit.settings.source_files import SourceFiles


def check_engine(method: Method, files: SourceFiles) -> None:
    """A checkout of EasyEdit has to be there before any job starts."""
    if method.engine.name == "reedit":
        return
    where = f"config: methods.{method.name}"
    if method.assisting:
        raise InputError(f"{where}.neighbors: not with engine easyedit, which has no assisting neighbors")
    check_checkout(files.found(method.engine.path), method.algorithm, f"{where}.engine.path")


def engine_of(method: Method, files: SourceFiles) -> dict[str, Any]:
    """Ours by its name alone, a checkout with its path, the commit it is at, and what its code is now."""
    if method.engine.name == "reedit":
        return {"name": "reedit"}
    path = files.found(method.engine.path)
    told = {"commit": commit_of(path), "code": code_of(path)}
    return {"name": method.engine.name, "path": str(path), **told}
