"""The paired differences at a glance: which intervals leave zero out."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from reedit.evaluate.measures import METRICS
from reedit.report.figures import drawing
from reedit.report.figures.drawing import Rows, styled
from reedit.report.tables.differences import block_title, blocks, compared, excludes_zero
from reedit.report.tables.sheet import consecutive
from reedit.report.words import Labels, signed

NOTHING = "Nothing is compared in this experiment."
LINE = 0.24  # inches


@styled
def differences(rows: Rows, labels: Labels) -> Figure:
    """A panel a metric, a line a comparison: the mean difference of accuracies with its 95 % interval.

    `rows` are of schema "differences"; a point is filled where its interval leaves zero out.
    """
    lines = _lines(rows, labels)
    if not lines:
        return drawing.sentence(NOTHING)
    figure = Figure(figsize=(10.5, 1.1 + LINE * len(lines)), layout="constrained")
    axes = figure.subplots(1, len(METRICS), sharey=True)
    for panel, metric in zip(axes, METRICS, strict=True):
        _draw(panel, f"{metric}_accuracy", lines)
        panel.set_title(metric.capitalize())
        panel.set_xlabel("percentage points")
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: signed(value).removesuffix(".0")))
    axes[0].set_yticks(range(len(lines)), [words for words, _ in lines], fontsize=7.5, parse_math=False)
    for tick, (_, own) in zip(axes[0].get_yticklabels(), lines, strict=True):
        tick.set_fontweight("normal" if own else "bold")
    axes[0].set_ylim(len(lines) - 0.5, -0.5)
    return figure


def _lines(rows: Rows, labels: Labels) -> list[tuple[str, Rows]]:
    """The words beside each line and its rows; those of a block's title have none."""
    found: list[tuple[str, Rows]] = []
    for block in blocks(rows):
        found.append((drawing.printable(block_title(block[0], labels)), []))
        for comparison in consecutive(block, ["row"]):
            found.append((drawing.printable(compared(comparison[0], labels)), comparison))
    return found


def _draw(panel: Axes, measure: str, lines: Sequence[tuple[str, Rows]]) -> None:
    panel.axvline(0, color=drawing.GREY, linewidth=0.8)
    for place, (_, rows) in enumerate(lines):
        for row in rows:
            if row["measure"] != measure or row["mean"] is None or row["low"] is None:
                continue
            color = drawing.COLORS[0]
            panel.plot([row["low"], row["high"]], [place, place], color=color, linewidth=1.4)
            inside = color if excludes_zero(row) else "white"
            panel.plot(row["mean"], place, "o", color=color, markerfacecolor=inside, markersize=5)
