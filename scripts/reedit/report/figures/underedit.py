"""The paper's Figure 4: do iterations repair the edits that fail at first?"""

import math
import textwrap
from collections.abc import Callable, Sequence

import pandas as pd
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reedit.methods.stopping import EPSILON
from reedit.report.figures import drawing
from reedit.report.figures.drawing import GREY, Look, Rows, styled
from reedit.report.figures.edits import edits_of, iterative_methods
from reedit.report.rows.cases import case_frame
from reedit.report.words import Labels

UNDER_EDIT = {"linestyle": "--", "markerfacecolor": "white"}


@styled
def underedit(runs: Rows, cases: pa.Table, labels: Labels) -> Figure:
    """Efficacy accuracy and |delta p_k| of all edits and of the UnderEdit cases (rows of schema "cases").

    Two panels per (model, dataset), one above the other, for the iterative methods; means over trials.
    """
    methods = iterative_methods(runs)
    if not methods:
        return drawing.sentence(drawing.NOTHING)
    frame = case_frame(cases)
    blocks = drawing.distinct(method.path[:2] for method in methods)
    names = drawing.distinct(method.method for method in methods)
    columns, size = drawing.columns_of(2 * len(blocks))
    columns = min(columns, len(blocks))
    bands = math.ceil(len(blocks) / columns)
    shape = (max(7.5, 3.9 * size * columns), 1.0 + 4.8 * size * bands)
    figure = Figure(figsize=shape, layout="constrained")
    axes = figure.subplots(2 * bands, columns, squeeze=False)
    for place, block in enumerate(blocks):
        band, column = divmod(place, columns)
        accuracy, gap = axes[2 * band : 2 * band + 2, column]
        counts = []
        for method in (method for method in methods if method.path[:2] == block):
            edits = edits_of(frame, method)
            _lines(accuracy, gap, edits, drawing.look(names.index(method.method)))
            counts.append(_under_edits(edits, drawing.method_name(method.method, labels)))
        title = f"{drawing.panel_title(block, labels)}\n{_wrapped(counts, round(50 * size))}"
        accuracy.set_title(title, parse_math=False, fontsize=9)
        drawing.shares(accuracy)
        gap.set_yscale("log")
        gap.axhline(EPSILON, color=GREY, linewidth=0.8, linestyle=":")
        drawing.iteration_axis(accuracy, "")
        drawing.iteration_axis(gap)
        if column == 0:
            accuracy.set_ylabel("efficacy accuracy")
            gap.set_ylabel(r"$|\Delta p_k|$")
    for unused in axes[2 * bands - 2 :, len(blocks) - columns * (bands - 1) :].ravel():
        unused.remove()
    grey = {"color": GREY, "marker": "o", "markersize": 4.5}
    entries = [
        *drawing.method_entries(names, labels),
        ("all edits", grey | {"linestyle": "-"}),
        ("UnderEdit cases", grey | UNDER_EDIT),
        (r"criterion, $|\Delta p_k| = 1$", {"color": GREY, "linestyle": ":", "linewidth": 0.8}),
    ]
    drawing.legend(figure, entries)
    return figure


def _lines(accuracy: Axes, gap: Axes, edits: pd.DataFrame, appearance: Look) -> None:
    """One method's lines: of all its edits, and dashed of those that failed at first."""
    failed = edits[edits["under_edit"].eq(True)]
    for part, drawn_as in [(edits, appearance), (failed, {**appearance, **UNDER_EDIT})]:
        scored = part.dropna(subset="efficacy_accuracy")
        drawing.draw_line(accuracy, _over_trials(scored, _efficacy), drawn_as)
        known = part.dropna(subset=["ppl_target", "ppl_edited"])
        drawing.draw_line(gap, _over_trials(known, _delta_p), drawn_as)


def _over_trials(edits: pd.DataFrame, value: Callable[[pd.DataFrame], float]) -> dict[int, float]:
    """Per k the mean over trials of a value of each trial's edits, where it is known of all of them."""
    found: dict[int, list[float]] = {}
    for (_, k), members in edits.groupby(["trial", "k"]):
        found.setdefault(k, []).append(value(members))
    trials = edits["trial"].nunique()
    return {k: sum(values) / trials for k, values in sorted(found.items()) if len(values) == trials}


def _efficacy(edits: pd.DataFrame) -> float:
    """Mean accuracy on the bare prompt."""
    return edits["efficacy_accuracy"].mean()


def _delta_p(edits: pd.DataFrame) -> float:
    """|p(theta_{k+1}, h-hat) - p(theta_k, h-bar)|, p the mean over these edits; infinite if one is."""
    gap = abs(edits["ppl_edited"].mean() - edits["ppl_target"].mean())
    return gap if math.isfinite(gap) else math.inf


def _under_edits(edits: pd.DataFrame, name: str) -> str:
    """ "MEMIT 8/16", without a space that a line could break at; "MEMIT ?" where k = 1 was not scored."""
    known = edits.loc[edits["k"] == 1, "under_edit"].dropna()
    share = f"{known.eq(True).sum()}/{len(known)}" if len(known) else "?"
    return f"{name} {share}".replace(" ", "\u00a0")


def _wrapped(counts: Sequence[str], width: int) -> str:
    text = f"UnderEdit: {', '.join(counts)}"
    return "\n".join(textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False))
