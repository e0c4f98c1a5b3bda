"""Published results: what is kept of a finished experiment, and that it describes itself."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from rocrate.rocrate import ROCrate
from workflow import Experiment, changed, rows

from reedit.errors import InputError
from reedit.publish.again import KEY
from reedit.publish.publication import changed_files, publish
from reedit.storage import parquet
from reedit.storage.files import file_sha256, visible_tree


def published(experiment: Experiment, monkeypatch: pytest.MonkeyPatch, config: object = None) -> Path:
    """The folder of what a finished experiment publishes, in its own docs/results."""
    monkeypatch.chdir(experiment.folder)
    overlay = experiment.folder / "mine.yaml"
    overlay.write_text(yaml.safe_dump(config or experiment.config))
    pdf = Path("reports/tables.pdf")
    if not pdf.exists():  # no LaTeX engine here
        pdf.parent.mkdir(exist_ok=True)
        pdf.write_bytes(b"%PDF-1.7\n")
    return publish(
        [str(experiment.house / "config.yaml"), str(overlay)], experiment.house, Path("docs/results")
    )


def test_all_of_it_is_there_and_described(again: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = published(again, monkeypatch)
    assert folder == Path("docs/results/mine")
    there = {path.relative_to(folder).as_posix() for path in visible_tree(folder)}
    assert {"tables.pdf", "tables/table1.md", "tables/table1.csv", "summary/runs.parquet"} <= there
    assert {"figures/scores.png", "config.yaml", "cells.parquet"} <= there
    told = json.loads((folder / "provenance.json").read_text())
    assert told["files"] == {name: file_sha256(folder / name) for name in there - {*DESCRIBING}}
    assert told["command"] == 'make EXPERIMENT="mine"' and told["packages"]["snakemake"]
    facts = Path("results/sources/tiny-facts/facts.json")
    assert told["sources"]["tiny-facts"] == {"facts.json": file_sha256(facts)}
    seconds = [
        row["seconds_total"]
        for path in Path("results/edits").rglob("iterations.parquet")
        for row in rows(path)
    ]
    assert told["hours"]["edit_facts"] == pytest.approx(sum(seconds) / 3600, abs=0.0001)
    assert told["hours"]["score_edits"] >= 0 and set(told["runs"]) == {
        path.relative_to("results/scores").with_suffix("").as_posix()
        for path in Path("results/scores").rglob("*.parquet")
    }


def test_changed_files_are_the_workflows_not_what_publishing_writes(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        known = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", "-C", str(tmp_path), *known, *arguments], check=True, capture_output=True)

    assert changed_files(tmp_path) is None  # no repository
    for name in ("config.yaml", "a b.py", "docs/results/mine/tables.pdf"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    git("init")
    git("add", ".")
    git("commit", "-m", "all")
    assert changed_files(tmp_path) == []
    (tmp_path / "config.yaml").write_text("2")
    (tmp_path / "a b.py").rename(tmp_path / "ö.py")
    (tmp_path / "docs/results/mine/tables.pdf").write_text("2")
    (tmp_path / "docs/results/mine/new.md").write_text("2")
    assert changed_files(tmp_path) == ["a b.py", "config.yaml", "ö.py"]


DESCRIBING = ("provenance.json", "ro-crate-metadata.json")


def test_the_crate_is_one_that_its_library_reads(again: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = published(again, monkeypatch)
    crate = ROCrate(folder)
    files = {entity.id: entity for entity in crate.data_entities}
    told = json.loads((folder / "provenance.json").read_text())
    assert {name: entity["sha256"] for name, entity in files.items()} == told["files"]
    assert all((folder / name).is_file() for name in files)
    (action,) = (one for one in crate.contextual_entities if one.type == "CreateAction")
    assert {one.id for one in action["result"]} == set(files)
    assert action["instrument"]["name"] == "reedit" and len(action["object"]) == sum(
        map(len, told["sources"].values())
    )
    assert crate.root_dataset["license"] == "https://spdx.org/licenses/MIT"


def test_a_cell_is_that_of_the_tables(again: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = published(again, monkeypatch)
    cells = {
        tuple(row[name] for name in KEY): (row["mean"], row["low"], row["high"])
        for row in parquet.read(folder / "cells.parquet", "table")
    }
    shown = parquet.read(folder / "summary/table8.parquet", "table")
    assert shown
    for row in shown:
        assert cells[tuple(row[name] for name in KEY)] == (row["mean"], row["low"], row["high"])


def test_what_is_not_of_this_experiment_is_not_published(
    again: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    fewer = changed(again.config, runs=again.config["runs"][:1])
    with pytest.raises(InputError, match=r"runs\.parquet: is not of these runs as they are"):
        published(again, monkeypatch, fewer)
    (again.folder / "results/tables/table1.md").unlink()
    with pytest.raises(InputError, match=r"tables/table1\.md: is missing; run the experiment to its end"):
        published(again, monkeypatch)
    assert not (again.folder / "docs/results/mine").exists()


def test_what_ran_here_before_is_not_published(again: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(again.folder)
    foreign = Path("results/summary/portability.parquet")
    foreign.write_bytes(Path("results/summary/runs.parquet").read_bytes())
    for place in ("filter_neighbors/another", "collect_moments/tiny/another"):
        time = Path("results/benchmarks", place).with_suffix(".tsv")
        time.parent.mkdir(parents=True, exist_ok=True)
        time.write_text("s\n3600\n")
    folder = published(again, monkeypatch)
    assert not (folder / "summary/portability.parquet").exists()
    hours = json.loads((folder / "provenance.json").read_text())["hours"]
    assert max(hours[rule] for rule in ("filter_neighbors", "collect_moments")) < 1
    os.utime("reports/tables.pdf", (0, 0))
    with pytest.raises(InputError, match=r"tables\.pdf: is older than results/summary/runs\.parquet; run"):
        published(again, monkeypatch)


CHANGED = {
    "hyperparameters__memit__tiny__v_lr": (0.1, "made with hyperparameters"),
    "seed": (1, "made with seed 0, and the configuration says 1"),
    "runs": (lambda runs: [runs[0] | {"iterations": 2}, runs[1]], "made with iterations 3"),
}


@pytest.mark.parametrize("key", CHANGED)
def test_a_configuration_that_was_changed_since_is_not_published(
    again: Experiment, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    value, told = CHANGED[key]
    other = changed(again.config, **{key: value(again.config["runs"]) if callable(value) else value})
    with pytest.raises(InputError, match=f"{told}.*run the experiment to its end"):
        published(again, monkeypatch, other)


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:10])


@pytest.mark.parametrize(
    "name", ["summary/cases.parquet", "scores/tiny/facts/memit/trial1.parquet", "figures/scores.png"]
)
def test_what_was_damaged_is_not_published(
    again: Experiment, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    damage(again.folder / "results" / name)
    with pytest.raises(InputError, match=f"results/{name}: "):
        published(again, monkeypatch)


def test_scores_of_another_run_are_not_published(again: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    place = again.folder / "results/scores/tiny/facts"
    (place / "memit/trial1.parquet").write_bytes((place / "na_memit/trial1.parquet").read_bytes())
    with pytest.raises(InputError, match=r"runs\.parquet: is not of these runs as they are"):
        published(again, monkeypatch)


def test_a_source_that_is_gone_is_not_published(again: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(again.folder / "results/sources/tiny-facts")
    with pytest.raises(InputError, match="results/sources/tiny-facts: is missing"):
        published(again, monkeypatch)


@pytest.mark.parametrize("text", ["s\nNA\n", "seconds\n1\n", "s\n\xff\n"])
def test_times_that_are_none_are_one_line(
    again: Experiment, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    times = again.folder / "results/benchmarks/score_edits/tiny/facts/memit/trial1.tsv"
    times.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"trial1\.tsv: expected Snakemake's times of a job"):
        published(again, monkeypatch)


@pytest.mark.parametrize("name", ["..", "default", ".hidden", ""])
def test_a_name_that_would_take_the_place_of_another_folder(
    again: Experiment, tmp_path: Path, name: str
) -> None:
    (tmp_path / "kept").write_text("kept")
    overlay = tmp_path / f"{name}.yaml"
    overlay.write_text("{}")
    with pytest.raises(InputError, match="its name is the folder's"):
        publish([str(again.house / "config.yaml"), str(overlay)], again.house, tmp_path / "docs/results")
    assert (tmp_path / "kept").exists()


def test_what_was_not_published_is_not_removed(again: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = published(again, monkeypatch)
    assert published(again, monkeypatch) == folder, "the same again"
    (folder / "notes.md").write_text("mine")
    with pytest.raises(InputError, match=r"mine: holds notes\.md, which was not published"):
        published(again, monkeypatch)
    assert (folder / "notes.md").read_text() == "mine"
    shutil.move(folder, again.folder / "elsewhere")
    folder.symlink_to(again.folder / "elsewhere")
    with pytest.raises(InputError, match="mine: is there and no folder"):
        published(again, monkeypatch)
