"""Every edit's perplexity per iteration, as optimised beside as edited."""

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reedit.report.figures import drawing
from reedit.report.figures.drawing import Rows, styled
from reedit.report.rows.cases import case_frame, edits_of
from reedit.report.rows.lines import iterative, methods_of, with_edits
from reedit.report.words import Labels

FEW = 50  # edits up to which every one is drawn
BOXES = {  # what stands in a box: its face, its words, its place beside k
    "ppl_target": ("white", r"optimised, $p(\theta_k, \bar{h})$", -0.2),
    "ppl_edited": ("#9a9a9a", r"edited, $p(\theta_{k+1}, \hat{h})$", 0.2),
}
SAMPLE = {"marker": "s", "markersize": 9, "color": "black", "linestyle": ""}


@styled
def distribution(runs: Rows, cases: pa.Table, labels: Labels) -> Figure:
    """A panel per iterative method, logarithmic; `cases` are rows of schema "cases".

    Boxes hold the middle half of all trials' edits, whiskers 90 % of them. Up to FEW edits are drawn one by
    one. A value beyond floating point counts as the largest and is told at the upper edge.
    """
    methods = with_edits(iterative(methods_of(runs)))
    if not methods:
        return drawing.sentence(drawing.NOTHING)
    frame = case_frame(cases)
    titles = [
        f"{drawing.panel_title(method.place, labels)}\n{drawing.method_name(method.method, labels)}"
        for method in methods
    ]
    figure, axes = drawing.grid(titles, (3.9, 2.6), "perplexity")
    for panel, method in zip(axes, methods, strict=True):
        edits = edits_of(frame, method)
        panel.set_yscale("log")
        for column, (face, _, offset) in BOXES.items():
            for k, values in edits.dropna(subset=column).groupby("k")[column]:
                _box(panel, k + offset, values.to_numpy(), face)
        panel.title.set_fontsize(9)
        panel.set_xlim(0.4, edits["k"].max() + 0.6)
        panel.set_ylim(0.9, max(10.0, panel.get_ylim()[1]))  # no perplexity is below 1
        drawing.iteration_axis(panel)
        panel.grid(False, axis="x")
    drawing.legend(figure, [(words, SAMPLE | {"markerfacecolor": face}) for face, words, _ in BOXES.values()])
    return figure


def _box(panel: Axes, x: float, values: np.ndarray, face: str) -> None:
    """Quartiles and the 5th and 95th percentile of `values`, and each of them where they are few."""
    low, q1, median, q3, high = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95], method="inverted_cdf")
    finite = values[np.isfinite(values)]
    if len(finite):
        top = float(finite.max())  # what is infinite reaches as far as the largest value, and is told above
        box = {"whislo": low, "q1": q1, "med": median, "q3": q3, "whishi": high}
        panel.bxp(
            [{name: min(float(value), top) for name, value in box.items()}],
            positions=[x],
            widths=0.32,
            showfliers=False,
            patch_artist=True,
            manage_ticks=False,
            boxprops={"facecolor": face, "linewidth": 0.8},
            medianprops={"color": "black", "linewidth": 1.6},
            whiskerprops={"linewidth": 0.8},
            capprops={"linewidth": 0.8},
        )
    if len(values) <= FEW:
        spread = (np.arange(len(finite)) * 0.618) % 1 - 0.5  # evenly to the sides, the same every time
        panel.plot(x + 0.22 * spread, np.sort(finite), ".", color="black", markersize=2.5, alpha=0.7)
    if len(finite) < len(values):
        panel.annotate(
            f"{len(values) - len(finite)} × ∞",
            (x, 0.99),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="top",
            rotation=90,
            fontsize=7,
        )
