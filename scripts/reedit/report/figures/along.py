"""Sequential editing along the way, from rows of schema "along"."""

from operator import itemgetter
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reedit.report.figures import drawing
from reedit.report.figures.drawing import Rows, styled
from reedit.report.rows.along import NO_CHECKPOINTS
from reedit.report.rows.groups import grouped
from reedit.report.words import Labels

PANELS = {  # a column of the rows -> what stands above its panel
    "every_efficacy_accuracy": "efficacy, all so far",
    "first_efficacy_accuracy": "efficacy, first batch",
    "every_generalization_accuracy": "generalization, all so far",
    "every_specificity_accuracy": "specificity, all so far",
    "me_ppl": "ME-PPL",
}
BESIDE = {  # panels of what is measured on request
    "fluency": "fluency, bits",
    "consistency": "consistency",
    "efficacy_exact": "efficacy, exact",
}
BANDS = 6  # methods of a panel, up to which their intervals can be told apart


@styled
def along(rows: Rows, labels: Labels) -> Figure:
    """What is left of the edits and of the model against the edits made, a row of panels a model and dataset.

    A band is the 95 % interval over cases, where few methods share a panel.
    """
    if not rows:
        return drawing.sentence(NO_CHECKPOINTS)
    places = grouped(rows, itemgetter("model", "dataset"))
    looks = drawing.looks((row["method"] for row in rows), dashed=True)
    beside = {name: head for name, head in BESIDE.items() if any(row[name] is not None for row in rows)}
    shown = PANELS | beside
    titles = [drawing.panel_title(place, labels, between="\n") for place in places]
    figure, axes = drawing.matrix(titles, list(shown.values()), (2.5, 2.3), "edits made")
    for panels, members in zip(axes, places.values(), strict=True):
        for panel, name in zip(panels, shown, strict=True):
            methods = grouped(members, itemgetter("method"))
            for method, of_method in methods.items():
                values = {row["after"]: row[name] for row in of_method if row[name] is not None}
                drawing.draw_line(panel, values, looks[method])
                if len(methods) <= BANDS:
                    _band(panel, of_method, name, looks[method]["color"])
            _axis(panel, name, members)
            panel.locator_params(axis="x", nbins=5)  # numbers of edits are wide
    drawing.legend(figure, drawing.method_entries(looks, labels))
    return figure


def _band(panel: Axes, rows: Rows, name: str, color: str) -> None:
    known = [row for row in rows if row.get(f"{name}_low") is not None]
    if known:
        ends = ([row[f"{name}_{end}"] for row in known] for end in ("low", "high"))
        panel.fill_between([row["after"] for row in known], *ends, color=color, alpha=0.12, linewidth=0)


def _axis(panel: Axes, name: str, rows: Rows) -> None:
    if name not in ("me_ppl", "fluency"):
        drawing.shares(panel)
        return
    values: list[Any] = [row[name] for row in rows if row[name] is not None]
    if name == "me_ppl" and values and max(values) > drawing.LARGE * min(values):
        panel.set_yscale("log")
