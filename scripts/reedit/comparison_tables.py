"""The comparison in print: one table beside each of ours, and a page that sums them up; .tex, .csv and .md.

A printed line shows the paper's numbers, under them those of each run that stands for the line, marked by
verdict, and where some of them differ, by how much.
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from reedit import parquet
from reedit.comparison import VERDICTS, Row
from reedit.markdown import aligned, bullets
from reedit.reported import IDENTITY, MEASURES
from reedit.typeset import percent, perplexity, render

MARKS = {"agrees": "=", "within interval": "≈", "differs": "×", "slip": "†"}
NAMES = {  # as the paper spells them
    "gpt2-xl": "GPT-2 XL",
    "gpt-j-6b": "GPT-J",
    "llama-2-7b": "Llama-2",
    "counterfact": "CounterFact",
    "zsre": "ZsRE",
    "unedited": "Unedited",
}
PERPLEXITIES = {
    "me_ppl": "ME-PPL",
    "ppl_target": "p optimized",
    "ppl_edited": "p edited",
    "delta_p": "abs Δp",
    "delta_p2": "Δp2",
}
NOTHING = (
    "Nothing in this experiment stands for a model and dataset of the paper (`reported_as` in the"
    " configuration says what does), so there is no comparison with its numbers."
)
LEGEND = (
    "= agrees: equal within the paper's rounding (shares: half a percentage point, since every trial was"
    " rounded to whole percents; perplexities: half of the last printed digit).",
    "≈ within interval: the reported number lies in the measured 95 % bootstrap interval, of perplexities"
    " within two spreads over the trials, either widened by that rounding.",
    "× differs: neither; measured minus reported stands below, shares in percentage points.",
    "† a known slip of the paper or of its transcription (resources/reported-slips.yaml), not matched.",
)
CHOSEN = "Chosen iterations meet by what they were chosen for, not by k: each number stands beside its own k."
HEAD = ["Table", "Model", "Dataset", "Algo", "Protocol", "k", "Measure"]
HEAD += ["Reported", "Measured", "Low", "High", "Difference"]
LONGEST = 18  # lines of each list of differing cells, so that both fit on a page


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
    grid = [["Algo", "Source", "k", *map(_measure, measures)]]
    for block in blocks:
        grid.append([block["name"], *[""] * (len(measures) + 2)])
        for line in block["lines"]:
            for place, source in enumerate(line["sources"]):
                cells = [f"{cell['text']} {cell['mark']}".strip() for cell in source["cells"]]
                grid.append(["" if place else line["method"], source["name"], source["k"], *cells])
    return "\n".join([*title, *aligned(grid), "", *bullets([*LEGEND, *_notes(rows, number)]), ""])


def comparison_csv(rows: Iterable[Row]) -> str:
    """The rows as they are: unrounded fractions and perplexities, empty where there is no number."""
    out = io.StringIO()
    columns = parquet.SCHEMAS["comparison"].names
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)  # None becomes empty, a float its shortest form
    return out.getvalue()


def summary_tex(rows: Sequence[Row], templates: Sequence[str | Path]) -> str:
    """The page that comes first: cells by table, protocol and verdict, what differs most, the slips met."""
    shares, perplexities = _differing(rows)
    values = {
        "nothing": "" if rows else NOTHING,
        "counts": _counts(rows),
        "legend": LEGEND,
        "head": HEAD,
        "lists": _lists(shares, perplexities),
        "slips": _slips(rows),
    }
    return render(templates, "comparison_summary.tex.j2", values)


def summary_md(rows: Sequence[Row]) -> str:
    """The same for the eye."""
    if not rows:
        return f"{NOTHING}\n"
    text = ["Reported and measured: cells by verdict", ""]
    counted = _counts(rows)
    text += [*aligned([list(counted[0]), *(list(map(str, line.values())) for line in counted)]), ""]
    text += [*bullets(LEGEND), ""]
    for found in _lists(*_differing(rows)):
        lines = [[*line["who"], _measure(line["measure"]), *line["numbers"]] for line in found["lines"]]
        text += [found["title"], "", *aligned([HEAD, *lines]), ""]
    slips = [[slip["why"], slip["who"], slip["tables"], slip["cells"]] for slip in _slips(rows)]
    if slips:
        text += ["Slips met", "", *aligned([["Why", "Lines", "Tables", "Cells"], *slips]), ""]
    return "\n".join(text)


def summary_csv(rows: Sequence[Row]) -> str:
    """Every cell that differs, largest first (shares, then perplexities), then the slips met."""
    shares, perplexities = _differing(rows)
    return comparison_csv([*shares, *perplexities, *(row for row in rows if row["verdict"] == "slip")])


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
                lines.append({"method": _name(method), "sources": _sources(line, measures)})
        if lines:
            name = f"{_name(model)}, {_name(dataset)}, {edits} edits"
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
        sources.append({"name": name, "k": str(one["run_k"]), "cells": cells})
        if any(row["verdict"] == "differs" for row in run.values()):
            gaps = [_cell(run.get(measure), "difference") for measure in measures]
            sources.append({"name": "difference", "k": "", "cells": gaps})
    return sources


def _cell(row: Row | None, column: str) -> dict[str, str]:
    """One number as text; a measured one has a mark, a difference is told only of cells that differ."""
    empty = {"text": "", "mark": "", "verdict": ""}
    if row is None or row[column] is None or (column == "difference" and row["verdict"] != "differs"):
        return empty
    cell = empty | {"text": _text(row, column)}
    if column == "measured":
        cell |= {"mark": MARKS.get(row["verdict"], ""), "verdict": row["verdict"]}
    return cell


def _text(row: Row, column: str) -> str:
    """A number of a row: shares in percent without its sign, perplexities as the paper prints them."""
    value = row[column]
    sign = "+" if column == "difference" and value > 0 else ""
    if row["measure"] in parquet.MEASURES:
        return sign + percent(value, sign="")
    exponential = row["tolerance"] is not None and row["tolerance"] > 0.005  # so the paper prints this one
    if exponential and math.isfinite(value):
        return f"{sign}{value:.2E}"
    return sign + perplexity(value).replace("inf", "∞")


def _name(name: str) -> str:
    return NAMES.get(name, name.upper())


def _measure(measure: str) -> str:
    return PERPLEXITIES.get(measure, measure.replace("_", " "))


def _notes(rows: Sequence[Row], number: int) -> list[str]:
    """What a reader of one table's comparison has to know."""
    notes = [CHOSEN] if number <= 4 else []
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


def _counts(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Cells by table and protocol; a cell counts once for every run that stands for it."""
    result = []
    groups = dict.fromkeys((row["table"], row["protocol"]) for row in rows)
    for table, protocol in sorted(groups, key=lambda group: (group[0], group[1] or "~")):
        members = [row for row in rows if (row["table"], row["protocol"]) == (table, protocol)]
        reported = [row for row in members if row["reported"] is not None]
        verdicts = Counter(row["verdict"] for row in members)
        result.append(
            {"table": table, "protocol": protocol or "not run", "reported": len(reported)}
            | {"measured": sum(row["measured"] is not None for row in reported)}
            | {verdict: verdicts[verdict] for verdict in VERDICTS}
        )
    return result


def _differing(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The cells that differ, largest first: shares by points, perplexities by how many times."""
    differ = [row for row in rows if row["verdict"] == "differs"]
    shares = [row for row in differ if row["measure"] in parquet.MEASURES]
    others = [row for row in differ if row["measure"] not in parquet.MEASURES]
    return sorted(shares, key=_points, reverse=True), sorted(others, key=_times, reverse=True)


def _points(row: Row) -> float:
    return abs(row["difference"]) if math.isfinite(row["difference"]) else math.inf


def _times(row: Row) -> float:
    """How many times a perplexity is above or below the reported one, as a logarithm."""
    if not math.isfinite(row["measured"]):
        return math.inf
    reported, measured = (abs(row[name]) + row["tolerance"] for name in ("reported", "measured"))
    return abs(math.log(measured / reported))


def _lists(shares: Sequence[Row], perplexities: Sequence[Row]) -> list[dict[str, Any]]:
    """The first of both lists of differing cells, ready to print."""
    result = []
    titles = (
        "Shares that differ, percent: largest difference first",
        "Perplexities that differ: largest ratio first",
    )
    for title, found in zip(titles, (shares, perplexities), strict=True):
        more = (
            f"; {len(found) - LONGEST} more in results/tables/comparison.csv" if len(found) > LONGEST else ""
        )
        lines = [_listed(row) for row in found[:LONGEST]]
        if lines:
            result.append({"title": title + more, "lines": lines})
    return result


def _listed(row: Row) -> dict[str, Any]:
    """A differing cell as text, in the order of HEAD; two k where they are not the same."""
    k = str(row["k"]) if row["k"] == row["run_k"] else f"{row['k']} / {row['run_k']}"
    columns = ("reported", "measured", "low", "high", "difference")
    return {
        "who": [str(row["table"]), *(_name(row[name]) for name in IDENTITY[1:4]), row["protocol"], k],
        "measure": row["measure"],
        "numbers": ["" if row[name] is None else _text(row, name) for name in columns],
    }


def _slips(rows: Sequence[Row]) -> list[dict[str, str]]:
    """The slips met, by reason: in which tables, how many cells, whose lines."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row["verdict"] == "slip":
            found.setdefault(row["note"], []).append(row)
    result = []
    for why, members in found.items():
        cells = {(*(row[name] for name in IDENTITY), row["measure"]) for row in members}
        result.append(
            {
                "tables": ", ".join(map(str, sorted({row["table"] for row in members}))),
                "cells": str(len(cells)),
                "who": ", ".join(
                    dict.fromkeys(f"{_name(row['model'])} {_name(row['method'])}" for row in members)
                ),
                "why": why,
            }
        )
    return result
