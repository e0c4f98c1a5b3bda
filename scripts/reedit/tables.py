"""Tables 1 and 2 from rows of schema "table": .tex in the paper's layout, .csv raw, .md for the terminal."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from reedit import parquet
from reedit.layout import SHARED, STATISTICS, Line, algo, blocks, bold, groups, names, present
from reedit.markdown import aligned, bullets
from reedit.measures import KINDS, METRICS
from reedit.typeset import percent, perplexity, render

PERPLEXITIES = ("me_ppl", "delta_p")
TITLES = {
    "1": "Iterative model editing: each method after its first iteration and where the criterion stops it.",
    "2": "Neighbor-assisted model editing: each method and its assisted form, where the criterion stops it.",
}
EMPTY = {
    "1": "This experiment has no iterative runs.",
    "2": "This experiment has no neighbor-assisted runs.",
}
LEGEND = {
    "unedited": "k = 0: accuracy of specificity is 100 by definition (unchanged from itself), left blank.",
    "dagger": "† the criterion abs Δp <= 1 was not met: the last iteration.",
    "infinite": "inf, NaN: beyond the range of floating point, the model has collapsed.",
}

Row = Mapping[str, Any]


def table_tex(
    rows: Sequence[Row],
    number: str,
    templates: str | Path | Sequence[str | Path],
    notes: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
) -> str:
    """Table `number` as TeX for \\input (its first lines name the packages it needs).

    `templates` are the template files, among them table{number}.tex.j2; `labels` gives a model, dataset
    or method another name. Raises InputError for a template that asks for what was not measured.
    """
    labels = labels or {}
    table = blocks(rows)
    printed = []
    for block in table:
        name = iter(names(block, labels, edits=number == "2"))
        printed.append(
            [
                [
                    {
                        "name": next(name),
                        "algo": algo(line, block, labels),
                        "k": line.k,
                        "role": line.role,
                        "cells": [
                            {"text": text, "bold": (place, measure) in bold(group)}
                            for measure, text in _cells(line).items()
                        ],
                    }
                    for place, line in enumerate(group)
                ]
                for group in groups(block)
            ]
        )
    values = {"blocks": printed, "notes": list(notes), "empty": EMPTY[number]}
    return render(templates, f"table{number}.tex.j2", values | present(table))


def table_csv(rows: Sequence[Row], labels: Mapping[str, str] | None = None) -> str:
    """The unrounded numbers: fractions and perplexities, each with its spread and interval.

    A cell is empty where there is no such number, as for the unedited model's accuracy of specificity.
    """
    measures = list(dict.fromkeys([*parquet.MEASURES, *(row["measure"] for row in rows)]))
    columns = [(measure, statistic) for measure in measures for statistic in STATISTICS]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = [measure if statistic == "mean" else f"{measure}_{statistic}" for measure, statistic in columns]
    writer.writerow([*SHARED, "label", *head])
    for block in blocks(rows):
        for line in block:
            values = [line.get(*column) for column in columns]
            numbers = ["" if value is None else repr(float(value)) for value in values]
            label = algo(line, block, labels or {})
            writer.writerow([*(getattr(line, name) for name in SHARED), label, *numbers])
    return out.getvalue()


def table_md(
    rows: Sequence[Row], number: str, notes: Sequence[str] = (), labels: Mapping[str, str] | None = None
) -> str:
    """The same table for the eye: aligned Markdown, percent with one decimal, intervals for the score."""
    labels = labels or {}
    title = [f"Table {number}: {TITLES[number]}", ""]
    table = blocks(rows)
    if not table:
        return "\n".join([*title, EMPTY[number], "", *bullets(notes), ""])
    head = ["Model", "Algo", "k", "Efficacy", "Generalization", "Specificity"]
    grid = [[*head, "Score accuracy", "Score success", "ME-PPL", "abs Δp"]]
    for block in table:
        for line, name in zip(block, names(block, labels, edits=number == "2"), strict=True):
            pairs = [
                " / ".join(_percent(line, f"{metric}_{kind}") or "-" for kind in KINDS) for metric in METRICS
            ]
            scores = [_interval(line, "score_accuracy"), _interval(line, "score_success")]
            k = f"{line.k}†" if line.role == "last" else str(line.k)
            perplexities = [perplexity(line.get(measure)) for measure in PERPLEXITIES]
            grid.append([name, algo(line, block, labels), k, *pairs, *scores, *perplexities])
    legend = ["Percent, accuracy / success; score: their harmonic mean [95 % bootstrap interval over cases]."]
    legend += [LEGEND[name] for name, needed in present(table).items() if needed]
    return "\n".join([*title, *aligned(grid), "", *bullets([*legend, *notes]), ""])


def _cells(line: Line) -> dict[str, str]:
    """The measures of a line as the paper prints them; an empty string where there is no measurement."""
    cells = {measure: percent(line.get(measure)) for measure in parquet.MEASURES}
    cells |= {measure: perplexity(line.get(measure)) for measure in PERPLEXITIES}
    return {measure: Markup(r"$\infty$") if text == "inf" else text for measure, text in cells.items()}


def _percent(line: Line, measure: str, statistic: str = "mean") -> str:
    """Percent with one decimal and no sign."""
    return percent(line.get(measure, statistic), 1, sign="")


def _interval(line: Line, measure: str) -> str:
    """ "79.0 [70.1, 86.2]"."""
    text = _percent(line, measure)
    low, high = (_percent(line, measure, bound) for bound in ("low", "high"))
    return f"{text} [{low}, {high}]" if text and low and high else text
