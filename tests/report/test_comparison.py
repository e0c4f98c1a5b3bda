"""Reported against measured: verdicts, who stands for whom, and what is said where the two do not meet."""

import math

import pytest
import yaml
from configurations import SCHEMA
from made_reported import NAMES, RESOURCES, as_measured, reported_lines

from reedit.report.rows.comparison import compare, verdict
from reedit.report.rows.reported import ReportedLine
from reedit.storage import parquet

LINES = reported_lines()


def paper(table, k=1, method="memit", rule="", **values):
    """A reported line of GPT-2 XL."""
    values = values or {"efficacy_accuracy": 0.79}
    return ReportedLine(table, "gpt2-xl", "counterfact", method, k, 1000, rule, values)


def judged(reported, measured, names=NAMES):
    """The comparison of a few lines of one table; `measured` are reported lines with changes of columns."""
    table = reported[0].table
    rows = []
    for place, (line, columns) in enumerate(measured):
        rows += [row | columns | {"row": place} for row in as_measured([line])[table]]
    return compare(reported, {table: rows}, names)


@pytest.fixture(scope="module")
def golden():
    return compare(LINES, as_measured(LINES), NAMES)


def test_the_papers_own_numbers_agree_cell_by_cell_or_are_slips(golden, tmp_path):
    assert len(golden) == sum(len(line.values) for line in LINES)
    slips = sum(len(line.slips) for line in LINES)
    verdicts = [row["verdict"] for row in golden]
    assert (verdicts.count("slip"), verdicts.count("agrees")) == (slips, len(golden) - slips)
    parquet.write(golden, tmp_path / "c.parquet", "comparison", {})
    assert parquet.read(tmp_path / "c.parquet", "comparison") == golden


@pytest.mark.parametrize(
    ("points", "expected"),
    [(0.4, "agrees"), (-0.4, "agrees"), (0.5, "agrees"), (0.6, "differs"), (2, "differs")],
)
@pytest.mark.parametrize("reported", [0.79, 0.9267])  # whole, and a third of three whole percents
def test_a_share_agrees_within_half_a_point(reported, points, expected):
    line = paper(6, efficacy_accuracy=reported)
    (row,) = judged([line], [(line, {"mean": reported + points / 100})])
    assert row["verdict"] == expected
    assert row["difference"] == pytest.approx(points / 100)


def test_one_changed_number_is_the_only_one_that_differs(golden):
    tables = as_measured(LINES)
    place = next(n for n, row in enumerate(tables[7]) if row["measure"] == "generalization_success")
    tables[7][place]["mean"] -= 0.02
    rows = compare(LINES, tables, NAMES)
    changed = [row for row, old in zip(rows, golden, strict=True) if row["verdict"] != old["verdict"]]
    assert [(row["table"], row["measure"], row["verdict"]) for row in changed] == [
        (7, "generalization_success", "differs")
    ]


@pytest.mark.parametrize(
    ("reported", "measured", "expected"),
    [
        (7070.0, 7074.9, "agrees"),
        (7070.0, 7075.1, "differs"),
        (58.66, 58.664, "agrees"),
        (58.66, 58.67, "differs"),
    ],
)
def test_a_perplexity_agrees_within_half_of_its_last_printed_digit(reported, measured, expected):
    line = paper(6, method="rome", me_ppl=reported) if reported > 1000 else paper(6, me_ppl=reported)
    (row,) = judged([line], [(line, {"mean": measured})])
    assert row["verdict"] == expected


def test_the_interval_counts_once_it_is_widened_by_the_rounding():
    reported = 0.785, 0.795
    assert verdict(0.82, reported, 0.80, 0.84) == "differs"
    assert verdict(0.82, reported, 0.794, 0.84) == "within interval"
    assert verdict(0.82, reported, None, None) == "differs"


def test_perplexities_are_judged_by_two_spreads_over_the_trials():
    line = paper(6, me_ppl=60.0)
    for spread, expected in [(1.1, "within interval"), (0.9, "differs"), (None, "differs")]:
        (row,) = judged([line], [(line, {"mean": 62.0, "spread": spread})])
        assert row["verdict"] == expected
    assert (row["low"], row["high"]) == (None, None)


PMET = {"efficacy_accuracy": 0.2167, "generalization_accuracy": 0.03, "specificity_accuracy": 0.9167}


@pytest.mark.parametrize(
    ("parts", "reported", "measured", "expected"),
    [
        (PMET, 0.0833, 0.0768, "agrees"),  # what the printed parts give
        (PMET, 0.0833, 0.0656, "agrees"),  # 21.17, 2.5 and 91.17
        (PMET, 0.0833, 0.0653, "differs"),
        (PMET, 0.0833, 0.0882, "agrees"),
        (PMET, 0.0833, 0.0884, "differs"),
        ({}, 0.0833, 0.0768, "differs"),  # Tables 4 and 10 report no parts
        (dict.fromkeys(PMET, 0.5), 0.5, 0.5049, "agrees"),  # the same part three times moves as the score
        (dict.fromkeys(PMET, 0.5), 0.5, 0.5051, "differs"),
        (PMET | {"specificity_accuracy": 0.0}, 0.0527, 0.0, "differs"),  # a zero is left out, as published
        (PMET | {"generalization_accuracy": 0.0033}, 0.2, 0.0096, "differs"),  # in some trials, who knows
    ],
)
def test_a_score_agrees_as_far_as_the_rounding_of_its_parts_moves_it(parts, reported, measured, expected):
    line = paper(6, method="pmet", **parts, score_accuracy=reported)
    found = judged([line], [(paper(6, method="pmet", score_accuracy=measured), {})])
    (row,) = [row for row in found if row["measure"] == "score_accuracy"]
    assert row["verdict"] == expected
    assert row["tolerance"] == 0.005 and row["least"] <= reported - 0.005 and row["most"] >= reported + 0.005


def test_a_score_whose_part_is_a_slip_has_its_own_rounding():
    values = PMET | {"score_accuracy": 0.0833}
    line = ReportedLine(
        *(6, "gpt2-xl", "counterfact", "pmet", 1, 1000, ""), values, {"specificity_accuracy": "odd"}
    )
    assert line.range("score_accuracy") == pytest.approx((0.0783, 0.0883))
    assert line.range("efficacy_accuracy") == pytest.approx((0.2117, 0.2217))


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_what_is_beyond_floating_point_differs(value):
    line = paper(6, delta_p=0.5)
    (row,) = judged([line], [(line, {"mean": value, "spread": None})])
    assert row["verdict"] == "differs"


def test_a_slip_is_marked_whatever_was_measured():
    line = ReportedLine(
        6, "gpt2-xl", "counterfact", "memit", 1, 1000, "", {"delta_p": 1.8}, {"delta_p": "odd"}
    )
    for mean in (1.8, 1.86, 99.0):
        (row,) = judged([line], [(line, {"mean": mean})])
        assert (row["verdict"], row["note"], row["measured"]) == ("slip", "odd", mean)


def test_definitions_stand_for_the_papers_by_reported_as():
    line = paper(6)
    names = {
        "models": {"gpt2": "gpt2-xl"},
        "datasets": {"counterfact_eligible": "counterfact"},
        "methods": {"memit_released": "memit"},
    }
    mine = {"model": "gpt2", "dataset": "counterfact_eligible"}
    both = [
        (line, mine | {"method": "memit_released"}),
        (line, mine | {"protocol": "corrected", "mean": 0.5}),
    ]
    rows = judged([line], both, names)
    assert [(row["run"], row["protocol"], row["verdict"]) for row in rows] == [
        ("gpt2/counterfact_eligible/memit_released", "released", "agrees"),
        ("gpt2/counterfact_eligible/memit", "corrected", "differs"),
    ]
    assert {(row["model"], row["dataset"], row["method"]) for row in rows} == {
        ("gpt2-xl", "counterfact", "memit")
    }
    assert judged([line], both) == []  # without their names nothing stands for the paper


def test_the_names_that_reported_as_may_take_are_the_papers():
    for section, name in (("Model", "model"), ("Dataset", "dataset"), ("EditingMethod", "method")):
        allowed = SCHEMA["$defs"][section]["properties"]["reported_as"]["enum"]
        assert set(allowed) == {getattr(line, name) for line in LINES} - {"unedited"}


def test_the_run_with_the_papers_number_of_edits_stands_for_it_alone():
    line = paper(1)
    other = {"dataset": "counterfact_eligible", "edits": 739, "mean": 0.1}
    names = NAMES | {"datasets": {"counterfact_eligible": "counterfact"}}
    (row,) = judged([line], [(line, {}), (line, other)], names)
    assert row["run"] == "gpt2-xl/counterfact/memit"
    (row,) = judged([line], [(line, other)], names)
    assert row["note"] == "739 edits, reported 1000" and row["verdict"] == "differs"


def test_full_tables_meet_by_k():
    reported = [paper(6, k=1), paper(6, k=2)]
    rows = judged(reported, [(paper(6, k=2), {}), (paper(6, k=3), {})])
    assert [(row["k"], row["run_k"], row["verdict"]) for row in rows] == [
        (1, None, "not measured"),
        (2, 2, "agrees"),
        (None, 3, "not reported"),
    ]
    assert rows[0]["note"] == "the run has no such line"


def test_chosen_iterations_meet_by_what_they_were_chosen_for():
    reported = [paper(1, k=1), paper(1, k=4)]
    rows = judged(reported, [(paper(1, k=1), {"role": "first"}), (paper(1, k=3), {"role": "selected"})])
    assert [(row["role"], row["k"], row["run_k"], row["note"]) for row in rows] == [
        ("first", 1, 1, ""),
        ("selected", 4, 3, "k = 3, reported 4"),
    ]
    rows = judged(reported, [(paper(1, k=1), {"role": "selected"})])  # the first iteration met it already
    assert [row["run_k"] for row in rows] == [1, 1]
    rows = judged(reported[1:], [(paper(1, k=10), {"role": "last"})])
    assert [row["run_k"] for row in rows] == [10]


def test_stopping_rules_meet_by_rule():
    reported = [paper(4, k=3, rule="proposed"), paper(4, k=4, rule="small_change")]
    mine = [(paper(4, k=2), {"role": "proposed"}), (paper(4, k=5), {"role": "small_change"})]
    assert [(row["role"], row["k"], row["run_k"]) for row in judged(reported, mine)] == [
        ("proposed", 3, 2),
        ("small_change", 4, 5),
    ]


def test_what_the_paper_does_not_print_is_not_held_against_it():
    line = paper(1, efficacy_accuracy=0.79)
    extra = {"measure": "ppl_initial", "mean": 5.0}
    rows = as_measured([line])[1] + [row | extra for row in as_measured([line])[1]]
    (row,) = compare([line], {1: rows}, NAMES)  # Table 1 has no such column
    assert row["measure"] == "efficacy_accuracy"


def test_an_experiment_without_the_papers_models_has_no_comparison():
    assert compare(LINES, as_measured(LINES, model="smollm2-135m", dataset="worldfacts"), NAMES) == []


def test_a_table_without_runs_is_counted_as_not_measured():
    one = [line for line in LINES if line.table in (1, 3)]
    tables = as_measured(one) | {3: []}
    rows = [row for row in compare(one, tables, NAMES) if row["table"] == 3]
    assert {(row["verdict"], row["run"], row["note"]) for row in rows} == {
        ("not measured", None, "no run stands for this line")
    }


def test_every_slip_of_the_file_has_a_reason_of_one_line():
    for entry in yaml.safe_load((RESOURCES / "reported-slips.yaml").read_text()):
        assert "\n" not in entry["why"] and 5 < len(entry["why"]) < 120
