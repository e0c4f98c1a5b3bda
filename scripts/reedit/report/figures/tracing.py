"""Average indirect effects by layer, as causal tracing finds them."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reedit.report.figures.drawing import GREY, look, printable, save, style
from reedit.report.rows.tracing import KINDS, Effects


def draw(found: Effects, title: str, pdf: Path | str, png: Path | str) -> None:
    """Effects against the middle of their layers, in bands of two standard errors."""
    with style():
        figure = Figure(figsize=(7.5, 3.4), layout="constrained")
        panel = figure.subplots()
        critical = found.critical.layers
        panel.axvspan(critical[0] - 0.5, critical[-1] + 0.5, color="#eeeeee", zorder=0)
        for number, kind in enumerate(KINDS):
            of_kind, appearance = found.of(kind), look(number)
            middle = [np.mean(effect.layers) for effect in of_kind]
            mean = 100 * np.array([effect.mean for effect in of_kind])
            error = 200 * np.nan_to_num([effect.error for effect in of_kind])
            panel.fill_between(
                middle, mean - error, mean + error, color=appearance["color"], alpha=0.15, lw=0
            )
            panel.plot(middle, mean, label=found.words(kind), **appearance)
        panel.axhline(0, color=GREY, linewidth=0.8)
        panel.set_title(printable(title), parse_math=False)
        panel.set_xlabel("layer restored at the subject's last token (middle of the window)")
        panel.set_ylabel("indirect effect, points")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.legend(frameon=False, title=f"grey: layers {critical[0]} to {critical[-1]}")
        save(figure, pdf, png)
