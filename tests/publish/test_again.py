"""Published results computed again, in part: which cells come out."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from publish.test_publication import published
from workflow import Experiment

from reedit.errors import InputError
from reedit.publish.again import KEY, Cell, check_as_published, compared, part_of, run_again
from reedit.settings.experiment import Experiment as Settings
from reedit.settings.overlays import overlaid, read_configuration
from reedit.storage import parquet
from reedit.storage.files import file_sha256


def cell(now: float | None, published: float | None = 0.5, **bounds: Any) -> Cell:
    measure = bounds.pop("measure", "efficacy_accuracy")
    bounds = {"low": 0.4, "high": 0.6} | bounds
    return Cell(("m", "d", "memit", "corrected", 3, 1, measure), published, now=now, **bounds)


def test_a_cell_is_judged_by_what_is_printed_then_by_its_interval() -> None:
    assert cell(0.5000004).verdict == "same"  # other machines round elsewhere
    assert cell(0.59).verdict == "within" and cell(0.61).verdict == "OUTSIDE"
    assert cell(None).verdict == "OUTSIDE", "what was measured then and is not now"
    assert cell(None, None, low=None, high=None).verdict == "same"
    assert cell(171.0, 172.0, measure="me_ppl", low=None, high=None).verdict == "no interval"
    assert cell(float("inf"), float("inf"), measure="ppl_edited", low=None, high=None).verdict == "same"


def test_cells_are_matched_by_who_and_when_and_what() -> None:
    key = ("m", "d", "memit", "corrected", 3, 1, "me_ppl")
    row = dict(zip(KEY, key, strict=True))
    row |= {"mean": 2.0, "low": None, "high": None}
    assert compared([row], [row | {"mean": 3.0}, row | {"k": 2}]) == [Cell(key, 2.0, None, None, 3.0)]
    (lost,) = compared([row | {"measure": "efficacy_accuracy", "low": 1.0, "high": 3.0}], [])
    assert lost.now is None and lost.verdict == "OUTSIDE", "what did not come out is no agreement"
    assert compared([row | {"k": 0, "method": "unedited"}], []) == []


@pytest.mark.parametrize(
    "text", ["memit", "a/b", "a/b/c/d", "a/b/c@", "a/b/c@0", "a/b/c@x", f"a/b/c@{'9' * 5000}"]
)
def test_a_part_has_a_model_a_dataset_and_a_method(text: str) -> None:
    with pytest.raises(InputError, match="expected MODEL/DATASET/METHOD"):
        part_of(text)


def test_no_such_part(again: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = published(again, monkeypatch)
    with pytest.raises(
        InputError, match="no such part; there are tiny/facts/memit, tiny/facts/memit_released"
    ):
        run_again(folder, "tiny/facts/rome", again.house, "2")


def test_a_key_that_config_has_got_since_does_not_leak_in(again: Experiment, tmp_path: Path) -> None:
    config = overlaid(read_configuration([again.house / "config.yaml"]), again.config)
    published = Settings(config, again.house)
    for below, told in (
        (
            {"hyperparameters": {"memit": {"tiny": {"step_length": 0.2}}}},
            "would change tiny/facts/memit/trial1",
        ),
        ({"hyperparameters": {"memit": {"another": {"layers": [2]}}}}, None),
    ):
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(below))
        if told:
            with pytest.raises(InputError, match=told):
                check_as_published(published, list(published.runs), tmp_path)
        else:
            check_as_published(published, list(published.runs), tmp_path)


def note_again(folder: Path, name: str) -> None:
    """Have provenance.json tell of a file as it is."""
    told = json.loads((folder / "provenance.json").read_text())
    told["files"][name] = file_sha256(folder / name)
    (folder / "provenance.json").write_text(json.dumps(told))


@pytest.mark.parametrize("name", ["config.yaml", "cells.parquet"])
def test_what_was_altered_since_is_not_compared(
    again: Experiment, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = published(again, monkeypatch)
    (folder / name).write_bytes((folder / name).read_bytes() + b"\n")
    with pytest.raises(InputError, match=rf"mine/{name}: is not the file that was published"):
        run_again(folder, "tiny/facts/memit", again.house, "2")


@pytest.mark.parametrize("told", ["", "[1]", "{}", '{"files": [1]}', "[" * 100000, "\xff"])
def test_a_provenance_that_is_none_is_one_line(tmp_path: Path, told: str) -> None:
    (tmp_path / "provenance.json").write_bytes(told.encode("latin-1"))
    with pytest.raises(InputError, match="expected what make publish writes"):
        run_again(tmp_path, "tiny/facts/memit", tmp_path, "2")


def test_a_part_without_a_cell_agrees_with_nothing(
    again: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = published(again, monkeypatch)
    parquet.write([], folder / "cells.parquet", "table", {"runs": {}})
    note_again(folder, "cells.parquet")
    with pytest.raises(InputError, match="holds no cell of PART=tiny/facts/memit"):
        run_again(folder, "tiny/facts/memit", again.house, "2")
    assert not Path("compared/results").exists()


@pytest.mark.long
def test_a_part_comes_out_again_and_what_was_altered_does_not(
    again: Experiment, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = published(again, monkeypatch)
    before = file_sha256(Path("results/summary/runs.parquet"))
    assert run_again(folder, "tiny/facts/na_memit@2", again.house, "2") == 0
    report = Path("compared/report.md").read_text()
    assert "0 OUTSIDE" in report and " 0 same" not in report and "| na_memit |" in report
    assert "| memit |" not in report and "| 3 |" not in report, "what was not asked for"
    assert file_sha256(Path("results/summary/runs.parquet")) == before
    assert not list(Path("compared/results/scores").rglob("memit/*.parquet"))

    rows = parquet.read(folder / "cells.parquet", "table")
    for row in rows:
        if row["measure"] == "efficacy_accuracy":
            row |= {"mean": row["mean"] - 0.5, "low": row["mean"] - 0.6, "high": row["mean"] - 0.4}
    parquet.write(rows, folder / "cells.parquet", "table", {"runs": {}})
    note_again(folder, "cells.parquet")
    assert run_again(folder, "tiny/facts/na_memit@2", again.house, "2") == 1
    assert "| efficacy_accuracy |" in capfd.readouterr().out
