"""Generation beside teacher forcing: the numbers by hand, what cannot be compared, and the table in print."""

import csv
import io

import numpy as np
import pytest
from made_runs import generated_runs, said, score, write_answers
from printed_tables import printed

from reedit.errors import InputError
from reedit.report.rows.generation import KINDS, MEASURES, answer_means, generation_rows
from reedit.report.rows.lines import Shown, methods_of
from reedit.report.rows.runs import Samples
from reedit.report.tables.generation import GENERATION
from reedit.storage import parquet


def forced(k, case_id, metric, prompt, accuracy, exact_match):
    return score(k, case_id, metric, accuracy, 1.0, prompt) | {"exact_match": exact_match}


def of(means, metric) -> dict[str, np.ndarray]:
    """The columns of one metric by their kind, a value a case."""
    return {kind: means[:, MEASURES.index(f"{metric}_{kind}")] for kind in KINDS}


# -- numbers ------------------------------------------------------------------------------------------------


def test_disagreement_is_the_share_of_prompts_within_a_case(tmp_path):
    """Case 1: one paraphrase of two agrees on exact, both on contains; case 2 has none."""
    scores = [
        forced(1, 1, "efficacy", "a", 1.0, 1.0),
        forced(1, 1, "generalization", "b", 1.0, 1.0),
        forced(1, 1, "generalization", "c", 0.5, 0.0),
        forced(1, 2, "efficacy", "d", 0.5, 0.0),
    ]
    generations = [
        said(1, 1, "efficacy", "a", 1.0, 1.0),
        said(1, 1, "generalization", "b", 0.0, 1.0),
        said(1, 1, "generalization", "c", 0.0, 0.0),
        said(1, 2, "efficacy", "d", 1.0, 1.0),
    ]
    means = answer_means(write_answers(tmp_path, scores, generations))[1]
    assert {kind: list(values) for kind, values in of(means, "efficacy").items()} == {
        "accuracy": [1.0, 0.5],
        "exact_match": [1.0, 0.0],
        "exact": [1.0, 1.0],
        "contains": [1.0, 1.0],
        "judged_true": [1.0, 1.0],
        "exact_differs": [0.0, 1.0],
        "contains_differs": [0.0, 1.0],
    }
    found = of(means, "generalization")
    assert [found[kind][0] for kind in KINDS] == [0.75, 0.5, 0.0, 0.5, 0.5, 0.5, 0.0]
    assert all(np.isnan(values[1]) for values in found.values())
    assert np.isnan(list(of(means, "specificity").values())).all()


def test_a_prompt_that_repeats_within_a_case_is_paired_by_its_place(tmp_path):
    scores = [forced(0, 1, "specificity", "same", 1.0, hit) for hit in (1.0, 0.0)]
    generations = [said(0, 1, "specificity", "same", hit, hit) for hit in (1.0, 0.0)]
    assert of(answer_means(write_answers(tmp_path, scores, generations))[0], "specificity")[
        "exact_differs"
    ] == [0.0]


def test_prompts_that_are_scored_in_pieces_are_not_compared(tmp_path):
    """The released protocol asks for ZsRE's neighbors token by token; the other metrics are compared."""
    scores = [forced(0, 1, "specificity", text, 1.0, 1.0) for text in ("who", "who is")]
    scores += [forced(0, 1, "efficacy", "a", 1.0, 1.0)]
    generations = [said(0, 1, "specificity", "who", 0.0, 1.0), said(0, 1, "efficacy", "a", 0.0, 1.0)]
    means = answer_means(write_answers(tmp_path, scores, generations))[0]
    found = of(means, "specificity")
    assert (found["accuracy"], found["exact"], found["contains"]) == ([1.0], [0.0], [1.0])
    assert np.isnan(found["exact_differs"]) and np.isnan(found["contains_differs"])
    assert of(means, "efficacy")["exact_differs"] == [1.0]


def test_files_of_different_cases_are_one_line(tmp_path):
    files = write_answers(
        tmp_path,
        [forced(1, case, "efficacy", "a", 1.0, 1.0) for case in (3, 4)],
        [said(1, 3, "efficacy", "a", 1.0, 1.0)],
    )
    with pytest.raises(InputError, match=r"generations\.parquet: no row for case 4 at k = 1; delete"):
        answer_means(files)


METHODS = [
    {"method": "memit", "delta_p": [9.0, 4.0, 0.5, 0.1], "trial": 1},
    {"method": "memit", "delta_p": [9.0, 4.0, 0.5, 0.1], "trial": 2},
    {"method": "na_memit", "delta_p": [9.0, 8.0], "assisted": True},
]


def test_lines_are_those_of_the_tables_of_iterations(tmp_path):
    runs, files = generated_runs(tmp_path, METHODS)
    rows = generation_rows(runs, files, seed=0)
    parquet.write(rows, tmp_path / "generation.parquet", "table", {})
    lines = list(dict.fromkeys((row["row"], row["method"], row["k"], row["role"]) for row in rows))
    assert [line[1:] for line in lines] == [
        ("unedited", 0, "unedited"),
        ("memit", 1, "first"),
        ("memit", 3, "selected"),
        ("na_memit", 1, "first"),
        ("na_memit", 2, "last"),
    ]
    assert [row["measure"] for row in rows[: len(MEASURES)]] == list(MEASURES)


def test_teacher_forced_accuracy_and_its_interval_are_those_of_the_other_tables(tmp_path):
    runs, files = generated_runs(tmp_path, METHODS)
    found = {(row["method"], row["k"], row["measure"]): row for row in generation_rows(runs, files, seed=5)}
    samples = Samples({key: paths.scores for key, paths in files.items()}, seed=5)
    memit = methods_of(runs)[0]
    line = Shown(memit, memit.at(3), "selected")
    for metric in ("efficacy", "generalization", "specificity"):
        row = found["memit", 3, f"{metric}_accuracy"]
        assert row["mean"] == pytest.approx(memit.mean(f"{metric}_accuracy", line.ks))
        assert [row["low"], row["high"]] == pytest.approx(samples.intervals(line)[f"{metric}_accuracy"])
        assert row["spread"] is not None and found["na_memit", 1, f"{metric}_accuracy"]["spread"] is None


def test_the_mean_over_trials_of_a_disagreement(tmp_path):
    runs, files = generated_runs(tmp_path, METHODS)
    found = {(row["method"], row["k"], row["measure"]): row for row in generation_rows(runs, files, seed=0)}
    shares = []
    for trial in (1, 2):
        of_trial = files["smollm2-135m", "worldfacts", "memit", trial]
        scores, generations = parquet.read(of_trial[0], "scores"), parquet.read(of_trial[1], "generations")
        differ = [
            one["exact_match"] != other["exact"]
            for one, other in zip(scores, generations, strict=True)
            if (one["k"], one["metric"]) == (1, "efficacy")
        ]
        shares.append(sum(differ) / len(differ))
    row = found["memit", 1, "efficacy_exact_differs"]
    assert row["mean"] == pytest.approx(sum(shares) / 2) and row["low"] < row["mean"] < row["high"]


def test_what_was_not_kept_is_empty(tmp_path):
    runs, files = generated_runs(tmp_path, [{"method": "memit", "delta_p": [9.0, 0.5]}])
    for path, schema in zip(next(iter(files.values())), ("scores", "generations"), strict=True):
        parquet.write([row for row in parquet.read(path, schema) if row["k"] != 1], path, schema, {})
    rows = [row for row in generation_rows(runs, files, seed=0) if row["k"] == 1]
    assert rows and all(row["mean"] is None and row["low"] is None for row in rows)
    text = printed("generation", generation_rows(runs, files, seed=0)).md
    assert "- / - / -" in next(line for line in text.splitlines() if "MEMIT" in line)


# -- print --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    runs, files = generated_runs(tmp_path_factory.mktemp("generated"), METHODS)
    return generation_rows(runs, files, seed=0)


def value(rows, method, k, measure):
    return next(
        row["mean"] for row in rows if (row["method"], row["k"], row["measure"]) == (method, k, measure)
    )


def test_the_csv_holds_every_number_with_its_interval(rows):
    lines = list(csv.DictReader(io.StringIO(printed("generation", rows, labels={"memit": "Mass"}).csv)))
    assert [(line["label"], line["k"]) for line in lines] == [
        *(("Unedited", "0"), ("Mass", "1"), ("Mass", "3"), ("NA_MEMIT", "1"), ("NA_MEMIT", "2"))
    ]
    for measure in MEASURES:
        assert lines[2][measure] == repr(value(rows, "memit", 3, measure))
        assert {f"{measure}_{name}" for name in ("spread", "low", "high")} <= lines[2].keys()
    assert lines[0]["specificity_accuracy"] == ""  # by definition


def test_the_markdown_has_a_line_a_method_and_k(rows):
    text = printed("generation", rows, ["A note."], {"worldfacts": "World facts"}).md
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(lines) == 1 + 1 + 5
    told = [value(rows, "memit", 3, f"efficacy_{kind}") for kind in ("accuracy", "exact", "contains")]
    assert " / ".join(f"{100 * share:.1f}" for share in told) in lines[4] and "2†" in lines[6]
    assert "World facts" in text and "† the criterion" in text and text.endswith("- A note.\n")
    assert max(map(len, lines)) <= 150


def test_the_tex_escapes_names_and_says_where_there_is_nothing(rows):
    tex = printed("generation", rows, ["50 % of {it}"], {"memit": "A_B & C", "smollm2-135m": "#1"}).tex
    assert r"A\_B \& C" in tex and r"\#1" in tex and r"50 \% of \{it\}" in tex
    assert tex.count(r"\multicolumn{5}{c}") == 2 * 3 and r"\ensuremath{\neq} exact" in tex
    nothing = printed("generation", [])
    assert GENERATION.empty in nothing.tex and GENERATION.empty in nothing.md
