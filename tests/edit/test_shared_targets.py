"""Targets at the unedited weights: found by one job, used by all that would find the same."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_journal import TWO, same, stopping_after
from tiny import tiny_model
from variants import VARIANTS, Moments, edits_of, factors_of, plan

from reedit.edit.editor import Editor
from reedit.edit.found import Found
from reedit.edit.iteration import iterate
from reedit.edit.journal import Journal, Unedited
from reedit.edit.optimization import optimize as optimization
from reedit.edit.workers import Workers
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe, Step
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact

SETTINGS = VARIANTS["memit"][1]


@pytest.fixture(scope="module")
def llama() -> LanguageModel:
    return tiny_model("llama", dtype=torch.float32)


class Jobs:
    """Jobs of one workflow, each with a state of its own; how many edits each one optimised."""

    def __init__(self, model: LanguageModel, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.model, self.folder, self.patch = model, folder, monkeypatch

    def workers(self, name: str, theta: str = "theta") -> Workers:
        unedited = Unedited(self.folder / "targets", theta, name)
        return Workers(Journal(self.folder / name, f"{name} {theta}", unedited))

    def find(
        self,
        name: str,
        facts: list[Fact],
        algorithm: str = "memit",
        changes: Mapping[str, Any] | None = None,
        theta: str = "theta",
        stop: int = 99,
    ) -> tuple[Found, int]:
        recipe = Recipe(ALGORITHMS[algorithm], SETTINGS | dict(changes or {}))
        edits, workers = edits_of(self.model, facts), self.workers(name, theta)
        editor = Editor(self.model, recipe, workers=workers)
        with self.patch.context() as patch:
            sizes = stopping_after(stop, optimization, "descend", patch)
            (step,) = workers.begin([Step(1, 0, 0, tuple(range(len(edits))), recipe.layers, "k=1")], recipe)
            found = optimization.optimize(editor, edits, step, TWO)
        return found, sum(sizes)


@pytest.fixture
def jobs(llama: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    return Jobs(llama, tmp_path, monkeypatch)


@pytest.mark.parametrize("algorithm", ["emmet", "alphaedit", "memit"])
def test_another_method_with_the_same_loss_makes_no_pass(
    algorithm: str, jobs: Jobs, tiny_dataset: list[Fact], caplog: pytest.LogCaptureFixture
) -> None:
    first, made = jobs.find("first", tiny_dataset[:4])
    assert made == 4
    caplog.set_level("INFO", "reedit")
    other, made = jobs.find("other", tiny_dataset[:4], algorithm, {"mom2_update_weight": 9, "L2": 1})
    assert made == 0 and same(first, other)
    assert "k=1: the targets of 4 edits were found for first" in caplog.text


CHANGES = {
    "v_lr": 0.4,
    "v_num_grad_steps": 4,
    "clamp_norm_factor": 0.5,
    "v_weight_decay": 0.1,
    "kl_factor": 0.1,
    "step_length": 0.2,
    "layers": [1, 2],
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_optimization_reads_tells_targets_apart(name: str, jobs: Jobs, tiny_dataset: list[Fact]) -> None:
    jobs.find("first", tiny_dataset[:2])
    assert jobs.find("other", tiny_dataset[:2], changes={name: CHANGES[name]})[1] == 2


def test_other_cases_models_and_losses_are_told_apart(jobs: Jobs, tiny_dataset: list[Fact]) -> None:
    jobs.find("first", tiny_dataset[:2])
    assert jobs.find("other", tiny_dataset[1:3])[1] == 2
    assert jobs.find("other", tiny_dataset[1::-1])[1] == 2
    assert jobs.find("other", tiny_dataset[:2], theta="another")[1] == 2
    for algorithm in ("pmet", "encore"):  # another loss, another stop
        assert jobs.find("other", tiny_dataset[:2], algorithm)[1] == 2
    changed = [replace(tiny_dataset[0], target_new=tiny_dataset[0].target_true), tiny_dataset[1]]
    assert jobs.find("other", changed)[1] == 2


def test_a_damaged_file_is_made_anew(
    jobs: Jobs, tiny_dataset: list[Fact], caplog: pytest.LogCaptureFixture
) -> None:
    first, _ = jobs.find("first", tiny_dataset[:4])
    one, _ = sorted(jobs.folder.glob("targets/*/*.safetensors"))
    one.write_bytes(one.read_bytes()[:-9])
    again, made = jobs.find("other", tiny_dataset[:4])
    assert made == 2 and same(first, again) and "optimised again" in caplog.text
    assert jobs.find("third", tiny_dataset[:4])[1] == 0


def test_an_interrupted_job_leaves_what_it_found_to_others(jobs: Jobs, tiny_dataset: list[Fact]) -> None:
    with pytest.raises(KeyboardInterrupt):
        jobs.find("first", tiny_dataset[:5], stop=1)
    _, made = jobs.find("other", tiny_dataset[:5])
    assert made == 3
    assert jobs.find("first", tiny_dataset[:5])[1] == 0


def test_a_job_that_has_ended_has_its_own_again(jobs: Jobs, tiny_dataset: list[Fact]) -> None:
    first, _ = jobs.find("first", tiny_dataset[:4])
    jobs.workers("first").journal.discard()  # as at its end
    again, made = jobs.find("first", tiny_dataset[:4])
    assert made == 0 and same(first, again)


def test_a_run_with_shared_targets_is_the_run_by_itself(
    jobs: Jobs, llama: LanguageModel, tiny_dataset: list[Fact], tmp_path: Path, moments_of: Moments
) -> None:
    """Also in its rows, whose seconds are what it took to find the targets."""
    recipe, facts = plan(2, variant="emmet"), tiny_dataset[:3]
    factors = factors_of(moments_of(llama, recipe.layers))
    sharing = replace(plan(1), hyperparameters=recipe.hyperparameters)

    def run(workers: Workers, recipe: Recipe) -> tuple[list[Any], dict[int, torch.Tensor]]:
        with llama.restored(recipe.layers):
            done = iterate(Editor(llama, recipe, factors, workers=workers), edits_of(llama, facts))
            return done, {layer: llama.weight(layer).clone() for layer in recipe.layers}

    alone, weights = run(Workers(Journal(tmp_path / "alone", "f")), recipe)
    run(jobs.workers("memit"), sharing)
    beside, same_weights = run(jobs.workers("emmet"), recipe)
    assert [one.targets for one in beside] == [one.targets for one in alone]
    assert all(torch.equal(weights[layer], same_weights[layer]) for layer in recipe.layers)
    row = beside[0].row
    saved = sorted(jobs.folder.glob("targets/*/*.safetensors"))
    assert len(saved) == 1 and row["seconds_optimization"] > 0
    assert row["seconds_total"] > row["seconds_optimization"]
