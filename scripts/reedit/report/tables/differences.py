"""Paired differences in print: .tex for the document, .csv with raw numbers, .md in plain sentences."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from reedit.evaluate.measures import KINDS, METRICS
from reedit.report.latex.typeset import k_text, percent, render
from reedit.report.tables.blocks import RANGE
from reedit.report.tables.render import bullets, plain
from reedit.storage.schemas import SCHEMAS

TITLE = "What iterating and neighbors change: paired differences"
EMPTY = (
    "Nothing to compare: no method was iterated beyond its first edit, and none was assisted by neighbors."
)
READING = (
    "Differences in percentage points: mean over cases, then over trials; in brackets the 95 % interval of a"
    " bootstrap that resamples pairs, the same case on both sides. Bold: the interval excludes zero."
)
MARKS = {"last": "†", "unjudged": "‡"}
LAST = {
    "last": "† the criterion abs Δp <= 1 was not met: the last iteration.",
    "unjudged": "‡ abs Δp was not measured: the last iteration.",
}
Row = Mapping[str, Any]
Labels = Mapping[str, str]


def differences_tex(
    rows: Sequence[Row],
    templates: str | Path | Sequence[str | Path],
    notes: Sequence[str] = (),
    labels: Labels | None = None,
) -> str:
    """The comparisons as TeX for \\input, two lines each (accuracy, success), block by block.

    `templates` are the template files, among them differences.tex.j2; `labels` gives a model, dataset or
    method another name.
    """
    labels = labels or {}
    blocks = [
        {
            "title": _block_title(block[0][0], labels),
            "comparisons": [
                {
                    "compared": _compared(comparison[0], labels),
                    "pairs": comparison[0]["pairs"],
                    "lines": [{"kind": kind, "cells": _cells(comparison, kind)} for kind in KINDS],
                }
                for comparison in block
            ],
        }
        for block in _blocks(rows)
    ]
    values = {"title": TITLE, "blocks": blocks, "empty": EMPTY, "notes_below": [*_legend(rows), *notes]}
    return render(templates, "differences.tex.j2", values)


def differences_csv(rows: Sequence[Row]) -> str:
    """The unrounded differences, as fractions, a line per comparison and measure."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = SCHEMAS["differences"].names
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if row[name] is None else row[name] for name in columns])
    return out.getvalue()


def differences_md(rows: Sequence[Row], notes: Sequence[str] = (), labels: Labels | None = None) -> str:
    """One sentence per comparison and measure, block by block."""
    labels = labels or {}
    if not rows:
        return "\n".join([f"{TITLE}.", "", EMPTY, "", *bullets(notes), ""])
    lines = [f"{TITLE}.", ""]
    for block in _blocks(rows):
        lines += [f"{plain(_block_title(block[0][0], labels))}:", ""]
        for comparison in block:
            lines += [f"- {sentence(row, labels)}" for row in comparison] + [""]
    return "\n".join([*lines, *bullets([*_legend(rows), *notes]), ""])


def sentence(row: Row, labels: Labels | None = None) -> str:
    """ "MEMIT, iterated to k=4 against k=1: specificity accuracy -1.2 points [-2.0, -0.4]"; bold if sure."""
    measure = row["measure"].replace("_", " ")
    if row["mean"] is None:
        return plain(f"{_compared(row, labels or {})}: {measure} not measured")
    found = f"{measure} {signed(row['mean'])} points{_interval(row)}"
    return f"{plain(_compared(row, labels or {}))}: {f'**{found}**' if excludes_zero(row) else found}"


def excludes_zero(row: Row) -> bool:
    """Whether the interval of a difference leaves no doubt about its sign."""
    return row["low"] is not None and (row["low"] > 0 or row["high"] < 0)


def signed(difference: float) -> str:
    """A difference of fractions in percentage points: "+12.5", "-1.2", "0.0"."""
    text = percent(difference, 1, sign="")
    if text.strip("-0.") == "":
        return "0.0"
    return text if text.startswith("-") else f"+{text}"


def _blocks(rows: Sequence[Row]) -> Iterator[list[list[Row]]]:
    """The rows of each comparison, in blocks of a (model, dataset, number of edits)."""
    for _, block in groupby(rows, key=lambda row: (row["model"], row["dataset"], row["edits"])):
        yield [list(comparison) for _, comparison in groupby(block, key=lambda row: row["row"])]


def _block_title(row: Row, labels: Labels) -> str:
    model, dataset = (labels.get(row[name], row[name]) for name in ("model", "dataset"))
    return f"{model}, {dataset}, {row['edits']} edits"


def _compared(row: Row, labels: Labels) -> str:
    method, reference = (labels.get(row[name], row[name].upper()) for name in ("method", "reference"))
    k, reference_k = _at(row, ""), _at(row, "reference_")
    if row["comparison"] == "iteration":
        return f"{method}, iterated to {k} against {reference_k}"
    return f"{method} at {k} against {reference} at {reference_k}"


def _at(row: Row, side: str) -> str:
    return f"k={k_text(row[side + 'k_min'], row[side + 'k'])}{MARKS.get(row[side + 'role'], '')}"


def _cells(comparison: Sequence[Row], kind: str) -> list[dict[str, Any]]:
    """The printed differences of one kind: the three metrics and their score."""
    rows = {row["measure"]: row for row in comparison}
    cells = []
    for metric in (*METRICS, "score"):
        row = rows[f"{metric}_{kind}"]
        text = "" if row["mean"] is None else signed(row["mean"]).replace("-", "−")
        interval = _interval(row).strip().replace("-", "−")
        cells.append({"text": text, "interval": interval, "bold": excludes_zero(row)})
    return cells


def _interval(row: Row) -> str:
    """ " [-2.0, -0.4]", or an empty string."""
    if row["low"] is None:
        return ""
    return f" [{', '.join(signed(row[bound]).removeprefix('+') for bound in ('low', 'high'))}]"


def _legend(rows: Sequence[Row]) -> list[str]:
    roles = {row[name] for row in rows for name in ("role", "reference_role")}
    ranges = any(row[f"{side}k_min"] < row[f"{side}k"] for row in rows for side in ("", "reference_"))
    last = [words for role, words in LAST.items() if role in roles]
    return [READING] * bool(rows) + last + [RANGE] * ranges
