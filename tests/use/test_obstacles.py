"""What stands in the way of an experiment on this machine, and what does not."""

from pathlib import Path
from typing import Any

import pytest
from shipped_experiments import experiment

from reedit.jobs.gpus import Gpu
from reedit.use import obstacles


def found(tmp_path: Path, *overlays: Any) -> str:
    return "\n".join(obstacles.obstacles(experiment(*overlays), tmp_path))


def gpus_of(monkeypatch: pytest.MonkeyPatch, *memory: float) -> None:
    """A machine with so many GPUs, of so many GB each, all to be seen."""
    seen = [Gpu(i, f"GPU-{i}", 0, round(gb * 1e9 / 2**20)) for i, gb in enumerate(memory)]
    monkeypatch.setattr(obstacles, "listed_gpus", lambda: seen)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with room for the default experiment, and with nothing else."""
    gpus_of(monkeypatch)
    monkeypatch.setattr("shutil.disk_usage", lambda place: type("Usage", (), {"free": 100e9}))
    monkeypatch.delenv("HF_TOKEN", raising=False)


@pytest.mark.parametrize("overlays", [(), ("counterfact-cpu",), ("methods",)])
def test_nothing_stands_in_the_way_of_what_a_laptop_can_do(tmp_path: Path, overlays: tuple) -> None:
    assert found(tmp_path, *overlays) == ""


def test_all_that_the_paper_asks_for_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = found(tmp_path, "paper")
    assert "no NVIDIA GPU, and without one the jobs take some" in told and " days; on one" in told
    assert "of disk are needed" in told and "HF_TOKEN is not set" in told
    gpus_of(monkeypatch, 25.0, 25.0)
    monkeypatch.setenv("HF_TOKEN", "secret")
    told = found(tmp_path, "paper")
    assert "The largest GPU here has 25 GB" in told and "HF_TOKEN" not in told and "secret" not in told
    gpus_of(monkeypatch, 25.0, 80.0)
    assert "GPU" not in found(tmp_path, "paper")


def test_without_a_shape_the_rest_is_told(tmp_path: Path) -> None:
    run = {"model": "mine", "dataset": "theirs", "methods": ["memit"], "corpus": "wikipedia-sample"}
    memit = experiment().config["hyperparameters"]["memit"]["smollm2-135m"]
    mine = {
        "sources": {
            "mine": {"kind": "hub", "repo": "a/mine", "revision": "0" * 40},
            "theirs": {"kind": "url", "url": "https://example.org/facts.json", "sha256": "0" * 64},
        },
        "datasets": {"theirs": {"format": "counterfact", "source": "theirs", "cases": 554}},
        "models": {"mine": {"source": "mine", "dtype": "float32", "prefixes": {"count": 5}}},
        "hyperparameters": {"memit": {"mine": memit}},
        "runs": [run | {"edits": 600, "iterations": 1}],
    }
    told = obstacles.obstacles_of_any_size(experiment(mine))
    assert told == [
        "runs[0] asks for 1 x 600 edits of theirs, which has 554 cases.",
        "HF_TOKEN is not set: of a/mine those that are gated cannot be fetched.",
    ]
