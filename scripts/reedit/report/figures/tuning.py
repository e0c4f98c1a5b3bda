"""What tuning tried: what OPTIMIZATION and SPREAD can have at once, and what nothing else is better than."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reedit.report.figures import drawing
from reedit.report.figures.drawing import COLORS, GREY, styled
from reedit.report.rows.tuning import Tuned


@styled
def tuning(tuned: Tuned, title: str) -> Figure:
    """Left: the size of delta against the NLL of what it says, where targets are found. Right: the measures
    that were maximised."""
    optimized, spread = tuned.of("optimization"), tuned.of("spread")
    figure = Figure(figsize=(7.5 if optimized else 4.2, 3.6), layout="constrained")
    *lefts, right = np.atleast_1d(figure.subplots(1, 2 if optimized else 1))
    reach = tuned.made_by["reach"]
    for left in lefts:
        _scatter(left, optimized, ("size", "nll"), 1.0, {})
        left.set(xlabel="size of delta by that of h", ylabel="NLL of target_new with delta in place")
        left.set_xscale("log")
        left.set_yscale("log")
        left.set_title("OPTIMIZATION, the fewer passes the lighter", fontsize=9)
    across, up = (*tuned.made_by["maximise"], "efficacy")[:2]
    _scatter(right, spread, (across, up), 100.0, reach)
    right.set(xlabel=f"{across}, %", ylabel=f"{up}, %")
    best = max(row[up] or 0.0 for row in spread)
    what = "SPREAD of saved targets" if optimized else "Whole edits"
    right.set_title(f"{what}, of {len(spread)} attempts", fontsize=9)
    right.set_ylim(top=min(102.0, 100 * best + 5))
    found = tuned.found
    for metric in (across, up):
        if found[metric] is None:
            return figure
    error = [
        [[100 * (found[m] - found[f"{m}_low"])], [100 * (found[f"{m}_high"] - found[m])]]
        for m in (across, up)
    ]
    right.errorbar(
        *(100 * found[across], 100 * found[up]),
        xerr=error[0],
        yerr=error[1],
        color=COLORS[1],
        marker="D",
        label="found, on facts held out",
    )
    right.legend(frameon=False, loc="lower left")
    figure.suptitle(drawing.printable(title), parse_math=False)
    return figure


def _reaches(row: Mapping[str, Any], reach: Mapping[str, float]) -> bool:
    """Whether an attempt has all that has to be reached; OPTIMIZATION alone says nothing of it."""
    return all(row[metric] is None or 100 * row[metric] >= wanted for metric, wanted in reach.items())


def _scatter(
    panel: Axes,
    rows: Sequence[Mapping[str, Any]],
    keys: tuple[str, str],
    times: float,
    reach: Mapping[str, float],
) -> None:
    """All attempts, lighter where they took fewer passes, crossed where they do not reach what has to be;
    those of the front with a ring around them."""
    rows = [row for row in rows if all(row[key] is not None for key in keys)]
    across, up = (times * np.array([row[key] for row in rows]) for key in keys)
    passes = np.array([row["passes"] for row in rows])
    enough = np.array([_reaches(row, reach) for row in rows], dtype=bool)
    shade = {"cmap": "Blues", "vmin": 0, "vmax": passes.max()}
    panel.scatter(
        across[enough], up[enough], c=passes[enough], edgecolors=GREY, linewidths=0.4, s=22, **shade
    )
    if not enough.all():
        panel.scatter(
            across[~enough], up[~enough], color=GREY, marker="x", s=18, label="does not reach enough"
        )
    front = np.array([row["front"] for row in rows], dtype=bool)
    ring = {"facecolors": "none", "edgecolors": COLORS[1], "linewidths": 1.2, "s": 60}
    panel.scatter(across[front], up[front], label="no other one is better in all", **ring)
