"""What is left of early edits once all batches of a sequential run are written."""

import re
from collections.abc import Mapping, Sequence
from itertools import product

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
Places = Mapping[RunKey, Mapping[int, int]]  # run -> case_id -> position in its split


def places(splits: Mapping[str, str]) -> Places:
    """Where each case stands in the order of editing; `splits` are Parquet files by the path of a run."""
    tables = {path: parquet.read(path, "split") for path in set(splits.values())}
    found = {}
    for run, path in splits.items():
        model, dataset, method, folder = run.split("/")
        trial = int(folder.removeprefix("trial"))
        own = (row for row in tables[path] if row["trial"] == trial)
        found[model, dataset, method, trial] = {row["case_id"]: row["position"] for row in own}
    return found


def batch_size(algorithm: str) -> int | None:
    """How many cases a sequential method edits together, from the column `algorithm` (runs.Method.family)."""
    found = re.search(r"\+batch(\d+)", algorithm)
    return int(found[1]) if found else None


@styled
def retention(runs: Rows, cases: pa.Table, places: Places, labels: Labels) -> Figure:
    """Efficacy and generalization at the end against the batch in which a case was edited.

    One panel for each (model, dataset) and measure; of every method the k where the proposed rule stops it,
    means over the cases of a batch and over trials. A method that edits the same cases at once stands beside
    those that do not: where it, too, falls, the cases are hard, and not forgotten.
    """
    shown = by_batches(methods_of(runs), places)
    if not shown:
        return drawing.sentence(NOT_SEQUENTIAL)
    rows = cases.select(["model", "dataset", "method", "trial", "k", "case_id", *MEASURES]).to_pylist()
    panels = list(product(grouped(shown, lambda one: one[0].place).items(), MEASURES))
    looks = drawing.looks((method.method for method, _ in shown), dashed=True)
    titles = [drawing.panel_title(place, labels) for (place, _), _ in panels]
    figure, axes = drawing.grid(titles, (4.2, 3.0))
    for panel, ((_, members), measure) in zip(axes, panels, strict=True):
        for method, size in members:
            course = retained(method, measure, rows, places, size)
            panel.plot(list(course), list(course.values()), **looks[method.method])
        drawing.iteration_axis(panel, "batch, in the order of editing")
        panel.set_ylabel(measure.replace("_", " "))
        drawing.shares(panel)
    at_once = {method.method for method, _ in shown if not batch_size(method.algorithm)}
    entries = zip(looks, drawing.method_entries(looks, labels), strict=True)
    drawing.legend(figure, [(words + AT_ONCE * (name in at_once), seen) for name, (words, seen) in entries])
    return figure


def by_batches(methods: Sequence[Method], places: Places) -> list[tuple[Method, int]]:
    """The sequential methods with the size of their batches, and those that edit the same cases at once.

    Cases of the latter are told apart in the batches of the former; without them where sizes differ.
    """
    sizes = {method.path: batch_size(method.algorithm) for method in methods}
    found = []
    for method in methods:
        others = {size for path, size in sizes.items() if size and path[:2] == method.place}
        if size := sizes[method.path]:
            found.append((method, size))
        elif len(others) == 1 and all((*method.path, trial) in places for trial in method.trials):
            found.append((method, *others))
    return found


def retained(method: Method, measure: str, rows: Rows, places: Places, size: int) -> dict[int, float]:
    """The mean of a measure by batch of `size` cases, from 1 on, every trial at the k that the rule keeps."""
    selected = Shown(method, *method.choice()).runs
    found: dict[int, list[float]] = {}
    for row in rows:
        run = key_of(row)
        if row["k"] == selected.get(run) and row[measure] is not None:
            found.setdefault(places[run][row["case_id"]] // size + 1, []).append(row[measure])
    return {batch: float(np.mean(values)) for batch, values in sorted(found.items())}
