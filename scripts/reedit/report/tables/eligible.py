"""The cases that pass the neighbor filter here beside those of a published list (paper, Appendix B.2)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reedit.prepare.facts import Fact
from reedit.prepare.roles import by_case, is_eligible
from reedit.report.latex.typeset import render
from reedit.report.tables.render import aligned, bullets
from reedit.storage.csv_text import csv_text

TITLE = "Cases that pass the neighbor filter: run anew, and as published."
COLUMNS = {  # column -> what stands above it
    "model": "Model",
    "cases": "pool",
    "eligible": "eligible anew",
    "published": "published",
    "both": "in both",
    "only_anew": "only anew",
    "only_published": "only published",
    "not_in_pool": "not in the pool",
}
READING = (
    "A case is eligible with at least two neighbors whose object the unedited model says at every token;"
    " cases are told apart by subject, prompt and new object."
)


def eligibility(
    model: str, pool: Sequence[Fact], filtered: Sequence[Mapping[str, Any]], published: Sequence[Fact]
) -> dict[str, str | int]:
    """One row of counts, the keys of COLUMNS; `filtered`: the filter's rows of the pool."""
    rows = by_case(filtered)
    known = {_key(fact) for fact in pool}
    anew = {_key(fact) for fact in pool if is_eligible(rows.get(fact.case_id, []), [])}
    listed = {_key(fact) for fact in published}
    return {
        "model": model,
        "cases": len(pool),
        "eligible": len(anew),
        "published": len(listed),
        "both": len(anew & listed),
        "only_anew": len(anew - listed),
        "only_published": len((listed & known) - anew),
        "not_in_pool": len(listed - known),
    }


def _key(fact: Fact) -> tuple[str, str, str]:
    """Tells a case in files that number their cases differently."""
    return fact.subject, fact.prompt, fact.target_new


def eligibility_tex(
    rows: Sequence[Mapping[str, Any]], templates: Sequence[str | Path], labels: Mapping[str, str]
) -> str:
    """The counts as TeX for \\input; `templates` are the template files, among them eligible.tex.j2."""
    head, *lines = _grid(rows, labels)
    values = {"title": TITLE.removesuffix("."), "head": head, "lines": lines}
    return render(templates, "eligible.tex.j2", values | {"reading": READING})


def eligibility_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    return csv_text(list(COLUMNS), rows)


def eligibility_md(rows: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> str:
    return "\n".join([TITLE, "", *aligned(_grid(rows, labels), left=1), "", *bullets([READING]), ""])


def _grid(rows: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> list[list[str]]:
    """What is printed, the head first."""
    named = [row | {"model": labels.get(row["model"], row["model"])} for row in rows]
    return [list(COLUMNS.values()), *([str(row[column]) for column in COLUMNS] for row in named)]
