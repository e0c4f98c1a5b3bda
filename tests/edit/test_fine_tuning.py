"""Fine-tuning rows: against the oracle in fp64, resumed after an epoch, and what they refuse."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from naive import naive_edit, naive_fine_tuning
from tiny import tiny_model
from variants import TEMPLATES, edits_of

from reedit.edit import fine_tuning
from reedit.edit.editor import Editor
from reedit.edit.fine_tuning import order
from reedit.edit.iteration import iterate
from reedit.edit.journal import Iteration, Journal
from reedit.edit.workers import Workers
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe
from reedit.models.generation import ending_tokens
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact
from reedit.storage.checkpoint import Checkpoint

Widen = Callable[[LanguageModel], LanguageModel]
SETTINGS = {"layers": [1, 2], "lr": 0.02, "num_steps": 4, "batch_size": 2}


def run(
    model: LanguageModel, facts: list[Fact], algorithm: str, folder: Path, **more: Any
) -> list[Iteration]:
    recipe = Recipe(ALGORITHMS[algorithm], SETTINGS | more.pop("settings", {}), **more)
    return iterate(Editor(model, recipe, workers=Workers(Journal(folder, "f"))), edits_of(model, facts))


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize(
    ("algorithm", "more"),
    [
        ("ft_m", {}),
        ("ft_m", {"norm_constraint": 0.01, "batch_size": 5}),
        ("ft_m", {"weight_decay": 0.1, "layers": [0]}),
        ("locft_bf", {"layers": [3]}),
        ("locft_bf", {"num_steps": 40, "lr": 0.03}),  # which learns all before the last epoch
    ],
)
def test_the_weights_are_those_of_the_oracle(
    architecture: str,
    algorithm: str,
    more: dict[str, Any],
    tiny_dataset: list[Fact],
    in_fp64: Widen,
    tmp_path: Path,
) -> None:
    model, facts = in_fp64(tiny_model(architecture)), tiny_dataset[:5]
    settings, kind = SETTINGS | more, ALGORITHMS[algorithm]
    plain = [naive_edit(model.tokenizer, fact, TEMPLATES, [], False, "corrected") for fact in facts]
    recipe = Recipe(kind, settings)
    step = recipe.steps(1, len(facts))[0]
    orders = [order(step, epoch, recipe) for epoch in range(settings["num_steps"])]
    end = ending_tokens(model)[0] if kind.ends else None
    expected = naive_fine_tuning(model.model, plain, settings, orders, end)
    (done,) = run(model, facts, algorithm, tmp_path, settings=more)
    for layer, update in expected.items():
        found = model.cumulative_update(layer)
        assert float((found - update).norm() / update.norm()) < 1e-5
    assert done.row["ppl_target"] is None and done.row["seconds_optimization"] is None
    assert done.row["ppl_edited"] < done.row["ppl_initial"]


def test_every_epoch_is_shuffled_anew_and_always_alike() -> None:
    recipe = Recipe(ALGORITHMS["locft_bf"], SETTINGS)
    step = recipe.steps(1, 30)[0]
    orders = [list(order(step, epoch, recipe)) for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1] and sorted(orders[0]) == list(range(30))
    assert list(order(step, 0, replace(recipe, seed=1))) != orders[0]
    assert list(order(step, 5, Recipe(ALGORITHMS["ft_m"], SETTINGS))) == list(range(30))


@pytest.mark.parametrize("batch", [None, 2])
def test_a_job_that_was_cut_off_goes_on_after_its_last_epoch(
    batch: int | None, tiny_dataset: list[Fact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, models = tiny_dataset[:5], [tiny_model("llama", dtype=torch.float32) for _ in range(3)]
    monkeypatch.setattr(fine_tuning, "Checkpoint", partial(Checkpoint, every=0.0))
    whole = run(models[0], facts, "locft_bf", tmp_path / "whole", batch=batch)
    once, made = fine_tuning.FineTuning.run_epoch, []

    def until(last: int, tuning: fine_tuning.FineTuning, rows: list[int]) -> float:
        if len(made) == last:
            raise KeyboardInterrupt
        made.append(tuning.epoch)
        return once(tuning, rows)

    monkeypatch.setattr(fine_tuning.FineTuning, "run_epoch", lambda tuning, rows: until(3, tuning, rows))
    with pytest.raises(KeyboardInterrupt):
        run(models[1], facts, "locft_bf", tmp_path / "cut", batch=batch)
    assert list((tmp_path / "cut").rglob("tuning.safetensors"))
    monkeypatch.setattr(fine_tuning.FineTuning, "run_epoch", lambda tuning, rows: until(-1, tuning, rows))
    resumed = run(models[2], facts, "locft_bf", tmp_path / "cut", batch=batch)
    assert made == [0, 1, 2, 3] * (1 if batch is None else 3), "no epoch is made twice"
    assert not list((tmp_path / "cut").rglob("tuning.safetensors"))
    assert resumed[0].targets == whole[0].targets
    for layer in SETTINGS["layers"]:
        assert torch.equal(models[2].weight(layer), models[0].weight(layer))


def test_it_goes_on_where_memory_is_short(
    tiny_dataset: list[Fact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, models = tiny_dataset[:4], [tiny_model("llama", dtype=torch.float32) for _ in range(2)]
    run(models[0], facts, "ft_m", tmp_path / "whole", settings={"batch_size": 4})
    whole = fine_tuning.FineTuning._loss

    def short(tuning: fine_tuning.FineTuning, rows: list[int]) -> torch.Tensor:
        if len(rows) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(tuning, rows)

    monkeypatch.setattr(fine_tuning.FineTuning, "_loss", short)
    run(models[1], facts, "ft_m", tmp_path / "parts", settings={"batch_size": 4})
    for layer in SETTINGS["layers"]:
        updates = [model.cumulative_update(layer) for model in models]
        # Adam's first steps are of one size, whatever the gradient's: where that is nearly zero they differ
        assert torch.allclose(*updates, atol=2e-4) and updates[0].any()


def test_an_infinite_loss_ends_it_and_changes_nothing(
    tiny_dataset: list[Fact],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    passed, batches = fine_tuning.FineTuning._passed, []

    def overflown(self: Any, rows: list[int]) -> Any:
        batches.append(rows)
        loss, gradients = passed(self, rows)
        return loss * float("inf"), {layer: gradient * float("nan") for layer, gradient in gradients.items()}

    monkeypatch.setattr(fine_tuning.FineTuning, "_passed", overflown)
    model = tiny_model("llama")
    run(model, tiny_dataset[:4], "ft_m", tmp_path)
    assert len(batches) == 2, "one epoch of four rows"
    assert not any(model.cumulative_update(layer).any() for layer in SETTINGS["layers"])
    assert "a loss that is no number" in caplog.text
