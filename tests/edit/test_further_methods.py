"""The methods beyond the paper in the whole workflow: their jobs, and their lines in the tables."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from workflow import Experiment, changed, hand_edit, provenance, rows

from reedit.__main__ import NOT_HELD, main
from reedit.edit.spread.regularisation import prune, rect

pytestmark = pytest.mark.long
ALGORITHMS = ["r_rome", "emmet", "alphaedit", "blue", "encore", "locft_bf"]
OTHERS = ["spread_only", "leaving", "in_batches", "prune", "rect", "tuned_gently"]
METHODS = ["memit", *ALGORITHMS, *OTHERS]


@pytest.fixture(scope="module")
def further(finished: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """The finished experiment, and all these methods on the same cases."""
    again = finished.copy(tmp_path_factory.mktemp("further") / "experiment")
    usual = again.config["hyperparameters"]["memit"]["tiny"]
    plain = {name: value for name, value in usual.items() if name != "mom2_update_weight"}
    again.config = changed(
        again.config,
        hyperparameters__r_rome={"tiny": plain | {"layers": [2]}},
        hyperparameters__emmet={"tiny": plain | {"layers": [2], "emmet_lambda": 0.01}},
        hyperparameters__alphaedit={"tiny": plain | {"nullspace_threshold": 0.1, "L2": 0.1}},
        hyperparameters__blue={"tiny": usual},
        hyperparameters__encore={"tiny": usual | {"update_norm_lambda": 0.1}},
        hyperparameters__locft_bf={"tiny": {"layers": [2], "lr": 0.01, "num_steps": 5, "batch_size": 4}},
        methods__in_batches={"algorithm": "alphaedit", "batch": 5},
        methods__tuned_gently={"regularises": "locft_bf", "by": "rect"},
        methods__leaving={"algorithm": "memit", "leaves": "gap"},
        runs=[
            {
                **{"model": "tiny", "dataset": "facts", "corpus": "lines", "edits": "all", "iterations": 2},
                **{"methods": METHODS, "eligible": True},
            }
        ],
    )
    outcome = again.run("tables")
    assert outcome.status == 0, outcome.output
    return again


def of(further: Experiment, method: str) -> Any:
    return further.path(f"edits/tiny/facts/{method}/trial1")


def test_every_method_has_its_lines_in_the_paper_s_tables(further: Experiment) -> None:
    with open(further.path("tables/table6.csv"), newline="") as file:
        shown = {(row["method"], int(row["k"])) for row in csv.DictReader(file)}
    assert {(method, k) for method in METHODS for k in (1, 2)} <= shown


def test_spread_alone_keeps_the_targets_of_the_first_iteration(further: Experiment) -> None:
    first, second = (
        [r for r in rows(of(further, "spread_only") / "targets.parquet") if r["k"] == k] for k in (1, 2)
    )
    memit = [r for r in rows(of(further, "memit") / "targets.parquet") if r["k"] == 1]
    for before, after, plain in zip(first, second, memit, strict=True):
        assert before["ppl_target"] == after["ppl_target"] == plain["ppl_target"]
        assert after["ppl_initial"] == before["ppl_edited"] and after["steps"] == 0
        assert after["residual_before"] == pytest.approx(before["residual_after"], rel=1e-4)
        assert after["residual_after"] < after["residual_before"]


def test_edits_leave_by_what_the_tables_say(further: Experiment) -> None:
    """The file of targets alone tells who was optimised at k = 2."""
    first, second = (
        [r for r in rows(of(further, "leaving") / "targets.parquet") if r["k"] == k] for k in (1, 2)
    )
    for before, after in zip(first, second, strict=True):
        gap = abs(before["ppl_edited"] - before["ppl_target"])
        if gap <= 1 and before["ppl_edited"] <= 2:
            assert after["steps"] == 0 and after["ppl_target"] == before["ppl_target"]
        else:
            assert after["steps"] > 0


@pytest.mark.parametrize(("method", "regularise"), [("prune", prune), ("rect", rect)])
@pytest.mark.parametrize("k", [1, 2])
def test_what_is_regularised_is_the_whole_update_of_the_unedited_weights(
    further: Experiment, method: str, regularise: Any, k: int
) -> None:
    updates = load_file(of(further, "memit") / f"weights/k{k}.safetensors")
    found = load_file(of(further, method) / f"weights/k{k}.safetensors")
    unedited = load_file(further.path("models/tiny/model.safetensors"))
    for name, update in updates.items():
        expected = regularise(update, unedited[name])
        assert torch.allclose(found[name].double(), expected, atol=1e-6), name
    one, other = (rows(of(further, name) / "iterations.parquet")[k - 1] for name in ("memit", method))
    assert one["ppl_target"] == other["ppl_target"]
    if method == "rect":
        assert one["ppl_edited"] != other["ppl_edited"]
    course = [row["ppl_edited"] for row in rows(of(further, method) / "iterations.parquet")]
    before = course[k - 2] if k > 1 else other["ppl_initial"]  # theta_1 is the same, later ones are its own
    assert other["delta_p2"] == pytest.approx(abs(other["ppl_edited"] - before), rel=1e-4)


def test_a_table_says_what_was_edited_in_batches_and_the_figure_is_drawn(further: Experiment) -> None:
    table = further.path("tables/table6.md").read_text()
    assert "in batches of 5" in table and "leaving: from k = 2 on, edits whose gap is closed" in table
    assert further.path("figures/retention.pdf").stat().st_size > 5000
    assert provenance(of(further, "in_batches") / "targets.parquet")["batch"] == 5


def test_all_of_it_is_known_to_make_verify(further: Experiment) -> None:
    overlay = further.folder.with_name(f"{further.folder.name}.yaml")
    command = [
        sys.executable,
        further.house / "scripts/verify_results.py",
        further.house / "config.yaml",
        overlay,
    ]
    environment = os.environ | {"PYTHONPATH": str(further.house / "scripts")}
    done = subprocess.run(command, cwd=further.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "nothing is bad" in done.stdout, done.stderr
    assert "belongs to no result" not in done.stdout


@pytest.mark.parametrize("method", ["alphaedit", "blue", "encore", "spread_only", "leaving", "in_batches"])
def test_each_edits_by_hand_as_in_its_job(method: str, further: Experiment, tmp_path: Path) -> None:
    moments = str(further.path("moments/tiny/lines"))
    more = ["--iterations", "2", "--moments", moments]
    assert main(hand_edit(further, f"tiny/facts/{method}/trial1", tmp_path, *more)) in (0, NOT_HELD)
    edited = load_file(tmp_path / "edited/model.safetensors")
    k = json.loads((tmp_path / "edited/revision.json").read_text())["edited"]["k"]
    unedited = load_file(further.path("models/tiny/model.safetensors"))
    updates = load_file(of(further, method) / f"weights/k{k}.safetensors")
    assert all(torch.equal(edited[name], unedited[name] + update) for name, update in updates.items())


def test_a_method_that_edits_nothing_itself_is_refused_by_hand(
    further: Experiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(hand_edit(further, "tiny/facts/rect/trial1", tmp_path)) == 1
    assert "--algorithm: rect regularises" in capsys.readouterr().err
