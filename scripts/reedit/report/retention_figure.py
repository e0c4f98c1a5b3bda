"""What is left of early edits once all batches of a sequential run are written."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.ticker import MaxNLocator, PercentFormatter

from reedit.report.drawing import (
    Labels,
    grid,
    legend,
    look,
    method_entries,
    panel_title,
    save,
    save_sentence,
    style,
)
from reedit.report.selection import Method, methods_of
from reedit.storage import parquet

MEASURES = ("efficacy_accuracy", "generalization_accuracy")
NOT_SEQUENTIAL = "This experiment edits all cases of a run in one batch."
Row = Mapping[str, Any]
Places = Mapping[tuple[str, str, str, int], Mapping[int, int]]  # run -> case_id -> position in its split


def places(splits: Mapping[str, str]) -> Places:
    """Where each case stands in the order of editing; `splits` are Parquet files by the path of a run."""
    tables = {path: parquet.read(path, "split") for path in set(splits.values())}
    found = {}
    for run, path in splits.items():
        model, dataset, method, folder = run.split("/")
        trial = int(folder.removeprefix("trial"))
        rows = [row for row in tables[path] if row["trial"] == trial]
        found[model, dataset, method, trial] = {row["case_id"]: row["position"] for row in rows}
    return found


def batch_size(algorithm: str) -> int | None:
    """How many cases a sequential method edits together, from the column `algorithm` (runs.Method.family)."""
    found = re.search(r"\+batch(\d+)", algorithm)
    return int(found[1]) if found else None


def retention(
    runs: Sequence[Row],
    cases: pa.Table,
    places: Places,
    pdf: Path | str,
    png: Path | str,
    labels: Labels | None = None,
) -> None:
    """Efficacy and generalization at the end against the batch in which a case was edited.

    One panel for each (model, dataset) and measure; of every sequential method the k where the proposed
    rule stops it, means over the cases of a batch and over trials.
    """
    labels = labels or {}
    methods = [method for method in methods_of(runs) if batch_size(method.algorithm)]
    if not methods:
        return save_sentence(NOT_SEQUENTIAL, pdf, png)
    rows = cases.select(["model", "dataset", "method", "trial", "k", "case_id", *MEASURES]).to_pylist()
    with style():
        blocks = list(dict.fromkeys(method.path[:2] for method in methods))
        names = list(dict.fromkeys(method.method for method in methods))
        figure, axes = grid(len(MEASURES) * len(blocks), (4.2, 3.0))
        panels = [(block, measure) for block in blocks for measure in MEASURES]
        for panel, (block, measure) in zip(axes, panels, strict=True):
            for method in methods:
                if method.path[:2] == block:
                    course = retained(method, measure, rows, places)
                    panel.plot(list(course), list(course.values()), **look(names.index(method.method), True))
            panel.set_title(panel_title(block, labels), parse_math=False)
            panel.set_xlabel("batch, in the order of editing")
            panel.set_ylabel(measure.replace("_", " "))
            panel.set_ylim(-0.03, 1.03)
            panel.yaxis.set_major_formatter(PercentFormatter(1.0))
            panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        looks = [look(number, dashed=True) for number in range(len(names))]
        legend(figure, method_entries(names, labels, looks))
        save(figure, pdf, png)


def retained(method: Method, measure: str, rows: Sequence[Row], places: Places) -> dict[int, float]:
    """The mean of a measure by batch, from 1 on, at the k that the proposed rule keeps."""
    (k, _), size = method.choice(), batch_size(method.algorithm)
    found: dict[int, list[float]] = {}
    for row in rows:
        run = (row["model"], row["dataset"], row["method"], row["trial"])
        if run[:3] == method.path and row["k"] == k and row[measure] is not None:
            found.setdefault(places[run][row["case_id"]] // size + 1, []).append(row[measure])
    return {batch: float(np.mean(values)) for batch, values in sorted(found.items())}
