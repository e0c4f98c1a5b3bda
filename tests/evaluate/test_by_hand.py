"""The worked example of docs/measures.md, number by number."""

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from workflow import REPOSITORY

from reedit.evaluate.answers import begins_with, contains, gives, up_to_stop
from reedit.evaluate.measures import measure
from reedit.evaluate.norms import condition, singular_values
from reedit.evaluate.scored_rows import Probe
from reedit.evaluate.scoring import _score_row
from reedit.models.likelihood import Likelihood
from reedit.models.tokens import LabelledRow

PAGE = (REPOSITORY / "docs/measures.md").read_text(encoding="utf-8")
NEW, ZEALAND, YORK, ITALY = range(4)


class Words:
    """As much of a tokenizer as a row of scores needs."""

    def decode(self, ids: list[int]) -> str:
        return " ".join(map(str, ids))


def scored(
    metric: str, argmax: tuple[int, ...], new: tuple[float, float], old: float, kept: bool = False
) -> dict[str, Any]:
    """The row of one prompt of the table on the page."""
    target, italy = LabelledRow((9, NEW), (NEW, ZEALAND)), LabelledRow((9,), (ITALY,))
    probe = Probe(1, metric, "prompt", target, italy, own_answer=kept, unedited=(ITALY,) if kept else None)
    said = (
        Likelihood(new, argmax if not kept else (NEW, ZEALAND)),
        Likelihood((old,), argmax if kept else (ITALY,)),
    )
    return _score_row(Words(), probe, 1, *said)


def test_the_papers_measures_are_as_the_page_counts_them() -> None:
    rows = [
        scored("efficacy", (NEW, YORK), (-0.2, -2.2), -1.5),
        scored("generalization", (NEW, ZEALAND), (-0.1, -0.3), -4.0),
        scored("generalization", (ITALY, ZEALAND), (-3.0, -1.0), -0.5),
        scored("specificity", (ITALY,), (-5.0, -1.0), -0.1, kept=True),
        scored("specificity", (NEW,), (-0.4, -0.4), -1.1, kept=True),
    ]
    assert [row["accuracy"] for row in rows] == [0.5, 1, 0.5, 1, 0]
    assert [row["success"] for row in rows] == [1, 1, 0, 1, 0] and rows[0]["exact_match"] == 0
    of = {
        name: [row for row in rows if row["metric"] == name]
        for name in ("efficacy", "generalization", "specificity")
    }
    values = [
        [np.mean([row[kind] for row in own]) for kind in ("accuracy", "success")] for own in of.values()
    ]
    assert values == [[0.5, 1], [0.75, 0.5], [0.5, 0.5]]
    assert measure(np.array([values]), 1, "corrected")[-2:].tolist() == pytest.approx([0.5625, 0.6])
    for told in ("= 0.5625", "= 0.6.", "0.75 and 0.5"):
        assert told in PAGE


def test_perplexities_and_norms_are_as_the_page_counts_them() -> None:
    for formula, value in re.findall(r"exp\(([\d. /]+)\) = ([\d.]+\d)", PAGE):
        top, _, bottom = formula.partition("/")
        assert math.exp(float(top) / float(bottom or 1)) == pytest.approx(float(value), abs=0.005), formula
    assert "|Δp| = 2.30" in PAGE and math.exp(1.2) - math.exp(0.02) == pytest.approx(2.30, abs=0.005)
    before, after = (singular_values(torch.diag(torch.tensor(own))) for own in ([4.0, 1.0], [5.0, 0.5]))
    norms = [float(values.norm()) for values in (before, after)]
    assert norms == pytest.approx([4.12, 5.02], abs=0.005) and norms[1] / norms[0] == pytest.approx(
        1.22, abs=0.005
    )
    assert condition(before) == pytest.approx(4) and condition(after) / condition(before) == pytest.approx(
        2.5
    )


def test_what_a_model_says_itself_is_judged_as_the_page_does() -> None:
    text = up_to_stop("It is London. And")
    assert text == "It is London." and gives(text, ("London", "London UK"))
    assert not begins_with(text, "London") and contains(text, "London")
    assert not gives("The capital is Paris.", ("London",)) and gives(
        "It was created in England.", ("England",)
    )
