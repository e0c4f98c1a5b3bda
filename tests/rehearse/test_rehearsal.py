"""An experiment on stand-ins for its models: what is little, what is whole, and what its report says."""

import csv
import hashlib
import json
import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import tiny
import yaml
from shipped_experiments import experiment
from tiny import tiny_facts
from workflow import HAS_ENGINE, REPOSITORY, rows

from reedit.errors import InputError
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.hyperparameters import PASSES
from reedit.rehearse.origins import texts_of_model
from reedit.rehearse.overlay import CORPUS, rehearsal_overlay
from reedit.rehearse.rehearsal import alone
from reedit.report.tables.notes import REHEARSAL
from reedit.settings.experiment import Experiment
from reedit.settings.overlays import overlaid

PLACES = {"parameters": 1, "layers": 6, "width": 32, "keys": 64, "vocabulary": 320}
BETTER = {"layers": [1, 2, 3], "v_num_grad_steps": 8, "mom2_update_weight": 20}


def rehearsed(real: Experiment) -> Experiment:
    """The experiment that its rehearsal is."""
    stand_ins = {model: (Path("/stand-ins") / model, PLACES) for model in real.models}
    for place, _ in stand_ins.values():
        assert place.is_absolute()
    overlay = rehearsal_overlay(real, stand_ins, Path("/texts.txt"))
    config = overlaid(real.config, overlay)
    for name in [n for n, source in config["sources"].items() if source.get("path", "").startswith("/")]:
        config["sources"][name] = {
            "kind": "url",
            "url": "https://example.org/x",
            "sha256": "0" * 64,
        }  # not there
    return Experiment(config, REPOSITORY)


@pytest.mark.parametrize(
    "names", [("paper",), ("paper", "paper-anew"), ("paper", "published", "sequential-gpu"), ("methods",)]
)
def test_every_run_is_there_with_little_to_do(names: tuple[str, ...]) -> None:
    real = experiment(*names)
    little, bounds = rehearsed(real), real.config["rehearsal"]
    assert list(little.runs) == list(real.runs)  # every method, protocol and trial
    for path, run in little.runs.items():
        asked = real.runs[path]
        assert run.entry.edits == (
            bounds["edits"] if asked.entry.edits == "all" else min(asked.entry.edits, 8)
        )
        assert (run.entry.extend_to or run.entry.iterations) <= bounds["iterations"]
        assert run.protocol == asked.protocol and run.method.algorithm == asked.method.algorithm
        few = PASSES.get(ALGORITHMS[run.method.algorithm].takes)
        assert few is None or little.hyperparameters(run)[few] == 3
        assert little.hyperparameters(run)["layers"] == real.hyperparameters(asked)["layers"]
        assert run.method.checkpoints == (1 if asked.method.checkpoints else None)
        assert asked.method.batch is None or run.method.batch < run.entry.edits <= asked.method.batch
        assert little.config["models"][run.entry.model]["source"] == f"stand-in-{run.entry.model}"
    assert not [
        s for s in little.used_sources if little.config["sources"][s]["kind"] == "hub"
    ]  # nothing large
    assert {dataset: little.files.of_dataset(dataset) for dataset in little.datasets} == {
        dataset: real.files.of_dataset(dataset) for dataset in real.datasets
    }


def test_an_extension_is_rehearsed_and_bounds_are_the_users() -> None:
    run = {
        "model": "smollm2-135m",
        "dataset": "worldfacts",
        "methods": ["memit"],
        "corpus": "wikipedia-sample",
    }
    run |= {"edits": 100, "trials": 5, "iterations": 4, "extend_to": 9}
    bounds = {"edits": 3, "trials": 2, "iterations": 3, "samples": 7}
    entry = rehearsed(experiment({"runs": [run], "rehearsal": bounds})).entries[0]
    assert (entry.edits, entry.trials, entry.iterations, entry.extend_to) == (3, 2, 2, 3)
    assert entry.corpus == "wikipedia-sample"  # small enough to be read
    paper = rehearsed(experiment("paper"))
    assert {entry.corpus for entry in paper.entries} == {CORPUS}


def test_a_tokenizer_is_taken_from_where_it_is_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[dict] = []

    def refuse(name: str, source: dict, folder: Path) -> None:
        asked.append(source)
        raise InputError(f"source {name}: there is no network")

    monkeypatch.setattr("reedit.rehearse.origins.fetch", refuse)
    (tmp_path / "tok").mkdir()
    named = {
        "sources": {"tok": {"kind": "folder", "path": "tok"}},
        "models": {"gpt2-xl": {"tokenizer": {"source": "tok"}}},
    }
    place = texts_of_model(experiment("paper", named), "gpt2-xl", Path("results"), tmp_path / "origins")
    assert place == tmp_path / "tok"
    line = "config: models.gpt2-xl: no tokenizer to rehearse with: source gpt2-xl: there is no network;"
    with pytest.raises(
        InputError, match=f"{line} models.gpt2-xl.tokenizer.source may name a folder that has it"
    ):
        texts_of_model(experiment("paper"), "gpt2-xl", Path("results"), tmp_path / "origins")
    hub = experiment("paper").config["sources"]["gpt2-xl"]
    assert asked == [hub | {"weights": False}]  # hundreds of kB
    prepared = Path("results/models/gpt2-xl")
    prepared.mkdir(parents=True)
    for mark in (None, {"revision": "x"}, {"revision": "x", "source": hub | {"revision": "0" * 40}}):
        if mark:
            (prepared / "revision.json").write_text(json.dumps(mark))
        with pytest.raises(InputError, match=line):  # made of another source, it is another model
            texts_of_model(experiment("paper"), "gpt2-xl", Path("results"), tmp_path / "origins")
    (prepared / "revision.json").write_text(json.dumps({"revision": "x", "source": hub}))
    assert texts_of_model(experiment("paper"), "gpt2-xl", Path("results"), tmp_path) == prepared
    named["sources"]["tok"]["path"] = "gone"
    with pytest.raises(InputError, match=r"gpt2-xl: no tokenizer .* source tok: no such folder"):
        texts_of_model(experiment("paper", named), "gpt2-xl", Path("results"), tmp_path / "origins")


def test_a_gguf_file_that_has_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    def prepare(place: Path, folder: Path, source: dict) -> None:
        read.append((place / "m.gguf").read_bytes())
        folder.mkdir(exist_ok=True)
        revision = f"sha256:{hashlib.sha256(read[-1]).hexdigest()}"
        (folder / "revision.json").write_text(json.dumps({"revision": revision, "source": source}))

    monkeypatch.setattr("reedit.rehearse.origins.prepare_model", prepare)
    (tmp_path / "own").mkdir()
    (tmp_path / "origins").mkdir()
    source = {"kind": "folder", "path": str(tmp_path / "own")}
    real = experiment({"sources": {"own": source}, "models": {"smollm2-135m": {"source": "own"}}})
    for content in (b"one", b"one", b"two"):
        (tmp_path / "own/m.gguf").write_bytes(content)
        place = texts_of_model(real, "smollm2-135m", tmp_path / "results", tmp_path / "origins")
        assert place == tmp_path / "origins/own-prepared"
    assert read == [b"one", b"two"]


@pytest.mark.parametrize("judge", ["plugin:a-service", "smollm2-135m"])
def test_no_service_is_asked_about_what_stand_ins_say(judge: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reedit.settings.references.package_of", lambda name, where: None)
    asked = {"generation": {"judge": judge}, "report": {"generation": True}}
    little = rehearsed(experiment(asked))
    assert little.judge == "smollm2-135m" and "smollm2-135m" in little.models


def test_all_of_a_few_cases_stay_all(tmp_path: Path) -> None:
    run = {"model": "smollm2-135m", "dataset": "mine", "methods": ["memit"], "corpus": "wikipedia-sample"}
    (tmp_path / "facts.json").write_text(json.dumps(tiny_facts()[:10]))
    mine = {
        "sources": {"mine": {"kind": "file", "path": str(tmp_path / "facts.json")}},
        "datasets": {"mine": {"format": "counterfact", "source": "mine"}},
        "runs": [run | {"edits": "all", "iterations": 3}],
    }
    assert rehearsal_overlay(experiment(mine), {}, Path("/texts.txt"))["runs"][0]["edits"] == "all"
    few = experiment(mine, {"rehearsal": {"edits": 4}})
    assert rehearsal_overlay(few, {}, Path("/texts.txt"))["runs"][0]["edits"] == 4


def test_a_model_whose_filter_alone_is_compared_has_a_stand_in_too() -> None:
    anew = experiment("paper", "paper-anew")
    one_model = experiment("paper", "paper-anew", {"runs": [anew.config["runs"][0]]})
    assert one_model.models == ["gpt2-xl", "gpt-j-6b", "llama-2-7b"]
    assert set(one_model.models) <= set(one_model.used_sources)
    little = rehearsed(one_model)
    assert not [s for s in little.used_sources if little.config["sources"][s]["kind"] == "hub"]


def test_a_folder_is_rehearsed_in_by_one_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "rehearsal"
    with alone(folder), pytest.raises(InputError, match="another rehearsal is at work"), alone(folder):
        pass
    with alone(folder):
        pass


def tokenizer_folder(folder: Path, architecture: str, kind: str) -> str:
    """What a user has of a model that is not at hand."""
    folder.mkdir(parents=True)
    tiny.tiny_tokenizer(kind).save_pretrained(folder)
    tiny.tiny_config(architecture, keys=4096).save_pretrained(folder)
    return str(folder)


def three_models(folder: Path) -> dict[str, Any]:
    """An overlay like the paper's: models on a hub that nobody reaches, their tokenizers here."""
    facts = tiny_facts()
    crossing = deepcopy(facts[0])  # the subject ends inside a token of the whole prompt
    crossing["case_id"], crossing["requested_rewrite"]["subject"] = 900, "Kyo"
    crossing["requested_rewrite"]["prompt"] = "{}to is a city in the country of"
    (folder / "facts.json").write_text(json.dumps([*facts, crossing]))
    kinds = {"gpt2": ("gpt2", "bytes"), "gptj": ("gptj", "bytes"), "llama": ("llama_untied", "metaspace")}
    few = {"v_lr": 0.5, "clamp_norm_factor": 4, "v_weight_decay": 0.001, "kl_factor": 0.0625}
    hub = {"kind": "hub", "revision": "c" * 40}
    shared = {"dataset": "mine", "corpus": "large", "edits": 10, "iterations": 5, "stop": "none"}
    plain = ["memit", "rome", "batches", "null", "rect"]
    return {
        "sources": {
            "facts": {"kind": "file", "path": "facts.json"},
            "shards": hub | {"repo": "a/corpus", "repo_type": "dataset", "files": ["x.parquet"]},
            **{f"hub-{name}": hub | {"repo": f"a/{name}"} for name in kinds},
            **{
                f"tokenizer-{name}": {"kind": "folder", "path": tokenizer_folder(folder / name, *what)}
                for name, what in kinds.items()
            },
        },
        "models": {
            name: {
                "source": f"hub-{name}",
                "dtype": "float32",
                "prefixes": {"count": 5, "tokens": 4, "seed": 0},
                "tokenizer": {"source": f"tokenizer-{name}"},
            }
            for name in kinds
        },
        "datasets": {"mine": {"format": "counterfact", "source": "facts"}},
        "corpora": {"large": {"format": "hub", "source": "shards", "samples": 100000, "max_tokens": 1024}},
        "methods": {
            "memit_released": {"algorithm": "memit", "protocol": "released"},
            "batches": {"algorithm": "memit", "batch": 100},
            "null": {"algorithm": "alphaedit"},
            "rect": {"regularises": "memit", "by": "rect", "keep": 0.4},
        },
        "hyperparameters": {
            "memit": dict.fromkeys(kinds, few | BETTER),
            "alphaedit": dict.fromkeys(kinds, few | BETTER | {"nullspace_threshold": 0.02, "L2": 10}),
            "rome": dict.fromkeys(kinds, few | BETTER | {"layers": [2]}),
        },
        "report": {"generation": True},
        "runs": [
            *(shared | {"model": name, "methods": plain, "misaligned": "drop"} for name in kinds),
            *(shared | {"model": name, "methods": ["memit_released"], "trials": 2} for name in kinds),
            shared | {"model": "gpt2", "methods": ["nap_memit"], "eligible": True, "misaligned": "drop"},
        ],
    }


def call(folder: Path, overlay: dict[str, Any]) -> subprocess.CompletedProcess:
    (folder / "overlay.yaml").write_text(yaml.safe_dump(overlay, sort_keys=False))
    command = [sys.executable, str(REPOSITORY / "scripts/rehearse.py"), "2", str(REPOSITORY / "config.yaml")]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "scripts"), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [*command, "overlay.yaml"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


@pytest.mark.long
def test_an_experiment_like_the_papers_is_rehearsed_whole_without_a_network(tmp_path: Path) -> None:
    overlay = three_models(tmp_path)
    done = call(tmp_path, overlay)
    log = tmp_path / "rehearsal/rehearsal.log"
    assert done.returncode == 0, done.stdout + done.stderr + log.read_text()[-3000:]
    results = tmp_path / "rehearsal/results"
    assert not (tmp_path / "results").exists() and not (tmp_path / "reports").exists()
    assert len(list(results.glob("scores/*/*/*/*.parquet"))) == 3 * (5 + 2) + 1
    assert (tmp_path / "rehearsal/reports/tables.pdf").exists() == bool(HAS_ENGINE)
    # every table says what it is, in all formats
    tables = sorted((results / "tables").glob("*.*"))
    assert len(tables) > 30
    for table in tables:
        text = table.read_text()
        empty = table.suffix == ".tex" and not [s for s in text.splitlines() if s and not s.startswith("%")]
        empty |= table.suffix == ".md" and "- No run." in text
        assert REHEARSAL in text or empty or (table.suffix == ".csv" and text.count("\n") == 1), table
    with open(results / "tables/table1.csv", newline="") as file:
        assert {row["rehearsal"] for row in csv.DictReader(file)} == {REHEARSAL}
    assert "revision stand-in:" in (results / "tables/table1.md").read_text()
    assert REHEARSAL in (tmp_path / "rehearsal/reports/explore.html").read_text()
    # a model of random weights knows nobody, and its neighbors assist and are scored all the same
    filtered = rows(results / "neighbors/gpt2/mine.parquet")
    assert all(row["kept"] for row in filtered) and any(row["predicted"] != row["object"] for row in filtered)
    # what would be left out, and why
    report = (tmp_path / "rehearsal/report.md").read_text()
    assert report in done.stdout and "every job ran" in report
    assert "case 900" in report and "crosses the end of the subject" in report
    assert "Second moments over large of gpt2, large of gptj, large of llama" in report
    for name in ("hub-gpt2", "shards"):
        assert name in report.partition("## What was not rehearsed")[2]
    # again: nothing is left to do
    again = call(tmp_path, overlay)
    assert again.returncode == 0 and "Nothing to be done" in log.read_text()


@pytest.mark.long
def test_what_would_stop_the_experiment_stops_its_rehearsal(tmp_path: Path) -> None:
    overlay = three_models(tmp_path)
    (tmp_path / "prefixes.json").write_text('["no place for a prompt"]')
    overlay["sources"]["prefixes"] = {"kind": "file", "path": str(tmp_path / "prefixes.json")}
    overlay["models"]["gptj"]["prefixes"] = {"source": "prefixes"}
    overlay["runs"] = [run | {"methods": ["memit"]} for run in overlay["runs"][:2]]
    done = call(tmp_path, overlay)
    assert done.returncode == 1
    report = (tmp_path / "rehearsal/report.md").read_text()
    assert "not every job ran" in report and "template 0: expected a string with one {}" in report
    assert (tmp_path / "rehearsal/results/scores/gpt2/mine/memit/trial1.parquet").exists()  # the others go on


@pytest.mark.long
def test_a_configuration_that_is_wrong_is_one_line(tmp_path: Path) -> None:
    done = call(tmp_path, {"rehearsal": {"edits": 0}})
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == "config: rehearsal.edits: found 0, expected at least 1\n"
