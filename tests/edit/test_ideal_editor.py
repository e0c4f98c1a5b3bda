"""SimIE: how batches of the unedited weights join, by explicit inverses, and after a job was cut off."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from naive import state
from tiny import tiny_model
from variants import LAYERS, Moments, edits_of, factors_of, plan

from reedit.edit import iteration
from reedit.edit.editor import Editor
from reedit.edit.ideal_editor import every_key, joined_update
from reedit.edit.iteration import iterate, ours
from reedit.edit.journal import Journal
from reedit.edit.workers import Workers
from reedit.methods.recipe import Recipe
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact

STRENGTH = 0.05


def recipe_of(variant: str) -> Recipe:
    return replace(plan(1, variant=variant), batch=2, ideal_editor=STRENGTH)


def editor_of(model: LanguageModel, recipe: Recipe, moments_of: Moments, folder: Path) -> Editor:
    factors = factors_of(moments_of(model, recipe.layers), recipe)
    return Editor(model, recipe, factors, workers=Workers(Journal(folder, "f")))


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_keys_are_those_of_every_token_of_prompt_and_target(
    architecture: str, tiny_dataset: list[Fact]
) -> None:
    model = tiny_model(architecture, dtype=torch.float32)
    edits = edits_of(model, tiny_dataset[:3])
    found = every_key(model, edits, [1, 2])
    expected = {layer: [] for layer in (1, 2)}
    for edit in edits:
        row = edit.rewriting[0].row
        ids = [*row.ids, row.labels[-1]]
        for layer in (1, 2):
            expected[layer] += [state(model.model, layer, ids, place, "key") for place in range(len(ids))]
    for layer, keys in expected.items():
        whole = torch.stack(keys)
        assert found[layer].shape == whole.shape  # in another order, which no sum of k k^T minds
        assert torch.allclose(found[layer].T @ found[layer], whole.T @ whole, atol=1e-4)


@pytest.mark.parametrize("variant", ["memit", "rome"])
def test_batches_join_as_the_formula_says(
    variant: str, tiny_dataset: list[Fact], moments_of: Moments, tmp_path: Path
) -> None:
    model, recipe = tiny_model("llama", dtype=torch.float32), recipe_of(variant)
    facts = tiny_dataset[:4]
    edits = edits_of(model, facts)
    (done,) = iterate(editor_of(model, recipe, moments_of, tmp_path), edits)
    fresh = tiny_model("llama", dtype=torch.float32)
    editor = editor_of(fresh, replace(recipe, ideal_editor=None), moments_of, tmp_path / "alone")
    total = dict.fromkeys(recipe.layers, torch.zeros(()))
    joined = {layer: torch.zeros(fresh.weight(layer).shape, dtype=torch.float64) for layer in recipe.layers}
    for step in editor.workers.begin(recipe.steps(1, len(edits)), recipe):
        some = [edits[place] for place in step.places]
        _, update = ours(editor, some, step)  # always at the unedited weights
        for layer, keys in every_key(fresh, some, recipe.layers).items():
            product = (keys.T @ keys).double()
            total[layer] = total[layer] + product
            inverse = torch.linalg.inv(total[layer] + STRENGTH * torch.eye(len(product)).double())
            joined[layer] += (update.deltas[layer].double() - joined[layer]) @ product @ inverse
    for layer, expected in joined.items():
        found = model.cumulative_update(layer)
        assert float((found - expected).norm() / expected.norm()) < 1e-4
    assert done.row["ppl_edited"] < done.row["ppl_initial"]


def test_one_batch_with_hardly_any_ridge_is_what_it_is_by_itself() -> None:
    change, keys = torch.randn(3, 5), torch.randn(40, 5)
    product = keys.T @ keys
    assert torch.allclose(joined_update(change, product, product, 1e-6).float(), change, atol=1e-4)
    held = joined_update(change, product, product, 1e6)
    assert held.norm() < 1e-3 * change.norm()


def test_a_job_that_was_cut_off_goes_on_with_all_keys(
    tiny_dataset: list[Fact], moments_of: Moments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, models = tiny_dataset[:6], [tiny_model("llama", dtype=torch.float32) for _ in range(3)]
    recipe = recipe_of("memit")

    def run(model: LanguageModel, folder: str) -> list:
        return iterate(editor_of(model, recipe, moments_of, tmp_path / folder), edits_of(model, facts))

    whole, once, made = run(models[0], "whole"), iteration.one_batch, []

    def cut(*given):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(None)
        return once(*given)

    monkeypatch.setattr(iteration, "one_batch", cut)
    with pytest.raises(KeyboardInterrupt):
        run(models[1], "cut")
    monkeypatch.setattr(iteration, "one_batch", once)
    assert run(models[2], "cut")[0].targets == whole[0].targets
    for layer in LAYERS:
        assert torch.equal(models[2].weight(layer), models[0].weight(layer))
