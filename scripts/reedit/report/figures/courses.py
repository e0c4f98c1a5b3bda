"""Figures of courses against the iteration, panel by panel: perplexity and scores from rows of schema "runs",
norms from rows of schema "norm_summary". Means over trials; one that has ended stands where it ended.
"""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from reedit.errors import InputError
from reedit.report.figures import drawing
from reedit.report.figures.drawing import GREY, Rows, styled
from reedit.report.rows.lines import Method, methods_of
from reedit.report.rows.norms import CONDITION, GROWTH, RESIDUAL
from reedit.report.words import Labels

PERPLEXITIES = {
    "ppl_initial": (":", r"before the edit, $p(\theta_k, h)$"),
    "ppl_target": ("--", r"optimised, $p(\theta_k, \bar{h})$"),
    "ppl_edited": ("-", r"after the edit, $p(\theta_{k+1}, \hat{h})$"),
}
ACCURACIES = {
    f"{metric}_accuracy": f"{metric} accuracy" for metric in ("efficacy", "generalization", "specificity")
}
QUANTITIES = {  # of norms: what a panel shows -> its words, and the threshold of rows.norms.reading
    "update_norm": ("norm of the update", None),
    "growth": ("growth of the weights", GROWTH),
    "condition_growth": ("condition by the unedited", CONDITION),
    "residual": (r"$\|z - h\|$ by $\|h\|$", RESIDUAL),
}
RESIDUALS = {  # the states of the residual, both in its panel
    "residual_before": ({"linestyle": ":", "markerfacecolor": "white"}, "residual before SPREAD"),
    "residual_after": ({"linestyle": "-"}, "residual after SPREAD"),
}
UNEDITED = "iteration $k$ (0: unedited)"
LARGE = 30  # from so many times on, values are shown on a logarithmic axis
THRESHOLD = {"color": GREY, "linewidth": 0.8, "linestyle": "--"}


@styled
def perplexity(runs: Rows, labels: Labels) -> Figure:
    """What OPTIMIZATION reaches and what SPREAD leaves of it, a panel per (model, dataset), logarithmic.

    Where a value is not finite its place is marked at the panel's upper edge. Raises InputError without runs.
    """
    blocks, names = _blocks(runs), drawing.distinct(row["method"] for row in runs)
    figure, axes = drawing.grid(len(blocks), (4.2, 2.9))
    for panel, (block, methods) in zip(axes, blocks.items(), strict=True):
        panel.set_yscale("log")
        for measure, (line, _) in PERPLEXITIES.items():
            for method in methods:
                values = _means(method, measure, first=1)
                drawing.draw_line(
                    panel, values, drawing.look(names.index(method.method)) | {"linestyle": line}
                )
        panel.set_title(drawing.panel_title(block, labels), parse_math=False)
        drawing.iteration_axis(panel)
        if panel.get_subplotspec().is_first_col():
            panel.set_ylabel("perplexity of the new knowledge")
    series = [(words, {"color": GREY, "linestyle": line}) for line, words in PERPLEXITIES.values()]
    drawing.legend(figure, drawing.method_entries(names, labels) + series, columns=3)
    return figure


@styled
def scores(runs: Rows, labels: Labels) -> Figure:
    """Accuracy of efficacy, generalization and specificity from the unedited model (k = 0) on.

    A band spans the trials. Raises InputError without runs.
    """
    blocks, names = _blocks(runs), drawing.distinct(row["method"] for row in runs)
    titles = [drawing.panel_title(block, labels, between="\n") for block in blocks]
    figure, axes = drawing.matrix(titles, list(ACCURACIES.values()), (2.6, 2.5), UNEDITED, sharey=True)
    for panels, methods in zip(axes, blocks.values(), strict=True):
        for panel, measure in zip(panels, ACCURACIES, strict=True):
            for method in methods:
                appearance = drawing.look(names.index(method.method), dashed=True)
                drawing.draw_line(panel, _means(method, measure), appearance)
                _band(panel, method, measure, appearance["color"])
            drawing.shares(panel)
    drawing.legend(figure, drawing.method_entries(names, labels, dashed=True))
    return figure


@styled
def norms(rows: Rows, labels: Labels) -> Figure:
    """The update, what it makes of the weights, and what SPREAD leaves over, a panel each.

    A dashed line is the threshold beyond which the table's reading is "blowing up" (of the residual: "more
    SPREAD"), drawn where the data come near it. What is not finite is marked at the panel's upper edge.
    """
    if not rows:
        return drawing.sentence(drawing.NOTHING)
    blocks = drawing.distinct((row["model"], row["dataset"]) for row in rows)
    names = drawing.distinct(row["method"] for row in rows)
    titles = [drawing.panel_title(block, labels, between="\n") for block in blocks]
    figure, axes = drawing.matrix(titles, [words for words, _ in QUANTITIES.values()], (2.5, 2.0))
    for panels, block in zip(axes, blocks, strict=True):
        members = [row for row in rows if (row["model"], row["dataset"]) == block]
        for panel, (quantity, (_, threshold)) in zip(panels, QUANTITIES.items(), strict=True):
            for method in drawing.distinct(row["method"] for row in members):
                of_method = [row for row in members if row["method"] == method]
                _norm_lines(panel, of_method, quantity, drawing.look(names.index(method)))
            _norm_axis(panel, quantity, threshold)
            panel.set_xlim(-0.3, max(row["k"] for row in members) + 0.3)
    grey = {"color": GREY, "marker": "o", "markersize": 4.5}
    states = [(words, grey | appearance) for appearance, words in RESIDUALS.values()]
    drawing.legend(
        figure, [*drawing.method_entries(names, labels), *states, ("threshold of the reading", THRESHOLD)]
    )
    return figure


def _blocks(runs: Rows) -> dict[tuple[str, str], list[Method]]:
    """The methods of each (model, dataset), in order of appearance; InputError if there are none."""
    if not runs:
        raise InputError("no run to draw: the table of runs is empty")
    blocks: dict[tuple[str, str], list[Method]] = {}
    for method in {method.path: method for method in methods_of(runs)}.values():
        blocks.setdefault((method.model, method.dataset), []).append(method)
    return blocks


def _means(method: Method, measure: str, first: int = 0) -> dict[int, float]:
    """Per k the mean over the trials, where all of them measured it."""
    means = {k: method.mean(measure, method.at(k)) for k in range(first, method.last + 1)}
    return {k: mean for k, mean in means.items() if mean is not None}


def _band(panel: Axes, method: Method, measure: str, color: str) -> None:
    """The range of the trials, where there are several."""
    ks = list(_means(method, measure))
    if ks and len(method.trials) > 1:
        values = [method.values(measure, method.at(k)) for k in ks]
        edges = zip(*((min(v), max(v)) for v in values), strict=True)
        panel.fill_between(ks, *edges, color=color, alpha=0.15, linewidth=0)


def _norm_lines(panel: Axes, rows: Rows, quantity: str, appearance: Mapping[str, Any]) -> None:
    """One method's line of a quantity, of the residual both."""
    lines = {name: changes for name, (changes, _) in RESIDUALS.items()}
    for name, changes in lines.items() if quantity == "residual" else [(quantity, {})]:
        values = {row["k"]: row[name] for row in rows if row[name] is not None}
        drawing.draw_line(panel, values, {**appearance, **changes})


def _norm_axis(panel: Axes, quantity: str, threshold: float | None) -> None:
    """A logarithmic axis for what multiplies, and the threshold where the data come near it."""
    drawn = [y for line in panel.lines for y in line.get_ydata() if math.isfinite(y) and y > 0]
    most, least = max(drawn, default=1.0), min(drawn, default=1.0)
    if most > LARGE or (most > LARGE * least and quantity != "residual"):
        panel.set_yscale("log")
    elif quantity == "residual":
        panel.set_ylim(bottom=0)
        panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    elif threshold is not None:  # a ratio: what hardly changes should look as if
        low, high = panel.get_ylim()
        panel.set_ylim(min(low, 0.95), max(high, 1.05))
    if threshold is not None and (quantity == "residual" or most - 1 > (threshold - 1) / 4):
        panel.axhline(threshold, **THRESHOLD)
