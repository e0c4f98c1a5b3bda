"""The table of cases: what is measured stands at its run, k and case; what is not stays empty."""

import math

import pytest
from made_runs import score, target

from reedit.errors import InputError
from reedit.report.rows.cases import case_frame, case_rows
from reedit.storage import parquet
from reedit.storage.schemas import SCHEMAS

RUN = {
    "model": "m",
    "dataset": "d",
    "method": "na_memit",
    "algorithm": "memit",
    "assisted": True,
    "protocol": "corrected",
    "trial": 2,
    "entry": 7,
}


def rows_of(folder, scores, targets, **identity):
    for name, rows in (("scores", scores), ("targets", targets)):
        parquet.write(rows, folder / f"{name}.parquet", name, {})
    table = case_rows(RUN | identity, folder / "scores.parquet", folder / "targets.parquet")
    parquet.write_table(table, folder / "cases.parquet", "cases", {})  # it is of the declared schema
    return {(row["k"], row["case_id"]): row for row in parquet.read(folder / "cases.parquet", "cases")}


def test_a_case_has_the_means_over_its_prompts_and_its_perplexities(tmp_path):
    scores = [
        score(1, 5, "efficacy", 1.0, 0.0),
        score(1, 5, "generalization", 0.5, 1.0, "a"),
        score(1, 5, "generalization", 1.0, 0.0, "b"),
        score(1, 5, "specificity", 0.25, 1.0),
    ]
    row = rows_of(tmp_path, scores, [target(1, 5, 90.0, 1.5, 4.0)])[1, 5]
    assert row == {name: RUN[name] for name in row if name in RUN} | {
        "k": 1,
        "case_id": 5,
        "ppl_initial": 90.0,
        "ppl_target": 1.5,
        "ppl_edited": 4.0,
        "efficacy_accuracy": 1.0,
        "efficacy_success": 0.0,
        "generalization_accuracy": 0.75,
        "generalization_success": 0.5,
        "specificity_accuracy": 0.25,
        "specificity_success": 1.0,
        "under_edit": False,
    }


def test_rows_are_in_order_of_k_and_case_whatever_the_files_are(tmp_path):
    scores = [score(k, case, "efficacy", 1.0, 1.0) for k in (1, 0) for case in (9, 2)]
    rows = rows_of(tmp_path, scores, [target(1, 9), target(1, 2)])
    assert list(rows) == [(0, 2), (0, 9), (1, 2), (1, 9)]


def test_the_unedited_model_has_no_perplexity_and_an_unkept_k_no_score(tmp_path):
    scores = [score(k, 1, "efficacy", 1.0, 1.0) for k in (0, 1)]
    rows = rows_of(tmp_path, scores, [target(1, 1), target(2, 1, ppl_edited=3.0)])
    assert rows[0, 1]["ppl_edited"] is None and rows[0, 1]["efficacy_accuracy"] == 1.0
    assert rows[2, 1]["ppl_edited"] == 3.0 and rows[2, 1]["efficacy_accuracy"] is None


def test_infinity_and_nan_are_measurements(tmp_path):
    targets = [target(1, 1, ppl_edited=math.inf), target(1, 2, ppl_edited=math.nan)]
    rows = rows_of(tmp_path, [score(1, case, "efficacy", 0.0, 0.0) for case in (1, 2)], targets)
    assert rows[1, 1]["ppl_edited"] == math.inf and math.isnan(rows[1, 2]["ppl_edited"])


def test_for_pandas_only_what_was_not_measured_is_nan(tmp_path):
    targets = [target(1, 1, ppl_edited=math.nan), target(1, 2, ppl_edited=3.0)]
    rows_of(tmp_path, [score(k, case, "efficacy", 0.0, 0.0) for k in (0, 1) for case in (1, 2)], targets)
    frame = case_frame(parquet.read_table(tmp_path / "cases.parquet", "cases"))
    assert frame["ppl_edited"].isna().tolist() == [True, True, False, False]
    assert frame["ppl_edited"].tolist()[2:] == [math.inf, 3.0]


FIRST = {  # case: accuracy, log p(target_new), log p(target_true)
    1: (0.0, -3.0, -1.0),  # the old object is likelier, nothing predicted
    2: (0.5, -3.0, -1.0),  # the same with a part of the tokens predicted
    3: (0.0, -1.0, -3.0),  # likelier than the old one, yet not predicted
    4: (1.0, -1.0, -3.0),
    5: (0.0, -2.0, -2.0),  # as likely as the old one: not below it
}


@pytest.mark.parametrize(("protocol", "failed"), [("corrected", {1, 2}), ("released", {1, 3, 5})])
def test_under_edit_is_what_the_protocol_says_after_the_first_iteration(tmp_path, protocol, failed):
    scores = [
        score(1, case, "efficacy", accuracy, 0.0, logp_new=new, logp_true=true)
        for case, (accuracy, new, true) in FIRST.items()
    ]
    scores += [score(1, case, "generalization", 0.0, 0.0, logp_new=-9.0, logp_true=-1.0) for case in FIRST]
    scores += [score(2, case, "efficacy", 1.0, 1.0, logp_new=-1.0, logp_true=-9.0) for case in FIRST]
    targets = [target(k, case) for k in (1, 2) for case in FIRST]
    rows = rows_of(tmp_path, scores, targets, protocol=protocol)
    for k in (1, 2):  # at every k it is the first iteration's
        assert {case for case in FIRST if rows[k, case]["under_edit"]} == failed


def test_under_edit_is_unknown_where_the_first_iteration_was_not_scored(tmp_path):
    scores = [score(k, 1, "efficacy", 0.0, 0.0) for k in (0, 2)]
    rows = rows_of(tmp_path, scores, [target(1, 1), target(2, 1)])
    assert all(row["under_edit"] is None for row in rows.values())


def test_scores_and_targets_of_different_cases_are_an_error(tmp_path):
    scores = [score(1, case, "efficacy", 0.0, 0.0) for case in (1, 2)]
    with pytest.raises(InputError, match=r"targets\.parquet: no row for case 2, which .*scores\.parquet has"):
        rows_of(tmp_path, scores, [target(1, 1)])


def test_an_unknown_protocol_is_an_error(tmp_path):
    with pytest.raises(InputError, match="protocol: unknown value 'published'"):
        rows_of(tmp_path, [], [], protocol="published")


def test_a_table_of_other_columns_is_not_written(tmp_path):
    table = SCHEMAS["prefixes"].empty_table()
    with pytest.raises(InputError, match="differ from the schema cases"):
        parquet.write_table(table, tmp_path / "cases.parquet", "cases", {})
    assert not (tmp_path / "cases.parquet").exists()
