"""Figures of courses against the iteration, panel by panel: perplexity and scores from rows of schema "runs",
norms from rows of schema "norm_summary". Means over trials; one that has ended stands where it ended.
"""

import math
from collections.abc import Mapping
from itertools import product
from operator import attrgetter, itemgetter
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from reedit.errors import InputError
from reedit.report.figures import drawing
from reedit.report.figures.drawing import GREY, Rows, styled
from reedit.report.rows.groups import grouped
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
THRESHOLD = {"color": GREY, "linewidth": 0.8, "linestyle": "--"}


@styled
def perplexity(runs: Rows, labels: Labels) -> Figure:
    """What OPTIMIZATION reaches and what SPREAD leaves of it, a panel per (model, dataset), logarithmic.

    Where a value is not finite its place is marked at the panel's upper edge. Raises InputError without runs.
    """
    places, looks = _places(runs), drawing.looks(row["method"] for row in runs)
    titles = [drawing.panel_title(place, labels) for place in places]
    figure, axes = drawing.grid(titles, (4.2, 2.9), "perplexity of the new knowledge")
    for panel, methods in zip(axes, places.values(), strict=True):
        panel.set_yscale("log")
        for (measure, (line, _)), method in product(PERPLEXITIES.items(), methods):
            values = _means(method, measure, first=1)
            drawing.draw_line(panel, values, {**looks[method.method], "linestyle": line})
        drawing.iteration_axis(panel)
    series = [(words, {"color": GREY, "linestyle": line}) for line, words in PERPLEXITIES.values()]
    drawing.legend(figure, drawing.method_entries(looks, labels) + series, columns=3)
    return figure


@styled
def scores(runs: Rows, labels: Labels) -> Figure:
    """Accuracy of efficacy, generalization and specificity from the unedited model (k = 0) on.

    A band spans the trials. Raises InputError without runs.
    """
    places = _places(runs)
    looks = drawing.looks((row["method"] for row in runs), dashed=True)
    titles = [drawing.panel_title(place, labels, between="\n") for place in places]
    figure, axes = drawing.matrix(titles, list(ACCURACIES.values()), (2.6, 2.5), UNEDITED, sharey=True)
    for panels, methods in zip(axes, places.values(), strict=True):
        for panel, measure in zip(panels, ACCURACIES, strict=True):
            for method in methods:
                drawing.draw_line(panel, _means(method, measure), looks[method.method])
                _band(panel, method, measure, looks[method.method]["color"])
            drawing.shares(panel)
    drawing.legend(figure, drawing.method_entries(looks, labels))
    return figure


@styled
def norms(rows: Rows, labels: Labels) -> Figure:
    """The update, what it makes of the weights, and what SPREAD leaves over, a panel each.

    A dashed line is the threshold beyond which the table's reading is "blowing up" (of the residual: "more
    SPREAD"), drawn where the data come near it. What is not finite is marked at the panel's upper edge.
    """
    if not rows:
        return drawing.sentence(drawing.NOTHING)
    places = grouped(rows, itemgetter("model", "dataset"))
    looks = drawing.looks(row["method"] for row in rows)
    titles = [drawing.panel_title(place, labels, between="\n") for place in places]
    figure, axes = drawing.matrix(titles, [words for words, _ in QUANTITIES.values()], (2.5, 2.0))
    for panels, members in zip(axes, places.values(), strict=True):
        for panel, (quantity, (_, threshold)) in zip(panels, QUANTITIES.items(), strict=True):
            for method, of_method in grouped(members, itemgetter("method")).items():
                _norm_lines(panel, of_method, quantity, looks[method])
            _norm_axis(panel, quantity, threshold)
            panel.set_xlim(-0.3, max(row["k"] for row in members) + 0.3)
    grey = {"color": GREY, "marker": "o", "markersize": 4.5}
    states = [(words, grey | appearance) for appearance, words in RESIDUALS.values()]
    states.append(("threshold of the reading", THRESHOLD))
    drawing.legend(figure, drawing.method_entries(looks, labels) + states)
    return figure


def _places(runs: Rows) -> dict[tuple[str, str], list[Method]]:
    """The methods of each (model, dataset), in order of appearance; InputError if there are none."""
    if not runs:
        raise InputError("no run to draw: the table of runs is empty")
    return grouped(methods_of(runs), attrgetter("place"))


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
    if most > drawing.LARGE or (most > drawing.LARGE * least and quantity != "residual"):
        panel.set_yscale("log")
    elif quantity == "residual":
        panel.set_ylim(bottom=0)
        panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    elif threshold is not None:  # a ratio: what hardly changes should look as if
        low, high = panel.get_ylim()
        panel.set_ylim(min(low, 0.95), max(high, 1.05))
    if threshold is not None and (quantity == "residual" or most - 1 > (threshold - 1) / 4):
        panel.axhline(threshold, **THRESHOLD)
