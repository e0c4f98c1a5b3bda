"""Sequential editing along the way in print."""

from collections.abc import Callable
from typing import Any

from reedit.evaluate.measures import METRICS
from reedit.report.tables.sheet import Cell, Column, Table
from reedit.report.words import perplexity, share


def _share(name: str) -> Callable[[Any], Cell]:
    """A share with its interval."""

    def cell(row: Any) -> Cell:
        low, high = (share(row[f"{name}_{end}"]) for end in ("low", "high"))
        return Cell(share(row[name]), aside=f"[{low}, {high}]" if low else "")

    return cell


COLUMNS = (
    Column("Model", "{model}, {dataset}".format_map, align="l", once=("model", "dataset")),
    Column("Algo", "method", align="l", once=("model", "dataset", "method")),
    Column("Edits", lambda row: str(row["after"])),
    *(
        Column(metric.capitalize(), _share(f"every_{metric}_accuracy"), over=("All so far",))
        for metric in METRICS
    ),
    *(
        Column(metric.capitalize(), _share(f"first_{metric}_accuracy"), over=("The first",))
        for metric in METRICS
    ),
    Column("ME-PPL", lambda row: perplexity(row["me_ppl"])),
)

ALONG = Table(
    name="along",
    title="Along the way: what is left of the edits, and of the model, as batch follows batch.",
    schema="along",
    empty="No method of this experiment has checkpoints.",
    columns=COLUMNS,
    group=("model", "dataset", "method"),
    size="tight",
    reading=(
        "Edits: written by then, in the last iteration; 0 is the unedited model. Accuracies in percent, with"
        " 95 % bootstrap intervals over cases: of all cases that are edited by then (0: of all of them), and"
        " of the first ones, those that the first checkpoint has. Means over trials.",
    ),
)
