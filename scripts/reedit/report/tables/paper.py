"""The paper's tables: what each shows, of which methods, at which k. The workflow's rules, too, read this.

To add one, add it here, and to captions.yaml what stands above it in the document.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from reedit.report.rows.lines import (
    STOPPING_RULES,
    Method,
    assisted,
    at_every,
    at_every_stop,
    at_first_and_selected,
    at_selected,
    iterative,
    stopped,
)
from reedit.report.tables.paper_sheet import PaperTable
from reedit.storage.schemas import MEASURES

ACCURACIES = tuple(name for name in MEASURES if name.endswith("_accuracy"))
SHORT = (*MEASURES, "me_ppl", "delta_p")
FULL = (*MEASURES, "me_ppl", "ppl_target", "ppl_edited", "delta_p")

SELECTED = ("selected", "last", "unjudged")

# what the tables of the same runs have in common
COUNTERFACT = {
    "methods": partial(iterative, kind="counterfact"),
    "empty": "This experiment has no iterative runs on datasets of CounterFact's kind.",
    "compared": ("first", *SELECTED),
}
ZSRE = COUNTERFACT | {
    "methods": partial(iterative, kind="zsre"),
    "empty": "This experiment has no iterative runs on datasets of ZsRE's kind.",
}
ASSISTED = {
    "methods": assisted,
    "empty": "This experiment has no neighbor-assisted runs.",
    "compared": SELECTED,
    "edits": True,
}
PREFIXED = ASSISTED | {
    "methods": partial(assisted, prefixed=True),
    "empty": "This experiment has no neighbor-assisted runs with prefixed neighbors.",
}
STOPPING = {
    "methods": stopped,
    "empty": "This experiment has no iterative run that meets the proposed stopping rule.",
    "compared": STOPPING_RULES,
    "side_by_side": True,
}


def _table(number: str, shared: Mapping[str, Any], title: str, **declared: Any) -> PaperTable:
    """One of them: every iteration and measure, unless declared otherwise."""
    declared = {"at": at_every, "measures": FULL, **shared, **declared}
    return PaperTable(name=f"table{number}", number=number, title=title, **declared)


LISTED = (
    _table(
        "1",
        COUNTERFACT,
        "Iterative model editing: after the first iteration and where the criterion stops.",
        at=at_first_and_selected,
        measures=SHORT,
    ),
    _table(
        "2",
        ASSISTED,
        "Neighbor-assisted model editing: with and without neighbors, where the criterion stops.",
        at=at_selected,
        measures=SHORT,
    ),
    _table(
        "3",
        PREFIXED,
        "Neighbors that assist without and with a prefix, where the criterion stops.",
        at=at_selected,
        measures=ACCURACIES,
    ),
    _table(
        "4",
        STOPPING,
        "Stopping rules: the iteration that each of three keeps.",
        at=Method.stops,
        measures=("score_accuracy", "delta_p", "delta_p2"),
        unedited=False,
    ),
    _table("6", COUNTERFACT, "Iterative model editing: every iteration."),
    _table("7", ZSRE, "Iterative model editing on datasets of ZsRE's kind: every iteration."),
    _table("8", ASSISTED, "Neighbor-assisted model editing: every iteration."),
    _table("9", PREFIXED, "Neighbors that assist without and with a prefix: every iteration."),
    _table(
        "10",
        STOPPING,
        "Stopping rules: every iteration, those marked that one of three rules keeps.",
        at=at_every_stop,
        measures=("score_accuracy", "score_success", "delta_p", "delta_p2"),
    ),
)

TABLES: Mapping[str, PaperTable] = {table.number: table for table in LISTED}
HARDWARE = "5"  # about machines, not models: reedit.report.tables.hardware
NUMBERS = sorted([*TABLES, HARDWARE], key=int)
