"""The filter of Appendix B.2, eligibility, and who assists and who evaluates."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from naive import log_probabilities, naive_greedy

from reedit.errors import InputError
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact, Neighbor
from reedit.prepare.neighbors import filter_neighbors
from reedit.prepare.roles import by_case, choose_assistants, evaluated_neighbors, is_eligible
from reedit.storage import parquet

ONE, BOTH = [(1, "random")], [(1, "random"), (2, "first")]


def case(kept: str, order: list[int] | None = None, subjects: bool = True) -> list[dict[str, Any]]:
    """Rows of one case: y for a kept neighbor, n for another, u for a kept one of unknown subject."""
    ranks = order or list(range(len(kept)))
    return [
        {
            "case_id": 3,
            "neighbor": i,
            "subject": None if mark == "u" or not subjects else f"s{i}",
            "prompt": f"s{i} is",
            "object": "o",
            "predicted": "o",
            "kept": mark != "n",
            "order": ranks[i],
        }
        for i, mark in enumerate(kept)
    ]


def fact_with(count: int) -> Fact:
    neighbors = tuple(Neighbor.of("{} is", f"s{i}", "o") for i in range(count))
    return Fact(3, "r", "s", "{} is", "n", "o", (), neighbors)


@pytest.mark.parametrize(
    ("kept", "assisting", "eligible"),
    [
        ("yy", [], True),
        ("yyn", ONE, True),
        ("yn", [], False),
        ("ynnn", ONE, False),
        ("", [], False),
        ("yy", [(2, "random")], False),
        ("yyy", [(2, "random")], True),
        ("yyyn", [(3, "first")], False),
        ("yyyy", [(3, "first")], True),
        ("uu", [], True),
        ("uu", ONE, False),
        ("yu", ONE, True),
        ("uuy", [(2, "first")], False),
    ],
)
def test_a_case_needs_two_kept_neighbors_and_one_more_than_assist(
    kept: str, assisting: list[tuple[int, str]], eligible: bool
) -> None:
    assert is_eligible(case(kept), assisting) is eligible


def test_methods_that_choose_differently_must_leave_one_to_evaluate() -> None:
    by_rank_last = case("yyy", order=[2, 1, 0])
    assert is_eligible(by_rank_last, [(1, "random"), (1, "first")])
    assert not is_eligible(by_rank_last[:2], [(1, "random"), (1, "first")])
    assert not is_eligible(by_rank_last, [(2, "random"), (2, "first")])


def test_assistants_are_the_first_kept_ones_by_rank_or_in_the_file() -> None:
    rows = case("ynuyy", order=[3, 0, 1, 4, 2])
    assert [row["neighbor"] for row in choose_assistants(3, rows, 2, "random")] == [4, 0]
    assert [row["neighbor"] for row in choose_assistants(3, rows, 2, "first")] == [0, 3]
    assert choose_assistants(3, rows, 0, "random") == []


def test_too_few_assistants_are_an_error_that_names_the_case() -> None:
    with pytest.raises(InputError, match="case 3: 1 neighbors can assist, expected 2"):
        choose_assistants(3, case("ynu"), 2, "random")
    with pytest.raises(InputError, match="case 4: 0 neighbors can assist, expected 1"):
        choose_assistants(4, [], 1, "first")  # it has none


@pytest.mark.parametrize("eligible", [True, False])
@pytest.mark.parametrize("assisting", [[], ONE, BOTH], ids=str)
def test_assistants_never_evaluate_whatever_the_choice(eligible: bool, assisting: list) -> None:
    rows, fact = case("yynyyy", order=[5, 4, 3, 2, 1, 0]), fact_with(6)
    chosen = {r["neighbor"] for count, choice in assisting for r in choose_assistants(3, rows, count, choice)}
    found = [int(n.prompt[1]) for n in evaluated_neighbors(fact, rows, eligible, assisting)]
    assert found == sorted(found), "file order"
    assert chosen.isdisjoint(found)
    assert set(found) == set(range(6)) - chosen - ({2} if eligible else set())


def test_without_a_filter_every_neighbor_evaluates() -> None:
    fact = fact_with(4)
    assert evaluated_neighbors(fact, [], False, []) == list(fact.neighbors)


@pytest.fixture(scope="module")
def taught(taught_folder: Path) -> LanguageModel:
    return LanguageModel.load(taught_folder, device="cpu")


def test_the_filter_keeps_what_the_model_says_token_by_token(
    taught: LanguageModel, tiny_dataset: list[Fact], tmp_path: Path
) -> None:
    """Against forward passes of one row; with wrong objects among them, of one token and of several."""
    facts = [
        *tiny_dataset[:3],
        Fact(900, "r", "x", "{}", "n", "t", (), tuple(
            Neighbor.of("{} is a city in the country of", "Osaka", wrong)
            for wrong in ("Italy", "Japan", "New Zealand", "Japanese")
        )),
    ]  # fmt: skip
    rows = filter_neighbors(taught, facts, True, 0)
    parquet.write(rows, tmp_path / "neighbors.parquet", "neighbors", {})
    assert [r["case_id"] for r in rows] == [f.case_id for f in facts for _ in f.neighbors]
    for row in rows:
        start = taught.tokenizer(row["prompt"])["input_ids"]
        whole = taught.tokenizer(f"{row['prompt']} {row['object']}")["input_ids"]
        said = log_probabilities(taught.model, whole[:-1]).argmax(-1)[len(start) - 1 :].tolist()
        assert row["kept"] == (said == whole[len(start) :])
        greedy = naive_greedy(taught.model, start, len(whole) - len(start))
        assert row["predicted"] == taught.tokenizer.decode(greedy).strip()
    kept = [row["kept"] for row in rows if row["case_id"] == 900]
    assert kept == [False, True, False, False]
    assert all(row["kept"] for row in rows if row["case_id"] != 900)


def test_orders_are_ranks_in_the_file_or_seeded_case_by_case(
    taught: LanguageModel, tiny_dataset: list[Fact]
) -> None:
    plain = by_case(filter_neighbors(taught, tiny_dataset, True, 0))
    assert all([row["order"] for row in rows] == [0, 1, 2] for rows in plain.values())
    drawn = by_case(filter_neighbors(taught, tiny_dataset, False, 0))
    assert all(sorted(row["order"] for row in rows) == [0, 1, 2] for rows in drawn.values())
    first = Counter(next(r["neighbor"] for r in rows if r["order"] == 0) for rows in drawn.values())
    assert len(first) == 3, "every place should assist somewhere"
    again = by_case(filter_neighbors(taught, tiny_dataset[::-1][:5], False, 0))
    assert all(rows == drawn[case_id] for case_id, rows in again.items()), "whatever the other cases"
    other = by_case(filter_neighbors(taught, tiny_dataset, False, 1))
    assert any([r["order"] for r in other[c]] != [r["order"] for r in drawn[c]] for c in drawn)


def test_a_neighbor_that_does_not_align_is_not_kept_and_stops_nobody(llama: LanguageModel) -> None:
    """A rehearsal's stand-in knows nothing: all are kept then, but for one that cannot be asked."""
    good = Neighbor.of("{} lies in", "Osaka", "Japan")
    fact = Fact(
        1, "r", "Kyoto", "{} lies in", "Italy", "Japan", (), (good, Neighbor(None, "", "Japan"), good)
    )
    alone = filter_neighbors(llama, [replace(fact, neighbors=(good,))], True, 0)
    rows = filter_neighbors(llama, [fact], True, 0)
    assert [row["predicted"] for row in rows] == [alone[0]["predicted"], "", alone[0]["predicted"]]
    assert [row["kept"] for row in rows] == [alone[0]["kept"], False, alone[0]["kept"]]
    kept = [row["kept"] for row in filter_neighbors(llama, [fact], True, 0, knows_all=True)]
    assert kept == [True, False, True]
