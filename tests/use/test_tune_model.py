"""python -m reedit tune: one command, a file and a page; the same command goes on."""

import json
from pathlib import Path

import pytest
import tiny

from reedit.__main__ import main
from reedit.methods.hyperparameters import read_hyperparameters
from reedit.storage import parquet
from reedit.tune.bench import Bench


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reedit.tune.tuning.AT_MOST", {"optimization": 2, "spread": 3})


def test_one_command_finds_a_file_that_edit_reads(
    taught_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "facts.json").write_text(json.dumps(tiny.tiny_facts()))
    (tmp_path / "texts.txt").write_text(tiny.tiny_corpus())
    out = tmp_path / "tuned"
    given = {"facts": "facts.json", "corpus": "texts.txt"}
    options = [part for name, file in given.items() for part in (f"--{name}", str(tmp_path / file))]
    command = ["tune", str(taught_folder), "--out", str(out), *options, "--at-once", "3", "--minutes", "0.01"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "| found " in said and f"{out}/memit.yaml: found" in said
    first = (out / "memit.yaml").read_text()
    made_by = parquet.read_provenance(out / "memit.parquet")
    lines = len(tiny.tiny_corpus().splitlines())
    assert (made_by["corpus"]["format"], made_by["corpus"]["samples"] >= lines) == ("lines", True)
    assert {path.name for path in out.iterdir()} == {".tuning", *(f"memit.{end}" for end in ENDS)}
    assert read_hyperparameters(out / "memit.yaml", "memit", "here").mom2_update_weight
    with monkeypatch.context() as tried:
        tried.setattr(Bench, "optimize", lambda *_: pytest.fail("something is tried again"))
        assert main(command) == 0
    assert (out / "memit.yaml").read_text() == first
    assert main([*command, "--config", str(with_own_prefixes(tmp_path, taught_folder))]) == 0
    of_each = [parquet.read(path, "prefixes") for path in out.glob(".tuning/*/prefixes.parquet")]
    assert len(of_each) == 2 and [{"template": "Yes. {}"}] in of_each, "each configuration has its own"
    facts = json.dumps([{"prompt": "{} plays the", "subject": "Glenn Gould", "target_new": "piano"}])
    (tmp_path / "one.json").write_text(facts)
    edit = [str(taught_folder), str(tmp_path / "one.json"), str(tmp_path / "edited"), "--tokens", "2"]
    edit += ["--hyperparameters", str(out / "memit.yaml"), "--corpus", str(tmp_path / "texts.txt")]
    assert main(["edit", *edit, "--iterations", "1", "--max-tokens", "40"]) in (0, 3)


def with_own_prefixes(folder: Path, model: Path) -> Path:
    """An overlay of config.yaml by which prefixes of a model are those of a file."""
    (folder / "own.json").write_text(json.dumps(["Yes. {}"]))
    sources = {
        "own": {"kind": "file", "path": str(folder / "own.json")},
        "taught": {"kind": "folder", "path": str(model)},
    }
    own = {"source": "taught", "dtype": "float32", "prefixes": {"source": "own"}}
    overlay = {"sources": sources, "models": {model.name: own}}
    (folder / "prefixes.yaml").write_text(json.dumps(overlay))
    return folder / "prefixes.yaml"


ENDS = ("yaml", "md", "pdf", "png", "parquet")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--algorithm", "memt"], "no algorithm: 'memt', did you mean memit?"),
        (["--facts", "nowhere.json"], "nowhere.json: no such file"),
        (["--corpus", "nowhere.txt"], "nowhere.txt: no such file"),
    ],
)
def test_what_is_wrong_is_one_line_before_anything_is_made(
    options: list[str], told: str, taught_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", str(taught_folder), "--out", str(tmp_path / "out"), *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and told.split(",")[0] in line
    assert not (tmp_path / "out").exists()


def test_no_such_model_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("option", [["--minutes", "0"], ["--minutes", "x"], ["--edits", "0"]])
def test_a_budget_is_more_than_nothing(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["tune", "model", *option])
    assert f"argument {option[0]}" in capsys.readouterr().err
