"""The words of the comparison in print: names, numbers and marks, the same on each of its pages."""

import math

from reedit.report.latex.typeset import percent, perplexity
from reedit.report.rows.comparison import Row
from reedit.storage.schemas import MEASURES

MARKS = {"agrees": "=", "within interval": "≈", "differs": "×", "slip": "†"}
NAMES = {  # as the paper spells them
    "gpt2-xl": "GPT-2 XL",
    "gpt-j-6b": "GPT-J",
    "llama-2-7b": "Llama-2",
    "counterfact": "CounterFact",
    "zsre": "ZsRE",
    "unedited": "Unedited",
}
PERPLEXITIES = {
    "me_ppl": "ME-PPL",
    "ppl_target": "p optimized",
    "ppl_edited": "p edited",
    "delta_p": "abs Δp",
    "delta_p2": "Δp2",
}
LEGEND = (
    "= agrees: equal within the paper's rounding (shares: half a percentage point, since every trial was"
    " rounded to whole percents; perplexities: half of the last printed digit), a score"
    " within what that rounding of its three parts can make of it.",
    "≈ within interval: the reported number lies in the measured 95 % bootstrap interval, of perplexities"
    " within two spreads over the trials, either widened by that rounding.",
    "× differs: neither; measured minus reported stands below, shares in percentage points.",
    "† a known slip of the paper or of its transcription (resources/reported-slips.yaml), not matched.",
)


def text_of(row: Row, column: str) -> str:
    """A number of a row: shares in percent without its sign, perplexities as the paper prints them."""
    value = row[column]
    sign = "+" if column == "difference" and value > 0 else ""
    if row["measure"] in MEASURES:
        return sign + percent(value, sign="")
    exponential = row["tolerance"] is not None and row["tolerance"] > 0.005  # so the paper prints this one
    if exponential and math.isfinite(value):
        return f"{sign}{value:.2E}"
    return sign + perplexity(value).replace("inf", "∞")


def name_of(name: str) -> str:
    """A model, dataset or method as the paper spells it."""
    return NAMES.get(name, name.upper())


def measure_name(measure: str) -> str:
    """A measure as the head of its column."""
    return PERPLEXITIES.get(measure, measure.replace("_", " "))
