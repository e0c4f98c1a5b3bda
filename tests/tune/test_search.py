"""What is tried next, what outlives a kill, how long it may take, and what counts as good."""

import math
from pathlib import Path

import numpy as np
import pytest

from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.hyperparameters import READERS, kinds, read_hyperparameters
from reedit.methods.tunable import Range, tunable
from reedit.tune.budget import Budget
from reedit.tune.objective import Objective, means_of
from reedit.tune.search import Search

SPACE = {"targets": ["a", "b"], "weight": Range(1.0, 100.0), "steps": Range(5, 20, step=5)}


def search(folder: Path, seed: int = 0) -> Search:
    return Search(folder / "journal", "part", SPACE, {"more": "maximize", "less": "minimize"}, seed)


def told(one: Search, values: list[float], missing: float = 0.0) -> dict:
    attempt = one.ask()
    one.tell(attempt, values, missing, {"values": values, "params": attempt.params})
    return attempt.params


def test_attempts_stay_in_their_ranges_and_begin_with_what_was_asked_for(tmp_path: Path) -> None:
    one, first = search(tmp_path), {"targets": 1, "weight": 7.0, "steps": 10}
    one.begin_with(first)
    one.begin_with(first)  # once is enough
    tried = [told(one, [float(number), 0.0]) for number in range(12)]
    assert tried[0] == first and tried.count(first) == 1
    assert {params["targets"] for params in tried} == {0, 1}
    assert all(1 <= params["weight"] <= 100 and params["steps"] in (5, 10, 15, 20) for params in tried)


def test_a_killed_search_goes_on_with_all_that_was_told(tmp_path: Path) -> None:
    whole = search(tmp_path / "whole")
    expected = [told(whole, [float(number), 0.0]) for number in range(3)]
    begun = search(tmp_path / "killed")
    assert [told(begun, [float(number), 0.0]) for number in range(3)] == expected
    begun.ask()  # and then it is killed
    again = search(tmp_path / "killed")
    assert [row["params"] for row in again.rows] == expected
    assert told(again, [3.0, 0.0]) not in expected  # nothing is drawn twice
    assert [row["number"] for row in again.rows] == [0, 1, 2, 4]


def test_the_front_has_what_nothing_else_is_better_than_of_what_reaches_enough(tmp_path: Path) -> None:
    one = search(tmp_path)
    for values, missing in (([1, 1], 0), ([2, 2], 0), ([2, 3], 0), ([9, 0], 0.1), ([0, 5], 0)):
        told(one, values, missing)
    one.give_up(one.ask())
    assert [row["values"] for row in one.front] == [[1, 1], [2, 2]]
    assert len(one.rows) == 5 and one.made == 6


def test_a_budget_counts_what_a_killed_job_has_spent(tmp_path: Path) -> None:
    now = [0.0]
    budget = Budget(1, 100, tmp_path / "spent.json", clock=lambda: now[0])
    with budget.spending(30):
        now[0] += 20
    with pytest.raises(KeyboardInterrupt), budget.spending(10):
        now[0] += 5
        raise KeyboardInterrupt
    again = Budget(1, 100, tmp_path / "spent.json", clock=lambda: now[0])
    assert (again.spent_seconds, again.spent_edits) == (25, 40)
    assert again.allows(1.0, 35, 60) and not again.allows(1.0, 36, 0) and not again.allows(1.0, 0, 61)
    assert again.allows(0.5, 5, 10) and not again.allows(0.5, 5, 11) and not again.allows(0.4, 5)
    assert Budget(1, None, tmp_path / "spent.json").allows(1.0, 35, 10**9)


def test_reaching_counts_first_then_the_mean_of_what_is_wanted() -> None:
    objective = Objective({"efficacy": 90}, ["generalization", "specificity"])

    def means(efficacy: float, generalization: float, specificity: float) -> dict[str, float]:
        names = ("efficacy", "generalization", "specificity")
        return dict(zip(names, (efficacy, generalization, specificity), strict=True))

    order = [means(0.5, 1, 1), means(0.8, 0, 0), means(0.9, 0.2, 0.6), means(0.95, 0.6, 0.3)]
    assert sorted(order[::-1], key=objective.rank) == order
    assert objective.missing(order[1]) == pytest.approx(0.1)
    assert objective.wanted(means(1, math.nan, 0.5)) == [0.0, 0.5]  # no fact has a paraphrase
    assert Objective({}, ["specificity"]).rank(means(0, 0, 0.5)) == (True, 0.5)


def test_means_leave_out_facts_without_a_prompt() -> None:
    values = np.array([[[1.0, 0], [0.5, 0], [np.nan, 0]], [[0.0, 1], [np.nan, 1], [np.nan, 1]]])
    found = means_of(values)
    assert found["efficacy"] == 0.5 and found["generalization"] == 0.5 and math.isnan(found["specificity"])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_says_what_may_be_tuned_and_begins_with_a_readable_file(algorithm: str) -> None:
    keys = tunable(algorithm)
    tuned = keys.optimization + keys.spread
    assert set(tuned) <= keys.ranges.keys() <= kinds(READERS[ALGORITHMS[algorithm].takes]).keys()
    assert tuned and {ALGORITHMS[algorithm].weight} - {None} <= set(keys.spread)
    layers = list(range(keys.width))
    assert read_hyperparameters({"layers": layers, **keys.start}, algorithm, "start").layers == layers
    for name in tuned:
        one = keys.ranges[name]
        assert one.low <= keys.start[name] <= one.high
        assert one.at(0) == pytest.approx(one.low) and one.at(1) == pytest.approx(one.high)
        assert not one.step or (one.at(0.5) - one.low) % one.step == 0
