"""Two figures from rows of "cases": UnderEdit cases (the paper's Figure 4), and every edit's perplexity."""

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from reedit.methods.stopping import EPSILON
from reedit.report.figures.drawing import (
    GREY,
    NOTHING,
    Labels,
    Look,
    columns_of,
    draw_line,
    grid,
    iteration_axis,
    legend,
    look,
    method_entries,
    method_name,
    panel_title,
    save,
    save_sentence,
    style,
)
from reedit.report.rows.cases import case_frame
from reedit.report.rows.lines import Method, iterative, methods_of

UNDER_EDIT = {"linestyle": "--", "markerfacecolor": "white"}
FEW = 50  # edits up to which every one is drawn
BOXES = {"ppl_target": "white", "ppl_edited": "#9a9a9a"}
BOX_WORDS = {
    "ppl_target": r"optimised, $p(\theta_k, \bar{h})$",
    "ppl_edited": r"edited, $p(\theta_{k+1}, \hat{h})$",
}
BOX_SAMPLE = {"marker": "s", "markersize": 9, "color": "black", "linestyle": ""}

Row = Mapping[str, Any]


def underedit(
    runs: Sequence[Row], cases: pa.Table, pdf: Path | str, png: Path | str, labels: Labels | None = None
) -> None:
    """The paper's Figure 4: efficacy accuracy and |delta p_k| of all edits and of the UnderEdit cases.

    Two panels per (model, dataset), one above the other, for the iterative methods; means over trials.
    `cases` are rows of schema "cases".
    """
    labels = labels or {}
    with style():
        methods = _iterative(runs)
        if not methods:
            return save_sentence(NOTHING, pdf, png)
        frame = case_frame(cases)
        blocks = list(dict.fromkeys((method.model, method.dataset) for method in methods))
        columns, size = columns_of(2 * len(blocks))
        columns = min(columns, len(blocks))
        bands = math.ceil(len(blocks) / columns)
        shape = (max(7.5, 3.9 * size * columns), 1.0 + 4.8 * size * bands)
        figure = Figure(figsize=shape, layout="constrained")
        axes = figure.subplots(2 * bands, columns, squeeze=False)
        names = list(dict.fromkeys(method.method for method in methods))
        for place, block in enumerate(blocks):
            band, column = divmod(place, columns)
            accuracy, gap = axes[2 * band, column], axes[2 * band + 1, column]
            members = [method for method in methods if (method.model, method.dataset) == block]
            counts = []
            for method in members:
                edits = _edits_of(frame, method)
                _under_edit_lines(accuracy, gap, edits, look(names.index(method.method)))
                counts.append(_under_edits(edits, method_name(method.method, labels)))
            title = f"{panel_title(block, labels)}\n{_wrapped(counts, round(50 * size))}"
            accuracy.set_title(title, parse_math=False, fontsize=9)
            accuracy.set_ylim(-0.03, 1.03)
            accuracy.yaxis.set_major_formatter(PercentFormatter(1.0))
            gap.set_yscale("log")
            gap.axhline(EPSILON, color=GREY, linewidth=0.8, linestyle=":")
            iteration_axis(accuracy, "")
            iteration_axis(gap)
            if column == 0:
                accuracy.set_ylabel("efficacy accuracy")
                gap.set_ylabel(r"$|\Delta p_k|$")
        for unused in axes[2 * bands - 2 :, len(blocks) - columns * (bands - 1) :].ravel():
            unused.remove()
        entries = method_entries(names, labels, [look(n) | {"linestyle": ""} for n in range(len(names))])
        entries += [
            ("all edits", {"color": GREY, "linestyle": "-", "marker": "o", "markersize": 4.5}),
            ("UnderEdit cases", {"color": GREY, "marker": "o", "markersize": 4.5} | UNDER_EDIT),
            (r"criterion, $|\Delta p_k| = 1$", {"color": GREY, "linestyle": ":", "linewidth": 0.8}),
        ]
        legend(figure, entries)
        save(figure, pdf, png)


def distribution(
    runs: Sequence[Row], cases: pa.Table, pdf: Path | str, png: Path | str, labels: Labels | None = None
) -> None:
    """Every edit's perplexity per iteration, as optimised beside as edited; a panel per iterative method.

    Boxes hold the middle half of all trials' edits, whiskers 90 % of them, on a logarithmic axis. Up to
    FEW edits are drawn one by one. A value beyond floating point counts as the largest and is told at the
    upper edge.
    """
    labels = labels or {}
    with style():
        methods = _iterative(runs)
        if not methods:
            return save_sentence(NOTHING, pdf, png)
        frame = case_frame(cases)
        figure, axes = grid(len(methods), (3.9, 2.6))
        for panel, method in zip(axes, methods, strict=True):
            edits = _edits_of(frame, method)
            panel.set_yscale("log")
            for column, offset in (("ppl_target", -0.2), ("ppl_edited", 0.2)):
                for k, values in edits.dropna(subset=column).groupby("k")[column]:
                    _box(panel, k + offset, values.to_numpy(), BOXES[column])
            title = (
                f"{panel_title((method.model, method.dataset), labels)}\n{method_name(method.method, labels)}"
            )
            panel.set_title(title, parse_math=False, fontsize=9)
            panel.set_xlim(0.4, edits["k"].max() + 0.6)
            panel.set_ylim(0.9, max(10.0, panel.get_ylim()[1]))  # no perplexity is below 1
            iteration_axis(panel)
            panel.grid(False, axis="x")
            if panel.get_subplotspec().is_first_col():
                panel.set_ylabel("perplexity")
        entries = [
            (BOX_WORDS[column], BOX_SAMPLE | {"markerfacecolor": face}) for column, face in BOXES.items()
        ]
        legend(figure, entries)
        save(figure, pdf, png)


def _iterative(runs: Sequence[Row]) -> list[Method]:
    """The iterative methods that edited something, each once."""
    return list({m.path: m for m in iterative(methods_of(runs)) if m.edited}.values())


def _edits_of(frame: pd.DataFrame, method: Method) -> pd.DataFrame:
    """The rows of "cases" of one method, k from 1 on; a trial that has ended stands where it ended."""
    of_method = np.logical_and.reduce(
        [
            frame[name] == value
            for name, value in zip(("model", "dataset", "method"), method.path, strict=True)
        ]
    )
    edits = frame[of_method & (frame["k"] >= 1)]
    later = [
        edits[(edits["trial"] == trial) & (edits["k"] == end)].assign(k=k)
        for trial, end in zip(method.trials, method.ends, strict=True)
        for k in range(end + 1, method.last + 1)
    ]
    return pd.concat([edits, *later]) if later else edits


def _under_edit_lines(accuracy: Axes, gap: Axes, edits: pd.DataFrame, appearance: Look) -> None:
    """One method's lines: of all its edits, and dashed of those that failed at first."""
    failed = edits[edits["under_edit"].eq(True)]
    for part, drawn_as in [(edits, appearance), (failed, {**appearance, **UNDER_EDIT})]:
        scored = part.dropna(subset="efficacy_accuracy")
        draw_line(accuracy, _over_trials(scored, _efficacy), drawn_as)
        known = part.dropna(subset=["ppl_target", "ppl_edited"])
        draw_line(gap, _over_trials(known, _delta_p), drawn_as)


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
