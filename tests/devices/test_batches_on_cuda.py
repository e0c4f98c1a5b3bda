"""Batches on a pretended CUDA device: the CPU's numbers, and a job that was cut off between two of them."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import tiny
import torch
from pretended_cuda import pretended_cuda
from tiers import long_but
from variants import TEMPLATES, factors_of, plan
from whole_path import CORPUS

from reedit.edit import fine_tuning, iteration
from reedit.edit.editor import Editor
from reedit.edit.edits import Rows
from reedit.edit.iteration import iterate
from reedit.edit.journal import Iteration, Journal
from reedit.edit.workers import Workers
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.hyperparameters import reads_moments
from reedit.methods.recipe import Recipe
from reedit.models.language_model import LanguageModel
from reedit.prepare.datasets import load_facts
from reedit.statistics.moments import Reading, collect_moments
from reedit.storage.checkpoint import Checkpoint

TUNED = {"layers": [1, 2], "lr": 0.02, "num_steps": 3, "batch_size": 2}
RECIPES = {
    "memit": plan(1, variant="memit in batches protecting others"),
    "nas": plan(1, variant="memit in batches, NAS"),
    "nse": plan(1, variant="nse in batches"),
    "betaedit": plan(1, variant="betaedit in batches"),
    "rome": plan(1, variant="rome in batches, SPHERE"),
    "simie": replace(plan(1, variant="memit in batches"), ideal_editor=0.05),
    "ft_m": Recipe(ALGORITHMS["ft_m"], TUNED, batch=2),
    "locft_bf": Recipe(ALGORITHMS["locft_bf"], TUNED, batch=2),
    "ultraedit": Recipe(ALGORITHMS["ultraedit"], {"layers": [1, 3], "lr": 0.01, "batch_size": 2}, batch=2),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model and facts."""
    place = tmp_path_factory.mktemp("batches")
    (place / "facts.json").write_text(json.dumps(tiny.tiny_facts()))
    tiny.save_tiny_model(place / "model")
    return place


def run(
    place: Path, recipe: Recipe, state: Path, cut: int | None = None
) -> tuple[list[Iteration] | None, LanguageModel]:
    """A job of five facts in three batches, on the device of the day; interrupted before batch `cut`."""
    model, facts = LanguageModel.load(place / "model"), load_facts(place / "facts.json").facts[:5]
    rows, once, made = Rows(model.wording, recipe.protocol, TEMPLATES), iteration.one_batch, []
    factors = {}
    if reads_moments(recipe.algorithm, recipe.hyperparameters):
        found, _ = collect_moments(model, CORPUS, recipe.layers, Reading(40))
        factors = factors_of({layer: moment.cpu() for layer, moment in found}, recipe)

    def one_batch(*given):
        if len(made) == cut:
            raise KeyboardInterrupt
        made.append(None)
        return once(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(iteration, "one_batch", one_batch)
        patch.setattr(fine_tuning, "Checkpoint", partial(Checkpoint, every=0.0))
        editor = Editor(model, recipe, factors, workers=Workers(Journal(state, "one")))
        try:
            return iterate(editor, [rows.edit(fact) for fact in facts]), model
        except KeyboardInterrupt:
            return None, model


@pytest.mark.parametrize("name", long_but(list(RECIPES), {"memit", "betaedit", "simie"}.__contains__))
def test_a_job_that_was_cut_off_goes_on_with_the_next_batch(name: str, place: Path, tmp_path: Path) -> None:
    recipe = RECIPES[name]
    _, expected = run(place, recipe, tmp_path / "cpu")
    with pretended_cuda():
        whole, found = run(place, recipe, tmp_path / "cuda")
        assert run(place, recipe, tmp_path / "cut", cut=2)[0] is None
        resumed, again = run(place, recipe, tmp_path / "cut")
        for layer in recipe.layers:
            assert torch.equal(again.weight(layer), found.weight(layer))
        updates = found.export_updates(recipe.layers)
    assert whole is not None and resumed is not None and resumed[0].targets == whole[0].targets
    for key, update in expected.export_updates(recipe.layers).items():
        assert (updates[key] - update).norm() <= 2e-3 * update.norm()
