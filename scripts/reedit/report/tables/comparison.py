"""The comparison in print: one table beside each of ours; .tex, .csv and .md.

A printed line shows the paper's numbers, under them those of each run that stands for the line, marked by
verdict, and where some of them differ, by how much.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from reedit.report.latex.typeset import k_text, render
from reedit.report.rows.comparison import Row
from reedit.report.rows.reported import IDENTITY, MEASURES
from reedit.report.tables.blocks import RANGE
from reedit.report.tables.render import aligned, bullets
from reedit.report.words import LEGEND, MARKS, measure_name, name_of, text_of
from reedit.storage.csv_text import csv_text
from reedit.storage.schemas import SCHEMAS

CHOSEN = "Chosen iterations meet by what they were chosen for, not by k: each number stands beside its own k."


def comparison_tex(rows: Sequence[Row], number: int, templates: Sequence[str | Path]) -> str:
    """Table `number` beside the paper's as TeX for \\input; a comment alone where nothing is compared."""
    measures, blocks = _printed(rows)
    if not blocks:
        return f"% Nothing in this experiment stands for a line of the paper's Table {number}.\n"
    values = {
        "number": number,
        "measures": measures,
        "blocks": blocks,
        "notes": _notes(rows, number),
    }
    return render(templates, "comparison.tex.j2", values)


def comparison_md(rows: Sequence[Row], number: int) -> str:
    """The same for the eye."""
    measures, blocks = _printed(rows)
    title = [f"Table {number}, reported and measured", ""]
    if not blocks:
        return "\n".join([*title, "Nothing in this experiment stands for a line of it in the paper.", ""])
    grid = [["Algo", "Source", "k", *map(measure_name, measures)]]
    for block in blocks:
        grid.append([block["name"], *[""] * (len(measures) + 2)])
        for line in block["lines"]:
            for place, source in enumerate(line["sources"]):
                cells = [f"{cell['text']} {cell['mark']}".strip() for cell in source["cells"]]
                grid.append(["" if place else line["method"], source["name"], source["k"], *cells])
    return "\n".join([*title, *aligned(grid), "", *bullets([*LEGEND, *_notes(rows, number)]), ""])


def comparison_csv(rows: Iterable[Row]) -> str:
    """The rows as they are: unrounded fractions and perplexities, empty where there is no number."""
    return csv_text(SCHEMAS["comparison"].names, rows)


def _printed(rows: Sequence[Row]) -> tuple[list[str], list[dict[str, Any]]]:
    """The measures that are columns, and the blocks of lines of which something was measured."""
    reported = [row for row in rows if row["reported"] is not None]
    measures = [measure for measure in MEASURES if any(row["measure"] == measure for row in reported)]
    blocks = []
    for (model, dataset, edits), block in groupby(
        rows, key=lambda row: (row["model"], row["dataset"], row["edits"])
    ):
        lines = []
        for (method, _, k), members in groupby(block, key=lambda row: (row["method"], row["role"], row["k"])):
            line = list(members)
            if k is not None and any(row["measured"] is not None for row in line):
                lines.append({"method": name_of(method), "sources": _sources(line, measures)})
        if lines:
            name = f"{name_of(model)}, {name_of(dataset)}, {edits} edits"
            blocks.append({"name": name, "lines": lines})
    return measures, blocks


def _sources(line: Sequence[Row], measures: Sequence[str]) -> list[dict[str, Any]]:
    """A line's numbers: the paper's, then for each run its own and, where some differ, the differences."""
    runs = [
        {row["measure"]: row for row in members}
        for _, members in groupby(line, key=lambda row: (row["run"], row["protocol"]))
    ]
    first = [next(iter(run.values())) for run in runs]
    paper = [_cell(runs[0].get(measure), "reported") for measure in measures]
    sources = [{"name": "paper", "k": str(first[0]["k"]), "cells": paper}]
    protocols = Counter(run["protocol"] for run in first)
    for run, one in zip(runs, first, strict=True):
        if one["run_k"] is None:
            continue
        name = one["protocol"] if protocols[one["protocol"]] == 1 else f"{one['protocol']} {one['run']}"
        cells = [_cell(run.get(measure), "measured") for measure in measures]
        sources.append({"name": name, "k": k_text(one["run_k_min"], one["run_k"]), "cells": cells})
        if any(row["verdict"] == "differs" for row in run.values()):
            gaps = [_cell(run.get(measure), "difference") for measure in measures]
            sources.append({"name": "difference", "k": "", "cells": gaps})
    return sources


def _cell(row: Row | None, column: str) -> dict[str, str]:
    """One number as text; a measured one has a mark, a difference is told only of cells that differ."""
    empty = {"text": "", "mark": "", "verdict": ""}
    if row is None or row[column] is None or (column == "difference" and row["verdict"] != "differs"):
        return empty
    cell = empty | {"text": text_of(row, column)}
    if column == "measured":
        cell |= {"mark": MARKS.get(row["verdict"], ""), "verdict": row["verdict"]}
    return cell


def _notes(rows: Sequence[Row], number: int) -> list[str]:
    """What a reader of one table's comparison has to know."""
    notes = [CHOSEN] if number <= 4 else []
    notes += [RANGE] * any(row["run_k"] is not None and row["run_k_min"] < row["run_k"] for row in rows)
    reported = {tuple(row[name] for name in IDENTITY): False for row in rows if row["k"] is not None}
    for row in rows:
        if row["measured"] is not None and row["k"] is not None:
            reported[tuple(row[name] for name in IDENTITY)] = True
    left = sum(not measured for measured in reported.values())
    if left:
        notes.append(f"{left} of {len(reported)} reported lines were not measured and are left out here.")
    edits = {(row["run_edits"], row["edits"]) for row in rows if row["run_edits"] and row["edits"]}
    other = sorted({mine for mine, theirs in edits if mine != theirs})
    if other:
        notes.append(
            f"Runs of {', '.join(map(str, other))} edits stand for the paper's number, named with each model."
        )
    return notes
