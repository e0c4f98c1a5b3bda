"""One style for all figures: what tells methods apart in color and in grey, panels, legends, files.

A figure is a function of rows and labels that gives matplotlib's Figure; `save` writes it.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import ft2font
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from reedit.report.words import Labels, method_of, name_of, plain
from reedit.storage.files import atomic

# a method has a color and a marker, so that it is found in grey as well
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#8c564b")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
STYLES = ("-", "--", "-.", ":")
GREY = "#444444"
SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "pdf.fonttype": 42,
    "svg.hashsalt": "reedit",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
NOTHING = "This experiment has no edits to draw."
LARGE = 30  # from so many times on, values are shown on a logarithmic axis
COLUMNS = 3  # panels beside each other before a new row begins

Look = Mapping[str, Any]
Rows = Sequence[Mapping[str, Any]]


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw with the figures' settings; those of before are back afterwards."""
    return matplotlib.rc_context(SETTINGS)(draw)


def look(number: int, dashed: bool = False) -> dict[str, Any]:
    """The appearance of the method with this number, with a line style of its own if `dashed`.

    Past as many as there are colors, they come again with other markers and line styles.
    """
    color, again = number % len(COLORS), number // len(COLORS)
    found = {
        "color": COLORS[color],
        "marker": MARKERS[(color + again) % len(MARKERS)],
        "markersize": 4.5,
        "linewidth": 1.4,
    }
    return found | ({"linestyle": STYLES[(number + again) % len(STYLES)]} if dashed else {})


def looks(methods: Iterable[str], dashed: bool = False) -> dict[str, Look]:
    """The appearance of each method by its name, in order of appearance."""
    return {name: look(number, dashed) for number, name in enumerate(dict.fromkeys(methods))}


def columns_of(panels: int) -> tuple[int, float]:
    """How many panels beside each other, and their size: more and smaller ones where there are many."""
    if panels <= COLUMNS**2:
        return min(panels, COLUMNS), 1.0
    return 2 * COLUMNS, 2 / 3


def grid(titles: Sequence[str], size: tuple[float, float], ylabel: str = "") -> tuple[Figure, list[Axes]]:
    """A figure with a panel of `size` inches for each title, smaller where there are many; what their
    vertical axes show stands beside the first column."""
    count = len(titles)
    columns, scale = columns_of(count)
    rows = math.ceil(count / columns)
    shape = (max(7.5, scale * size[0] * columns), 0.8 + scale * size[1] * rows)
    figure = Figure(figsize=shape, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in axes[count:]:
        unused.remove()
    for place, (panel, title) in enumerate(zip(axes, titles, strict=False)):
        panel.set_title(title, parse_math=False)
        panel.set_ylabel(ylabel if place % columns == 0 else "")
    return figure, list(axes[:count])


def matrix(
    blocks: Sequence[str],
    quantities: Sequence[str],
    size: tuple[float, float],
    below: str = "iteration $k$",
    **shared: Any,
) -> tuple[Figure, np.ndarray]:
    """A panel for each block and quantity, [blocks, quantities], named at the outer ones.

    A page is wide: a block is a row of panels, of many blocks each is a column. $...$ in a quantity is
    mathematics; `shared` is for matplotlib's subplots.
    """
    columns, rows = (blocks, quantities) if len(blocks) > 2 else (quantities, blocks)
    shape = (max(9.0, size[0] * len(columns)), 1.0 + size[1] * len(rows))
    figure = Figure(figsize=shape, layout="constrained")
    axes = figure.subplots(len(rows), len(columns), squeeze=False, **shared)
    for place, words in enumerate(columns):
        axes[0, place].set_title(words, parse_math=columns is quantities)
        axes[-1, place].set_xlabel(below)
    for place, words in enumerate(rows):
        axes[place, 0].set_ylabel(words, parse_math=rows is quantities)
        for panel in axes[place]:
            integers(panel)
    return figure, axes.T if columns is blocks else axes


def panel_title(parts: Sequence[str], labels: Labels, between: str = " / ") -> str:
    """Model and dataset by the names that the tables give them."""
    return between.join(printable(name_of(part, labels)) for part in parts)


def method_name(method: str, labels: Labels) -> str:
    """A method by its name in the tables."""
    return printable(method_of(method, labels))


def printable(text: str) -> str:
    """On one line, with a box in place of what the font has no glyph for."""
    glyphs = ft2font.FT2Font(findfont(FontProperties(family=SETTINGS["font.family"])))
    return "".join(c if glyphs.get_char_index(ord(c)) else "□" for c in plain(text))


def iteration_axis(panel: Axes, words: str = "iteration $k$") -> None:
    """Whole numbers of iterations below a panel."""
    panel.set_xlabel(words)
    integers(panel)


def integers(panel: Axes) -> None:
    """Ticks at whole numbers alone."""
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def shares(panel: Axes) -> None:
    """A vertical axis from 0 to 100 %."""
    panel.set_ylim(-0.03, 1.03)
    panel.yaxis.set_major_formatter(PercentFormatter(1.0))


def draw_line(panel: Axes, values: Mapping[int, float], appearance: Look) -> None:
    """A line through the finite values; the others are named at the panel's upper edge."""
    panel.plot(list(values), [v if math.isfinite(v) else math.nan for v in values.values()], **appearance)
    for k, value in values.items():
        if not math.isfinite(value):
            name_at_edge(panel, k, value, appearance["color"])


def name_at_edge(panel: Axes, x: float, value: float, color: str) -> None:
    """Write at the panel's upper edge that the value at `x` is infinite or no number."""
    panel.annotate(
        "NaN" if math.isnan(value) else "∞",
        (x, 0.98),
        xycoords=("data", "axes fraction"),
        ha="center",
        va="top",
        color=color,
        fontsize=12 if math.isinf(value) else 8,
    )
    panel.update_datalim([(x, 1.0)], updatey=False)  # the axis must still reach this x
    panel.autoscale_view(scaley=False)


def legend(figure: Figure, entries: Sequence[tuple[str, Look]], columns: int = 4) -> None:
    """Below the panels: words and the appearance they stand for; $...$ in them is mathematics.

    In at most so many columns, fewer where the names are long.
    """
    renderer = FigureCanvasAgg(figure).get_renderer()
    for count in range(min(columns, len(entries)), 0, -1):
        drawn = figure.legend(
            [Line2D([], [], **appearance) for _, appearance in entries],
            [words for words, _ in entries],
            loc="outside lower center",
            ncols=count,
            frameon=False,
            handlelength=3.5,
        )
        if count == 1 or drawn.get_window_extent(renderer).width <= figure.bbox.width:
            return
        drawn.remove()


def method_entries(looks: Mapping[str, Look], labels: Labels) -> list[tuple[str, Look]]:
    """The methods' part of a legend, a dollar sign in a name is one; without a line style, markers alone."""
    return [
        (method_name(method, labels).replace("$", r"\$"), {"linestyle": "", **seen})
        for method, seen in looks.items()
    ]


def sentence(words: str) -> Figure:
    """In place of a figure for which the experiment has no runs."""
    figure = Figure(figsize=(9.0, 1.2))
    figure.text(0.5, 0.5, words, ha="center", va="center")
    return figure


def save(figure: Figure, pdf: Path | str, png: Path | str) -> None:
    """Write both files, without a date or a version in them."""
    FigureCanvasAgg(figure)
    nameless = {"CreationDate": None, "Creator": None, "Producer": None}
    with matplotlib.rc_context(SETTINGS):
        with atomic(pdf) as temporary:
            figure.savefig(temporary, format="pdf", metadata=nameless)
        with atomic(png) as temporary:
            figure.savefig(temporary, format="png", dpi=160, metadata={"Software": None})
