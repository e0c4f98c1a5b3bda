"""Norms per iteration in print: .tex for the document, .csv with raw numbers, .md for the terminal."""

from collections.abc import Mapping, Sequence
from itertools import chain, groupby, repeat
from pathlib import Path
from typing import Any

from reedit.report.latex.typeset import half_up, k_text, percent, perplexity, render
from reedit.report.rows.norms import BLOWING_UP, CONDITION, GROWTH, MORE_SPREAD, RESIDUAL, SETTLED
from reedit.report.tables.blocks import RANGE
from reedit.report.tables.render import aligned, bullets
from reedit.storage.csv_text import csv_text
from reedit.storage.schemas import SCHEMAS

TITLE = "More SPREAD, or blowing up: norms of the edited weights and residuals, iteration by iteration"
EMPTY = "This experiment has edited nothing."
HEAD = ("Model", "Algo", "k", "Update", "Growth", "Condition", "× unedited", "Before", "After", "Reading")
READING = [
    "Update: Frobenius norm of the iteration's own update, all edited layers together. Growth: norm of"
    " an edited layer's weights by that of the unedited ones. Condition: their largest by their smallest"
    " singular value, then that by the unedited weights' own. Each is that of the layer in which it is"
    " largest. Residual: ||z - h|| before and after SPREAD in percent of ||h||, mean over cases. All are"
    " means over trials.",
    f"The last column is an aid to reading, not a test. “{BLOWING_UP}”: growth above {GROWTH:g}, or a"
    f" condition number above {CONDITION:g} times the unedited one, or numbers that are not finite."
    f" “{MORE_SPREAD}”: else, where SPREAD leaves a residual above {100 * RESIDUAL:g} % of ||h||, which a"
    f" further iteration may close. “{SETTLED}”: else.",
]
Row = Mapping[str, Any]
Labels = Mapping[str, str]


def norms_tex(
    rows: Sequence[Row],
    templates: str | Path | Sequence[str | Path],
    notes: Sequence[str] = (),
    labels: Labels | None = None,
) -> str:
    """The rows of schema "norm_summary" as TeX for \\input, a group a method.

    `templates` are the template files, among them norms.tex.j2; `labels` gives a model, dataset or method
    another name.
    """
    values = {"title": TITLE, "head": HEAD, "groups": _groups(rows, labels or {}), "empty": EMPTY}
    return render(templates, "norms.tex.j2", values | {"notes_below": [*_legend(rows), *notes]})


def norms_csv(rows: Sequence[Row]) -> str:
    """The rows as they are, unrounded."""
    return csv_text(SCHEMAS["norm_summary"].names, rows)


def norms_md(rows: Sequence[Row], notes: Sequence[str] = (), labels: Labels | None = None) -> str:
    """The same as aligned Markdown."""
    if not rows:
        return "\n".join([f"{TITLE}.", "", EMPTY, "", *bullets(notes), ""])
    grid = [HEAD, *(line for group in _groups(rows, labels or {}) for line in group)]
    return "\n".join([f"{TITLE}.", "", *aligned(grid), "", *bullets([*_legend(rows), *notes]), ""])


def _legend(rows: Sequence[Row]) -> list[str]:
    return READING * bool(rows) + [RANGE] * any(row["k_min"] < row["k"] for row in rows)


def _groups(rows: Sequence[Row], labels: Labels) -> list[list[list[str]]]:
    """The printed lines of every method; a model with its dataset is named once."""
    groups, before = [], ()
    for place, members in groupby(rows, key=lambda row: (row["model"], row["dataset"], row["method"])):
        model, dataset, method = (labels.get(name, name) for name in place)
        name = "" if place[:2] == before else f"{model}, {dataset}"
        algo = labels.get(place[2], method.upper())
        leads = chain([(name, algo)], repeat(("", "")))
        groups.append([[*lead, *_cells(row)] for lead, row in zip(leads, members, strict=False)])
        before = place[:2]
    return groups


def _cells(row: Row) -> list[str]:
    ratios = (_ratio(row["growth"]), perplexity(row["condition"]), _ratio(row["condition_growth"]))
    residuals = (percent(row[name], 1, sign="") for name in ("residual_before", "residual_after"))
    return [
        k_text(row["k_min"], row["k"]),
        perplexity(row["update_norm"]),
        *ratios,
        *residuals,
        row["reading"] or "",
    ]


def _ratio(value: float | None) -> str:
    """Three decimals, since weights grow little by little; as a perplexity from a hundred on."""
    return half_up(value, 3) if value is not None and abs(value) < 100 else perplexity(value)
