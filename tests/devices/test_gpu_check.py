"""`make test-gpu`: what it says without a GPU, how it reports, and the whole of it on a pretended one."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import gpu.__main__ as check
import pytest
import torch
from gpu import material
from gpu.clock import Clock
from gpu.page import page
from gpu.report import Report
from pretended_cuda import pretended_cuda
from workflow import REPOSITORY

from reedit.use.costs import ROW

NAMES = [
    "machine",
    "agreement",
    "smollm2",
    "gpt2-xl",
    "shortage",
    "nccl",
    "gpt-j-6b",
    "llama-2-7b",
    "easyedit",
]


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check reads them: the published way, and the clock."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "benchmarks"))


def test_without_a_gpu_it_is_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    path = ":".join(str(REPOSITORY / name) for name in ("scripts", "tests", "benchmarks"))
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": path}
    command = [sys.executable, "-m", "gpu", "--out", str(tmp_path / "gpu")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"test-gpu: no CUDA device here: torch {torch.__version__} sees none\n"
    assert not (tmp_path / "gpu").exists()


def test_a_stage_that_there_is_not_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(check, "stages", lambda: [("machine", 1.0, good)])
    with pretended_cuda(), pytest.raises(SystemExit, match="2"):
        check.main(["--out", str(tmp_path / "gpu"), "--only", "machine", "agrement"])
    assert "--only: no stage agrement; there are machine" in capsys.readouterr().err
    assert not (tmp_path / "gpu").exists()


def checked(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *stages: Callable[[Report], Any],
    minutes: float = 9.0,
    each: float = 1.0,
) -> tuple[int, list[dict[str, Any]], str]:
    """Status, report.json without its first line, and report.md of a check of these stages alone.

    `minutes` in all, at most `each` of them for a stage.
    """
    named = [(f"stage {i}", each, lambda report, small, run=run: run(report)) for i, run in enumerate(stages)]
    monkeypatch.setattr(check, "stages", lambda: named)
    with pretended_cuda():
        status = check.main(["--out", str(tmp_path), "--minutes", str(minutes)])
    lines = json.loads((tmp_path / "report.json").read_text())
    assert lines[0]["kind"] == "environment" and lines[0]["GPU"] == "Pretended GPU"
    return status, lines[1:], (tmp_path / "report.md").read_text()


def good(report: Report) -> None:
    report.verdict("good", 1e-6, 1e-4)


def test_what_holds_is_status_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measures(report: Report) -> None:
        report.measured("speed", 12.345, "TFLOP/s", 19.5, rate=12.345e12)

    status, lines, text = checked(tmp_path, monkeypatch, good, measures)
    assert status == 0 and [line["kind"] for line in lines] == ["verdict", "measured"]
    assert "# GPU check: Pretended GPU\n\n1 of 1 verdicts hold, 0 errors, 0 left out" in text
    assert "| stage 1 | speed | 12.3 | TFLOP/s | 19.5 |" in text and "does not agree" not in text
    assert "| stage 0 | good | 1.00e-06 | 1.00e-04 |" in text


@pytest.mark.parametrize(
    ("bad", "row"),
    [
        (lambda report: report.verdict("far", 2e-4, 1e-4), "| stage 0 | far | 2.00e-04 | 1.00e-04 |"),
        (lambda report: report.verdict("lost", float("nan"), 1.0), "| stage 0 | lost | nan | 1 |"),
        (lambda report: report.expect("same | alike", False), "| stage 0 | same \\| alike | no | yes |"),
        (lambda report: 1 / 0, "| stage 0 | stage 0 | ZeroDivisionError: division by zero"),
    ],
    ids=["a limit exceeded", "no number", "not so", "an error"],
)
def test_what_is_bad_is_status_1_and_first_on_the_page_and_the_other_stages_go_on(
    bad: Callable[[Report], Any], row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, lines, text = checked(tmp_path, monkeypatch, bad, good)
    assert status == 1 and [line["stage"] for line in lines] == ["stage 0", "stage 1"]
    assert row in text and text.index("## What does not agree") < text.index("## The machine")
    assert lines[1]["holds"]


@pytest.mark.long
def test_a_stage_ends_with_the_minutes_and_what_no_longer_fits_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(report: Report) -> None:
        with report.alone("one of many"):  # as one that stands alone within a stage
            time.sleep(60)

    begun = time.monotonic()
    status, lines, text = checked(tmp_path, monkeypatch, endless, good, minutes=0.15, each=0.2)
    assert status == 0 and 8 < time.monotonic() - begun < 30
    assert [(line["kind"], line["what"]) for line in lines] == [
        ("left out", "stage 0, the rest of it"),
        ("left out", "stage 1"),
    ]
    assert "| stage 0 | stage 0, the rest of it | the minutes are over |" in text


def test_an_error_of_one_of_many_leaves_the_others(tmp_path: Path) -> None:
    report = Report(tmp_path, Clock(1.0), "many")
    for what in ("one", "two"):
        with report.alone(what):
            raise ValueError(f"of {what}\nand more")
    assert [(line["what"], line["error"]) for line in report.bad] == [
        ("one", "ValueError: of one"),
        ("two", "ValueError: of two"),
    ]
    assert "GPU check: unknown" in page(report) and page(report).count("no error") == 2


def test_the_large_models_have_the_shapes_that_make_plan_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(material, "DEVICE", "meta")
    for subject in material.SUBJECTS:
        model, layers = subject.build(), subject.settings("memit")["layers"]
        assert material.shape_of(model, layers[0]) == subject.planned_shape()
        edits = material.plain_edits(model, material.world_facts()[:20], material.world_templates())
        rows = [weighted.row for edit in edits for weighted in edit.rewriting]
        assert ROW - 5 < sum(len(row.ids) for row in rows) / len(rows) < ROW + 5


@pytest.mark.long
def test_the_whole_check_runs_small_on_a_pretended_gpu(tmp_path: Path) -> None:
    assert [name for name, _, _ in check.stages()] == NAMES
    with pretended_cuda() as memory:
        total = memory.total

        def limit(share: float, device: Any = None) -> None:
            memory.total = int(share * total)

        with mock.patch.object(torch.cuda, "set_per_process_memory_fraction", limit):
            status = check.main(["--small", "--out", str(tmp_path)])
    lines, text = json.loads((tmp_path / "report.json").read_text()), (tmp_path / "report.md").read_text()
    kinds = [line["kind"] for line in lines]
    assert status == 0 and kinds.count("verdict") > 30 and "error" not in kinds
    assert all(line["holds"] for line in lines if line["kind"] == "verdict")
    # smollm2 is not read in a rehearsal; a torch without CUDA has no NCCL; no checkout is named
    left_out = {line["stage"] for line in lines if line["kind"] == "left out"}
    assert left_out <= {"smollm2", "nccl", "easyedit", "gpt-j-6b", "llama-2-7b"}
    measured = {line["stage"] for line in lines if line["kind"] == "measured"}
    assert measured == {"machine", "agreement", "gpt2-xl", "shortage", "gpt-j-6b", "llama-2-7b"}
    halved = [line["value"] for line in lines if line.get("what", "").endswith("halvings")]
    assert len(halved) == 3 and min(halved) > 0
    titles = ("The machine", "What agrees", "Beside what make plan assumes", "Measured", "Left out")
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")] == list(titles)
    assert "a rehearsal: no number of speed or memory counts" in text
