"""Content hash of the code a script runs: its own and that of every library module it imports.

Snakemake's own trigger looks at the script's modification time alone; this one follows the imports and
ignores comments, docstrings and layout, so that a fresh checkout redoes nothing.
"""

import ast
from hashlib import sha256
from pathlib import Path

# what changes what is said, never what is computed
NEUTRAL = {"reedit.jobs.job", "reedit.jobs.progress", "reedit.jobs.gpus", "reedit.errors"}


class Code:
    """The code of scripts and of the ``reedit`` modules beside them, each file read once."""

    def __init__(self) -> None:
        self._read: dict[Path, tuple[str, list[Path]]] = {}  # what a file says, and the files it imports

    def digest(self, script: Path) -> str:
        """Hash of `script` and, transitively, of the modules that it imports."""
        found: dict[Path, str] = {}
        waiting = [script]
        while waiting:
            path = waiting.pop()
            if path not in found:
                found[path], imported = self._file(path, script.parent)
                waiting += imported
        text = "\n".join(
            code for _, code in sorted(found.items(), key=lambda item: (item[0].name, str(item[0])))
        )
        return sha256(text.encode()).hexdigest()[:16]

    def _file(self, path: Path, folder: Path) -> tuple[str, list[Path]]:
        if path not in self._read:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            imported = _imported(tree, folder)
            self._read[path] = _without_docstrings(tree), imported
        return self._read[path]


def _imported(tree: ast.Module, folder: Path) -> list[Path]:
    """Files of the ``reedit`` modules that a module imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "reedit":
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names if alias.name.partition(".")[0] == "reedit")
    names -= NEUTRAL
    paths = [folder / (name.replace(".", "/") + ".py") for name in sorted(names)]
    return [path for path in paths if path.is_file()]


def _without_docstrings(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list) or not body or not isinstance(body[0], ast.Expr):
            continue
        value = body[0].value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            node.body = body[1:]
    return ast.dump(tree)
