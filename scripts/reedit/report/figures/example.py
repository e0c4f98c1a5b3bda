"""The paper's Figure 3: OPTIMIZATION and SPREAD taking turns on one case."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from reedit.prepare.facts import NO_ANSWER
from reedit.report.figures import drawing
from reedit.report.figures.drawing import GREY, Rows, styled
from reedit.report.words import Labels

BOX_COX = -0.2  # between the logarithm (0) and the reciprocal (-1): spreads out 1..2, draws 10..10^6 together
TICKS = (1, 1.05, 1.1, 1.2, 1.5, 2, 3, 5, 10, 20, 50, *(10**power for power in range(2, 300)))
ROUND = {"marker": "o", "color": "#0072b2", "markersize": 7, "linestyle": ""}
EDITED = r"edited, $p(\theta_{k+1}, \hat{h})$: "
POINTS = {
    "start": (
        r"before, $p(\theta_1, h)$",
        {"marker": "X", "color": "black", "markersize": 7, "linestyle": ""},
    ),
    "optimised": (
        r"optimised, $p(\theta_k, \bar{h})$",
        {"marker": "v", "color": "#d55e00", "markersize": 7, "linestyle": ""},
    ),
    "failed": (EDITED + "not predicted yet", ROUND | {"markerfacecolor": "white"}),
    "predicted": (EDITED + "predicted", ROUND),
    "unscored": (EDITED + "not scored", ROUND | {"markerfacecolor": "#bbbbbb"}),
}
STEPS = {
    "OPTIMIZATION": {"color": GREY, "linestyle": ":", "linewidth": 1.2},
    "SPREAD": {"color": GREY, "linestyle": "-", "linewidth": 1.2},
}
Row = Mapping[str, Any]
Point = tuple[float, float]


@styled
def example(rows: Rows, labels: Labels) -> Figure:
    """The paper's Figure 3 from rows of schema "example": OPTIMIZATION and SPREAD taking turns on one case.

    A zigzag from p(theta_1, h) over p(theta_k, h-bar) to p(theta_{k+1}, h-hat), k by k, on a Box-Cox axis.
    """
    if not rows:
        return drawing.sentence(drawing.NOTHING)
    figure = Figure(figsize=(7.5, 4.4), layout="constrained")
    panel = figure.subplots()
    ks = [row["k"] for row in rows]
    start = (ks[0] - 0.5, rows[0]["ppl_initial"])
    optimised = [(row["k"], row["ppl_target"]) for row in rows]
    edited = [(row["k"] + 0.5, row["ppl_edited"]) for row in rows]
    points = {"start": [start], "optimised": optimised}
    for row, point in zip(rows, edited, strict=True):
        points.setdefault(_outcome(row), []).append(point)
    values = [value for _, value in [start, *optimised, *edited]]
    box_cox_axis(panel, max([1.0, *filter(math.isfinite, values)]))
    down, up = zip([start, *edited[:-1]], optimised, strict=True), zip(optimised, edited, strict=True)
    for name, steps in (("OPTIMIZATION", down), ("SPREAD", up)):
        for step in steps:
            panel.plot(*_columns(step), **STEPS[name])
    for name, places in points.items():
        panel.plot(*_columns(places), **POINTS[name][1])
    for x, value in [start, *optimised, *edited]:
        if not math.isfinite(value):
            drawing.name_at_edge(panel, x, value, GREY)
    panel.set_xlim(ks[0] - 0.75, ks[-1] + 0.75)
    panel.set_xticks([k + 0.25 for k in ks], [str(k) for k in ks])
    panel.set_xlabel("iteration $k$")
    panel.set_ylabel(f"perplexity of the new object (Box-Cox, $\\lambda = {BOX_COX}$)")
    panel.grid(False, axis="x")
    panel.set_title(_title(rows[0], labels), parse_math=False, loc="left", fontsize=9)
    entries = [POINTS[name] for name in POINTS if name in points]
    drawing.legend(figure, entries + list(STEPS.items()), columns=3)
    return figure


def box_cox_axis(panel: Axes, top: float) -> None:
    """A vertical axis from 1 to a little above `top` that is (p^lambda - 1) / lambda, with round ticks."""

    def forward(values: np.ndarray) -> np.ndarray:
        return (np.maximum(values, 1e-3) ** BOX_COX - 1) / BOX_COX

    def inverse(values: np.ndarray) -> np.ndarray:
        return np.maximum(BOX_COX * np.asarray(values) + 1, 1e-60) ** (1 / BOX_COX)

    low, high = 1.0, float(forward(np.array(max(top, 1.05))))
    panel.set_yscale("function", functions=(forward, inverse))
    panel.set_ylim(inverse(-0.04 * high), inverse(1.06 * high))
    ticks: list[float] = []
    for tick in TICKS:
        place = float(forward(np.array(float(tick))))
        far = not ticks or place - float(forward(np.array(ticks[-1]))) > 0.05 * high
        if low <= tick and place <= 1.06 * high and far:
            ticks.append(float(tick))
    panel.yaxis.set_major_locator(FixedLocator(ticks))
    texts = [f"{tick:g}" if tick < 1e4 else f"$10^{{{round(math.log10(tick))}}}$" for tick in ticks]
    panel.yaxis.set_major_formatter(FixedFormatter(texts))
    panel.yaxis.set_minor_locator(NullLocator())


def _title(row: Row, labels: Labels) -> str:
    """Who edited what; a long prompt is broken into lines."""
    place = drawing.panel_title((row["model"], row["dataset"]), labels)
    where = f"{drawing.method_name(row['method'], labels)}, {place}"
    change = f"{row['target_true']} is to become" if row["target_true"] != NO_ANSWER else "is to become"
    fact = f"“{row['prompt']}” — {change} {row['target_new']}"
    about = "UnderEdit case" if row["under_edit"] else "case"
    lines = textwrap.wrap(drawing.printable(fact), 100, max_lines=3, placeholder=" …")
    return "\n".join([f"{where}, {about} {row['case_id']}", *lines])


def _outcome(row: Row) -> str:
    """Whether the edited model predicts every token of the new object: a name in POINTS."""
    if row["efficacy_accuracy"] is None:
        return "unscored"
    return "predicted" if row["efficacy_accuracy"] == 1.0 else "failed"


def _columns(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    """x and y of points; where y is not finite there is a gap."""
    return [x for x, _ in points], [y if math.isfinite(y) else math.nan for _, y in points]
