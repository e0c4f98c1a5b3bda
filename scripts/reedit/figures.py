"""Two figures from rows of schema "runs": perplexity and scores against the iteration."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from reedit.errors import InputError
from reedit.files import atomic

# a method has a color and a marker, so that it is found in grey as well
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#8c564b")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
STYLES = ("-", "--", "-.", ":")
PERPLEXITIES = {
    "ppl_initial": (":", r"before the edit, $p(\theta_k, h)$"),
    "ppl_target": ("--", r"optimised, $p(\theta_k, \bar{h})$"),
    "ppl_edited": ("-", r"after the edit, $p(\theta_{k+1}, \hat{h})$"),
}
ACCURACIES = ("efficacy", "generalization", "specificity")
SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "pdf.fonttype": 42,
    "svg.hashsalt": "reedit",
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.spines.top": False,
    "axes.spines.right": False,
}

Row = Mapping[str, Any]


def perplexity(runs: Sequence[Row], pdf: Path | str, png: Path | str) -> None:
    """What OPTIMIZATION reaches and what SPREAD leaves of it, a panel per (model, dataset).

    Values are means over trials on a logarithmic axis; where one is not finite its place is marked at
    the panel's upper edge.
    """
    with matplotlib.rc_context(SETTINGS):
        panels = _panels(runs)
        columns = min(len(panels), 3)
        rows = math.ceil(len(panels) / columns)
        figure = Figure(figsize=(max(7.5, 1.2 + 4.2 * columns), 1.3 + 2.9 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for unused in axes[len(panels) :]:
            unused.remove()
        methods = _methods(runs)
        for panel, (title, members) in zip(axes, panels.items(), strict=False):
            panel.set_yscale("log")
            for measure, (style, _) in PERPLEXITIES.items():
                for method in _methods(members):
                    values = _means(members, method, measure, first=1)
                    look = _look(methods.index(method)) | {"linestyle": style}
                    _draw(panel, values, look)
            panel.set_title(" / ".join(title), parse_math=False)
            panel.set_xlabel("iteration $k$")
            if panel.get_subplotspec().is_first_col():
                panel.set_ylabel("perplexity of the new knowledge")
            panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        series = [(words, {"color": "#444444", "linestyle": style}) for style, words in PERPLEXITIES.values()]
        _legend(figure, [(method, _look(n) | {"linestyle": ""}) for n, method in enumerate(methods)], series)
        _save(figure, pdf, png)


def scores(runs: Sequence[Row], pdf: Path | str, png: Path | str) -> None:
    """Accuracy of efficacy, generalization and specificity: three panels per (model, dataset).

    Lines are means over trials, from the unedited model (k = 0) on; the band spans the trials.
    """
    with matplotlib.rc_context(SETTINGS):
        panels = _panels(runs)
        many, few = len(panels), len(ACCURACIES)
        wide = many > 2  # a page is wide: one (model, dataset) is a row of panels, several are columns
        shape = (few, many) if wide else (many, few)
        figure = Figure(figsize=(max(9.0, 2.6 * shape[1]), 1.0 + 2.5 * shape[0]), layout="constrained")
        axes = figure.subplots(*shape, squeeze=False, sharey=True)
        methods = _methods(runs)
        for place, (title, members) in enumerate(panels.items()):
            for number, metric in enumerate(ACCURACIES):
                panel = axes[number, place] if wide else axes[place, number]
                for method in _methods(members):
                    look = _look(methods.index(method), dashed=True)
                    _draw(panel, _means(members, method, f"{metric}_accuracy"), look)
                    _band(panel, members, method, f"{metric}_accuracy", look["color"])
                names = ("\n".join(title), metric) if wide else (metric, "\n".join(title))
                _label(panel, *names)
                panel.set_ylim(-0.03, 1.03)
                panel.yaxis.set_major_formatter(PercentFormatter(1.0))
                panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        _legend(figure, [(method, _look(n, dashed=True)) for n, method in enumerate(methods)])
        _save(figure, pdf, png)


def _panels(runs: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """The rows of each (model, dataset), in order of appearance; InputError if there are none."""
    if not runs:
        raise InputError("no run to draw: the table of runs is empty")
    panels: dict[tuple[str, str], list[Row]] = {}
    for row in runs:
        panels.setdefault((row["model"], row["dataset"]), []).append(row)
    return panels


def _methods(runs: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row["method"] for row in runs))


def _values(runs: Sequence[Row], method: str, measure: str) -> dict[int, list[float]]:
    """Per k the values of the trials that measured it."""
    values: dict[int, list[float]] = {}
    for row in runs:
        if row["method"] == method and row[measure] is not None:
            values.setdefault(row["k"], []).append(row[measure])
    return dict(sorted(values.items()))


def _means(runs: Sequence[Row], method: str, measure: str, first: int = 0) -> dict[int, float]:
    return {k: sum(v) / len(v) for k, v in _values(runs, method, measure).items() if k >= first}


def _look(number: int, dashed: bool = False) -> dict[str, Any]:
    """The appearance of the method with this number, with a line style of its own if `dashed`."""
    look = {
        "color": COLORS[number % len(COLORS)],
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 4.5,
        "linewidth": 1.4,
    }
    return look | ({"linestyle": STYLES[number % len(STYLES)]} if dashed else {})


def _draw(panel: Axes, values: Mapping[int, float], look: Mapping[str, Any]) -> None:
    """A line through the finite values; the others are named at the panel's upper edge."""
    panel.plot(list(values), [v if math.isfinite(v) else math.nan for v in values.values()], **look)
    for k, value in values.items():
        if not math.isfinite(value):
            panel.annotate(
                "NaN" if math.isnan(value) else "∞",
                (k, 0.98),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="top",
                color=look["color"],
                fontsize=12 if math.isinf(value) else 8,
            )
            panel.update_datalim([(k, 1.0)], updatey=False)  # the axis must still reach this k
            panel.autoscale_view(scaley=False)


def _band(panel: Axes, runs: Sequence[Row], method: str, measure: str, color: str) -> None:
    """The range of the trials, where there are several."""
    values = {k: v for k, v in _values(runs, method, measure).items() if len(v) > 1}
    if values:
        low, high = ([bound(v) for v in values.values()] for bound in (min, max))
        panel.fill_between(list(values), low, high, color=color, alpha=0.15, linewidth=0)


def _label(panel: Axes, column: str, row: str) -> None:
    """Name the column on its top panel, the row on its left one and k on the bottom one."""
    place = panel.get_subplotspec()
    if place.is_first_row():
        panel.set_title(column, parse_math=False)
    if place.is_first_col():
        panel.set_ylabel(f"{row}\naccuracy", parse_math=False)
    if place.is_last_row():
        panel.set_xlabel("iteration $k$ (0: unedited)")


def _legend(
    figure: Figure,
    methods: Sequence[tuple[str, Mapping[str, Any]]],
    series: Sequence[tuple[str, Mapping[str, Any]]] = (),
) -> None:
    """The methods by their names in the tables, then the series by the words given for them."""
    entries = [(method.upper().replace("$", r"\$"), look) for method, look in methods] + list(series)
    figure.legend(
        [Line2D([], [], **look) for _, look in entries],
        [words for words, _ in entries],
        loc="outside lower center",
        ncols=3 if series else min(4, len(entries)),
        frameon=False,
        handlelength=3.5,
    )


def _save(figure: Figure, pdf: Path | str, png: Path | str) -> None:
    """Write both files, without a date or a version in them."""
    FigureCanvasAgg(figure)
    with atomic(pdf) as temporary:
        figure.savefig(
            temporary, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None}
        )
    with atomic(png) as temporary:
        figure.savefig(temporary, format="png", dpi=160, metadata={"Software": None})
