"""Paired differences: what is compared with what, the numbers by hand, the interval by a plain bootstrap."""

from pathlib import Path

import numpy as np
import pytest
from made_runs import case_table, experiment, generated_runs, score, target

from reedit.evaluate.measures import DRAWS, paired_intervals
from reedit.report.rows.cases import case_rows
from reedit.report.rows.differences import SAID, Judged, difference_rows, judged_answers, judged_cases
from reedit.storage import parquet
from reedit.storage.schemas import MEASURES

ACCURACY = [MEASURES.index(f"{name}_accuracy") for name in ("efficacy", "specificity", "score")]


def compared(rows):
    """What was compared with what, each once."""
    return list(
        dict.fromkeys(
            (row["comparison"], row["method"], row["k"], row["reference"], row["reference_k"]) for row in rows
        )
    )


def judged_at_first_and(ks, judged):
    """Without the other k: made-up scores rise and fall as they may, and no third one is to be highest."""
    return {(run, k): side for (run, k), side in judged.items() if k in (0, 1, ks.get(run[2]))}


def differences(folder, methods, cases=6):
    runs, paths = experiment(folder, methods, cases=cases)
    rows = difference_rows(runs, judged_cases(case_table(runs, paths)), seed=0)
    parquet.write(rows, folder / "differences.parquet", "differences", {})
    return rows


def random_cases(seed, count=30):
    return np.random.default_rng(seed).integers(0, 3, (count, 3, 2)) / 2


# -- numbers ------------------------------------------------------------------------------------------------


def test_the_difference_of_a_score_is_that_of_the_harmonic_means():
    ours, theirs = np.full((4, 3, 2), 0.8), np.full((4, 3, 2), 0.8)
    ours[:, 2] = 0.4  # specificity
    means, bounds = paired_intervals([(ours, theirs)], "corrected", seed=0)
    expected = [0.0, -0.4, 3 / (2 / 0.8 + 1 / 0.4) - 0.8]
    assert means[ACCURACY] == pytest.approx(expected)
    assert bounds[ACCURACY] == pytest.approx(np.repeat(expected, 2).reshape(3, 2))  # every case the same


def test_the_same_on_both_sides_differs_by_nothing_in_every_resample():
    values = random_cases(1)
    means, bounds = paired_intervals([(values, values)], "corrected", seed=0)
    assert not means.any() and not bounds.any()


def test_the_interval_is_that_of_resampled_pairs():
    ours, theirs = random_cases(1), random_cases(2)
    means, bounds = paired_intervals([(ours, theirs)], "corrected", seed=3)
    rng = np.random.default_rng([3, 0])
    drawn = []
    for _ in range(DRAWS):
        times = rng.multinomial(30, np.full(30, 1 / 30))
        picked = np.repeat(np.arange(30), times)
        drawn.append((ours[picked, 2, 0] - theirs[picked, 2, 0]).mean())
    specificity = MEASURES.index("specificity_accuracy")
    assert means[specificity] == pytest.approx((ours - theirs)[:, 2, 0].mean())
    assert bounds[specificity] == pytest.approx(np.percentile(drawn, [2.5, 97.5]))


def test_pairing_narrows_the_interval_of_what_is_correlated():
    theirs = random_cases(1, count=60)
    ours = np.clip(theirs + 0.1, 0, 1)
    _, paired = paired_intervals([(ours, theirs)], "corrected", seed=0)
    _, crossed = paired_intervals([(ours, theirs[::-1])], "corrected", seed=0)
    width = np.diff(paired, axis=1)[ACCURACY], np.diff(crossed, axis=1)[ACCURACY]
    assert (width[0] < width[1] / 2).all()


def test_trials_count_alike_whatever_their_size():
    zero, one = np.zeros((3, 3, 2)), np.ones((3, 3, 2))
    many = np.zeros((90, 3, 2))
    means, _ = paired_intervals([(one, zero), (many, many)], "corrected", seed=0)
    assert means[0] == 0.5


def test_a_case_that_one_side_lacks_counts_on_neither():
    ours, theirs = np.ones((2, 3, 2)), np.ones((2, 3, 2))
    ours[0, 2], theirs[0, 2] = 0.0, np.nan
    means, _ = paired_intervals([(ours, theirs)], "corrected", seed=0)
    assert means[MEASURES.index("specificity_accuracy")] == 0.0


def test_the_released_harmonic_mean_drops_zeros():
    ours, theirs = np.ones((2, 3, 2)), np.ones((2, 3, 2))
    ours[:, 0] = 0.0
    score_of = MEASURES.index("score_accuracy")
    by_protocol = {p: paired_intervals([(ours, theirs)], p, seed=0)[0] for p in ("corrected", "released")}
    assert by_protocol["corrected"][score_of] == -1.0 and by_protocol["released"][score_of] == 0.0


@pytest.mark.parametrize("protocol", ["corrected", "released"])
def test_a_difference_is_of_unrounded_values_and_lies_in_its_interval(protocol):
    """One neighbor in 200 is lost: half a point of specificity, which rounding makes a whole one or none."""
    theirs = np.ones((200, 3, 2))
    ours = theirs.copy()
    ours[0, 2] = 0.0
    means, bounds = paired_intervals([(ours, theirs)], protocol, seed=0)
    for kind in ("accuracy", "success"):
        place = MEASURES.index(f"specificity_{kind}")
        assert means[place] == pytest.approx(-0.005)
        assert bounds[place, 0] <= means[place] <= bounds[place, 1]
    score_of = MEASURES.index("score_accuracy")
    assert means[score_of] == pytest.approx(3 / (2 + 1 / 0.995) - 1)


# -- what is compared ---------------------------------------------------------------------------------------


def test_iterated_against_once_and_assisted_against_plain_at_their_selected_k(tmp_path):
    methods = [
        {"method": "memit", "delta_p": [9.0, 4.0, 0.5, 0.1]},
        {"method": "na_memit", "assisted": True, "delta_p": [9.0, 0.5, 0.1, 0.1]},
        {"method": "nap_memit", "assisted": True, "delta_p": [9.0, 9.0, 9.0, 9.0]},
        {"method": "pmet", "delta_p": [0.5, 0.1]},
    ]
    runs, paths = experiment(tmp_path, methods, cases=6)
    shown = {"memit": 3, "na_memit": 2, "nap_memit": 4}
    rows = difference_rows(runs, judged_at_first_and(shown, judged_cases(case_table(runs, paths))), seed=0)
    assert compared(rows) == [
        ("iteration", "memit", 3, "memit", 1),
        ("iteration", "na_memit", 2, "na_memit", 1),
        ("iteration", "nap_memit", 4, "nap_memit", 1),
        ("assistance", "na_memit", 1, "memit", 1),
        ("assistance", "na_memit", 2, "memit", 3),
        ("assistance", "nap_memit", 1, "memit", 1),
        ("assistance", "nap_memit", 4, "memit", 3),
    ]
    assert [row["measure"] for row in rows[:8]] == MEASURES
    assert [row["row"] for row in rows] == sorted(list(range(7)) * 8)
    roles = {(row["method"], row["role"]) for row in rows if row["k"] > 1}
    assert roles == {("memit", "selected"), ("na_memit", "selected"), ("nap_memit", "last")}
    assert {row["pairs"] for row in rows} == {6}


def test_a_method_is_compared_with_the_one_that_its_definition_names(tmp_path):
    methods = [
        {"method": "memit", "delta_p": [9.0, 4.0, 9.0]},
        {"method": "tuned", "delta_p": [0.5, 0.1, 0.1]},
    ]
    runs, paths = experiment(tmp_path, methods, cases=6)
    judged = judged_at_first_and({"memit": 3}, judged_cases(case_table(runs, paths)))
    rows = difference_rows(runs, judged, seed=0, against={"tuned": "memit", "memit": "rome"})
    assert compared(rows) == [
        ("iteration", "memit", 3, "memit", 1),
        ("method", "tuned", 1, "memit", 1),
        ("method", "tuned", 1, "memit", 3),
    ]
    at_once = [{"method": name, "delta_p": [0.5, 0.1]} for name in ("memit", "tuned")]
    runs_at_once, paths_at_once = experiment(tmp_path / "c", at_once, cases=6)
    judged_at_once = judged_at_first_and({}, judged_cases(case_table(runs_at_once, paths_at_once)))
    twice = difference_rows(runs_at_once, judged_at_once, seed=0, against={"tuned": "memit"})
    assert compared(twice) == [("method", "tuned", 1, "memit", 1)], "no comparison stands there twice"
    # elsewhere, on other cases: not compared
    apart, others = experiment(tmp_path / "b", [methods[1] | {"method": "else"}], cases=5)
    both = [*runs, *({**row, "entry": 7, "edits": runs[0]["edits"]} for row in apart)]
    judged |= judged_at_first_and({}, judged_cases(case_table(apart, others)))
    assert not any(
        row["method"] == "else" for row in difference_rows(both, judged, 0, against={"else": "memit"})
    )


def test_the_numbers_are_those_of_the_cases(tmp_path):
    specificity = {1: [1.0, 1.0, 0.5], 2: [0.5, 1.0, 0.0]}
    runs, paths = experiment(tmp_path, [{"method": "memit", "delta_p": [9.0, 0.5]}], cases=3)
    scores = [
        score(k, case, metric, value if metric == "specificity" else 1.0, 1.0)
        for k, values in ({0: [1.0] * 3} | specificity).items()
        for case, value in enumerate(values)
        for metric in ("efficacy", "generalization", "specificity")
    ]
    path = next(iter(paths.values()))
    parquet.write(scores, path, "scores", {})
    targets = [target(k, case) for k in (1, 2) for case in range(3)]
    parquet.write(targets, tmp_path / "targets.parquet", "targets", {})
    rows = difference_rows(runs, judged_cases(case_rows(runs[0], path, tmp_path / "targets.parquet")), seed=0)
    found = {row["measure"]: row for row in rows}
    assert found["specificity_accuracy"]["mean"] == pytest.approx(-1 / 3)
    assert found["score_accuracy"]["mean"] == pytest.approx(3 / (2 + 2) - 3 / (2 + 6 / 5))
    assert found["specificity_accuracy"]["low"] == -0.5 and found["specificity_accuracy"]["high"] == 0.0
    assert found["efficacy_accuracy"]["low"] == found["efficacy_accuracy"]["high"] == 0.0


def test_without_delta_p_the_last_iteration_is_compared_and_says_so(tmp_path):
    runs, paths = experiment(tmp_path, [{"method": "memit", "delta_p": [9.0, 0.5, 0.1]}], cases=4)
    cases = case_table(runs, paths)
    rows = difference_rows([row | {"delta_p": None} for row in runs], judged_cases(cases), seed=0)
    assert compared(rows) == [("iteration", "memit", 3, "memit", 1)]
    assert {row["role"] for row in rows} == {"unjudged"}


def test_an_assisted_method_is_compared_with_its_own_algorithm_protocol_and_number_of_edits(tmp_path):
    methods = [
        {"method": "pmet", "delta_p": [0.5]},
        {"method": "memit_released", "algorithm": "memit", "protocol": "released", "delta_p": [0.5]},
        {"method": "memit_more", "algorithm": "memit", "edits": 99, "delta_p": [0.5]},
        {"method": "na_memit", "assisted": True, "delta_p": [0.5]},
    ]
    assert differences(tmp_path, methods) == []


def test_a_variant_is_compared_with_the_plain_method_of_its_name(tmp_path):
    methods = [
        {"method": "memit", "delta_p": [0.5]},
        {"method": "memit_large", "algorithm": "memit", "delta_p": [0.5]},
        {"method": "na_memit_large", "algorithm": "memit", "assisted": True, "delta_p": [0.5]},
        {"method": "na_memit", "assisted": True, "delta_p": [0.5]},
    ]
    references = {(row["method"], row["reference"]) for row in differences(tmp_path, methods)}
    assert references == {("na_memit_large", "memit_large"), ("na_memit", "memit")}


@pytest.mark.parametrize("same", [True, False])
def test_a_method_of_another_entry_must_have_been_judged_on_the_same(tmp_path, same):
    methods = [
        {"method": "memit", "entry": 0, "delta_p": [0.5]},
        {"method": "na_memit", "entry": 1, "assisted": True, "delta_p": [0.5]},
    ]
    runs, paths = experiment(tmp_path, methods, cases=6)
    memit, assisted = paths.values()
    if same:  # the unedited model's scores of both
        unedited = [row for row in parquet.read(memit, "scores") if row["k"] == 0]
        edited = [row for row in parquet.read(assisted, "scores") if row["k"] > 0]
        parquet.write(unedited + edited, assisted, "scores", {})
    rows = difference_rows(runs, judged_cases(case_table(runs, paths)), seed=0)
    assert bool(rows) == same


def test_trials_are_paired_with_their_own(tmp_path):
    methods = [
        {"method": method, "trial": trial, "assisted": method != "memit", "delta_p": [0.5]}
        for method in ("memit", "na_memit")
        for trial in (1, 2, 3)
    ]
    rows = differences(tmp_path, methods, cases=5)
    assert {(row["trials"], row["pairs"]) for row in rows} == {(3, 15)}


def test_what_was_not_scored_is_not_compared(tmp_path):
    runs, paths = experiment(tmp_path, [{"method": "memit", "delta_p": [9.0, 0.5]}], cases=4)
    path = next(iter(paths.values()))
    parquet.write([r for r in parquet.read(path, "scores") if r["k"] != 1], path, "scores", {})
    assert difference_rows(runs, judged_cases(case_table(runs, paths)), seed=0) == []


def test_a_metric_without_prompts_has_no_difference(tmp_path):
    runs, paths = experiment(tmp_path, [{"method": "memit", "delta_p": [9.0, 0.5]}], cases=4)
    path = next(iter(paths.values()))
    kept = [row for row in parquet.read(path, "scores") if row["metric"] != "specificity"]
    parquet.write(kept, path, "scores", {})
    found = {
        row["measure"]: row for row in difference_rows(runs, judged_cases(case_table(runs, paths)), seed=0)
    }
    assert found["efficacy_accuracy"]["mean"] is not None
    for measure in ("specificity_success", "score_accuracy"):
        assert [found[measure][name] for name in ("mean", "low", "high")] == [None, None, None]


def test_what_models_say_themselves_is_compared_likewise(tmp_path: Path) -> None:
    """By hand: the mean over cases of the difference between the chosen k and k = 1."""
    memit = {"model": "small", "dataset": "facts", "method": "memit", "edits": 6}
    runs, files = generated_runs(tmp_path, [memit | {"delta_p": [9.0, 0.5]}], cases=6)
    generations = {key: own.generations for key, own in files.items()}
    rows = difference_rows(runs, judged_answers(generations), seed=0, kinds=SAID)
    found = {row["measure"]: row for row in rows}
    assert {name.rpartition("_")[2] for name in found} == set(SAID)
    (path,) = generations.values()
    frame = parquet.read_table(path, "generations").to_pandas()
    for metric in ("efficacy", "generalization", "specificity"):
        for kind in SAID:
            means = frame[frame["metric"] == metric].groupby(["k", "case_id"])[kind].mean()
            expected = (means.loc[2] - means.loc[1]).mean()
            row = found[f"{metric}_{kind}"]
            assert row["mean"] == pytest.approx(expected) and row["low"] <= row["mean"] <= row["high"]
            assert row["pairs"] == 6


@pytest.mark.parametrize("missing", [None, np.nan], ids=["judged", "without paraphrases"])
def test_the_k_where_the_rule_stops_is_held_against_that_of_the_highest_score(tmp_path, missing):
    methods = [
        {"method": "memit", "delta_p": [9.0, 4.0, 9.0]},  # never stopped: stands at its last
        {"method": "pmet", "delta_p": [9.0, 0.5, 0.1]},
    ]
    runs, _ = experiment(tmp_path, methods, cases=4)
    heights = {"memit": [0.2, 0.8, 0.6], "pmet": [0.2, 0.8, 0.6]}

    def judged(heights):
        sides = {}
        for row in runs:
            values = np.full((4, 3, 2), [0.5, *heights[row["method"]]][row["k"]])
            values[:, 1] = values[:, 1] if missing is None else missing
            sides[(row["model"], row["dataset"], row["method"], 1), row["k"]] = Judged(np.arange(4), values)
        return sides

    def stopping(heights):
        rows = [row for row in difference_rows(runs, judged(heights), 0) if row["comparison"] == "stopping"]
        assert all(row["reference_role"] == "highest" for row in rows)
        return compared(rows)

    lower = [("stopping", "memit", 3, "memit", 2)]  # pmet stops at its highest
    assert stopping(heights) == (lower if missing is None else [])  # no score, no highest one
    assert stopping({name: [0.5, 0.5, 0.5] for name in heights}) == []  # none is higher than where it stops
    assert stopping({name: [0.7, 0.5, 0.5] for name in heights}) == []  # held against k = 1 by "iteration"
