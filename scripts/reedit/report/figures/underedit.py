"""The paper's Figure 4: do iterations repair the edits that fail at first?"""

import math
import textwrap
from operator import attrgetter

import pandas as pd
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reedit.methods.stopping import EPSILON
from reedit.report.figures import drawing
from reedit.report.figures.drawing import GREY, Look, Rows, styled
from reedit.report.rows.cases import case_frame, edits_of
from reedit.report.rows.groups import grouped
from reedit.report.rows.lines import iterative, methods_of, with_edits
from reedit.report.words import Labels

UNDER_EDIT = {"linestyle": "--", "markerfacecolor": "white"}


@styled
def underedit(runs: Rows, cases: pa.Table, labels: Labels) -> Figure:
    """Efficacy accuracy and |delta p_k| of all edits and of the UnderEdit cases (rows of schema "cases").

    Two panels per (model, dataset), one above the other, for the iterative methods; means over trials.
    """
    methods = with_edits(iterative(methods_of(runs)))
    if not methods:
        return drawing.sentence(drawing.NOTHING)
    frame = case_frame(cases)
    places = grouped(methods, attrgetter("place"))
    looks = drawing.looks(method.method for method in methods)
    columns, size = drawing.columns_of(2 * len(places))
    columns = min(columns, len(places))
    bands = math.ceil(len(places) / columns)
    shape = (max(7.5, 3.9 * size * columns), 1.0 + 4.8 * size * bands)
    figure = Figure(figsize=shape, layout="constrained")
    axes = figure.subplots(2 * bands, columns, squeeze=False)
    for number, (place, members) in enumerate(places.items()):
        band, column = divmod(number, columns)
        accuracy, gap = axes[2 * band : 2 * band + 2, column]
        counts = []
        for method in members:
            edits = edits_of(frame, method)
            _lines(accuracy, gap, edits, looks[method.method])
            counts.append(_under_edits(edits, drawing.method_name(method.method, labels)))
        told = f"UnderEdit: {', '.join(counts)}"
        lines = textwrap.wrap(told, round(50 * size), break_long_words=False, break_on_hyphens=False)
        title = "\n".join([drawing.panel_title(place, labels), *lines])
        accuracy.set_title(title, parse_math=False, fontsize=9)
        drawing.shares(accuracy)
        gap.set_yscale("log")
        gap.axhline(EPSILON, color=GREY, linewidth=0.8, linestyle=":")
        drawing.iteration_axis(accuracy, "")
        drawing.iteration_axis(gap)
        if column == 0:
            accuracy.set_ylabel("efficacy accuracy")
            gap.set_ylabel(r"$|\Delta p_k|$")
    for unused in axes[2 * bands - 2 :, len(places) - columns * (bands - 1) :].ravel():
        unused.remove()
    grey = {"color": GREY, "marker": "o", "markersize": 4.5}
    entries = [
        *drawing.method_entries(looks, labels),
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
        scored = part.dropna(subset="efficacy_accuracy").groupby(["k", "trial"])
        drawing.draw_line(accuracy, _over_trials(scored["efficacy_accuracy"].mean()), drawn_as)
        known = part.dropna(subset=["ppl_target", "ppl_edited"]).groupby(["k", "trial"])
        # |p(theta_{k+1}, h-hat) - p(theta_k, h-bar)|, p the mean over these edits; infinite if one is
        delta_p = (known["ppl_edited"].mean() - known["ppl_target"].mean()).abs().fillna(math.inf)
        drawing.draw_line(gap, _over_trials(delta_p), drawn_as)


def _over_trials(values: pd.Series) -> dict[int, float]:
    """Per k the mean over the trials, where a value by k and trial is known of all of them."""
    return values.unstack("trial").mean(axis=1, skipna=False).dropna().to_dict()


def _under_edits(edits: pd.DataFrame, name: str) -> str:
    """ "MEMIT 8/16", without a space that a line could break at; "MEMIT ?" where k = 1 was not scored."""
    known = edits.loc[edits["k"] == 1, "under_edit"].dropna()
    share = f"{known.eq(True).sum()}/{len(known)}" if len(known) else "?"
    return f"{name} {share}".replace(" ", "\u00a0")
