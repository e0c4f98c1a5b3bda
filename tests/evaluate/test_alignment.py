"""What does not align is found before sampling, by role, left out or refused all at once."""

import json
import logging
from dataclasses import replace
from typing import Any

import pytest
from tiers import long_but
from tiny import tiny_tokenizer
from workflow import REPOSITORY

from reedit.edit.edits import Rows
from reedit.errors import InputError
from reedit.evaluate.alignment import Asked, misaligned
from reedit.evaluate.fitness import CaseFitness
from reedit.models.tokenizers import load_tokenizer
from reedit.models.tokens import Wording
from reedit.prepare.datasets import load_dataset
from reedit.prepare.facts import Fact, Neighbor
from reedit.prepare.roles import by_case
from reedit.prepare.settings import SplitSettings
from reedit.prepare.splits import Pool, make_split, refuse

BYTES = tiny_tokenizer()
ONE = [[1, "random"]]
OSAKA = Neighbor.of("Who lives in {} lives in", "Osaka", "Japan")
INSIDE = Neighbor.of("{}ves in Osaka lives in", "Who li", "Japan")  # its subject ends inside " lives"
FIT = Fact(1, "r", "Kyoto", "{} is a city in the country of", "Italy", "Japan", (), (OSAKA, OSAKA))
CROSSED = replace(FIT, case_id=2, subject="Who li", prompt="{}ves in Kyoto lives in")
ASSISTED = replace(FIT, case_id=3, neighbors=(OSAKA, INSIDE, OSAKA))
FACTS = [FIT, CROSSED, ASSISTED, replace(FIT, case_id=4)]


def filtered(facts: list[Fact], first: int = 0) -> list[dict[str, Any]]:
    """The filter's rows: every neighbor kept, and number `first` the first to assist."""
    return [
        {
            "case_id": fact.case_id,
            "neighbor": i,
            "subject": neighbor.subject,
            "prompt": neighbor.prompt,
            "object": neighbor.object,
            "predicted": neighbor.object,
            "kept": True,
            "order": (i - first) % len(fact.neighbors),
        }
        for fact in facts
        for i, neighbor in enumerate(fact.neighbors)
    ]


def found(
    facts: list[Fact], first: int = 0, assisting: Any = (), protocols: Any = ("corrected",)
) -> list[tuple]:
    rows = by_case(filtered(facts, first))
    return [(o.case_id, o.role) for o in misaligned(Wording(BYTES), facts, rows, Asked(protocols, assisting))]


def test_a_case_and_an_assistant_that_do_not_align_are_found_with_their_roles() -> None:
    assert found(FACTS) == [(2, "case")]
    assert found(FACTS, 0, ONE) == [(2, "case")]
    assert found(FACTS, 1, ONE) == [(2, "case"), (3, "assistant")]
    assert found(FACTS, 0, [[2, "random"]]) == [(2, "case"), (3, "assistant")]
    assert found(FACTS, 1, [[1, "first"]]) == [(2, "case")]
    (one,) = misaligned(Wording(BYTES), [CROSSED], {}, Asked(["corrected"]))
    assert one.reason.startswith("case 2: a token crosses the end of the subject in 'Who lives in Kyoto")


def test_any_protocol_of_the_entry_counts_and_released_takes_them_all() -> None:
    assert found(FACTS, 1, ONE, ["released"]) == []
    assert found(FACTS, 1, ONE, ["corrected", "released"]) == [(2, "case"), (3, "assistant")]


def test_a_row_that_scores_a_case_counts_too() -> None:
    """Here a neighbor whose object the vocabulary cannot spell; `released` asks for what it has."""
    metaspace = Wording(tiny_tokenizer("metaspace"))
    odd = replace(FIT, paraphrases=("Kyoto lies in",), target_new="東京")
    (one,) = misaligned(
        metaspace, [replace(FIT, neighbors=(replace(OSAKA, object="東京"),))], {}, Asked(["corrected"])
    )
    assert (one.role, "vocabulary lacks" in one.reason) == ("evaluation", True)
    assert misaligned(metaspace, [odd], {}, Asked(["corrected"]))[0].role == "case"
    assert not misaligned(metaspace, [odd], {}, Asked(["released"]))


def test_a_case_that_aligns_bare_but_not_behind_a_prefix_is_found() -> None:
    """As the first word of a text, "a" is a token by itself; behind a prefix it goes with what follows."""
    fact = next(
        fact
        for word in ("lives", "city", "lies", "plays", "instrument")
        for cut in range(1, len(word))
        if not raised(fact := replace(FIT, subject=word[:cut], prompt="{}" + word[cut:] + " in"), [])
        and raised(fact, ["Then. {}"])
    )
    assert found([fact]) == [(1, "case")]


def raised(fact: Fact, templates: list[str]) -> bool:
    try:
        Rows(Wording(BYTES), "corrected", templates).edit(fact)
    except InputError:
        return True
    return False


def test_what_is_found_is_what_an_edit_would_stop_at() -> None:
    for fact in FACTS:
        stops = raised(fact, ["Because he plays, I. {}"])
        assert stops == bool(found([fact]))


def split(
    facts: list[Fact], rows: list[dict[str, Any]], settings: SplitSettings
) -> tuple[list[dict[str, int]], dict[str, Any]]:
    """A split of the cases of one file."""
    return make_split(Pool(facts, [len(facts)]), rows, CaseFitness(Wording(BYTES), settings), settings)


SETTINGS = SplitSettings(edits="all", assisting=ONE, misaligned="drop", seed=0, protocols=["corrected"])


def test_a_split_leaves_them_out_counts_them_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "reedit")
    rows, counts = split(FACTS, filtered(FACTS, 1), SETTINGS)
    assert [row["case_id"] for row in rows] == [1, 4]
    assert (counts["cases"], counts["aligned"]) == (4, 2) and "eligible" not in counts
    assert [(one["case_id"], one["role"]) for one in counts["left_out"]] == [(2, "case"), (3, "assistant")]
    assert all(one["reason"] in caplog.text for one in counts["left_out"])
    json.dumps(counts)
    rows, counts = split(FACTS, filtered(FACTS, 1), replace(SETTINGS, protocols=["released"]))
    assert [row["case_id"] for row in rows] == [1, 2, 3, 4] and counts["left_out"] == []


def test_where_no_case_aligns_the_line_says_so() -> None:
    with pytest.raises(InputError, match=r"no case can be edited, 1 are left out: case 2: a token crosses"):
        split([CROSSED], filtered([CROSSED]), SETTINGS)


def test_what_is_not_eligible_is_not_counted_as_misaligned() -> None:
    rows = filtered(FACTS, 1)
    for row in rows:
        row["kept"] = row["case_id"] != 2
    _, counts = split(FACTS, rows, replace(SETTINGS, eligible=True))
    assert (counts["cases"], counts["eligible"], counts["aligned"]) == (4, 3, 2)


def test_sampled_cases_that_do_not_align_are_refused_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    many = [replace(CROSSED, case_id=i) for i in range(10, 16)]
    with caplog.at_level(logging.INFO, "reedit"), pytest.raises(InputError) as caught:
        split([*FACTS, *many], filtered([*FACTS, *many], 1), replace(SETTINGS, misaligned="error"))
    line = str(caught.value)
    assert line.startswith("8 of 10 sampled cases cannot be edited (misaligned: drop leaves them out): ")
    assert "case 2: a token" in line and "case 3: a token" in line and "case 10: a token" in line
    assert line.endswith("; and 5 more, each with a line above") and "\n" not in line
    assert all(f"case {case_id}: a token crosses" in caplog.text for case_id in (2, *range(10, 16)))
    sampled = replace(SETTINGS, misaligned="error", edits=1, assisting=[])
    split([FIT, CROSSED], [], replace(sampled, seed=1))  # the other one is not sampled
    refuse([], 8)


def test_a_sampled_case_without_enough_to_assist_it_is_an_error_and_an_unsampled_one_is_not() -> None:
    rows = [row for row in filtered(FACTS[:1] + FACTS[3:]) if row["case_id"] != 4]
    facts = [FIT, replace(FIT, case_id=4)]
    with pytest.raises(InputError, match="case 4: 0 neighbors can assist, expected 1"):
        split(facts, rows, SETTINGS)
    only = [seed for seed in range(9) if draws(facts, rows, seed)]
    assert 0 < len(only) < 9


def draws(facts: list[Fact], rows: list[dict], seed: int) -> bool:
    """Whether one case is drawn without an error."""
    try:
        split(facts, rows, replace(SETTINGS, edits=1, seed=seed))
    except InputError:
        return False
    return True


# -- the published lists and the real vocabularies ----------------------------------------------------------

REAL = REPOSITORY.parent / "shared"
real = pytest.mark.skipif(not (REAL / "data").is_dir(), reason="needs ../shared, which may not be committed")
# left out under corrected: cases, and assistants of the eligible list
LEFT_OUT = {
    "gpt2-xl": {"counterfact-subset-1": 2, "counterfact-eligible-739": (1, 3), "zsre-subset-0": 4},
    "llama-2-7b": {"counterfact-subset-1": 2, "counterfact-eligible-739": (1, 3), "zsre-subset-0": 2},
}


@real
@pytest.mark.parametrize("name", long_but(LEFT_OUT, "gpt2-xl".__eq__))
def test_real_cases_that_do_not_align(name: str) -> None:
    wording = Wording(load_tokenizer(REAL / "tokenizers" / name))
    for file, expected in LEFT_OUT[name].items():
        form = "zsre" if file.startswith("zsre") else "counterfact"
        facts = list(load_dataset(form, [REAL / "data" / f"{file}.json"]).facts)
        assisted = "eligible" in file
        rows = by_case(filtered(facts)) if assisted else {}
        left = misaligned(wording, facts, rows, Asked(["corrected"], ONE if assisted else [], assisted))
        roles = [one.role for one in left]
        assert (roles.count("case"), roles.count("assistant")) == (expected if assisted else (expected, 0))
        assert "evaluation" not in roles
        if assisted:
            assert {one.case_id for one in left if one.role == "assistant"} == {299, 521, 653}
        released = misaligned(wording, facts, rows, Asked(["released"], ONE if assisted else [], assisted))
        assert released == []
