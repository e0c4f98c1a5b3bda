"""The cases that pass the neighbor filter here beside those of a published list, in print."""

from reedit.report.tables.notes import no_notes
from reedit.report.tables.sheet import Column, Table

ELIGIBLE = Table(
    name="eligible",
    title="Cases that pass the neighbor filter: run anew, and as published.",
    schema="eligible",
    produced_by=no_notes,  # nothing was edited for it
    columns=(
        Column("Model", "model", align="l"),
        Column("pool", "cases"),
        Column("eligible anew", "eligible"),
        Column("published", "published"),
        Column("in both", "both"),
        Column("only anew", "only_anew"),
        Column("only published", "only_published"),
        Column("not in the pool", "not_in_pool"),
    ),
    left=1,
    reading=(
        "A case is eligible with at least two neighbors whose object the unedited model says at every token;"
        " cases are told apart by subject, prompt and new object.",
    ),
)
