"""Cases that each align, and still cannot be edited together, or should not be edited as they are."""

import logging
from dataclasses import replace

import pytest
from tiny import tiny_tokenizer

from reedit.errors import InputError
from reedit.evaluate.fitness import CaseFitness
from reedit.models.tokens import Wording
from reedit.prepare.facts import Fact
from reedit.prepare.settings import SplitSettings
from reedit.prepare.splits import Pool, make_split
from reedit.prepare.trials import PREFIX, behind_prefix

BYTES, BOS = Wording(tiny_tokenizer()), Wording(tiny_tokenizer("bos"))
KYOTO = Fact(1, "r", "Kyoto", "The town of {} lies in", "Italy", "Japan", (), ())
SETTINGS = SplitSettings(edits="all", seed=0, protocols=["corrected"])
FIRST = next(  # a subject that is one token by itself
    word for word in ("Japan", "Italy", "piano", "The", "I") if len(BYTES.encode(word)) == 1
)


def split(facts: list[Fact], wording: Wording = BYTES, longest: int | None = None, **settings: object):
    made = replace(SETTINGS, **settings)
    return make_split(Pool(facts, [len(facts)]), [], CaseFitness(wording, made, longest), made)


def test_two_targets_of_one_subject_and_prompt_are_a_contradiction() -> None:
    facts = [KYOTO, replace(KYOTO, case_id=2, target_new="New Zealand"), replace(KYOTO, case_id=3)]
    with pytest.raises(
        InputError, match=r"case 2: 'The town of Kyoto lies in' is to go on with 'New Zealand'"
    ):
        split(facts)
    rows, counts = split(facts, misaligned="drop")
    assert [row["case_id"] for row in rows] == [1, 3]
    assert [(one["case_id"], one["role"]) for one in counts["left_out"]] == [(2, "conflict")]
    split([facts[0], replace(facts[1], prompt="The town of {} belongs to")])


def test_contradictions_in_trials_of_their_own_are_none() -> None:
    facts = [KYOTO, replace(KYOTO, case_id=2, target_new="New Zealand")]
    rows, _ = split(facts, edits=1, trials=2)
    assert len(rows) == 2


def test_equal_keys_are_told_where_an_algorithm_cannot_have_them() -> None:
    facts = [KYOTO, replace(KYOTO, case_id=2, prompt="The town of {} belongs to")]
    split(facts)
    with pytest.raises(InputError, match=r"case 2: begins with 'The town of Kyoto', as case 1: their keys"):
        split(facts, distinct_keys=True)
    rows, _ = split(facts, distinct_keys=True, misaligned="drop")
    assert [row["case_id"] for row in rows] == [1]


def test_edits_of_one_subject_that_follow_one_another_are_named(caplog: pytest.LogCaptureFixture) -> None:
    facts = [
        KYOTO,
        replace(KYOTO, case_id=2, prompt="{} is in the country of"),
        replace(KYOTO, case_id=3, subject="Rome"),
    ]
    assert split(facts)[1]["warnings"] == []
    with caplog.at_level(logging.WARNING, "reedit"):
        _, counts = split(facts, one_by_one=True)
    (line,) = counts["warnings"]
    assert line.startswith("cases 1, 2: all edit the subject 'Kyoto'") and line in caplog.text


def test_a_subject_that_is_the_first_token_is_named_and_put_behind_a_prefix_on_request() -> None:
    facts = [KYOTO, replace(KYOTO, case_id=2, subject=FIRST, prompt="{} lies in")]
    (line,) = split(facts)[1]["warnings"]
    assert line.startswith("case 2: the subject is the first token of all")
    assert split(facts, BOS)[1]["warnings"] == []  # every text begins with another token
    _, counts = split(facts, first_token="prefixed")
    assert counts["warnings"] == [] and counts["prefixed"] == [2]
    assert behind_prefix(facts[1]).text == f"{PREFIX}{FIRST} lies in"


def test_a_text_that_is_longer_than_the_model_reads_is_named() -> None:
    long = replace(KYOTO, case_id=2, prompt="The old " * 40 + "{} lies in")
    with pytest.raises(
        InputError, match=r"case 2: a text of \d+ tokens, .*, expected at most the model's 30"
    ):
        split([KYOTO, long], longest=30)
    assert len(split([KYOTO, long], longest=30, misaligned="drop")[0]) == 1


def test_the_published_position_is_a_choice_of_its_own() -> None:
    crossed = replace(KYOTO, case_id=2, subject="Who li", prompt="{}ves in Kyoto lives in")
    with pytest.raises(InputError, match="case 2: a token crosses the end of the subject"):
        split([KYOTO, crossed])
    assert len(split([KYOTO, crossed], subject_end="published")[0]) == 2
    with pytest.raises(InputError, match="case 2: a token crosses"):
        split([KYOTO, crossed], protocols=["released"], subject_end="exact")
