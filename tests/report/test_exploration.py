"""What the page to explore shows is what the Parquet files hold, and nothing that they do not."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from made_page import PROMPTS, MadeExperiment, made_experiment, with_further

from reedit.errors import InputError
from reedit.evaluate.measures import METRICS
from reedit.report.rows.lines import methods_of
from reedit.report.rows.table_lines import BY_DEFINITION
from reedit.report.tables.paper import FULL, TABLES
from reedit.storage import parquet

METHODS = {"memit": (900.0, 5.0, 0.5, 0.2), "na_memit": (800.0, 40.0, 3.0)}
PER_CASE = sum(count for _, count in PROMPTS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeExperiment:
    return made_experiment(tmp_path_factory.mktemp("made"), METHODS, cases=5, trials=2)


def method_of(found: dict, name: str) -> dict:
    return next(method for method in found["overview"]["methods"] if method["method"]["name"] == name)


def read(path: Path, k: int) -> list[dict]:
    return [row for row in parquet.read(path, "scores") if row["k"] == k]


def test_measures_are_the_runs_and_their_mean_over_trials(made: MadeExperiment) -> None:
    found = made.parts()
    for name, delta_p in METHODS.items():
        method = method_of(found, name)
        courses = {trial["trial"]: trial["course"] for trial in method["trials"]}
        assert method["mean"]["k"] == list(range(len(delta_p) + 1))
        for k in method["mean"]["k"]:
            rows = {row["trial"]: row for row in made.runs if (row["method"], row["k"]) == (name, k)}
            assert set(rows) == set(courses) == {1, 2}
            for measure in FULL:
                if k == 0 and measure in (*BY_DEFINITION, "ppl_edited"):
                    continue
                for trial, row in rows.items():
                    assert courses[trial][measure][k] == row[measure]
                values = [row[measure] for row in rows.values()]
                mean = None if None in values else np.mean(values)
                assert method["mean"][measure][k] == (None if mean is None else pytest.approx(mean))


def test_the_unedited_model_has_nothing_by_definition_and_the_perplexity_that_editing_starts_from(
    made: MadeExperiment,
) -> None:
    course = method_of(made.parts(), "memit")["mean"]
    assert all(course[measure][0] is None for measure in BY_DEFINITION)
    assert all(course[measure][1] is not None for measure in BY_DEFINITION)
    assert course["ppl_edited"][0] == 4e4


def test_prompts_are_the_rows_of_the_scores(made: MadeExperiment) -> None:
    found = made.parts()
    for key, path in made.scores.items():
        trial = method_of(found, key[2])["trials"][key[3] - 1]
        sample, run = found[trial["sample"]], found[trial["run"]]
        prompts = run["prompts"]
        for at, k in enumerate(prompts["k"]):
            rows = read(path, k)
            assert len(rows) == 5 * PER_CASE == len(sample["prompts"]["case"])
            for i, row in enumerate(rows):
                assert sample["case_id"][sample["prompts"]["case"][i]] == row["case_id"]
                assert METRICS[sample["prompts"]["metric"][i]] == row["metric"]
                assert sample["prompts"]["prompt"][i] == row["prompt"]
                assert prompts["words"][prompts["predicted"][at][i]] == row["predicted"]
                for column in ("accuracy", "success", "exact_match", "logp_new", "logp_true"):
                    assert prompts[column][at][i] == pytest.approx(row[column], abs=0.0051)


def test_cases_are_the_rows_of_the_cases_with_their_facts(made: MadeExperiment) -> None:
    found = made.parts()
    facts = {row["case_id"]: row for row in parquet.read(made.folder / "facts.parquet", "facts")}
    rows = pa.concat_tables(made.cases).to_pylist()
    for name in METHODS:
        for trial in method_of(found, name)["trials"]:
            sample, cases = found[trial["sample"]], found[trial["run"]]["cases"]
            own = [row for row in rows if (row["method"], row["trial"]) == (name, trial["trial"])]
            assert len(own) == len(cases["k"]) * len(sample["case_id"])
            for row in own:
                at, place = cases["k"].index(row["k"]), sample["case_id"].index(row["case_id"])
                for column, values in cases.items():
                    if column != "k":
                        expected = row[column]
                        shown = values[at][place]
                        assert shown == (expected if expected is None else pytest.approx(expected, rel=1e-5))
                for column in ("subject", "relation", "target_new", "target_true"):
                    assert sample[column][place] == facts[row["case_id"]][column]


def test_marks_are_those_of_the_table_of_every_iteration(made: MadeExperiment) -> None:
    found = made.parts()
    expected = {(line.method.method, line.k): line.role for line in TABLES["8"].lines(methods_of(made.runs))}
    shown = {
        (method["method"]["name"], k): role
        for method in found["overview"]["methods"]
        for k, role in zip(method["mean"]["k"], method["mean"]["role"], strict=True)
    }
    assert {key: role for key, role in shown.items() if key[1] > 0} == {
        key: role for key, role in expected.items() if key[1] > 0
    }
    assert shown["memit", 3] == "selected" and shown["na_memit", 3] == "last"
    for name in METHODS:
        assert [trial["shown"] for trial in method_of(found, name)["trials"]] == [3, 3]
    (block,) = found["overview"]["blocks"]
    lines = [(found["overview"]["methods"][place]["method"]["name"], k) for place, k in block["lines"]]
    assert lines[0][1] == 0 and lines[1:] == [key for key in expected if key[1] > 0]


def test_a_collapsed_model_is_marked(made: MadeExperiment) -> None:
    runs = [row | {"me_ppl": math.inf if row["k"] == 2 else row["me_ppl"]} for row in made.runs]
    found = MadeExperiment(made.folder, runs, made.cases, made.scores, made.made_by).parts()
    memit = method_of(found, "memit")
    assert memit["mean"]["collapsed"] == [k == 2 for k in range(5)]
    assert memit["mean"]["me_ppl"][2] == "Infinity"
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("protocol", ["corrected", "released"])
def test_an_edit_fails_as_the_underedit_cases_do(tmp_path: Path, protocol: str) -> None:
    made = made_experiment(tmp_path, {"memit": (9.0, 0.5)}, cases=40, protocol=protocol)
    found = made.parts()
    prompts, at = found["run0"]["prompts"], found["run0"]["prompts"]["k"].index(1)
    failed = {
        found["sample0"]["case_id"][found["sample0"]["prompts"]["case"][i]]
        for i, metric in enumerate(found["sample0"]["prompts"]["metric"])
        if METRICS[metric] == "efficacy" and prompts["wrong"][at][i]
    }
    cases = pa.concat_tables(made.cases).filter(pc.equal(made.cases[0]["k"], 1)).to_pylist()
    assert failed == {row["case_id"] for row in cases if row["under_edit"]}
    assert 0 < len(failed) < 40


def test_a_neighbor_is_broken_where_its_unedited_answer_is_gone(made: MadeExperiment) -> None:
    found = made.parts()
    prompts, sample = found["run0"]["prompts"], found["sample0"]["prompts"]
    neighbors = [i for i, metric in enumerate(sample["metric"]) if METRICS[metric] == "specificity"]
    assert not any(prompts["wrong"][0][i] for i in neighbors)
    for at, k in enumerate(prompts["k"][1:], start=1):
        assert prompts["wrong"][at][3] == 1  # as it was made
        rows = read(made.scores["tiny", "facts", "memit", 1], k)
        assert [prompts["wrong"][at][i] for i in neighbors] == [1 - rows[i]["exact_match"] for i in neighbors]
    assert sample["object"][3] == "Rome" and sample["object"][4] is None  # the dataset's, where it names one


def test_what_was_not_measured_is_empty(tmp_path: Path) -> None:
    made = made_experiment(tmp_path, {"memit": (9.0, 4.0, 0.5)}, cases=4, unscored=[2])
    found = made.parts()
    course = method_of(found, "memit")["mean"]
    assert course["efficacy_accuracy"][2] is None and course["delta_p"][2] == 4.0
    assert found["run0"]["prompts"]["k"] == [0, 1, 3]
    cases = found["run0"]["cases"]
    at = cases["k"].index(2)
    assert cases["efficacy_accuracy"][at] == [None] * 4 and None not in cases["ppl_edited"][at]
    assert cases["ppl_edited"][cases["k"].index(0)] == [None] * 4


def test_without_delta_p_the_last_iteration_is_shown_unjudged(tmp_path: Path) -> None:
    made = made_experiment(tmp_path, {"memit": (9.0, 0.5)}, cases=2)
    made.runs = [row | {"delta_p": None, "ppl_edited": None} for row in made.runs]
    memit = method_of(made.parts(), "memit")
    assert memit["mean"]["role"] == ["unedited", "first", "unjudged"] and memit["trials"][0]["shown"] == 2
    assert memit["mean"]["delta_p"] == [None] * 3


def test_methods_with_the_same_cases_and_prompts_share_a_sample(made: MadeExperiment) -> None:
    found = made.parts()
    assert sorted(found) == ["overview", "run0", "run1", "run2", "run3", "sample0"]


def test_a_large_experiment_keeps_the_prompts_of_few_iterations(made: MadeExperiment) -> None:
    found = made.parts(limit=100)
    assert found["overview"]["thin"]
    assert found["run0"]["prompts"]["k"] == [0, 1, 3]  # memit stops at 3 of 4
    assert len(found["run0"]["prompts"]["wrong"]) == len(found["run0"]["prompts"]["predicted"]) == 3
    assert found["run0"]["cases"]["k"] == [0, 1, 2, 3, 4]
    assert not made.parts()["overview"]["thin"]


def test_labels_and_notes_are_those_of_the_tables(made: MadeExperiment) -> None:
    found = made.parts({"tiny": "Tiny (1M)", "na_memit": "MEMIT with neighbors"})
    assert method_of(found, "memit")["model"] == {"name": "tiny", "label": "Tiny (1M)"}
    labels = [method["method"]["label"] for method in found["overview"]["methods"]]
    assert labels == ["MEMIT", "MEMIT with neighbors"]
    notes = " ".join(found["overview"]["blocks"][0]["notes"])
    for expected in ("sha256:0123456789ab", "facts (5 edits", "2 mutually exclusive", "seed 7", "corrected"):
        assert expected in notes


def test_scores_of_an_unknown_case_are_refused(made: MadeExperiment, tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    rows = parquet.read(made.scores["tiny", "facts", "memit", 1], "scores")
    parquet.write([row | {"case_id": 7} for row in rows], path, "scores", {})
    scores = {key: path for key in made.scores}
    with pytest.raises(InputError, match=r"scores\.parquet: case 7 is not among the dataset's facts"):
        MadeExperiment(made.folder, made.runs, made.cases, scores, made.made_by).parts()


def test_scores_of_other_prompts_at_another_k_are_refused(made: MadeExperiment, tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    rows = parquet.read(made.scores["tiny", "facts", "memit", 1], "scores")
    parquet.write(
        [row | {"prompt": row["prompt"] + "." * (row["k"] == 2)} for row in rows], path, "scores", {}
    )
    scores = {key: path for key in made.scores}
    with pytest.raises(InputError, match=r"scores\.parquet: other prompts at k = 2"):
        MadeExperiment(made.folder, made.runs, made.cases, scores, made.made_by).parts()


def test_groups_own_words_and_norms_stand_beside_the_scores(tmp_path: Path) -> None:
    plain = made_experiment(tmp_path, {"memit": [3.0, 0.5]}).parts()
    parts = with_further(made_experiment(tmp_path, {"memit": [3.0, 0.5]})).parts()
    assert (
        "items" not in plain["sample0"]
        and "own" not in plain["run0"]
        and "norms" not in plain["overview"]["methods"][0]
    )
    items, said = parts["sample0"]["items"], parts["run0"]["items"]
    assert items["case"][:4] == [0, 0, 0, 1] and items["group"][:3] == ["one hop", "one hop", "kept"]
    assert items["answers"][0] == ["Rome", "Roma"]
    assert said["k"] == [0, 1, 2] and said["known"][:6] == [None, None, True, None, None, False]
    assert [said["words"][code] for code in said["said"][1][:3]] == ["Itself 1: one_hop."] * 2 + [
        "Itself 1: kept."
    ]
    assert said["right"][0][:3] == [0, 0, 1] and said["right"][2][:3] == [1, 1, 0]
    own, prompts = parts["run0"]["own"], parts["run0"]["prompts"]
    assert own["k"] == prompts["k"]
    for k in range(3):
        predicted = [prompts["words"][code] for code in prompts["predicted"][k]]
        assert [own["words"][code] for code in own["said"][k]] == [f"{word} at {k}." for word in predicted]
    assert parts["overview"]["methods"][0]["norms"]["k"] == [1, 2]


def test_what_was_not_asked_in_that_form_is_null(tmp_path: Path) -> None:
    """ZsRE's neighbors are scored token by token in `released`, and are asked whole."""
    made = with_further(made_experiment(tmp_path, {"memit": [0.5]}))
    (key,) = made.generations
    rows = parquet.read(made.generations[key], "generations")
    kept = [row | {"prompt": "another"} if row["metric"] == "specificity" else row for row in rows]
    parquet.write(kept, made.generations[key], "generations", {})
    own = made.parts()["run0"]["own"]
    metrics = made.parts()["sample0"]["prompts"]["metric"]
    assert [code is None for code in own["said"][1]] == [metric == 2 for metric in metrics]
