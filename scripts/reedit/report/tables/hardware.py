"""Table 5: what the edits of each method ran on, how much memory and how long they took."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from reedit.report.latex.typeset import half_up, render
from reedit.report.tables.paper import HARDWARE, HARDWARE_TITLE
from reedit.report.tables.paper_sheet import nothing
from reedit.report.tables.render import aligned, bullets
from reedit.storage import parquet
from reedit.storage.csv_text import csv_text
from reedit.storage.schemas import SCHEMAS

MISSING = "This experiment has edited nothing."
HEAD = ("Model", "Algo", "Dataset", "Device", "Memory (GiB)", "Time (h:mm:ss)", "Iterations", "#")

Row = dict[str, Any]


def hardware_rows(runs: Sequence[tuple[Mapping[str, Any], Path | str]]) -> list[Row]:
    """Rows of schema "hardware", model by model and algorithm by algorithm, from runs in any order.

    Each run is its identity (model, dataset, method, algorithm) and its iterations file, whose provenance
    names the device and the number of edits. A run without iterations is left out.
    """
    found: dict[tuple[str, ...], list[Row]] = {}
    for identity, path in runs:
        iterations, made_by = parquet.read(path, "iterations"), parquet.read_provenance(path)
        if iterations:
            shared = tuple(identity[name] for name in ("model", "algorithm", "method", "dataset"))
            found.setdefault(shared, []).append(_trial(iterations, made_by))
    # a model's runs stay together, in them an algorithm's, in them a method's: each where it came first
    ranks = [list(dict.fromkeys(key[:parts] for key in found)) for parts in (1, 2, 3)]
    result = []
    for key in sorted(found, key=lambda key: [rank.index(key[: len(rank[0])]) for rank in ranks]):
        model, algorithm, method, dataset = key
        trials = found[key]
        result.append(
            {
                "model": model,
                "dataset": dataset,
                "method": method,
                "algorithm": algorithm,
                "device": ", ".join(dict.fromkeys(trial["device"] for trial in trials)),
                "peak_memory_mb": max(trial["peak_memory_mb"] for trial in trials),
                "seconds": sum(trial["seconds"] for trial in trials) / len(trials),
                "iterations": max(trial["iterations"] for trial in trials),
                "edits": trials[0]["edits"],
                "trials": len(trials),
            }
        )
    return result


def hardware_tex(
    rows: Sequence[Mapping[str, Any]],
    templates: str | Path | Sequence[str | Path],
    notes: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
) -> str:
    """The table as TeX for \\input; `templates` are the template files, among them table5.tex.j2."""
    if not rows:
        return nothing(HARDWARE, MISSING)
    lines = _lines(rows, labels or {})
    blocks = [[line for _, line in group] for _, group in groupby(lines, key=lambda pair: pair[0])]
    given = {"head": HEAD, "blocks": blocks, "notes": list(notes)}
    return render(templates, f"table{HARDWARE}.tex.j2", {"given": given})


def hardware_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as they are."""
    return csv_text(SCHEMAS["hardware"].names, rows)


def hardware_md(
    rows: Sequence[Mapping[str, Any]], notes: Sequence[str] = (), labels: Mapping[str, str] | None = None
) -> str:
    """The table as Markdown."""
    title = [f"Table {HARDWARE}: {HARDWARE_TITLE}", ""]
    grid = [HEAD, *(line for _, line in _lines(rows, labels or {}))]
    shown = aligned(grid, left=4) if rows else [MISSING]
    return "\n".join([*title, *shown, "", *bullets(notes), ""])


def duration(seconds: float) -> str:
    """Hours, minutes and seconds: 4000 -> "1:06:40"."""
    whole = int(half_up(seconds, 0))
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _trial(iterations: Sequence[Mapping[str, Any]], made_by: Mapping[str, Any]) -> Row:
    device, processes = made_by.get("device_name", made_by["device"]), made_by.get("processes", 1)
    return {
        "device": device if processes == 1 else f"{processes} x {device}",
        "peak_memory_mb": max(row["peak_memory_mb"] for row in iterations),
        "seconds": sum(row["seconds_total"] for row in iterations),
        "iterations": len(iterations),
        "edits": made_by["edits"],
    }


def _lines(rows: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """(model, printed cells); a model and a method are named once."""
    lines, before = [], ("", "")
    for row in rows:
        model, method = row["model"], row["method"]
        lines.append(
            (
                model,
                [
                    labels.get(model, model) if model != before[0] else "",
                    labels.get(method, method.upper()) if (model, method) != before else "",
                    labels.get(row["dataset"], row["dataset"]),
                    row["device"],
                    half_up(row["peak_memory_mb"] / 1024, 2),
                    duration(row["seconds"]),
                    str(row["iterations"]),
                    str(row["edits"]),
                ],
            )
        )
        before = (model, method)
    return lines
