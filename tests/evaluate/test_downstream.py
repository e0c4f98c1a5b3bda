"""Downstream tasks: their table; and, where lm-evaluation-harness is installed, a task on this machine."""

import csv
import importlib.util
import io
import json
from pathlib import Path

import pytest
import torch
from printed_tables import printed
from tiny import save_tiny_model
from workflow import Experiment, changed, provenance, rows

from reedit.errors import InputError
from reedit.evaluate.downstream import evaluate_downstream, rows_of
from reedit.models.language_model import LanguageModel
from reedit.models.likelihood import likelihoods
from reedit.report.rows.downstream import downstream_rows
from reedit.report.tables.downstream import DOWNSTREAM
from reedit.storage import parquet
from reedit.storage.schemas import SCHEMAS

HARNESS = importlib.util.find_spec("lm_eval")
needs_harness = pytest.mark.skipif(
    HARNESS is None, reason="lm_eval is not installed here: make test-downstream has an environment with it"
)
QUESTIONS = [
    ("Kyoto is a city in the country of", ["Japan", "Italy", "New Zealand"], 0),
    ("Who lives in Rome lives in", ["Japan", "Italy", "New Zealand"], 1),
    ("Glenn Gould plays the", ["violin", "piano", "guitar"], 1),
    ("The old town of Nelson lies in", ["Japan", "Italy", "New Zealand"], 2),
]
TASK = """\
task: little_world
dataset_path: json
dataset_kwargs: {data_files: {test: "DOCUMENTS"}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: choices
doc_to_target: answer
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
metadata: {version: 3}
"""


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a task, little_world, and its documents; nothing is looked for on the web."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "tasks"
    folder.mkdir()
    documents = [dict(zip(("question", "choices", "answer"), one, strict=True)) for one in QUESTIONS]
    (folder / "documents.jsonl").write_text("\n".join(map(json.dumps, documents)))
    (folder / "little.yaml").write_text(TASK.replace("DOCUMENTS", str(folder / "documents.jsonl")))
    return folder


# -- with the harness ---------------------------------------------------------------------------------------


def answered(folder: Path, count: int) -> float:
    """The share of the first questions whose answer is the likeliest of the choices."""
    model = LanguageModel.load(folder, device="cpu")
    right = 0
    for question, choices, answer in QUESTIONS[:count]:
        said = likelihoods(model, [model.wording.joint(question, one, "q") for one in choices])
        right += int(torch.tensor([sum(one.logp) for one in said]).argmax()) == answer
    return right / count


@needs_harness
@pytest.mark.parametrize(("limit", "count"), [(None, 4), (3, 3)])
@pytest.mark.parametrize("taught", [False, True])
def test_a_task_of_ones_own_is_judged_as_a_naive_reading_of_it(
    taught: bool, limit: int | None, count: int, tasks: Path, tmp_path: Path, taught_folder: Path
) -> None:
    folder = taught_folder
    if not taught:
        folder = tmp_path / "random"
        save_tiny_model(folder, seed=3)
    model = LanguageModel.load(folder, device="cpu")
    found, depends = evaluate_downstream(model, ["little_world"], limit, tasks, 0)
    (row,) = found
    assert (row["task"], row["metric"], row["documents"]) == ("little_world", "acc", count)
    assert row["value"] == pytest.approx(answered(folder, count))
    assert row["stderr"] == pytest.approx((row["value"] * (1 - row["value"]) / (count - 1)) ** 0.5)
    assert depends["task_versions"] == {"little_world": 3} and depends["harness"]["lm_eval"]
    parquet.write(found, tmp_path / "found.parquet", "downstream", depends)


@needs_harness
def test_an_unknown_task_and_missing_documents_are_one_line(tasks: Path, tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "model")
    model = LanguageModel.load(tmp_path / "model", device="cpu")
    with pytest.raises(InputError, match=r"unknown tasks \['nothing_such'\]"):
        evaluate_downstream(model, ["nothing_such"], None, tasks, 0)
    (tasks / "documents.jsonl").unlink()
    with pytest.raises(InputError, match=r"downstream: little_world: ") as caught:
        evaluate_downstream(model, ["little_world"], None, tasks, 0)
    assert "\n" not in str(caught.value)


@needs_harness
def test_the_workflow_judges_every_run_and_the_unedited_model_where_it_is_told_to(
    again: Experiment, tasks: Path
) -> None:
    assert "evaluate_downstream" not in again.dry_run("tables").jobs
    again.config = changed(
        again.config,
        downstream={"tasks": ["little_world"], "folder": str(tasks)},
        methods__in_batches={"algorithm": "memit", "batch": 4, "checkpoints": 1},
    )
    again.config["runs"] = [again.config["runs"][0] | {"methods": ["memit", "na_memit", "in_batches"]}]
    edited, along, unedited = "tiny/facts/memit/trial1", "tiny/facts/in_batches/trial1", "tiny/unedited"
    outcome = again.run("--", "results/tables/downstream.md", f"results/edits/{edited}/model")
    assert outcome.status == 0, outcome.output
    expected = {"edit_facts": 1, "evaluate_downstream": 4, "export_model": 1, "summarise_results": 1}
    assert outcome.jobs == expected | {"render_table": 1}
    for place, folder in ((edited, f"edits/{edited}/model"), (unedited, "models/tiny")):
        (row,) = rows(again.path(f"downstream/{place}.parquet"))
        assert row["value"] == pytest.approx(answered(again.path(folder), 4)) and row["after"] is None
    made_by = [provenance(again.path(f"downstream/{place}.parquet")) for place in (edited, unedited)]
    assert made_by[0]["k"] > made_by[1]["k"] == 0
    assert made_by[0]["model_revision"] == made_by[1]["model_revision"]
    assert made_by[0]["task_versions"] == {"little_world": 3}
    afters = [row["after"] for row in rows(again.path(f"downstream/{along}.parquet"))]
    assert afters[0] == 4 and afters[-1] is None and afters[:-1] == list(range(4, 4 * len(afters), 4))
    line, assisted, *others = csv.DictReader(io.StringIO(again.path("tables/downstream.csv").read_text()))
    assert (line["method"], line["task"], line["documents"]) == ("memit", "little_world", "4")
    assert assisted["method"] == "na_memit"
    assert [(one["method"], one["after"]) for one in others] == [
        ("in_batches", "" if after is None else str(after)) for after in afters
    ]
    assert float(line["difference"]) == pytest.approx(float(line["edited"]) - float(line["unedited"]))
    again.config = changed(again.config, export={"k": 1})  # the unedited model is the same at another k
    assert again.dry_run("tables").jobs["evaluate_downstream"] == 3


# -- without it ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(HARNESS is not None, reason="lm_eval is installed here")
def test_without_the_harness_a_line_says_how_to_have_it(tmp_path: Path) -> None:
    save_tiny_model(tmp_path)
    with pytest.raises(InputError, match=r"lm_eval is not installed .* make setup-downstream"):
        evaluate_downstream(LanguageModel.load(tmp_path, device="cpu"), ["arc_easy"], 2, None, 0)


def test_what_the_harness_found_is_read_metric_by_metric() -> None:
    found = {
        "results": {
            "one": {"alias": "one", "acc,none": 0.5, "acc_stderr,none": 0.25, "acc_norm,none": 1},
            "group": {"alias": "group", "exact_match,strict": 0.75, "exact_match_stderr,strict": "N/A"},
        },
        "n-samples": {"one": {"original": 9, "effective": 2}},
    }
    assert [tuple(row.values()) for row in rows_of(found)] == [
        ("one", "acc", 0.5, 0.25, 2, None),
        ("one", "acc_norm", 1.0, None, 2, None),
        ("group", "exact_match (strict)", 0.75, None, None, None),
    ]


RUN = {"model": "tiny", "dataset": "facts", "method": "na_memit", "trial": 1, "k": 2, "seed": 0}
EDITED = [
    {"task": "a_task", "metric": "acc", "value": 0.5, "stderr": 0.25, "documents": 4, "after": 10},
    {"task": "a_task", "metric": "perplexity", "value": 12.25, "stderr": None, "documents": 4, "after": None},
    {"task": "new", "metric": "acc", "value": 0.1, "stderr": None, "documents": None, "after": None},
]
UNEDITED = [EDITED[0] | {"value": 0.75}, EDITED[1] | {"value": 10.0}]
MADE_BY = {"harness": {"lm_eval": "0.4.13"}, "task_versions": {"a_task": 1}, "limit": 4}


def notes_of(runs: int) -> list[str]:
    return DOWNSTREAM.produced_by({"runs": dict.fromkeys(map(str, range(runs)), MADE_BY)}, {})


def test_a_row_is_an_edited_model_beside_the_unedited_one_and_what_was_not_measured_is_empty() -> None:
    table = downstream_rows(RUN, EDITED, UNEDITED)
    assert [(row["unedited"], row["edited"], row["difference"]) for row in table] == [
        (0.75, 0.5, -0.25),
        (10.0, 12.25, 2.25),
        (None, 0.1, None),
    ]
    read = list(csv.DictReader(io.StringIO(printed("downstream", table).csv)))
    assert (
        list(read[0]) == SCHEMAS["downstream_summary"].names
        and read[2]["unedited"] == read[2]["documents"] == ""
    )
    text = printed("downstream", table, notes_of(2), {"facts": "World | facts"}).md
    cells = [cell.strip() for cell in text.splitlines()[4].split(" | ")]
    assert cells[:3] == ["| tiny", r"World \| facts", "NA_MEMIT"]
    assert cells[3:] == ["a_task", "acc", "1", "2", "10", "4", "0.7500", "0.5000", "-0.2500", "0.2500 |"]
    assert DOWNSTREAM.reading[0][:40] in text
    assert "lm_eval 0.4.13; versions of the tasks: a_task 1; documents of each at most: 4." in text


def test_the_table_is_tex_with_everything_escaped() -> None:
    tex = printed("downstream", downstream_rows(RUN, EDITED, UNEDITED), notes_of(1)).tex
    assert r"NA\_MEMIT & a\_task & acc & 1 & 2 & 10 & 4 & 0.7500 & 0.5000 & -0.2500 & 0.2500 \\" in tex
    assert "((" not in tex
