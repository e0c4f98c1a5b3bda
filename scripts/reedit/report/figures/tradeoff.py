"""What neighbors buy and cost: specificity against generalization, from rows of schema "cases"."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from reedit.evaluate.measures import intervals, measure
from reedit.report.figures import drawing
from reedit.report.figures.drawing import GREY, Rows, styled
from reedit.report.rows.differences import Judged, RunAtK, assisted_pairs, judged_cases, selected
from reedit.report.rows.groups import grouped
from reedit.report.rows.lines import Shown, methods_of, with_edits
from reedit.report.words import Labels, k_text
from reedit.storage.schemas import MEASURES

AXES = ("generalization_accuracy", "specificity_accuracy")
ARROW = {"arrowstyle": "->", "color": GREY, "linewidth": 0.9, "shrinkA": 6, "shrinkB": 6}
UNASSISTED = "This experiment has no neighbor-assisted runs."


@styled
def tradeoff(runs: Rows, cases: pa.Table, seed: int, labels: Labels) -> Figure:
    """Specificity against generalization as neighbors are added, a panel per (model, dataset).

    Each method where the proposed rule stops it; crosses are 95 % bootstrap intervals over cases; an arrow
    leads from a plain method to each of its assisted forms.
    """
    judged = judged_cases(cases)
    pairs = assisted_pairs(with_edits(methods_of(runs)), judged)
    sides = {m.path: selected(m) for assisted, plain in pairs for m in (plain, assisted)}
    found = {path: _point(side, judged, seed) for path, side in sides.items()}
    points = {path: point for path, point in found.items() if point is not None}
    if not points:
        return drawing.sentence(UNASSISTED)
    places = grouped(points, lambda path: path[:2])
    looks = drawing.looks((path[2] for path in points), dashed=True)
    figure, axes = drawing.grid([drawing.panel_title(place, labels) for place in places], (3.9, 3.4))
    for panel, (place, paths) in zip(axes, places.items(), strict=True):
        for path in paths:
            means, bounds = points[path]
            _cross(panel, means, bounds, looks[path[2]])
            words = f"k={k_text(sides[path].k_min, sides[path].k)}"
            panel.annotate(words, means, (5, 5), textcoords="offset points", fontsize=7)
        for assisted, plain in pairs:
            if assisted.place == place and {assisted.path, plain.path} <= points.keys():
                panel.annotate("", points[assisted.path][0], points[plain.path][0], arrowprops=ARROW)
        panel.set_xlabel("generalization accuracy")
        panel.set_ylabel("specificity accuracy")
        panel.xaxis.set_major_formatter(PercentFormatter(1.0))
        panel.yaxis.set_major_formatter(PercentFormatter(1.0))
        panel.margins(0.12)
    drawing.legend(figure, drawing.method_entries(looks, labels))
    return figure


def _point(
    side: Shown, judged: Mapping[RunAtK, Judged], seed: int
) -> tuple[tuple[float, float], np.ndarray] | None:
    """Means over trials of the measures of AXES and their intervals [2, 2]; None if not scored."""
    keys = list(side.runs.items())
    if any(key not in judged for key in keys):
        return None
    samples = [judged[key].values for key in keys]
    columns = [MEASURES.index(name) for name in AXES]
    protocol = side.method.protocol
    means = np.mean([measure(values, side.k, protocol) for values in samples], axis=0)[columns]
    bounds = intervals(samples, side.k, protocol, seed)[columns]
    return None if np.isnan(means).any() else ((float(means[0]), float(means[1])), bounds)


def _cross(
    panel: Axes, means: tuple[float, float], bounds: np.ndarray, appearance: Mapping[str, Any]
) -> None:
    errors = np.maximum(np.abs(bounds - np.array(means)[:, None]), 0.0)
    drawn = panel.errorbar(
        *means,
        xerr=errors[0][:, None],
        yerr=errors[1][:, None],
        **appearance | {"linestyle": "", "linewidth": 1.0, "markersize": 7, "capsize": 2},
    )
    for bar in drawn.lines[2]:
        bar.set_linestyle(appearance["linestyle"])
