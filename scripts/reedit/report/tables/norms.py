"""Norms per iteration in print."""

from reedit.report.rows.norms import BLOWING_UP, CONDITION, GROWTH, MORE_SPREAD, RESIDUAL, SETTLED
from reedit.report.tables.sheet import Column, K, Table
from reedit.report.words import k_text, perplexity, ratio, share

READING = (
    "Update: Frobenius norm of the iteration's own update, all edited layers together. Growth: norm of"
    " an edited layer's weights by that of the unedited ones. Condition: their largest by their smallest"
    " singular value, then that by the unedited weights' own. Each is that of the layer in which it is"
    " largest. Residual: ||z - h|| before and after SPREAD in percent of ||h||, mean over cases. All are"
    " means over trials.",
    f"The last column is an aid to reading, not a test. “{BLOWING_UP}”: growth above {GROWTH:g}, or a"
    f" condition number above {CONDITION:g} times the unedited one, or numbers that are not finite."
    f" “{MORE_SPREAD}”: else, where SPREAD leaves a residual above {100 * RESIDUAL:g} % of ||h||, which a"
    f" further iteration may close. “{SETTLED}”: else.",
)
COLUMNS = (
    Column("Model", "{model}, {dataset}".format_map, align="l", once=("model", "dataset")),
    Column("Algo", "method", align="l", once=("model", "dataset", "method")),
    Column(K, lambda row: k_text(row["k_min"], row["k"])),
    Column("Update", lambda row: perplexity(row["update_norm"])),
    Column("Growth", lambda row: ratio(row["growth"])),
    Column("Condition", lambda row: perplexity(row["condition"])),
    Column("× unedited", lambda row: ratio(row["condition_growth"])),
    Column("Before", lambda row: share(row["residual_before"]), over=("Residual (%)",)),
    Column("After", lambda row: share(row["residual_after"]), over=("Residual (%)",)),
    Column("Reading", "reading", align="l"),
)

NORMS = Table(
    name="norms",
    title="More SPREAD, or blowing up: norms of the edited weights and residuals, iteration by iteration.",
    schema="norm_summary",
    columns=COLUMNS,
    group=("model", "dataset", "method"),
    reading=READING,
)
