"""What is measured in a state is kept by all that was read for it, and measured again where that is new."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from tiny import save_tiny_model

from reedit.edit.kept_weights import KeptStates, State
from reedit.evaluate.kept_rows import KeptRows
from reedit.jobs.forced import FORCED
from reedit.models.language_model import LanguageModel
from reedit.storage import parquet

TEXTS = ["The old town of Halden", "Dr. Nadia"]
MADE_BY = {"dtype": "float32", "code": "one", "packages": {"torch": "2"}, "trial": 1, "layers": [1]}


class Measuring:
    """A job of the rule check_collapse on runs of a tiny model."""

    def __init__(self, folder: Path) -> None:
        save_tiny_model(folder / "model")
        self.kept = KeptRows(folder / "kept", folder / "model", MADE_BY, "check_collapse")
        self.folder, self.texts = folder, TEXTS
        self.dies_at: int | None = None

    def edited(self, run: str, *states: State, seed: float = 1.0) -> Path:
        """The weights of a run in these states: each of them other ones, and of two runs others by `seed`."""
        model = LanguageModel.load(self.folder / "model", device="cpu")
        weights = self.folder / run
        weights.mkdir(exist_ok=True)
        for state in states:
            update = model.weight(1).clone().fill_(seed * (state.k + (state.after or 0) / 10))
            model.set_cumulative_update(1, update)
            save_file(model.export_updates([1]), weights / state.file)
        return weights

    def measured(self, weights: Path) -> tuple[list[dict[str, Any]], list[int]]:
        """The rows of all states of a run, and the k that was measured for each state that was not there."""
        states = KeptStates(LanguageModel.load(self.folder / "model", device="cpu"), weights, [1])
        ks: list[int] = []

        def measure(texts: list[str], k: int) -> list[dict[str, Any]]:
            if k == self.dies_at:
                raise KeyboardInterrupt
            ks.append(k)
            size = float(states.model.cumulative_update(1).norm())
            return [
                {"k": k, "text": t, "ppl_released": size, "ppl": float("inf"), "after": None} for t in texts
            ]

        output = self.folder / "collapse.parquet"
        self.kept.write(output, "collapse", states, lambda at: self.texts, measure)
        return parquet.read(output, "collapse"), ks


@pytest.fixture
def job(tmp_path: Path) -> Measuring:
    return Measuring(tmp_path)


def test_the_rows_are_those_of_a_job_that_measures_all(job: Measuring) -> None:
    weights = job.edited("memit", State(1), State(1, 4), State(2))
    rows, ks = job.measured(weights)
    assert ks == [0, 1, 1, 2]
    assert [(row["k"], row["after"]) for row in rows[:: len(TEXTS)]] == [
        (0, None),
        (1, 4),
        (1, None),
        (2, None),
    ]
    assert len({row["ppl_released"] for row in rows}) == 4, "every state has its own weights"
    assert job.measured(weights) == (rows, [])


def test_more_states_and_other_runs_measure_what_is_new(job: Measuring) -> None:
    weights = job.edited("memit", State(1))
    job.measured(weights)
    job.edited("memit", State(2))
    assert job.measured(weights)[1] == [2]
    assert job.measured(job.edited("pmet", State(1), seed=2.0))[1] == [1], "the unedited model is the same"


def test_a_job_that_was_killed_goes_on(job: Measuring) -> None:
    weights = job.edited("memit", State(1), State(2))
    expected, _ = job.measured(weights)
    shutil.rmtree(job.kept.folder)
    job.dies_at = 2
    with pytest.raises(KeyboardInterrupt):
        job.measured(weights)
    job.dies_at = None
    assert job.measured(weights) == (expected, [2])


def code(job: Measuring) -> None:
    job.kept = replace(job.kept, made_by=MADE_BY | {"code": "two"})


def model(job: Measuring) -> None:
    save_tiny_model(job.folder / "model", seed=1)


def texts(job: Measuring) -> None:
    job.texts = [*TEXTS, "Halden Foods"]


def weights(job: Measuring) -> None:
    job.edited("memit", State(1), State(2), seed=3.0)


@pytest.mark.parametrize(
    ("change", "again"), [(code, [0, 1, 2]), (model, [0, 1, 2]), (texts, [0, 1, 2]), (weights, [1, 2])]
)
def test_what_is_read_anew_is_measured_anew(
    job: Measuring, change: Callable[[Measuring], None], again: list[int]
) -> None:
    made = job.edited("memit", State(1), State(2))
    job.measured(made)
    change(job)
    assert job.measured(made)[1] == again


def test_another_trial_reads_the_same_of_an_unedited_model(job: Measuring) -> None:
    made = job.edited("memit", State(1))
    job.measured(made)
    job.kept = replace(job.kept, made_by=MADE_BY | {"trial": 2, "layers": [1, 2]})
    assert job.measured(made)[1] == []


@pytest.mark.parametrize("place", [0.02, 0.5, 0.999])
def test_what_was_damaged_is_measured_again(job: Measuring, place: float) -> None:
    made = job.edited("memit", State(1))
    rows, _ = job.measured(made)
    for path in job.kept.folder.iterdir():
        content = bytearray(path.read_bytes())
        content[int(place * len(content))] ^= 0xFF
        path.write_bytes(content)
    assert job.measured(made)[0] == rows


def test_what_is_forced_is_measured_again(job: Measuring, monkeypatch: pytest.MonkeyPatch) -> None:
    made = job.edited("memit", State(1))
    job.measured(made)
    monkeypatch.setenv(FORCED, "score_edits")
    assert job.measured(made)[1] == []
    monkeypatch.setenv(FORCED, "check_collapse")
    assert job.measured(made)[1] == [0, 1]
