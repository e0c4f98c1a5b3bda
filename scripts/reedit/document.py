"""The one document: title, provenance, the rendered tables and the figures."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from reedit.typeset import render


def document(
    template: str | Path | Sequence[str | Path],
    tables: Sequence[str | Path],
    figures: Sequence[str | Path],
    title: str,
    provenance: Sequence[str],
    comparisons: Sequence[str | Path] = (),
) -> tuple[str, dict[str, Path]]:
    """The document as TeX, and the figures' files under the names it includes them by.

    `tables` are .tex files made by reedit.tables, put in as they stand; `figures` are PDFs, known by
    their stems; `template` is document.tex.j2, alone or among others. `comparisons` are .tex files made by
    reedit.comparison_tables: comparison6.tex follows table6.tex, comparison.tex comes first of all.
    """
    compared = {Path(path).stem: Markup(Path(path).read_text(encoding="utf-8")) for path in comparisons}
    files = {f"figure{number}.pdf": Path(path) for number, path in enumerate(figures, start=1)}
    values = {
        "title": title,
        "provenance": list(provenance),
        "summary": compared.get("comparison", ""),
        "tables": [
            table | {"comparison": compared.get(f"comparison{table['number']}", "")}
            for table in (_table(Path(path), place) for place, path in enumerate(tables, start=1))
        ],
        "figures": [{"file": file, "name": path.stem} for file, path in files.items()],
    }
    return render(template, "document.tex.j2", values), files


def _table(path: Path, place: int) -> dict[str, Any]:
    """The table's TeX and its number: that of its name (table6.tex), otherwise its place."""
    number = re.search(r"\d+$", path.stem)
    return {"number": int(number[0]) if number else place, "tex": Markup(path.read_text(encoding="utf-8"))}
