"""What a user does with the result: an exported model, two models compared, a few facts edited by hand."""

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from job_logs import own_handlers
from made_models import RUN as MADE_RUN
from made_models import make_run
from transformers import AutoModelForCausalLM
from workflow import Experiment, changed, hand_edit, verify

from reedit.__main__ import NOT_HELD, main
from reedit.models.language_model import LanguageModel
from reedit.storage import parquet
from reedit.use.before_after import Question, ask
from reedit.use.model_places import ModelPlace
from reedit.use.run_folder import RunFolder

RUN = "tiny/facts/memit/trial1"
IDS = torch.tensor([[3, 50, 7, 90, 12]])


@pytest.fixture(autouse=True)
def without_traces() -> Iterator[None]:
    with own_handlers():
        yield


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return AutoModelForCausalLM.from_pretrained(folder).state_dict()


# -- a goal of the workflow ---------------------------------------------------------------------------------


@pytest.mark.long
def test_the_edited_model_is_made_on_request_and_verified_like_all_else(again: Experiment) -> None:
    assert "export_model" not in again.dry_run().jobs
    outcome = again.run("--", f"results/edits/{RUN}/model")
    assert outcome.status == 0 and outcome.jobs == {"export_model": 1}, outcome.output
    run, folder = RunFolder(again.path(f"edits/{RUN}")), again.path(f"edits/{RUN}/model")
    edited = run.load(run.base, run.chosen("selected"))
    loaded = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    with torch.no_grad():
        assert torch.equal(loaded(IDS).logits, edited.model(IDS).logits)
    assert again.run("--", f"results/edits/{RUN}/model").nothing_to_do
    whole = verify(again)
    assert whole.returncode == 0 and "belongs to no result" not in whole.stdout, whole.stdout
    (folder / "model.safetensors").unlink()
    assert verify(again, "--delete").returncode == 1
    assert not folder.exists() and again.path(f"edits/{RUN}/targets.parquet").exists()


@pytest.mark.long
def test_the_configuration_says_which_iteration_it_is(again: Experiment) -> None:
    again.config = changed(again.config, export__k=1)
    target = f"results/edits/{RUN}/model"
    assert again.run("--", target).status == 0
    assert "| k = 1 |" in again.path(f"edits/{RUN}/model/README.md").read_text()
    again.config = changed(again.config, export__k=7)
    outcome = again.run("--", target)
    (line,) = outcome.errors
    assert outcome.status != 0 and "k = 7 (7) has no weights; kept are k = 1, 2, 3" in line
    again.config = changed(again.config, export__k="best")
    outcome = again.run("--", target)
    assert outcome.errors == [
        "config: export.k: found 'best', expected selected, last, or a whole number of at least 1"
    ]


# -- edit ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [RUN, "tiny/facts/memit_released/trial1"])
def test_facts_edited_by_hand_give_the_weights_of_the_workflows_job(
    run: str, finished: Experiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = RunFolder(finished.path(f"edits/{run}"))
    more = ["--iterations", str(job.kept[-1]), "--moments", str(finished.path("moments/tiny/lines"))]
    status = main(hand_edit(finished, run, tmp_path, *more))
    out = tmp_path / "edited"
    k = json.loads((out / "revision.json").read_text())["edited"]["k"]
    found, wanted = weights(out), job.load(job.base, k).model.state_dict()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    told = capsys.readouterr()
    assert status == (NOT_HELD if "error: does not hold: case " in told.err else 0)
    count = 2 * len(json.loads((tmp_path / "mine.json").read_text()))  # two targets each
    assert told.out.count("  p(") == told.out.count("  perplexity") == count
    assert f"{out}: the model after {k} iteration" in told.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["edited", "mine.json"]


@pytest.mark.parametrize("form", ["lines", "json"])
def test_moments_collected_on_the_way_are_those_of_the_workflow(
    form: str, finished: Experiment, inputs: Path, tmp_path: Path
) -> None:
    texts = (inputs / "corpus.txt").read_text().splitlines()[:40]
    corpus = tmp_path / ("texts.json" if form == "json" else "texts.txt")
    corpus.write_text(json.dumps(texts) if form == "json" else "\n".join(texts))
    more = ["--iterations", "1", "--corpus", str(corpus), "--max-tokens", "32"]
    assert main(hand_edit(finished, RUN, tmp_path, *more)) in (0, NOT_HELD)
    job = RunFolder(finished.path(f"edits/{RUN}"))
    wanted = job.load(job.base, 1).model.state_dict()
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in weights(tmp_path / "edited").items())


def test_a_model_of_the_users_own_is_edited_with_hyperparameters_from_a_file(
    finished: Experiment, inputs: Path, tmp_path: Path
) -> None:
    """A folder that nobody prepared, ROME, neighbors and paraphrases; and once more on what came of it."""
    mine = tmp_path / "my model"
    shutil.copytree(inputs / "model", mine)
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    settings = {"layers": [2], "v_lr": 0.5, "v_num_grad_steps": 3, "clamp_norm_factor": 4}
    (tmp_path / "rome.yaml").write_text(json.dumps(settings | {"v_weight_decay": 0.001, "kl_factor": 0.0625}))
    fact = {
        "prompt": "{} plays the",
        "subject": "Glenn Gould",
        "target_new": "violin",
        "paraphrases": ["On stage {} is seen with a"],
        "neighbors": [{"prompt": "{} plays the", "subject": "Bill Evans", "object": "piano"}],
    }
    (tmp_path / "fact.json").write_text(json.dumps([fact]))
    common = ["--algorithm", "rome", "--hyperparameters", str(tmp_path / "rome.yaml"), "--iterations", "1"]
    for model, out in ((mine, "once"), (tmp_path / "once", "twice")):
        command = ["edit", str(model), str(tmp_path / "fact.json"), str(tmp_path / out)]
        assert main([*command, *common, "--tokens", "2"]) in (0, NOT_HELD)
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before
    changed_names = {
        name
        for name, tensor in weights(tmp_path / "once").items()
        if not torch.equal(tensor, weights(mine)[name])
    }
    assert changed_names == {"model.layers.2.mlp.down_proj.weight"}
    marks = [json.loads((tmp_path / out / "revision.json").read_text()) for out in ("once", "twice")]
    assert marks[1]["base_revision"] == marks[0]["revision"] != marks[1]["revision"]
    assert marks[0]["model"] == marks[1]["model"] == "my model"


def test_an_edit_that_is_interrupted_leaves_nothing(
    finished: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("reedit.use.small_edit.export_model", interrupted)
    more = ["--iterations", "1", "--moments", str(finished.path("moments/tiny/lines"))]
    assert main(hand_edit(finished, RUN, tmp_path, *more)) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["mine.json"]


# -- compare ------------------------------------------------------------------------------------------------


def test_a_run_its_iterations_and_folders_are_compared_by_their_names(
    finished: Experiment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished.folder)
    prompt, target = "Kyoto is a city in the country of", "Italy"
    job = RunFolder(finished.path(f"edits/{RUN}"))
    asked = ["--prompt", prompt, "--target", target, "--tokens", "3"]
    for after, k in (
        (f"results/edits/{RUN}", job.chosen("selected")),
        (f"{RUN}@1", 1),
        (f"{RUN}@last", 3),
    ):
        assert main(["compare", "results/models/tiny", after, *asked]) == 0
        told = capsys.readouterr().out
        (answer,) = ask(job.load(job.base, k), [Question(prompt, (target,))], 3)
        (line,) = [line for line in told.splitlines() if "p(Italy)" in line]
        assert line.split()[-1] == f"{answer.targets[0].probability:.3g}"
        assert told.splitlines()[:2] == [
            "before: results/models/tiny",
            f"after:  results/edits/{RUN}, k = {k}",
        ]


def test_prompts_are_read_from_standard_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO("Kyoto lies in\n\n  Rome lies in \n"))
    assert main(["compare", str(tmp_path / "models/tiny"), f"{run}@3", "--tokens", "2"]) == 0
    told = capsys.readouterr().out
    assert told.index("Kyoto lies in") < told.index("Rome lies in")


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ([], {"separator": "", "chat": True}),
        (["--separator", " "], {"separator": " ", "chat": True}),
    ],
)
def test_both_models_are_asked_as_the_run_put_its_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str], wanted: dict[str, Any]
) -> None:
    run, put = make_run(tmp_path), []
    rows = parquet.read(run / "iterations.parquet", "iterations")
    told = {**parquet.read_provenance(run / "iterations.parquet"), "wording": {"separator": "", "chat": True}}
    parquet.write(rows, run / "iterations.parquet", "iterations", told)

    def load(place: ModelPlace, dtype: str, wording: dict[str, Any]) -> LanguageModel:
        put.append(wording)
        return LanguageModel.load(tmp_path / "models/tiny", dtype)

    monkeypatch.setattr(ModelPlace, "load", load)
    places = ["compare", str(tmp_path / "models/tiny"), f"{run}@1", "--prompt", "Kyoto", "--tokens", "1"]
    assert main([*places, *asked]) == 0
    assert put == [wanted, wanted]


# -- what may be wrong --------------------------------------------------------------------------------------

FACT = {"prompt": "{} plays the", "subject": "Glenn Gould", "target_new": "violin"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["compare", "nothing", "results/models/tiny"], "nothing: no model; expected a folder with a config"),
        (["compare", "results/models/tiny", f"{MADE_RUN}@9"], "k = 9 (9) has no weights; kept are k = 1, 2"),
        (["compare", "results/models/tiny", "broken"], "broken/config.json: not a model's configuration"),
        (["edit", "nothing", "facts.json", "out"], "nothing: no such folder, expected a model"),
        (["edit", "results/models/tiny", "nothing.json", "out"], "nothing.json: no such file"),
        (["edit", "results/models/tiny", "facts.json", "results"], "results: is there already, expected"),
        (
            ["edit", "results/models/tiny", "facts.json", "out", "--algorithm", "mmeit"],
            "--algorithm: unknown method 'mmeit' (did you mean memit?)",
        ),
        (
            ["edit", "results/models/tiny", "facts.json", "out"],
            "no hyperparameters for memit on tiny (known: smollm2-135m); expected --hyperparameters FILE",
        ),
        (
            ["edit", "results/models/tiny", "facts.json", "out", "--hyperparameters", "memit.yaml"],
            "memit needs second moments: expected --moments FOLDER, as results/moments/tiny/CORPUS, or",
        ),
        (
            ["edit", "results/models/tiny", "facts.json", "out", "--hyperparameters", "wrong.yaml"],
            "wrong.yaml: unknown keys ['layer']",
        ),
        (
            [
                *("edit", "results/models/tiny", "facts.json", "out", "--hyperparameters", "memit.yaml"),
                *("--moments", "results"),
            ],
            "results/2.safetensors: no such file, expected the second moment of an edited layer",
        ),
        (
            [
                *("edit", "results/models/tiny", "facts.json", "out", "--hyperparameters", "memit.yaml"),
                *("--corpus", "facts.json"),
            ],
            "facts.json: text 0: expected a non-empty string, found {",
        ),
        (
            ["edit", "results/models/tiny", "facts.json", "out", "--config", "nothing.yaml"],
            "nothing.yaml: no such file of settings",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_a_bad_input_is_one_line_and_leaves_nothing(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_run(tmp_path / "results")
    (tmp_path / "facts.json").write_text(json.dumps([FACT]))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/config.json").write_text("{")
    settings = {"layers": [2], "v_lr": 0.5, "v_num_grad_steps": 3, "clamp_norm_factor": 4}
    settings |= {"v_weight_decay": 0.001, "kl_factor": 0.0625, "mom2_update_weight": 20}
    (tmp_path / "memit.yaml").write_text(json.dumps(settings))
    (tmp_path / "wrong.yaml").write_text(json.dumps(settings | {"layer": 2}))
    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("error: ") and told in said[-1]
    assert not any("Traceback" in line for line in said)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize("arguments", [[], ["compare"], ["edit", "a", "b", "c", "--iterations", "0"]])
def test_a_wrong_command_is_told_with_its_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2 and "usage: python -m reedit" in capsys.readouterr().err
