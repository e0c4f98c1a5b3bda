"""The one document: title, provenance, the rendered tables and the figures."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from reedit.report.latex.typeset import Templates, captions, render


def document(
    template: Templates,
    tables: Sequence[str | Path],
    figures: Sequence[str | Path],
    title: str,
    provenance: Sequence[str],
) -> tuple[str, dict[str, Path]]:
    """The document as TeX, and the figures' files under the names it includes them by.

    `tables` are .tex files of rule render_table, put in as they stand, but for those that are all comment:
    the experiment has no runs for them. comparison6.tex follows table6.tex, comparison.tex comes first of
    all. `figures` are PDFs, known by their stems; `template` is
    document.tex.j2, alone or among others.
    """
    made = {Path(path).stem: _table(Path(path)) for path in tables}
    compared = {name: made.pop(name)["tex"] for name in list(made) if name.startswith("comparison")}
    files = {f"figure{number}.pdf": Path(path) for number, path in enumerate(figures, start=1)}
    told = captions(template)["figures"]
    values = {
        "title": title,
        "provenance": list(provenance),
        "summary": compared.get("comparison", ""),
        "tables": [
            table | {"comparison": compared.get(f"comparison{table['number']}", "")}
            for table in made.values()
            if says_something(table["tex"])
        ],
        "figures": [
            {"file": file, "caption": told.get(path.stem, path.stem)} for file, path in files.items()
        ],
    }
    return render(template, "document.tex.j2", values), files


def _table(path: Path) -> dict[str, Any]:
    """The table's TeX, its lines in print by a rough count with caption and notes, and the number in its name
    (table6.tex), None where it has none."""
    number, tex = re.search(r"\d+$", path.stem), path.read_text(encoding="utf-8")
    lines = tex.count(r"\\") + tex.count(r"\par") + 6
    return {"number": int(number[0]) if number else None, "tex": Markup(tex), "lines": lines}


def says_something(tex: str) -> bool:
    """Whether TeX has a line that is neither empty nor a comment."""
    return any(line.strip() and not line.startswith("%") for line in tex.splitlines())
