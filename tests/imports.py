"""What a file of ours imports, read without running it."""

import ast
from functools import cache
from pathlib import Path

from configurations import REPOSITORY

LIBRARY = REPOSITORY / "scripts" / "reedit"


def syntax(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@cache
def modules_imported(path: Path) -> set[str]:
    """Dotted names; of `from reedit import a, b` the submodules too."""
    found = set()
    for node in syntax(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def library_files_of(script: Path) -> set[Path]:
    """The script and every module of the library that it imports, directly or through another."""
    found, open_files = set(), [script]
    while open_files:
        path = open_files.pop()
        if path not in found and path.exists():
            found.add(path)
            modules = [module for module in modules_imported(path) if module.startswith("reedit.")]
            open_files += [LIBRARY.parent / f"{module.replace('.', '/')}.py" for module in modules]
    return found


def modules_imported_by(script: Path) -> set[str]:
    """What a script imports, directly or through the library."""
    return {module for file in library_files_of(script) for module in modules_imported(file)}
