"""Content hash of the code a script runs: its own and that of every library module it imports.

Snakemake's own trigger looks at the script's modification time alone; this one follows the imports and
ignores comments, docstrings and layout, so that a fresh checkout redoes nothing.
"""

import ast
from hashlib import sha256
from pathlib import Path

# what changes what is said, never what is computed
NEUTRAL = {"reedit.jobs.job", "reedit.jobs.progress", "reedit.errors"}


def code_digest(script: Path) -> str:
    """Hash of `script` and, transitively, of the ``reedit`` modules beside it that it imports."""
    found: dict[str, str] = {}
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if str(path) in found:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found[str(path)] = _without_docstrings(tree)
        waiting += _imported(tree, script.parent)
    text = "\n".join(code for _, code in sorted(found.items(), key=lambda item: Path(item[0]).name))
    return sha256(text.encode()).hexdigest()[:16]


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
