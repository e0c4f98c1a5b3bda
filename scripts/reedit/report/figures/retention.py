"""What is left of early edits once all batches of a sequential run are written."""

from bisect import bisect
from collections.abc import Mapping
from itertools import accumulate, product
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure

from reedit.report.figures import drawing
from reedit.report.figures.drawing import Rows, styled
from reedit.report.rows.groups import grouped
from reedit.report.rows.lines import Method, RunKey, Shown, key_of, methods_of
from reedit.report.words import Labels
from reedit.storage import parquet

MEASURES = ("efficacy_accuracy", "generalization_accuracy")
AT_ONCE = " (all at once)"
NOT_SEQUENTIAL = "This experiment edits all cases of a run in one batch."
Batches = Mapping[RunKey, Mapping[int, int]]  # run -> case_id -> its batch, from 1 on


def batches(splits: Mapping[str, str], made_by: Mapping[str, Mapping[str, Any]]) -> Batches:
    """The batch of every case of the runs that edit batch after batch, and of those beside them.

    `splits` are Parquet files by the path of a run, `made_by` what the edit jobs say of themselves. A run
    that edits the cases of the same split at once is told apart in the others' batches, where they agree.
    """
    tables = {path: parquet.read(path, "split") for path in set(splits.values())}
    ends = {run: _ends(told) for run, told in made_by.items() if told.get("batch")}
    found = {}
    for run, path in splits.items():
        model, dataset, method, folder = run.split("/")
        trial = int(folder.removeprefix("trial"))
        others = {ends[other] for other in ends if (splits[other], other.split("/")[3]) == (path, folder)}
        if run in ends or len(others) == 1:
            (own,) = {ends[run]} if run in ends else others
            rows = (row for row in tables[path] if row["trial"] == trial)
            found[model, dataset, method, trial] = {
                row["case_id"]: bisect(own, row["position"]) + 1 for row in rows
            }
    return found


def _ends(told: Mapping[str, Any]) -> tuple[int, ...]:
    """How many cases are edited once each batch of a run is."""
    size, edits = told["batch"], told["edits"]
    return tuple(accumulate(told.get("batches") or [size] * -(-edits // size)))


@styled
def retention(runs: Rows, cases: pa.Table, batches: Batches, labels: Labels) -> Figure:
    """Efficacy and generalization at the end against the batch in which a case was edited.

    One panel for each (model, dataset) and measure; of every method the k where the proposed rule stops it,
    means over the cases of a batch and over trials. A method that edits the same cases at once stands beside
    those that do not: where it, too, falls, the cases are hard, and not forgotten.
    """
    shown = [
        method
        for method in methods_of(runs)
        if all((*method.path, trial) in batches for trial in method.trials)
    ]
    if not shown:
        return drawing.sentence(NOT_SEQUENTIAL)
    rows = cases.select(["model", "dataset", "method", "trial", "k", "case_id", *MEASURES]).to_pylist()
    panels = list(product(grouped(shown, lambda one: one.place).items(), MEASURES))
    looks = drawing.looks((method.method for method in shown), dashed=True)
    titles = [drawing.panel_title(place, labels) for (place, _), _ in panels]
    figure, axes = drawing.grid(titles, (4.2, 3.0))
    for panel, ((_, members), measure) in zip(axes, panels, strict=True):
        for method in members:
            course = retained(method, measure, rows, batches)
            panel.plot(list(course), list(course.values()), **looks[method.method])
        drawing.iteration_axis(panel, "batch, in the order of editing")
        panel.set_ylabel(measure.replace("_", " "))
        drawing.shares(panel)
    at_once = {method.method for method in shown if "+batch" not in method.algorithm}
    entries = zip(looks, drawing.method_entries(looks, labels), strict=True)
    drawing.legend(figure, [(words + AT_ONCE * (name in at_once), seen) for name, (words, seen) in entries])
    return figure


def retained(method: Method, measure: str, rows: Rows, batches: Batches) -> dict[int, float]:
    """The mean of a measure by batch, every trial at the k that the rule keeps."""
    selected = Shown(method, *method.choice()).runs
    found: dict[int, list[float]] = {}
    for row in rows:
        run = key_of(row)
        if row["k"] == selected.get(run) and row[measure] is not None:
            found.setdefault(batches[run][row["case_id"]], []).append(row[measure])
    return {batch: float(np.mean(values)) for batch, values in sorted(found.items())}
