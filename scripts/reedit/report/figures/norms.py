"""Norms against the iteration: the update, what it makes of the weights, and what SPREAD leaves over."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from reedit.report.figures.drawing import (
    GREY,
    NOTHING,
    Labels,
    draw_line,
    iteration_axis,
    legend,
    look,
    method_entries,
    panel_title,
    save,
    save_sentence,
    style,
)
from reedit.report.rows.norms import CONDITION, GROWTH, RESIDUAL

QUANTITIES = {  # what a panel shows -> its words, and the threshold of reedit.report.rows.norms.reading
    "update_norm": ("norm of the update", None),
    "growth": ("growth of the weights", GROWTH),
    "condition_growth": ("condition by the unedited", CONDITION),
    "residual": (r"$\|z - h\|$ by $\|h\|$", RESIDUAL),
}
RESIDUALS = {  # the states of the residual, both in its panel
    "residual_before": ({"linestyle": ":", "markerfacecolor": "white"}, "residual before SPREAD"),
    "residual_after": ({"linestyle": "-"}, "residual after SPREAD"),
}
LARGE = 30  # from so many times on, values are shown on a logarithmic axis
THRESHOLD = {"color": GREY, "linewidth": 0.8, "linestyle": "--"}
Row = Mapping[str, Any]


def norms(rows: Sequence[Row], pdf: Path | str, png: Path | str, labels: Labels | None = None) -> None:
    """Four panels per (model, dataset) from rows of schema "norm_summary"; means over trials.

    A dashed line is the threshold beyond which the table's reading is "blowing up" (of the residual: "more
    SPREAD"), drawn where the data come near it. What is not finite is marked at the panel's upper edge.
    """
    labels = labels or {}
    with style():
        if not rows:
            return save_sentence(NOTHING, pdf, png)
        blocks = list(dict.fromkeys((row["model"], row["dataset"]) for row in rows))
        methods = list(dict.fromkeys(row["method"] for row in rows))
        wide = len(blocks) > 2  # a page is wide: one (model, dataset) is a row of panels, several are columns
        many, few = len(blocks), len(QUANTITIES)
        shape = (few, many) if wide else (many, few)
        figure = Figure(figsize=(max(10.0, 2.5 * shape[1]), 0.9 + 2.0 * shape[0]), layout="constrained")
        axes = figure.subplots(*shape, squeeze=False)
        for place, block in enumerate(blocks):
            members = [row for row in rows if (row["model"], row["dataset"]) == block]
            for number, (quantity, (words, threshold)) in enumerate(QUANTITIES.items()):
                panel = axes[number, place] if wide else axes[place, number]
                for method in dict.fromkeys(row["method"] for row in members):
                    of_method = [row for row in members if row["method"] == method]
                    _draw(panel, of_method, quantity, look(methods.index(method)))
                _scale(panel, quantity, threshold)
                panel.set_xlim(-0.3, max(row["k"] for row in members) + 0.3)
                _label(panel, panel_title(block, labels, between="\n"), words, wide)
        looks = [look(number) | {"linestyle": ""} for number in range(len(methods))]
        entries = method_entries(methods, labels, looks)
        entries += [
            (words, {"color": GREY, "marker": "o", "markersize": 4.5} | appearance)
            for appearance, words in RESIDUALS.values()
        ]
        legend(figure, [*entries, ("threshold of the reading", THRESHOLD)])
        save(figure, pdf, png)


def _draw(panel: Axes, rows: Sequence[Row], quantity: str, appearance: Mapping[str, Any]) -> None:
    """One method's line of a quantity, of the residual both."""
    lines = {name: changes for name, (changes, _) in RESIDUALS.items()}
    if quantity != "residual":
        lines = {quantity: {}}
    for name, changes in lines.items():
        values = {row["k"]: row[name] for row in rows if row[name] is not None}
        draw_line(panel, values, {**appearance, **changes})


def _scale(panel: Axes, quantity: str, threshold: float | None) -> None:
    """A logarithmic axis for what multiplies, and the threshold where the data come near it."""
    iteration_axis(panel, "iteration $k$")
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


def _label(panel: Axes, block: str, words: str, wide: bool) -> None:
    """Name the quantity and the (model, dataset) at the outer panels; k stays on the bottom ones alone."""
    place = panel.get_subplotspec()
    column, row = (block, words) if wide else (words, block)
    if place.is_first_row():
        panel.set_title(column, parse_math=not wide)
    if place.is_first_col():
        panel.set_ylabel(row, parse_math=wide)
    if not place.is_last_row():
        panel.set_xlabel("")
