"""The paper's tables: what each shows, of which methods, at which k. The workflow's rules, too, read this.

To add one, add it here, and to captions.yaml what stands above it in the document.
"""

from collections.abc import Mapping
from typing import Any

from reedit.report.rows.lines import (
    assisted,
    at_every,
    at_every_stop,
    at_first_and_selected,
    at_selected,
    at_stops,
    iterative,
    prefixed,
    stopped,
)
from reedit.report.tables.paper_sheet import STOPPED, PaperTable

METRICS = ("efficacy", "generalization", "specificity", "score")
ACCURACIES = tuple(f"{metric}_accuracy" for metric in METRICS)
BOTH = tuple(f"{metric}_{kind}" for metric in METRICS for kind in ("accuracy", "success"))
SHORT = (*BOTH, "me_ppl", "delta_p")
FULL = (*BOTH, "me_ppl", "ppl_target", "ppl_edited", "delta_p")

ITERATED = ("first", "selected", "last", "unjudged")
SELECTED = ("selected", "last", "unjudged")
NO_ITERATIVE = "This experiment has no iterative runs on datasets of {} format."
NO_ASSISTED = "This experiment has no neighbor-assisted runs{}."
NO_STOPPED = "This experiment has no iterative run that meets the proposed stopping rule."


def _table(number: str, **declared: Any) -> PaperTable:
    return PaperTable(name=f"table{number}", number=number, **declared)


LISTED = (
    _table(
        "1",
        title="Iterative model editing: after the first iteration and where the criterion stops.",
        empty=NO_ITERATIVE.format("CounterFact's"),
        methods=lambda methods: iterative(methods, "counterfact"),
        at=at_first_and_selected,
        measures=SHORT,
        compared=ITERATED,
    ),
    _table(
        "2",
        title="Neighbor-assisted model editing: with and without neighbors, where the criterion stops.",
        empty=NO_ASSISTED.format(""),
        methods=assisted,
        at=at_selected,
        measures=SHORT,
        compared=SELECTED,
        edits=True,
    ),
    _table(
        "3",
        title="Neighbors that assist without and with a prefix, where the criterion stops.",
        empty=NO_ASSISTED.format(" with prefixed neighbors"),
        methods=prefixed,
        at=at_selected,
        measures=ACCURACIES,
        compared=SELECTED,
        edits=True,
    ),
    _table(
        "4",
        title="Stopping rules: the iteration that each of three keeps.",
        empty=NO_STOPPED,
        methods=stopped,
        at=at_stops,
        measures=("score_accuracy", "delta_p", "delta_p2"),
        compared=STOPPED,
        unedited=False,
        side_by_side=True,
    ),
    _table(
        "6",
        title="Iterative model editing: every iteration.",
        empty=NO_ITERATIVE.format("CounterFact's"),
        methods=lambda methods: iterative(methods, "counterfact"),
        at=at_every,
        measures=FULL,
        compared=ITERATED,
    ),
    _table(
        "7",
        title="Iterative model editing on datasets of ZsRE's format: every iteration.",
        empty=NO_ITERATIVE.format("ZsRE's"),
        methods=lambda methods: iterative(methods, "zsre"),
        at=at_every,
        measures=FULL,
        compared=ITERATED,
    ),
    _table(
        "8",
        title="Neighbor-assisted model editing: every iteration.",
        empty=NO_ASSISTED.format(""),
        methods=assisted,
        at=at_every,
        measures=FULL,
        compared=SELECTED,
        edits=True,
    ),
    _table(
        "9",
        title="Neighbors that assist without and with a prefix: every iteration.",
        empty=NO_ASSISTED.format(" with prefixed neighbors"),
        methods=prefixed,
        at=at_every,
        measures=FULL,
        compared=SELECTED,
        edits=True,
    ),
    _table(
        "10",
        title="Stopping rules: every iteration, those marked that one of three rules keeps.",
        empty=NO_STOPPED,
        methods=stopped,
        at=at_every_stop,
        measures=("score_accuracy", "score_success", "delta_p", "delta_p2"),
        compared=STOPPED,
        side_by_side=True,
    ),
)

TABLES: Mapping[str, PaperTable] = {table.number: table for table in LISTED}
HARDWARE = "5"  # about machines, not models: reedit.report.tables.hardware
NUMBERS = sorted([*TABLES, HARDWARE], key=int)
