"""The comparison's first page: cells by table, protocol and verdict, what differs most, the slips met."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reedit.report.latex.typeset import k_text, render
from reedit.report.rows.comparison import VERDICTS, Row
from reedit.report.rows.reported import IDENTITY
from reedit.report.tables.comparison import comparison_csv
from reedit.report.tables.render import aligned, bullets
from reedit.report.words import LEGEND, measure_name, name_of, text_of
from reedit.storage.schemas import MEASURES

NOTHING = (
    "Nothing in this experiment stands for a model and dataset of the paper (reported_as in the"
    " configuration says what does), so there is no comparison with its numbers."
)
HEAD = ["Table", "Model", "Dataset", "Algo", "Protocol", "k", "Measure"]
HEAD += ["Reported", "Measured", "Low", "High", "Difference"]
LONGEST = 18  # lines of each list of differing cells, so that both fit on a page


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
        lines = [[*line["who"], measure_name(line["measure"]), *line["numbers"]] for line in found["lines"]]
        text += [found["title"], "", *aligned([HEAD, *lines]), ""]
    slips = [[slip["why"], slip["who"], slip["tables"], slip["cells"]] for slip in _slips(rows)]
    if slips:
        text += ["Slips met", "", *aligned([["Why", "Lines", "Tables", "Cells"], *slips]), ""]
    return "\n".join(text)


def summary_csv(rows: Sequence[Row]) -> str:
    """Every cell that differs, largest first (shares, then perplexities), then the slips met."""
    shares, perplexities = _differing(rows)
    return comparison_csv([*shares, *perplexities, *(row for row in rows if row["verdict"] == "slip")])


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
    shares = [row for row in differ if row["measure"] in MEASURES]
    others = [row for row in differ if row["measure"] not in MEASURES]
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
    own, mine = str(row["k"]), k_text(row["run_k_min"], row["run_k"])
    k = own if own == mine else f"{own} / {mine}"
    columns = ("reported", "measured", "low", "high", "difference")
    return {
        "who": [str(row["table"]), *(name_of(row[name]) for name in IDENTITY[1:4]), row["protocol"], k],
        "measure": row["measure"],
        "numbers": ["" if row[name] is None else text_of(row, name) for name in columns],
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
                    dict.fromkeys(f"{name_of(row['model'])} {name_of(row['method'])}" for row in members)
                ),
                "why": why,
            }
        )
    return result
