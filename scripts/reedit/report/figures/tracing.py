"""Average indirect effects by layer, as causal tracing finds them."""

import numpy as np
from matplotlib.figure import Figure

from reedit.report.figures import drawing
from reedit.report.figures.drawing import GREY, styled
from reedit.report.rows.tracing import KINDS, Effects


@styled
def tracing(found: Effects, title: str) -> Figure:
    """Effects against the middle of their layers, in bands of two standard errors."""
    figure = Figure(figsize=(7.5, 3.4), layout="constrained")
    panel = figure.subplots()
    critical = found.critical.layers
    panel.axvspan(critical[0] - 0.5, critical[-1] + 0.5, color="#eeeeee", zorder=0)
    for number, kind in enumerate(KINDS):
        of_kind, appearance = found.of(kind), drawing.look(number)
        middle = [np.mean(effect.layers) for effect in of_kind]
        mean = 100 * np.array([effect.mean for effect in of_kind])
        error = 200 * np.nan_to_num([effect.error for effect in of_kind])
        panel.fill_between(middle, mean - error, mean + error, color=appearance["color"], alpha=0.15, lw=0)
        panel.plot(middle, mean, label=found.words(kind), **appearance)
    panel.axhline(0, color=GREY, linewidth=0.8)
    panel.set_title(drawing.printable(title), parse_math=False)
    drawing.iteration_axis(panel, "layer restored at the subject's last token (middle of the window)")
    panel.set_ylabel("indirect effect, points")
    panel.legend(frameon=False, title=f"grey: layers {critical[0]} to {critical[-1]}")
    return figure
