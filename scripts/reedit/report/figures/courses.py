"""Two figures from rows of schema "runs": perplexity and scores against the iteration."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from reedit.errors import InputError
from reedit.report.figures.drawing import (
    COLUMNS,
    GREY,
    Labels,
    draw_line,
    iteration_axis,
    legend,
    look,
    method_entries,
    panel_title,
    save,
    style,
)
from reedit.report.rows.lines import Method, methods_of

PERPLEXITIES = {
    "ppl_initial": (":", r"before the edit, $p(\theta_k, h)$"),
    "ppl_target": ("--", r"optimised, $p(\theta_k, \bar{h})$"),
    "ppl_edited": ("-", r"after the edit, $p(\theta_{k+1}, \hat{h})$"),
}
ACCURACIES = ("efficacy", "generalization", "specificity")

Row = Mapping[str, Any]


def perplexity(runs: Sequence[Row], pdf: Path | str, png: Path | str, labels: Labels | None = None) -> None:
    """What OPTIMIZATION reaches and what SPREAD leaves of it, a panel per (model, dataset).

    Values are means over trials on a logarithmic axis, one that has ended standing where it ended; where a
    value is not finite its place is marked at the panel's upper edge. `labels` gives a model, dataset or
    method another name.
    """
    labels = labels or {}
    with style():
        panels = _panels(runs)
        columns = min(len(panels), COLUMNS)
        rows = math.ceil(len(panels) / columns)
        figure = Figure(figsize=(max(7.5, 1.2 + 4.2 * columns), 1.3 + 2.9 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for unused in axes[len(panels) :]:
            unused.remove()
        names = _names(runs)
        for panel, (title, methods) in zip(axes, panels.items(), strict=False):
            panel.set_yscale("log")
            for measure, (line, _) in PERPLEXITIES.items():
                for method in methods:
                    values = _means(method, measure, first=1)
                    draw_line(panel, values, look(names.index(method.method)) | {"linestyle": line})
            panel.set_title(panel_title(title, labels), parse_math=False)
            iteration_axis(panel)
            if panel.get_subplotspec().is_first_col():
                panel.set_ylabel("perplexity of the new knowledge")
        looks = [look(number) | {"linestyle": ""} for number in range(len(names))]
        series = [(words, {"color": GREY, "linestyle": line}) for line, words in PERPLEXITIES.values()]
        legend(figure, method_entries(names, labels, looks) + series, columns=3)
        save(figure, pdf, png)


def scores(runs: Sequence[Row], pdf: Path | str, png: Path | str, labels: Labels | None = None) -> None:
    """Accuracy of efficacy, generalization and specificity: three panels per (model, dataset).

    Lines are means over trials, from the unedited model (k = 0) on; the band spans the trials. One that has
    ended stands where it ended.
    """
    labels = labels or {}
    with style():
        panels = _panels(runs)
        many, few = len(panels), len(ACCURACIES)
        wide = many > 2  # a page is wide: one (model, dataset) is a row of panels, several are columns
        shape = (few, many) if wide else (many, few)
        figure = Figure(figsize=(max(9.0, 2.6 * shape[1]), 1.0 + 2.5 * shape[0]), layout="constrained")
        axes = figure.subplots(*shape, squeeze=False, sharey=True)
        names = _names(runs)
        for place, (parts, methods) in enumerate(panels.items()):
            title = panel_title(parts, labels, between="\n")
            for number, metric in enumerate(ACCURACIES):
                panel = axes[number, place] if wide else axes[place, number]
                for method in methods:
                    appearance = look(names.index(method.method), dashed=True)
                    draw_line(panel, _means(method, f"{metric}_accuracy"), appearance)
                    _band(panel, method, f"{metric}_accuracy", appearance["color"])
                iteration_axis(panel, "iteration $k$ (0: unedited)")
                _label(panel, *((title, metric) if wide else (metric, title)))
                panel.set_ylim(-0.03, 1.03)
                panel.yaxis.set_major_formatter(PercentFormatter(1.0))
        looks = [look(number, dashed=True) for number in range(len(names))]
        legend(figure, method_entries(names, labels, looks))
        save(figure, pdf, png)


def _panels(runs: Sequence[Row]) -> dict[tuple[str, str], list[Method]]:
    """The methods of each (model, dataset), in order of appearance; InputError if there are none."""
    if not runs:
        raise InputError("no run to draw: the table of runs is empty")
    panels: dict[tuple[str, str], list[Method]] = {}
    for method in {method.path: method for method in methods_of(runs)}.values():
        panels.setdefault((method.model, method.dataset), []).append(method)
    return panels


def _names(runs: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in runs))


def _means(method: Method, measure: str, first: int = 0) -> dict[int, float]:
    """Per k the mean over the trials, where all of them measured it."""
    means = {k: method.mean(measure, method.at(k)) for k in range(first, method.last + 1)}
    return {k: mean for k, mean in means.items() if mean is not None}


def _band(panel: Axes, method: Method, measure: str, color: str) -> None:
    """The range of the trials, where there are several."""
    ks = list(_means(method, measure))
    if ks and len(method.trials) > 1:
        values = [method.values(measure, method.at(k)) for k in ks]
        panel.fill_between(
            ks, *zip(*((min(v), max(v)) for v in values), strict=True), color=color, alpha=0.15, linewidth=0
        )


def _label(panel: Axes, column: str, row: str) -> None:
    """Name the column on its top panel and the row on its left one; k stays on the bottom one alone."""
    place = panel.get_subplotspec()
    if place.is_first_row():
        panel.set_title(column, parse_math=False)
    if place.is_first_col():
        panel.set_ylabel(f"{row}\naccuracy", parse_math=False)
    if not place.is_last_row():
        panel.set_xlabel("")
