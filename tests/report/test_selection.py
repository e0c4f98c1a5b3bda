"""Trials that end at different k: each stands at its own, in every table, figure and kept weight alike."""

import csv
import io

import matplotlib
import numpy as np
import pytest
from made_page import made_experiment
from made_reported import NAMES, as_measured, reported_lines
from made_runs import case_table, experiment, generated_runs, write_run
from printed_tables import TEMPLATES, printed
from typesetting import needs_latex

from reedit.edit.kept_weights import kept_iterations
from reedit.errors import InputError
from reedit.evaluate.measures import case_means, intervals
from reedit.report.figures.courses import perplexity, scores
from reedit.report.figures.distribution import distribution
from reedit.report.figures.retention import retained
from reedit.report.figures.tradeoff import tradeoff
from reedit.report.figures.underedit import underedit
from reedit.report.latex import compile as latex
from reedit.report.latex.document import document
from reedit.report.rows.comparison import compare
from reedit.report.rows.differences import difference_rows, judged_cases
from reedit.report.rows.example import example_rows
from reedit.report.rows.generation import generation_rows
from reedit.report.rows.lines import methods_of, never_stopped, partly_stopped, stopped
from reedit.report.rows.norms import NormFiles, norm_summary_rows
from reedit.report.rows.runs import Samples, table_rows
from reedit.report.tables.notes import PARTLY, RANGE, unmet_note
from reedit.report.tables.paper import TABLES
from reedit.storage import parquet
from reedit.storage.schemas import MEASURES


def table_tex(rows, number):
    return printed(f"table{number}", rows).tex


def table_md(rows, number):
    return printed(f"table{number}", rows).md


FIVE = [100.0, 50.0, 20.0, 5.0, 0.8]
SEVEN = [100.0, 60.0, 30.0, 10.0, 4.0, 2.0, 0.5]
NOTE = RANGE.split(":")[0]  # lines are wrapped


def trials(*courses, method="memit", **columns):
    """One method's trials by their |delta p|."""
    return [
        {"method": method, "delta_p": course, "trial": number} | columns
        for number, course in enumerate(courses, start=1)
    ]


def lines_of(number, runs):
    """(k of each trial, role) of the lines of a table, the unedited model's apart."""
    return [(line.ks, line.role) for line in TABLES[number].lines(methods_of(runs)) if line.k > 0]


def rows_of(number, runs, paths):
    return table_rows(TABLES[number].lines(methods_of(runs)), Samples(paths, seed=0))


def cell(rows, measure, **columns):
    """The row of a measure in the line with these columns."""
    wanted = {"measure": measure} | columns
    (found,) = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return found


def squeezed(text):
    return " ".join(text.split())


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    return experiment(tmp_path_factory.mktemp("two"), trials(FIVE, SEVEN), cases=8)


@pytest.fixture(scope="module")
def cases(two):
    return case_table(*two)


# -- the choice ---------------------------------------------------------------------------------------------


def test_the_selected_line_is_every_trial_at_its_own_k_and_met_where_all_meet_it(two):
    runs, paths = two
    assert lines_of("1", runs) == [((1, 1), "first"), ((5, 7), "selected")]
    rows = rows_of("1", runs, paths)
    chosen = cell(rows, "delta_p", role="selected")
    assert (chosen["k"], chosen["k_min"], chosen["mean"]) == (7, 5, pytest.approx(0.65))
    assert chosen["spread"] == pytest.approx(0.3 / 2**0.5)
    judged = [case_means(path)[k] for path, k in zip(paths.values(), (5, 7), strict=True)]
    bounds = intervals(judged, 7, "corrected", seed=0)
    for place, measure in enumerate(MEASURES):
        found = cell(rows, measure, role="selected")
        own = [row[measure] for row in runs if (row["trial"], row["k"]) in ((1, 5), (2, 7))]
        assert found["mean"] == pytest.approx(np.mean(own))
        assert [found["low"], found["high"]] == pytest.approx(bounds[place])


def test_the_weights_that_a_run_keeps_are_those_of_the_line(two):
    runs, _ = two
    (method,) = methods_of(runs)
    kept = [kept_iterations(rows, "selected") for rows in method.iterations()]
    assert [tuple(k for (k,) in kept)] == [ks for ks, role in lines_of("1", runs) if role == "selected"]


def test_a_trial_that_never_meets_the_rule_counts_at_its_last_k_and_the_line_is_marked(tmp_path):
    runs, paths = experiment(tmp_path, trials([0.3, 9.0, 9.0], [9.0, 9.0, 5.0], [9.0, 0.9]), cases=4)
    assert lines_of("1", runs) == [((1, 1, 1), "first"), ((1, 3, 2), "last")]
    text = table_md(rows_of("1", runs, paths), "1")
    assert "| 1-3† |" in text and "† the criterion" in text and NOTE in text
    assert rows_of("4", runs, paths) == [] and stopped(methods_of(runs)) == []
    assert never_stopped(methods_of(runs)) == []
    (partly,) = partly_stopped(methods_of(runs))
    (note,) = unmet_note([partly.path], {}, PARTLY)
    assert note.startswith("Meet the proposed rule in some of their trials alone") and "MEMIT" in note


def test_a_trial_that_meets_it_at_once_leaves_the_first_iteration_a_line_of_its_own(tmp_path):
    runs, _ = experiment(tmp_path, trials([0.5, 0.4], [9.0, 0.5]), cases=2)
    assert lines_of("1", runs) == [((1, 1), "first"), ((1, 2), "selected")]


def test_stopping_rules_stop_each_trial_and_have_a_line_where_they_stop_all(tmp_path):
    columns = [[9.0, 9.0, 0.9, 0.1], [9.0, 9.0, 9.0, 9.0]]
    methods = trials([3.0, 4.0, 0.5, 0.4], [5.0, 3.0, 4.0, 0.2])
    for method, changes in zip(methods, columns, strict=True):
        method["delta_p2"] = changes
    runs, _ = experiment(tmp_path, methods, cases=2)
    expected = [((1, 2), "monotonic"), ((3, 4), "proposed")]  # small change stops the first trial alone
    assert lines_of("4", runs) == expected
    assert [line for line in lines_of("10", runs) if line[1] != "iteration"] == expected


def test_an_iteration_that_is_missing_is_one_line(tmp_path):
    runs, _ = experiment(tmp_path, trials(FIVE, SEVEN), cases=2)
    runs = [row for row in runs if (row["trial"], row["k"]) != (2, 3)]
    with pytest.raises(InputError, match="memit/trial2: lacks k = 3"):
        lines_of("1", runs)


# -- tables of every iteration ------------------------------------------------------------------------------


def test_a_trial_that_has_ended_stands_where_it_ended(two):
    runs, paths = two
    rows = rows_of("6", runs, paths)
    found = [(row["k_min"], row["k"], row["mean"]) for row in rows if row["measure"] == "delta_p"][1:]
    means = [*(np.mean(pair) for pair in zip(FIVE, SEVEN, strict=False)), (0.8 + 2.0) / 2, (0.8 + 0.5) / 2]
    ks = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (5, 6), (5, 7)]
    assert [pair[:2] for pair in found] == ks
    assert [mean for *_, mean in found] == pytest.approx(means)
    assert lines_of("6", runs)[-1] == ((5, 7), "selected")
    assert {row["trials"] for row in rows} == {2}


def test_a_choice_that_is_no_iteration_of_all_trials_has_a_line_of_its_own(tmp_path):
    runs, paths = experiment(tmp_path, trials([*FIVE, 0.7, 0.6], SEVEN), cases=2)
    lines = lines_of("6", runs)
    assert lines[-2:] == [((7, 7), "iteration"), ((5, 7), "selected")] and len(lines) == 8
    text = table_md(rows_of("6", runs, paths), "6")
    assert "| 5-7* |" in text and text.count("| 5-") == 1 and squeezed(text).count(NOTE) == 1


@pytest.mark.parametrize("courses", [(FIVE, FIVE), (SEVEN,)])
def test_where_trials_agree_there_is_no_word_of_a_range(tmp_path, courses):
    runs, paths = experiment(tmp_path, trials(*courses), cases=2)
    for number in ("1", "6", "4", "10"):
        rows = rows_of(number, runs, paths)
        assert all(row["k"] == row["k_min"] for row in rows)
        assert NOTE not in table_md(rows, number) + table_tex(rows, number)


def test_a_k_that_a_trial_did_not_keep_is_empty(tmp_path):
    runs, paths = experiment(tmp_path, trials(FIVE, SEVEN), cases=2)
    second = list(paths.values())[1]
    parquet.write([row for row in parquet.read(second, "scores") if row["k"] != 7], second, "scores", {})
    gone = [row | dict.fromkeys(MEASURES) if (row["trial"], row["k"]) == (2, 7) else row for row in runs]
    found = cell(rows_of("1", gone, paths), "efficacy_accuracy", role="selected")
    assert [found[name] for name in ("mean", "spread", "low", "high")] == [None] * 4
    assert cell(rows_of("1", gone, paths), "delta_p", role="selected")["mean"] == pytest.approx(0.65)


# -- in print -----------------------------------------------------------------------------------------------


def test_the_range_is_printed_and_the_csv_has_both_ends(two):
    runs, paths = two
    rows = rows_of("1", runs, paths)
    assert "| 5-7 |" in table_md(rows, "1")
    assert r"\cellcolor{green!15}5-7 &" in table_tex(rows, "1")
    chosen = list(csv.DictReader(io.StringIO(printed("table1", rows).csv)))[-1]
    assert (chosen["k"], chosen["k_min"], chosen["role"]) == ("7", "5", "selected")


def test_datasets_side_by_side_share_a_line_where_their_trials_stand_alike(tmp_path):
    methods = trials([*FIVE, 0.7, 0.6], SEVEN, dataset="a")
    methods += trials([*SEVEN[:5], 0.9, 0.8], SEVEN, dataset="z", format="zsre")
    rows = rows_of("10", *experiment(tmp_path, methods, cases=2))
    printed = [line for line in table_md(rows, "10").splitlines() if "proposed" in line]
    assert [line.split("|")[3].strip() for line in printed] == ["5-7", "6-7"]
    tex = table_tex(rows, "10")
    found = [line for line in tex.splitlines() if "& 5-7 &" in line or "& 6-7 &" in line]
    assert len(found) == 2 and all(line.count("green!15") == 4 for line in found)


@needs_latex
def test_tables_with_a_range_make_a_pdf(two, cases, tmp_path):
    runs, paths = two
    tables = {n: table_tex(rows_of(n, runs, paths), n) for n in ("1", "6", "10")}
    differences = difference_rows(runs, judged_cases(cases), seed=0)
    tables["d"] = printed("differences", differences).tex
    found = []
    for name, tex in tables.items():
        found.append(tmp_path / f"table{name}.tex")
        found[-1].write_text(tex)
    tex, files = document(TEMPLATES, found, [], "t", [])
    assert latex.compile_pdf(tex, tmp_path / "tables.pdf", tmp_path / "tex.log", files) == []


# -- what stands beside the tables --------------------------------------------------------------------------


def test_differences_pair_each_trial_at_its_own_k(two, cases):
    rows = difference_rows(two[0], judged_cases(cases), seed=0)
    found = cell(rows, "efficacy_accuracy", comparison="iteration")
    assert (found["k_min"], found["k"], found["reference_k_min"], found["reference_k"]) == (5, 7, 1, 1)
    frame = cases.to_pandas().set_index(["trial", "k"])["efficacy_accuracy"]
    own = [frame.loc[trial, k].mean() - frame.loc[trial, 1].mean() for trial, k in ((1, 5), (2, 7))]
    assert found["mean"] == pytest.approx(np.mean(own)) and found["pairs"] == 16
    text = squeezed(printed("differences", rows).md)
    assert "MEMIT, iterated to k=5-7 against k=1" in text and text.count(NOTE) == 1


def test_generated_answers_are_those_of_each_trials_own_k(tmp_path):
    runs, files = generated_runs(tmp_path, trials(FIVE, SEVEN), cases=5)
    rows = generation_rows(runs, files, seed=0)
    found = cell(rows, "efficacy_accuracy", role="selected")
    own = [row["efficacy_accuracy"] for row in runs if (row["trial"], row["k"]) in ((1, 5), (2, 7))]
    assert (found["k_min"], found["k"], found["mean"]) == (5, 7, pytest.approx(np.mean(own)))
    assert "5-7" in printed("generation", rows).md and NOTE in printed("generation", rows).md


def test_norms_of_every_iteration_are_means_over_all_trials(two, tmp_path):
    runs, _ = two
    files = {}
    for trial, course in ((1, FIVE), (2, SEVEN)):
        ks = range(1, len(course) + 1)
        layer = {"layer": 5, "condition": 4.0, "after": None}
        norms = [layer | {"k": k, "weight_norm": 10.0 + k} for k in (0, *ks)]
        *_, iterations = write_run(tmp_path / str(trial), [], iterations=[{"update_norm": k} for k in ks])
        paths = [tmp_path / str(trial) / f"{name}.parquet" for name in ("norms", "targets")]
        for rows, path in zip((norms, []), paths, strict=True):
            parquet.write(rows, path, path.stem, {})
        files["smollm2-135m", "worldfacts", "memit", trial] = NormFiles(paths[0], iterations, paths[1])
    rows = norm_summary_rows(runs, files)
    parquet.write(rows, tmp_path / "norms.parquet", "norm_summary", {})
    assert [(row["k_min"], row["k"]) for row in rows][-2:] == [(5, 6), (5, 7)]
    assert [row["update_norm"] for row in rows[1:]] == [1, 2, 3, 4, 5, 5.5, 6]
    assert rows[-1]["growth"] == pytest.approx((1.5 + 1.7) / 2)
    assert "| 5-7 |" in printed("norms", rows).md and NOTE in printed("norms", rows).md


def test_the_comparison_tells_the_range_beside_the_papers_k():
    (line,) = [x for x in reported_lines() if (x.table, x.model, x.method, x.k) == (1, "gpt2-xl", "memit", 4)]
    tables = as_measured([line], k=7, k_min=5)
    tables[1][0]["mean"] = 0.5
    rows = compare([line], tables, NAMES)
    assert {(row["run_k_min"], row["run_k"], row["note"]) for row in rows} == {(5, 7, "k = 5-7, reported 4")}
    assert "| 5-7 |" in printed("comparison1", rows).md and NOTE in printed("comparison1", rows).md
    assert "4 / 5-7" in printed("comparison", rows).md


def test_the_page_names_the_range_and_each_trials_own_k(tmp_path):
    made = made_experiment(tmp_path, {"memit": (9.0, 0.5, 0.2)}, cases=3, trials=2)
    made.runs = [row | {"delta_p": 9.0} if (row["trial"], row["k"]) == (2, 2) else row for row in made.runs]
    overview = made.parts()["overview"]
    (method,) = overview["methods"]
    assert method["mean"]["k"] == [0, 1, 2, 3, "2-3"] and method["mean"]["role"][-1] == "selected"
    assert [line[1] for line in overview["blocks"][0]["lines"]] == [0, 1, 2, 3, "2-3"]
    assert [trial["shown"] for trial in method["trials"]] == [2, 3]
    assert [trial["course"]["role"].index("selected") for trial in method["trials"]] == [2, 3]
    own = [row["score_accuracy"] for row in made.runs if (row["trial"], row["k"]) in ((1, 2), (2, 3))]
    assert method["mean"]["score_accuracy"][-1] == pytest.approx(np.mean(own))
    # a large experiment keeps the prompts of the k that each trial is shown at
    thin = made.parts(limit=1)
    assert [thin[f"run{n}"]["prompts"]["k"] for n in (0, 1)] == [[0, 1, 2], [0, 1, 3]]


def test_the_page_shows_a_trial_that_has_ended_where_it_ended(tmp_path):
    made = made_experiment(tmp_path, {"memit": (9.0, 4.0, 0.5)}, cases=3, trials=2)
    made.runs = [row for row in made.runs if (row["trial"], row["k"]) != (1, 3)]
    (method,) = made.parts()["overview"]["methods"]
    assert method["mean"]["k"] == [0, 1, 2, 3] and method["mean"]["text"] == ["0", "1", "2", "2-3"]
    assert method["mean"]["delta_p"][3] == pytest.approx((4.0 + 0.5) / 2)
    assert method["trials"][0]["course"]["k"] == [0, 1, 2]


def test_the_example_follows_its_trials_own_choice(tmp_path):
    """The second method's first trial is stopped after two iterations, the first one's at once."""
    methods = trials([0.5, 0.4, 0.3], [9.0, 9.0, 0.5], method="rome")
    methods += trials([9.0, 0.5], [9.0, 9.0], method="pmet")
    runs, paths = experiment(tmp_path, methods, cases=3)
    fact = {"relation": "P19", "subject": "Subject", "prompt": "{} was born in", "target_new": "Rome"}
    fact |= {"target_true": "Paris", "paraphrases": [], "neighbors": []}
    parquet.write([fact | {"case_id": case} for case in range(3)], tmp_path / "facts.parquet", "facts", {})
    rows = example_rows(runs, case_table(runs, paths), {"worldfacts": tmp_path / "facts.parquet"})
    assert [(row["method"], row["trial"], row["k"]) for row in rows] == [("pmet", 1, 1), ("pmet", 1, 2)]


# -- figures ------------------------------------------------------------------------------------------------


def test_lines_of_the_figures_are_means_over_all_trials(two, cases):
    runs, _ = two
    edited = perplexity(runs, {}).axes[0].lines[2]
    assert list(edited.get_xdata()) == [1, 2, 3, 4, 5, 6, 7]
    assert list(edited.get_ydata())[-2:] == pytest.approx([1.02 + 1.4, 1.02 + 0.65])
    efficacy = scores(runs, {}).axes[0].lines[0]
    own = [row["efficacy_accuracy"] for row in runs if (row["trial"], row["k"]) in ((1, 5), (2, 7))]
    assert list(efficacy.get_xdata()) == list(range(8)) and efficacy.get_ydata()[-1] == pytest.approx(
        np.mean(own)
    )
    accuracy = underedit(runs, cases, {}).axes[0].lines[0]
    assert list(accuracy.get_xdata()) == [1, 2, 3, 4, 5, 6, 7]
    assert accuracy.get_ydata()[-1] == pytest.approx(np.mean(own))
    dots = [line for line in distribution(runs, cases, {}).axes[0].lines if line.get_marker() == "."]
    assert [len(line.get_xdata()) for line in dots] == [16] * 14  # both trials' eight edits at each k


def test_a_k_that_a_trial_did_not_measure_is_not_drawn(two):
    runs, _ = two
    gone = [row | dict.fromkeys(MEASURES) if (row["trial"], row["k"]) == (2, 3) else row for row in runs]
    assert list(scores(gone, {}).axes[0].lines[0].get_xdata()) == [0, 1, 2, 4, 5, 6, 7]


def test_the_tradeoff_names_the_range(tmp_path):
    methods = trials(FIVE, SEVEN) + trials(FIVE, FIVE, method="na_memit", assisted=True)
    runs, paths = experiment(tmp_path, methods, cases=6)
    figure = tradeoff(runs, case_table(runs, paths), 0, {})
    words = [text.get_text() for text in figure.findobj(matplotlib.text.Text)]
    assert [word for word in words if word.startswith("k=")] == ["k=5-7", "k=5"]


def test_retention_is_of_each_trial_at_its_own_k(two, cases):
    runs, _ = two
    (method,) = methods_of(runs)
    where = {(*method.path, trial): dict.fromkeys(range(8), 1) for trial in (1, 2)}
    rows = cases.to_pylist()
    own = [r["efficacy_accuracy"] for r in rows if (r["trial"], r["k"]) in ((1, 5), (2, 7))]
    assert retained(method, "efficacy_accuracy", rows, where) == {1: pytest.approx(np.mean(own))}
    assert len(own) == 16
