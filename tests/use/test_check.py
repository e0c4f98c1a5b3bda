"""`python -m reedit check`, and that no command has more to say of a bad folder than one line."""

import ast
import json
import os
import re
import runpy
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from configurations import configuration
from hostile_models import CONFIG, HOSTILE, KEY, as_in_the_hub, config, set_json, set_tensors
from job_logs import own_handlers
from made_models import RUN, make_run
from naive import naive_edit as oracle_edit
from naive import naive_optimize, naive_spread
from tiers import long_but
from tiny import ALL_ARCHITECTURES, save_tiny_model, tiny_config, tiny_facts, tiny_model
from transformers import AutoModelForCausalLM
from workflow import REPOSITORY

from reedit.__main__ import NOT_HELD, main
from reedit.edit.edits import Rows
from reedit.edit.found import Found
from reedit.models.language_model import LanguageModel
from reedit.use import check
from reedit.use.naive_edit import naive_edit
from reedit.use.run_folder import RunFolder

FACT = {"prompt": "{} plays the", "subject": "Glenn Gould", "target_new": "violin"}
ROME = {"layers": [2], "v_lr": 0.5, "v_num_grad_steps": 2, "clamp_norm_factor": 4}
ROME |= {"v_weight_decay": 0.001, "kl_factor": 0.0625}


@pytest.fixture(autouse=True)
def without_traces() -> Iterator[None]:
    with own_handlers():
        yield


@pytest.fixture
def place(tmp_path: Path, taught_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a model, a fact and hyperparameters for it."""
    shutil.copytree(taught_folder, tmp_path / "mine")
    (tmp_path / "facts.json").write_text(json.dumps([FACT]))
    (tmp_path / "rome.yaml").write_text(json.dumps(ROME))
    monkeypatch.chdir(tmp_path)
    return tmp_path


EDIT = ["facts.json", "out", "--algorithm", "rome", "--hyperparameters", "rome.yaml", "--iterations", "1"]
EDIT += ["--tokens", "1"]


def prepare(model: str) -> int:
    """scripts/prepare_model.py, as Snakemake starts it."""
    parts = {"input": SimpleNamespace(source=model), "output": ["prepared"], "log": ["logs/prepare.log"]}
    parts |= {"wildcards": SimpleNamespace(model="mine"), "params": SimpleNamespace(settings={"source": {}})}
    script = REPOSITORY / "scripts/prepare_model.py"
    try:
        runpy.run_path(str(script), init_globals={"snakemake": SimpleNamespace(**parts)})
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


COMMANDS: dict[str, Callable[[str], int]] = {
    "check": lambda model: main(["check", model]),
    "edit": lambda model: main(["edit", model, *EDIT]),
    "compare": lambda model: main(["compare", model, model, "--prompt", "Kyoto", "--tokens", "1"]),
    "prepare_model": prepare,
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_folder_that_cannot_be_edited_is_one_line_of_every_command(
    kind: str, command: str, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spoil, expected = HOSTILE[kind]
    spoil(place / "mine")
    before = sorted(path.name for path in place.iterdir())
    assert COMMANDS[command]("mine") == 1
    told = capfd.readouterr()
    lines = (told.out + told.err).splitlines()
    if (kind, command) == ("nothing", "check"):  # all reasons, a line each
        assert len(lines) == 2 and all(line.startswith("error: mine: ") for line in lines)
        return
    (line,) = lines
    assert "error: mine" in line
    if command != "compare" or kind not in BEFORE_COMPARING:
        assert expected in line
    assert sorted({path.name for path in place.iterdir()} - {"logs"}) == before


# what `compare` looks for first: a folder with a config.json that says in which numbers it is stored
BEFORE_COMPARING = ("nothing", "config is no JSON", "config is a list", "config is binary", "empty config")
BEFORE_COMPARING += ("config is nested",)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["gone", "file", "dangling"])
def test_what_is_no_folder_is_one_line_of_every_command(
    kind: str, command: str, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (place / "file").write_text("x")
    (place / "dangling").symlink_to("away")
    assert COMMANDS[command](kind) == 1
    told = capfd.readouterr()
    (line,) = (told.out + told.err).splitlines()
    assert f"error: {kind}: " in line


def plan(model: Path) -> str | None:
    """What `make plan` ends with for an experiment of a model in a folder."""
    experiment = configuration()
    experiment["sources"]["weights"] = {"kind": "folder", "path": str(model)}
    shape = {"parameters": 10**6, "layers": 6, "width": 32, "keys": 64, "vocabulary": 320}
    for each in experiment["models"].values():
        each["shape"] = shape
    for each in experiment["datasets"].values():
        each["cases"] = 1000
    Path("experiment.yaml").write_text(yaml.safe_dump(experiment))
    script = REPOSITORY / "scripts/plan_experiment.py"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("sys.argv", [str(script), "experiment.yaml"])
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as ended:
            return str(ended.code)
    return None


@pytest.mark.parametrize("kind", ["gptq", "a shard is missing", "ends texts", "weights lead to nothing"])
def test_a_plan_with_a_local_model_that_cannot_be_edited_is_one_line(kind: str, place: Path) -> None:
    spoil, expected = HOSTILE[kind]
    assert plan(place / "mine") is None
    spoil(place / "mine")
    told = plan(place / "mine")
    assert told and expected in told and "\n" not in told


# -- what is no fault of the user's -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mark", ['{"commit": "abc"}', '{"revision": "main"}', "[]", "\x00", '{"revision": 3}']
)
def test_a_revision_of_the_users_own_is_no_mark_of_ours(mark: str, place: Path) -> None:
    own = place / "mine/revision.json"
    own.write_text(mark)
    assert main(["edit", "mine", *EDIT]) in (0, NOT_HELD)
    assert own.read_text() == mark
    made = json.loads((place / "out/revision.json").read_text())
    assert made["model"] == "mine" and made["base_revision"].startswith("sha256:")


def test_a_model_is_found_by_its_links_and_called_as_the_user_calls_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = as_in_the_hub(place / "mine", place / "cache")
    (place / "linked").symlink_to(os.path.relpath(snapshot, place))
    monkeypatch.setenv("HOME", str(place))
    ways = {str(snapshot): "tiny", "linked/": "linked", "~/linked": "linked", "cache/../linked": "linked"}
    for way, name in ways.items():
        assert main(["check", way]) == 0
        assert main(["edit", way, *EDIT]) in (0, NOT_HELD)
        made = json.loads((place / "out/revision.json").read_text())
        assert made["model"] == name
        assert not any(path.is_symlink() for path in (place / "out").iterdir())
        shutil.move(place / "out", place / "elsewhere")  # and it still is what it was
        assert main(["compare", way, "~/elsewhere", "--prompt", "Kyoto", "--tokens", "1"]) == 0
        shutil.rmtree(place / "elsewhere")


def test_a_link_to_nothing_is_no_free_name(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "out").symlink_to("gone")
    assert main(["edit", "mine", *EDIT]) == 1
    assert "error: out: is there already, expected the name of a new folder" in capsys.readouterr().err


# -- the edit that is tried ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "architecture", long_but(ALL_ARCHITECTURES, {"llama", "gpt2", "gemma3_text"}.__contains__)
)
def test_an_edit_by_the_engine_agrees_with_the_naive_one(
    architecture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_tiny_model(tmp_path / "m", architecture=architecture)
    assert main(["check", str(tmp_path / "m")]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("architecture: ")
    assert "edit:         MEMIT at layers 2 and 3, the middle of 6" in told[-1] and "agrees" in told[-1]


@pytest.mark.parametrize(("layers", "edited"), [(1, None), (2, "layer 0"), (3, "layers 0 and 1")])
def test_a_model_of_few_layers_is_edited_below_its_last(
    layers: int, edited: str | None, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is written at the subject in the last layer is read by none."""
    changed = tiny_config("llama", 64)
    changed.num_hidden_layers = layers
    AutoModelForCausalLM.from_config(changed).save_pretrained(place / "mine")
    assert main(["check", "mine"]) == (edited is None)
    told = capsys.readouterr()
    if edited:
        assert f"MEMIT at {edited}, the middle of {layers}" in told.out
    else:
        assert "error: mine: the edit of a small fact failed: a model of one layer" in told.err


NAN = float("nan")
UNABLE = {  # what no file's header tells
    "no numbers": (lambda folder: set_tensors(folder, lambda t: t.update({KEY: t[KEY] * NAN})), "not finite"),
    "zeros": (lambda folder: set_tensors(folder, lambda t: [w.zero_() for w in t.values()]), "not finite"),
    "short texts": (config(max_position_embeddings=16), "expected at most the model's 16"),
}


@pytest.mark.parametrize("kind", UNABLE)
def test_a_model_that_loads_and_cannot_be_edited_is_one_reason(
    kind: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, expected = UNABLE[kind]
    spoil(place / "mine")
    assert main(["check", "mine"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: mine: the edit of a small fact failed: ") and expected in line


def test_an_engine_that_differs_is_a_reason(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As where the engine's passes leave out what the model has: here a delta a tenth too long."""
    engine = check.optimize

    def off(*given: object) -> Found:
        found = engine(*given)
        return replace(found, delta=1.1 * found.delta)

    monkeypatch.setattr(check, "optimize", off)
    assert main(["check", "mine"]) == 1
    told = capsys.readouterr()
    assert "DIFFERS from the naive way" in told.out
    assert "error: mine: one edit by the engine is not what the naive way gives" in told.err


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3_text"])
def test_the_naive_way_is_the_oracles(architecture: str, in_fp64, tiny_dataset) -> None:
    model = in_fp64(tiny_model(architecture))
    settings = {"layers": [1, 2], "v_lr": 0.5, "v_num_grad_steps": 4, "clamp_norm_factor": 0.75}
    settings |= {"v_weight_decay": 0.5, "kl_factor": 0.0625, "mom2_update_weight": 10}
    templates, fact = ["The old town. {}", "You. {}"], tiny_dataset[3]
    moments = {layer: check._moment(model, layer) for layer in settings["layers"]}
    before = {layer: model.weight(layer).clone() for layer in settings["layers"]}
    edit = Rows(model.wording, "corrected", templates).edit(fact)
    found = naive_edit(model, edit, settings, moments)
    naive = oracle_edit(model.tokenizer, fact, templates, [], False, "corrected")
    best = naive_optimize(model.model, naive, 2, settings)
    updates, _ = naive_spread(model.model, [naive], best.target[None], [1, 2], moments, settings)
    assert found.target.allclose(best.target, rtol=1e-9, atol=1e-9)
    assert (found.ppl_initial, found.ppl_target) == pytest.approx((best.ppl_initial, best.ppl_target))
    for layer, update in updates.items():
        assert found.updates[layer].allclose(update, rtol=1e-4, atol=1e-7)
        assert model.weight(layer).equal(before[layer])


def test_a_passage_fills_the_window_that_is_tried(tmp_path: Path) -> None:
    save_tiny_model(tmp_path, architecture="gemma3_text")
    set_json(tmp_path, CONFIG, sliding_window=64)
    model = LanguageModel.load(tmp_path, device="cpu")
    longest = max(len(model.tokenizer(template)["input_ids"]) for template in check._templates(model))
    assert longest > 64


def test_weights_larger_than_the_memory_are_one_line(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "free_bytes", lambda device: 1000)
    assert main(["check", "mine"]) == 1
    assert "its weights take 0.0 GB in float32, and 0.0 GB of memory are free" in capsys.readouterr().err


# -- facts --------------------------------------------------------------------------------------------------

ZSRE = {"subject": "Kyoto", "src": "Where is Kyoto?", "rephrase": "Kyoto is where?", "answers": ["Japan"]}
ZSRE |= {"loc": "Where is Rome", "loc_ans": "Italy"}


@pytest.mark.parametrize("form", ["simple", "counterfact", "zsre"])
def test_facts_are_told_in_whatever_form_they_are(
    form: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = {"simple": [FACT], "counterfact": tiny_facts(), "zsre": [ZSRE]}[form]
    (place / "facts.json").write_text(json.dumps(facts))
    assert main(["check", "mine", "--facts", "facts.json"]) == 0
    assert (
        f"facts:        {len(facts)} of {len(facts)} in facts.json can be edited" in capsys.readouterr().out
    )


def test_every_fact_that_cannot_be_edited_is_a_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = FACT | {"prompt": "{} " + "plays and " * 300 + "plays the"}
    crossing = FACT | {"subject": "pl", "prompt": "He {}ays the"}
    (place / "facts.json").write_text(json.dumps([FACT, long, crossing]))
    assert main(["check", "mine", "--facts", "facts.json"]) == 1
    told = capsys.readouterr()
    assert "facts:        1 of 3 in facts.json can be edited" in told.out
    first, second = told.err.splitlines()
    assert "facts.json: case 1" in first and "expected at most the model's 256" in first
    assert "facts.json: case 2" in second


@pytest.mark.parametrize("content", ["", "{}", "[]", "[3]", '[{"prompt": 3}]', "\x00"])
def test_a_file_that_holds_no_facts_is_one_line(
    content: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "facts.json").write_text(content)
    assert main(["check", "mine", "--facts", "facts.json"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: facts.json")


# -- runs and folders that were moved -----------------------------------------------------------------------


def test_a_run_is_found_through_links_and_with_its_results_moved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path / "results")
    (tmp_path / "latest").symlink_to(os.path.relpath(run, tmp_path))
    shutil.move(tmp_path / "results", tmp_path / "disk")
    (tmp_path / "results").symlink_to("disk")
    asked = ["--prompt", "Kyoto", "--tokens", "1"]
    for place in (
        "latest",
        "latest@3",
        "results/edits/tiny/facts/memit/trial1/",
        "disk/edits/../edits/" + RUN,
    ):
        assert main(["compare", "results/models/tiny/", place, *asked]) == 0
    assert RunFolder(tmp_path / "latest").description(1)["method"] == "memit"
    shutil.move(tmp_path / "disk" / "edits" / RUN, tmp_path / "alone")
    capsys.readouterr()
    assert main(["compare", "results/models/tiny", "alone", *asked]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: alone: ") and "is not there, expected the model that was edited" in line


def test_messages_about_what_a_user_may_have_made_do_not_say_delete() -> None:
    """What jobs keep of themselves, and what `make verify` says of results/, is not the user's."""
    own = {"edit/journal.py", "use/verification.py", "report/page/data.py"}
    own |= {"report/rows/generation.py", "report/rows/along.py"}
    found = set()
    for path in sorted((REPOSITORY / "scripts/reedit").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and re.search(r"\b(delete|remove)\b", ast.unparse(node)):
                found.add(path.relative_to(REPOSITORY / "scripts/reedit").as_posix())
    assert found <= own
