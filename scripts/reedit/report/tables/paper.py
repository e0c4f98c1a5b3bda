"""The paper's tables: what each shows, of which methods, at which k. Rules, summary and rendering read this.

To add a table, add an entry here and a template table{number}.tex.j2 with its caption.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from reedit.report.rows.lines import (
    Method,
    Shown,
    assisted,
    at_every,
    at_every_stop,
    at_first_and_selected,
    at_selected,
    at_stops,
    iterative,
    prefixed,
    stopped,
    table_lines,
)

METRICS = ("efficacy", "generalization", "specificity", "score")
ACCURACIES = tuple(f"{metric}_accuracy" for metric in METRICS)
BOTH = tuple(f"{metric}_{kind}" for metric in METRICS for kind in ("accuracy", "success"))
SHORT = (*BOTH, "me_ppl", "delta_p")
FULL = (*BOTH, "me_ppl", "ppl_target", "ppl_edited", "delta_p")

ITERATED = ("first", "selected", "last", "unjudged")
SELECTED = ("selected", "last", "unjudged")
STOPPED = ("proposed", "monotonic", "small_change")


@dataclass(frozen=True)
class PaperTable:
    """One table: `methods` of the experiment, `at` which k of each, and the `columns` (measures) printed."""

    title: str  # plain words, also read as reStructuredText by the report
    missing: str  # said where the experiment has nothing to show
    methods: Callable[[Sequence[Method]], list[Method]]
    at: Callable[[Method], Mapping[int, str]]
    columns: tuple[str, ...]
    compared: tuple[str, ...]  # roles of the lines among which the higher value is bold
    unedited: bool = True  # whether the unedited model heads each block
    edits: bool = False  # whether their number stands with the model
    side_by_side: bool = False  # datasets as groups of columns, lines in the colors of the stopping rules

    @property
    def every_k(self) -> bool:
        """Whether it shows all iterations."""
        return self.at in (at_every, at_every_stop)

    def lines(self, methods: Sequence[Method]) -> list[Shown]:
        """The lines it shows of an experiment's methods."""
        return table_lines(self.methods(methods), self.at, self.unedited)


NO_ITERATIVE = "This experiment has no iterative runs on datasets of {} format."
NO_ASSISTED = "This experiment has no neighbor-assisted runs{}."
NO_STOPPED = "This experiment has no iterative run that meets the proposed stopping rule."

TABLES: Mapping[str, PaperTable] = {
    "1": PaperTable(
        title="Iterative model editing: after the first iteration and where the criterion stops.",
        missing=NO_ITERATIVE.format("CounterFact's"),
        methods=lambda methods: iterative(methods, "counterfact"),
        at=at_first_and_selected,
        columns=SHORT,
        compared=ITERATED,
    ),
    "2": PaperTable(
        title="Neighbor-assisted model editing: with and without neighbors, where the criterion stops.",
        missing=NO_ASSISTED.format(""),
        methods=assisted,
        at=at_selected,
        columns=SHORT,
        compared=SELECTED,
        edits=True,
    ),
    "3": PaperTable(
        title="Neighbors that assist without and with a prefix, where the criterion stops.",
        missing=NO_ASSISTED.format(" with prefixed neighbors"),
        methods=prefixed,
        at=at_selected,
        columns=ACCURACIES,
        compared=SELECTED,
        edits=True,
    ),
    "4": PaperTable(
        title="Stopping rules: the iteration that each of three keeps.",
        missing=NO_STOPPED,
        methods=stopped,
        at=at_stops,
        columns=("score_accuracy", "delta_p", "delta_p2"),
        compared=STOPPED,
        unedited=False,
        side_by_side=True,
    ),
    "6": PaperTable(
        title="Iterative model editing: every iteration.",
        missing=NO_ITERATIVE.format("CounterFact's"),
        methods=lambda methods: iterative(methods, "counterfact"),
        at=at_every,
        columns=FULL,
        compared=ITERATED,
    ),
    "7": PaperTable(
        title="Iterative model editing on datasets of ZsRE's format: every iteration.",
        missing=NO_ITERATIVE.format("ZsRE's"),
        methods=lambda methods: iterative(methods, "zsre"),
        at=at_every,
        columns=FULL,
        compared=ITERATED,
    ),
    "8": PaperTable(
        title="Neighbor-assisted model editing: every iteration.",
        missing=NO_ASSISTED.format(""),
        methods=assisted,
        at=at_every,
        columns=FULL,
        compared=SELECTED,
        edits=True,
    ),
    "9": PaperTable(
        title="Neighbors that assist without and with a prefix: every iteration.",
        missing=NO_ASSISTED.format(" with prefixed neighbors"),
        methods=prefixed,
        at=at_every,
        columns=FULL,
        compared=SELECTED,
        edits=True,
    ),
    "10": PaperTable(
        title="Stopping rules: every iteration, those marked that one of three rules keeps.",
        missing=NO_STOPPED,
        methods=stopped,
        at=at_every_stop,
        columns=("score_accuracy", "score_success", "delta_p", "delta_p2"),
        compared=STOPPED,
        side_by_side=True,
    ),
}

# Table 5 is about machines, not models: its rows and its layout are those of reedit.report.tables.hardware.
HARDWARE, HARDWARE_TITLE = "5", "What the edits ran on, and what they took."
NUMBERS = sorted([*TABLES, HARDWARE], key=int)


def title(number: str) -> str:
    """The title of a table by its number."""
    return HARDWARE_TITLE if number == HARDWARE else TABLES[number].title
