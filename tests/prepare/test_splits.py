"""Mutually exclusive, seeded samples of cases."""

import pytest

from reedit.errors import InputError
from reedit.prepare.splits import Pool, sample_split

IDS = [10 * i + 3 for i in range(20)]


def alone(case_ids: list[int]) -> list[tuple[int, ...]]:
    """Cases of one fact each."""
    return [(case_id,) for case_id in case_ids]


def test_trials_share_no_case_and_each_has_its_size() -> None:
    rows = sample_split([alone(IDS)], 6, 3, 0)
    assert [(row["trial"], row["position"]) for row in rows] == [(t, p) for t in (1, 2, 3) for p in range(6)]
    chosen = [row["case_id"] for row in rows]
    assert len(set(chosen)) == 18 and set(chosen) <= set(IDS)


def test_trials_and_positions_do_not_follow_the_file() -> None:
    chosen = [row["case_id"] for row in sample_split([alone(IDS)], 10, 2, 0)]
    assert max(chosen[:10]) > min(chosen[10:])
    assert chosen[:10] != sorted(chosen[:10])


def test_the_seed_alone_decides() -> None:
    assert sample_split([alone(IDS)], 5, 2, 4) == sample_split([alone(IDS)], 5, 2, 4)
    assert sample_split([alone(IDS)], 5, 2, 4) != sample_split([alone(IDS)], 5, 2, 5)


def test_all_takes_every_case_in_file_order() -> None:
    rows = sample_split([alone(IDS)], "all", 1, 0)
    assert rows == [{"trial": 1, "position": i, "case_id": case} for i, case in enumerate(IDS)]


def test_as_many_cases_as_needed_are_enough_and_one_less_is_not() -> None:
    assert {row["case_id"] for row in sample_split([alone(IDS)], 10, 2, 0)} == set(IDS)
    with pytest.raises(InputError, match=r"19 cases.*at least 20 \(2 exclusive trials of 10 edits\)"):
        sample_split([alone(IDS[:19])], 10, 2, 0)


@pytest.mark.parametrize("edits", ["all", 1])
def test_no_case_at_all_is_an_error(edits: int | str) -> None:
    with pytest.raises(InputError, match="no eligible case"):
        sample_split([[]], edits, 1, 0)


def test_all_leaves_nothing_for_a_second_trial() -> None:
    with pytest.raises(InputError, match="trials: 1"):
        sample_split([alone(IDS)], "all", 2, 0)


def test_all_of_several_files_is_a_trial_each_or_one_of_them_together() -> None:
    """So the published trials of 1,000 cases are read, each from its own file."""
    files = [IDS[:8], IDS[8:15], IDS[15:]]
    rows = sample_split(list(map(alone, files)), "all", 3, 0)
    assert [[r["case_id"] for r in rows if r["trial"] == t] for t in (1, 2, 3)] == files
    assert [row["position"] for row in rows] == [*range(8), *range(7), *range(5)]
    assert [row["case_id"] for row in sample_split(list(map(alone, files)), "all", 1, 0)] == IDS
    with pytest.raises(InputError, match="one for each of the dataset's 3 files"):
        sample_split(list(map(alone, files)), "all", 2, 0)


def test_drawing_does_not_care_how_the_cases_are_spread_over_files() -> None:
    assert sample_split([alone(IDS[:8]), alone(IDS[8:])], 5, 2, 4) == sample_split([alone(IDS)], 5, 2, 4)


PAIRS = [(i, i + 100) if i % 2 else (i,) for i in range(20)]  # every second case has two facts


def test_the_facts_of_a_case_are_sampled_together_or_not_at_all() -> None:
    rows = sample_split([PAIRS], 7, 4, 0)
    for trial in range(1, 5):
        chosen = [row["case_id"] for row in rows if row["trial"] == trial]
        assert len(chosen) == 7
        for case_id in chosen:
            if case_id > 100:
                assert chosen[chosen.index(case_id) - 1] == case_id - 100, "one after the other"
            elif case_id % 2:
                assert case_id + 100 in chosen
    assert len({row["case_id"] for row in rows}) == 28
    assert len(sample_split([[(1, 2), (3, 4)]], 3, 1, 0)) == 2, "whole cases leave no more"
    with pytest.raises(InputError, match="1 edits: no case has so few facts, expected at least 2"):
        sample_split([[(1, 2), (3, 4)]], 1, 1, 0)
    assert [row["case_id"] for row in sample_split([PAIRS[:3]], "all", 1, 0)] == [0, 1, 101, 2]


def test_a_case_that_lost_a_fact_is_no_candidate() -> None:
    pool = Pool([], [], [(1, 101), (3, 103)])
    assert pool.whole([0, 1, 101, 2, 3]) == [(0,), (1, 101), (2,)]
