"""From score files to the rows of runs and tables: closed-form means, choice of rows, intervals."""

import math

import numpy as np
import pytest
from made_runs import experiment, score, write_run
from printed_tables import printed

from reedit.errors import InputError
from reedit.evaluate.measures import case_means, harmonic, intervals, measure
from reedit.report.figures import courses as figures
from reedit.report.rows.lines import methods_of, never_stopped
from reedit.report.rows.runs import Samples, run_rows, table_rows
from reedit.report.tables.paper import TABLES
from reedit.storage import parquet
from reedit.storage.schemas import MEASURES, SCHEMAS

RUN = {
    "entry": 0,
    "model": "m",
    "dataset": "d",
    "format": "counterfact",
    "method": "memit",
    "algorithm": "memit",
    "assisted": False,
    "prefixed": False,
    "trial": 1,
    "label": "not a column",
}


def two_cases(k=1):
    """Efficacy (1 + 0) / 2; generalization ((1 + 0) / 2 + 1) / 2 = 3/4; specificity (1 + 1/3) / 2 = 2/3."""
    rows = [score(k, 7, "efficacy", 1.0, 1.0), score(k, 9, "efficacy", 0.0, 1.0)]
    rows += [score(k, 7, "generalization", value, 1.0) for value in (1.0, 0.0)]
    rows += [score(k, 9, "generalization", 1.0, 1.0)]
    rows += [score(k, 7, "specificity", 1.0, 1.0)]
    # the same prompt twice is two prompts
    return rows + [score(k, 9, "specificity", value, 1.0) for value in (1.0, 0.0, 0.0)]


def rows_of(folder, scores, protocol="corrected", collapse=(), iterations=({},), edits=2):
    return run_rows(RUN | {"protocol": protocol}, *write_run(folder, scores, collapse, iterations), edits)


def table(number, runs, paths):
    """The rows of a table of these runs."""
    return table_rows(TABLES[number].lines(methods_of(runs)), Samples(paths, seed=0))


def shown(rows):
    """(model, dataset, method, k, role) of each table row."""
    names = ("row", "model", "dataset", "method", "k", "role")
    return list(dict.fromkeys(tuple(row[name] for name in names) for row in rows))


def briefly(rows):
    return [(method, k, role) for *_, method, k, role in shown(rows)]


def cell(rows, measure, row=0):
    return next(r for r in rows if r["row"] == row and r["measure"] == measure)


def test_means_are_taken_within_a_case_then_over_cases(tmp_path):
    unedited, edited = rows_of(tmp_path, two_cases(0) + two_cases(1))
    assert (unedited["k"], edited["k"]) == (0, 1)
    assert edited["efficacy_accuracy"] == pytest.approx(1 / 2)
    assert edited["generalization_accuracy"] == pytest.approx(3 / 4)
    assert edited["specificity_accuracy"] == pytest.approx(2 / 3)
    assert edited["score_accuracy"] == pytest.approx(3 / (2 + 4 / 3 + 3 / 2))
    assert edited["score_success"] == 1.0
    assert set(edited) == set(SCHEMAS["runs"].names)


def test_the_unedited_model_has_specificity_accuracy_one_and_no_perplexities(tmp_path):
    unedited, _ = rows_of(tmp_path, two_cases(0) + two_cases(1), collapse=[(0, 4.0, 3.0)])
    assert unedited["specificity_accuracy"] == 1.0
    assert unedited["me_ppl"] == 4.0
    assert [unedited[name] for name in ("ppl_initial", "ppl_target", "ppl_edited", "delta_p")] == [None] * 4


@pytest.mark.parametrize(("protocol", "expected"), [("corrected", 2 / 3), ("released", 0.67)])
def test_released_rounds_specificity_to_whole_percent_before_the_score(tmp_path, protocol, expected):
    edited = rows_of(tmp_path, two_cases(0) + two_cases(), protocol)[1]
    assert edited["specificity_accuracy"] == pytest.approx(expected, abs=1e-12)
    assert edited["generalization_accuracy"] == 3 / 4
    assert edited["score_accuracy"] == pytest.approx(3 / (2 + 4 / 3 + 1 / expected))


@pytest.mark.parametrize(("protocol", "expected"), [("corrected", 0.0), ("released", 2 / (4 / 3 + 1 / 0.67))])
def test_a_zero_makes_the_corrected_score_zero_and_leaves_the_released_one(tmp_path, protocol, expected):
    rows = [row | ({"accuracy": 0.0} if row["metric"] == "efficacy" else {}) for row in two_cases()]
    edited = rows_of(tmp_path, two_cases(0) + rows, protocol)[1]
    assert edited["score_accuracy"] == pytest.approx(expected)


def test_the_harmonic_mean_of_zeros_is_zero_and_of_nothing_unknown():
    for protocol in ("corrected", "released"):
        assert harmonic(np.zeros(3), protocol) == 0.0
        assert np.isnan(harmonic(np.array([1.0, np.nan, 0.0]), protocol))


def test_a_metric_without_rows_is_null_and_so_is_the_score(tmp_path):
    rows = [row for row in two_cases(0) + two_cases(1) if row["metric"] != "generalization"]
    for row in rows_of(tmp_path, rows):
        assert row["generalization_accuracy"] is None and row["score_success"] is None
        assert row["efficacy_accuracy"] == 0.5


def test_perplexity_follows_the_protocol_and_survives_infinity(tmp_path):
    scores = two_cases(0) + two_cases(1)
    texts = [(1, 2.0, 1.0), (1, 4.0, 2.0), (0, math.inf, 2.0), (0, 1.0, 3.0)]
    unedited, edited = rows_of(tmp_path, scores, collapse=texts, iterations=[{"delta_p": math.inf}])
    assert (unedited["me_ppl"], edited["me_ppl"], edited["delta_p"]) == (math.inf, 3.0, math.inf)
    unedited, edited = rows_of(tmp_path, scores, "released", texts)
    assert (unedited["me_ppl"], edited["me_ppl"]) == (2.5, 1.5)


def test_iteration_k_is_joined_to_the_model_it_produced(tmp_path):
    scores = [row for k in range(3) for row in two_cases(k)]
    rows = rows_of(tmp_path, scores, iterations=[{"ppl_edited": 50.0}, {"ppl_edited": 2.0}])
    assert [row["ppl_edited"] for row in rows] == [None, 50.0, 2.0]


def test_bad_files_are_refused_in_one_line(tmp_path):
    scores = two_cases(0) + two_cases(1)
    with pytest.raises(InputError, match="no row for k = 1"):
        rows_of(tmp_path, scores, iterations=[])
    with pytest.raises(InputError, match="no rows for k = 0"):
        rows_of(tmp_path, two_cases(1))
    with pytest.raises(InputError, match="unknown metric 'portability'"):
        rows_of(tmp_path, [*scores, score(0, 1, "portability", 1.0, 1.0)])
    with pytest.raises(InputError, match=r"outside 0\.\.1"):
        rows_of(tmp_path, [*scores, score(0, 1, "efficacy", 100.0, 1.0)])
    with pytest.raises(InputError, match=r"outside 0\.\.1"):
        rows_of(tmp_path, [*scores, score(0, 1, "efficacy", math.nan, 1.0)])
    with pytest.raises(InputError, match="protocol"):
        rows_of(tmp_path, scores, "relaesed")


def test_table_1_shows_the_first_and_the_selected_iteration_of_each_method(tmp_path):
    methods = [
        {"method": "rome", "delta_p": [7e5, 8e5, 6e5]},
        {"method": "memit", "delta_p": [100.0, 0.5, 0.1]},
        {"method": "pmet", "delta_p": [0.9, 0.5]},
    ]
    rows = table("1", *experiment(tmp_path, methods))
    assert briefly(rows) == [
        ("unedited", 0, "unedited"),
        ("rome", 1, "first"),
        ("rome", 3, "last"),
        ("memit", 1, "first"),
        ("memit", 2, "selected"),
        ("pmet", 1, "selected"),
    ]
    parquet.write(rows, tmp_path / "table.parquet", "table", {})  # fits the schema


def test_table_1_takes_mixed_entries_only_where_a_model_has_no_other_on_that_format(tmp_path):
    """The eligible cases of Table 2 are another dataset of the same format: in Table 1 they do not belong."""
    runs, paths = experiment(
        tmp_path,
        [
            {"method": "memit", "delta_p": [0.5]},
            {"method": "pmet", "delta_p": [0.5], "entry": 1},
            {"method": "na_pmet", "delta_p": [0.5], "entry": 1, "assisted": True},
            {"method": "memit", "dataset": "eligible", "delta_p": [0.5], "entry": 2},
            {"method": "na_memit", "dataset": "eligible", "delta_p": [0.5], "entry": 2, "assisted": True},
            {"method": "memit", "model": "other", "delta_p": [0.5], "entry": 3},
            {"method": "na_memit", "model": "other", "delta_p": [0.5], "entry": 3, "assisted": True},
        ],
    )
    assert [entry[1:5] for entry in shown(table("1", runs, paths))] == [
        ("smollm2-135m", "worldfacts", "unedited", 0),
        ("smollm2-135m", "worldfacts", "memit", 1),
        ("other", "worldfacts", "unedited", 0),
        ("other", "worldfacts", "memit", 1),
    ]


ASSISTED = [
    {"method": "rome", "delta_p": [9.0]},
    {"method": "memit", "delta_p": [9.0, 0.5], "entry": 1},
    {"method": "pmet", "delta_p": [9.0, 0.5], "entry": 1},
    {"method": "memit_large", "algorithm": "memit", "delta_p": [9.0, 0.5], "entry": 1},
    {"method": "nap_memit", "delta_p": [0.5], "entry": 1, "assisted": True, "prefixed": True},
    {"method": "na_pmet", "delta_p": [9.0, 9.0], "entry": 1, "assisted": True},
    {"method": "na_memit_large", "algorithm": "memit", "delta_p": [0.5], "entry": 1, "assisted": True},
    {"method": "na_memit", "delta_p": [9.0, 5.0, 1.0], "entry": 1, "assisted": True},
    {"method": "na_rome", "delta_p": [0.5], "entry": 1, "assisted": True},
]


def test_table_2_puts_each_method_beside_its_assisted_counterparts_without_a_prefix(tmp_path):
    assert briefly(table("2", *experiment(tmp_path, ASSISTED))) == [
        ("unedited", 0, "unedited"),
        ("memit", 2, "selected"),
        ("na_memit", 3, "selected"),
        ("pmet", 2, "selected"),
        ("na_pmet", 2, "last"),
        ("memit_large", 2, "selected"),
        ("na_memit_large", 1, "selected"),
        ("na_rome", 1, "selected"),
    ]


def test_table_3_adds_the_forms_with_a_prefix_behind_those_without(tmp_path):
    found = briefly(table("3", *experiment(tmp_path, ASSISTED)))
    assert found[:5] == [
        ("unedited", 0, "unedited"),
        ("memit", 2, "selected"),
        ("na_memit", 3, "selected"),
        ("nap_memit", 1, "selected"),
        ("pmet", 2, "selected"),
    ]


def test_methods_that_only_have_a_form_with_a_prefix_are_for_tables_3_and_9(tmp_path):
    runs, paths = experiment(
        tmp_path,
        [
            {"method": "memit", "delta_p": [9.0, 0.5]},
            {"method": "nap_memit", "delta_p": [0.5], "assisted": True, "prefixed": True},
            {"method": "pmet", "dataset": "other", "delta_p": [0.5], "entry": 1},
            {"method": "na_pmet", "dataset": "other", "delta_p": [0.5], "entry": 1, "assisted": True},
        ],
    )
    methods = {number: {row["method"] for row in table(number, runs, paths)} for number in "2389"}
    assert methods["3"] == methods["9"] == {"unedited", "memit", "nap_memit"}
    assert methods["2"] == methods["8"] == {"unedited", "pmet", "na_pmet"}


def test_full_tables_show_every_k_in_order_with_its_role(tmp_path):
    methods = [
        {"method": "rome", "delta_p": [9.0, 9.0, 9.0]},
        {"method": "memit", "delta_p": [9.0, 0.5, 0.1]},
    ]
    assert briefly(table("6", *experiment(tmp_path, methods))) == [
        ("unedited", 0, "unedited"),
        ("rome", 1, "first"),
        ("rome", 2, "iteration"),
        ("rome", 3, "last"),
        ("memit", 1, "first"),
        ("memit", 2, "selected"),
        ("memit", 3, "iteration"),
    ]


def test_datasets_of_zsre_format_have_their_own_table(tmp_path):
    methods = [
        {"method": "memit", "delta_p": [0.5]},
        {"method": "memit", "dataset": "zsre", "format": "zsre", "delta_p": [0.5]},
    ]
    runs, paths = experiment(tmp_path, methods)
    datasets = {number: {row["dataset"] for row in table(number, runs, paths)} for number in "1467"}
    assert datasets["1"] == datasets["6"] == {"worldfacts"} and datasets["7"] == {"zsre"}
    assert datasets["4"] == {"worldfacts", "zsre"}


def test_table_4_has_the_k_of_each_rule_and_only_methods_that_meet_the_proposed_one(tmp_path):
    methods = [
        {"method": "rome", "delta_p": [9.0, 5.0, 7.0]},
        {"method": "memit", "delta_p": [3.0, 4.0, 0.5, 0.2], "delta_p2": [9.0, 9.0, 9.0, 0.1]},
        {"method": "pmet", "delta_p": [3.0, 0.5, 0.4], "delta_p2": [9.0, 0.9, 0.9]},
        {"method": "memit", "dataset": "other", "delta_p": [3.0, 0.5, 0.4], "delta_p2": [9.0, 9.0, 9.0]},
    ]
    runs, paths = experiment(tmp_path, methods)
    assert briefly(table("4", runs, paths)) == [
        ("memit", 1, "monotonic"),
        ("memit", 3, "proposed"),
        ("memit", 4, "small_change"),
        ("pmet", 2, "proposed"),  # small change agrees, monotonic decrease never stops
        ("memit", 2, "proposed"),
    ]
    assert briefly(table("10", runs, paths))[:5] == [
        ("unedited", 0, "unedited"),
        ("memit", 1, "monotonic"),
        ("memit", 2, "iteration"),
        ("memit", 3, "proposed"),
        ("memit", 4, "small_change"),
    ]
    assert [method.method for method in never_stopped(methods_of(runs))] == ["rome"]


def test_the_unedited_model_has_what_the_first_iteration_starts_from(tmp_path):
    methods = [{"method": "rome", "delta_p": [9.0]}, {"method": "memit", "delta_p": [9.0, 0.5]}]
    runs, paths = experiment(tmp_path, methods)
    next(row for row in runs if row["method"] == "rome" and row["k"] == 1)["ppl_initial"] = 7.0
    rows = table("6", runs, paths)
    assert cell(rows, "ppl_initial")["mean"] == 4e4  # not ROME's, which is measured between edits
    assert cell(rows, "ppl_target")["mean"] is None


@pytest.mark.parametrize(
    ("perplexities", "collapsed"),
    [((30.0, 299.0), False), ((30.0, 301.0), True), ((30.0, math.inf), True), ((None, math.nan), True)],
)
def test_a_model_has_collapsed_above_ten_times_the_unedited_perplexity(tmp_path, perplexities, collapsed):
    runs, paths = experiment(tmp_path, [{"method": "memit", "delta_p": [0.5]}])
    for row, value in zip(runs, perplexities, strict=True):
        row["me_ppl"] = value
    rows = table("1", runs, paths)
    assert [cell(rows, "me_ppl", row)["collapsed"] for row in (0, 1)] == [False, collapsed]


def test_table_2_without_assisted_runs_is_empty(tmp_path):
    assert table("2", *experiment(tmp_path, [{"method": "memit", "delta_p": [0.5]}])) == []


def test_two_protocols_do_not_share_the_unedited_row(tmp_path):
    methods = [
        {"method": "memit", "delta_p": [0.5]},
        {"method": "pmet", "delta_p": [0.5]},
        {"method": "memit_released", "algorithm": "memit", "protocol": "released", "delta_p": [0.5]},
    ]
    rows = table("1", *experiment(tmp_path, methods))
    unedited = [row["protocol"] for row in rows if row["k"] == 0 and row["measure"] == "me_ppl"]
    assert unedited == ["corrected", "released"]


def test_spread_needs_two_trials_and_finite_values(tmp_path):
    methods = [{"method": "memit", "delta_p": [value], "trial": t} for t, value in [(1, math.inf), (2, 5.0)]]
    runs, paths = experiment(tmp_path, methods)
    rows = table("1", runs, paths)
    values = [row["efficacy_accuracy"] for row in runs if row["k"] == 1]
    assert cell(rows, "efficacy_accuracy", 1)["spread"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert cell(rows, "delta_p", 1)["mean"] == math.inf
    assert cell(rows, "delta_p", 1)["spread"] is None
    alone = table("1", [row for row in runs if row["trial"] == 1], paths)
    assert cell(alone, "efficacy_accuracy", 1)["spread"] is None
    assert cell(alone, "efficacy_accuracy", 1)["low"] < cell(alone, "efficacy_accuracy", 1)["high"]
    assert cell(alone, "me_ppl", 1)["low"] is None


def test_intervals_have_the_width_of_a_binomial_share_and_follow_the_seed(tmp_path):
    count = 400
    rows = [
        score(0, case, metric, float(case % 2), 1.0)
        for case in range(count)
        for metric in ("efficacy", "generalization", "specificity")
    ]
    values = case_means(write_run(tmp_path, rows)[0])[0]
    bounds = intervals([values], 1, "corrected", seed=3)
    half = 1.96 * (0.25 / count) ** 0.5
    assert bounds[0] == pytest.approx([0.5 - half, 0.5 + half], abs=0.01)
    # the three metrics agree in every case: resampled jointly, the score's interval is theirs
    assert bounds[6] == pytest.approx(bounds[0])
    assert bounds[1].tolist() == [1.0, 1.0]
    assert np.array_equal(bounds, intervals([values], 1, "corrected", seed=3))
    assert not np.array_equal(bounds, intervals([values], 1, "corrected", seed=4))
    # two independent trials narrow it by the square root of two
    both = intervals([values, values], 1, "corrected", seed=3)
    assert both[0, 1] - both[0, 0] == pytest.approx((bounds[0, 1] - bounds[0, 0]) / 2**0.5, rel=0.1)


@pytest.mark.parametrize("protocol", ["corrected", "released"])
def test_a_mean_lies_in_its_interval_whatever_is_rounded(protocol):
    """Each case keeps one of three neighbors: exactly a third, which released rounds in the draws as well."""
    thirds = np.ones((30, 3, 2))
    thirds[:, 2] = 1 / 3
    drawn = np.random.default_rng(5).integers(0, 4, (40, 3, 2)) / 3
    for trials in ([thirds], [thirds, thirds], [drawn], [drawn, thirds, drawn]):
        means = np.mean([measure(values, 1, protocol) for values in trials], axis=0)
        bounds = intervals(trials, 1, protocol, seed=0)
        assert (bounds[:, 0] <= means + 1e-12).all() and (means <= bounds[:, 1] + 1e-12).all()
    specificity = measure(thirds, 1, protocol)[MEASURES.index("specificity_accuracy")]
    assert specificity == pytest.approx(0.33 if protocol == "released" else 1 / 3)


def test_a_score_file_that_is_not_given_is_an_input_error(tmp_path):
    runs, _ = experiment(tmp_path, [{"method": "memit", "delta_p": [0.5]}])
    with pytest.raises(InputError, match="memit/trial1: no score file"):
        table("1", runs, {})


def test_where_delta_p_was_not_measured_the_criterion_is_unknown_and_the_last_k_is_shown(tmp_path):
    methods = [{"method": "memit", "delta_p": [9.0, 0.5, 0.1]}]
    methods.append({"method": "memit_easyedit", "algorithm": "memit", "delta_p": [9.0, 0.5, 0.1]})
    runs, scores = experiment(tmp_path, methods, cases=4)
    for row in runs:
        if row["method"] == "memit_easyedit":  # its engine does not tell the targets
            row |= {"ppl_target": None, "delta_p": None}
    rows = table("1", runs, scores)
    assert briefly(rows)[1:] == [
        ("memit", 1, "first"),
        ("memit", 2, "selected"),
        ("memit_easyedit", 1, "first"),
        ("memit_easyedit", 3, "unjudged"),
    ]
    assert cell(rows, "delta_p", 4)["mean"] is None and cell(rows, "ppl_edited", 4)["mean"] is not None
    assert not never_stopped(methods_of(runs))
    assert "†" not in printed("table1", rows).md
    assert "†" not in printed("table1", rows).tex
    assert figures.perplexity(runs, {}).axes


def test_a_run_without_delta_p_is_read_as_it_is(tmp_path):
    unknown = {"ppl_target": None, "delta_p": None, "delta_p2": 3.0}
    edited = rows_of(tmp_path, two_cases(0) + two_cases(1), iterations=(unknown,))[1]
    assert (edited["ppl_target"], edited["delta_p"], edited["delta_p2"]) == (None, None, 3.0)
