"""The case of Figure 3 is chosen by its rule, from the run its rule names."""

import math

import pytest
from made_runs import case_table, experiment, score, target

from reedit.report.rows.cases import case_rows
from reedit.report.rows.example import example_rows
from reedit.storage import parquet
from reedit.storage.schemas import SCHEMAS


def facts_file(folder, count=40):
    rows = [
        {
            "case_id": case,
            "relation": "P19",
            "subject": f"Subject {case}",
            "prompt": "{} was born in",
            "target_new": "Rome",
            "target_true": "Paris",
            "paraphrases": [],
            "neighbors": [],
        }
        for case in range(count)
    ]
    parquet.write(rows, folder / "facts.parquet", "facts", {})
    return {"worldfacts": folder / "facts.parquet"}


def example_of(folder, gaps, failed):
    """The example of one run of two iterations whose first one leaves these gaps, by case."""
    runs, paths = experiment(folder, [{"method": "memit", "delta_p": [5.0, 0.5]}], cases=len(gaps))
    key = next(iter(paths))
    scores = [score(0, case, "efficacy", 0.0, 0.0) for case in gaps]
    scores += [
        score(k, case, "efficacy", 0.0, 0.0, logp_new=-9.0 if case in failed else -1.0)
        for k in (1, 2)
        for case in gaps
    ]
    targets = [target(1, case, ppl_target=2.0, ppl_edited=2.0 + gap) for case, gap in gaps.items()]
    targets += [target(2, case, ppl_target=1.0, ppl_edited=1.5) for case in gaps]
    parquet.write(scores, paths[key], "scores", {})
    parquet.write(targets, folder / "targets.parquet", "targets", {})
    cases = case_rows(runs[0], paths[key], folder / "targets.parquet")
    return example_rows(runs, cases, facts_file(folder))


def test_the_median_of_the_under_edit_cases_is_followed(tmp_path):
    rows = example_of(tmp_path, {0: 1.0, 1: 50.0, 2: -20.0, 3: 90.0, 4: 0.1}, failed={1, 2, 3})
    assert [(row["k"], row["case_id"], row["under_edit"]) for row in rows] == [(1, 1, True), (2, 1, True)]
    assert [row["ppl_edited"] for row in rows] == [52.0, 1.5]
    assert rows[0]["prompt"] == "Subject 1 was born in"
    assert (rows[0]["target_true"], rows[0]["target_new"]) == ("Paris", "Rome")
    parquet.write(rows, tmp_path / "example.parquet", "example", {})


@pytest.mark.parametrize(
    ("gaps", "failed", "chosen"),
    [
        ({0: 3.0, 1: 1.0, 2: 2.0}, {}, 2),  # no UnderEdit case: the median of all
        ({0: 3.0, 1: 1.0}, {0, 1}, 1),  # the smaller of two in the middle
        ({0: math.inf, 1: math.nan, 2: 1.0}, {0, 1, 2}, 0),  # what is not finite is the largest
        ({0: 1.0, 1: 1.0, 2: 1.0}, {0, 1, 2}, 1),  # equal gaps: by case
    ],
)
def test_the_rule_is_definite(tmp_path, gaps, failed, chosen):
    assert {row["case_id"] for row in example_of(tmp_path, gaps, failed)} == {chosen}


def test_the_first_method_that_is_stopped_after_several_iterations_is_followed(tmp_path):
    methods = [
        {"method": "rome", "delta_p": [0.1, 0.1]},
        {"method": "memit", "delta_p": [50.0, 20.0]},
        {"method": "pmet", "delta_p": [50.0, 0.5]},
        {"method": "pmet2", "algorithm": "pmet", "delta_p": [50.0, 0.5]},
    ]
    runs, paths = experiment(tmp_path, methods, cases=4)
    rows = example_rows(runs, case_table(runs, paths), facts_file(tmp_path))
    assert {row["method"] for row in rows} == {"pmet"}


def test_an_unscored_iteration_stays_without_a_score(tmp_path):
    runs, paths = experiment(tmp_path, [{"method": "memit", "delta_p": [5.0, 0.5]}], cases=2)
    path = next(iter(paths.values()))
    kept = [row for row in parquet.read(path, "scores") if row["k"] != 1]
    parquet.write(kept, path, "scores", {})
    rows = example_rows(runs, case_table(runs, paths), facts_file(tmp_path))
    assert rows[0]["efficacy_accuracy"] is None and rows[0]["under_edit"] is None
    parquet.write(rows, tmp_path / "example.parquet", "example", {})


def test_a_method_whose_gap_was_not_measured_is_not_followed(tmp_path):
    runs, paths = experiment(tmp_path, [{"method": "memit", "delta_p": [5.0, 0.5]}], cases=2)
    cases = case_table(runs, paths)
    assert example_rows([row | {"delta_p": None} for row in runs], cases, facts_file(tmp_path)) == []


def test_without_edits_there_is_no_example():
    assert example_rows([], SCHEMAS["cases"].empty_table(), {}) == []
