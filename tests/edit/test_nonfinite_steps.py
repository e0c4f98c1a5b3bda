"""Steps whose numbers are not finite: told and gone on without, or refused, whatever takes them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import tiny_model
from variants import Moments, edits_of, factors_of, plan

from reedit.edit.editor import Editor
from reedit.edit.iteration import iterate
from reedit.edit.journal import Iteration, Journal
from reedit.edit.workers import Workers
from reedit.errors import InputError
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.hyperparameters import reads_moments
from reedit.methods.recipe import Recipe
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact

TUNED = {"layers": [1, 2], "lr": 0.02, "num_steps": 3, "batch_size": 2}
RECIPES = {
    "nse": plan(1, variant="nse in batches"),
    "betaedit": plan(1, variant="betaedit in batches"),
    "simie": replace(plan(1, variant="memit in batches"), ideal_editor=0.05),
    "ft_m": Recipe(ALGORITHMS["ft_m"], TUNED, batch=2),
    "ultraedit": Recipe(ALGORITHMS["ultraedit"], {"layers": [1, 3], "lr": 0.01}, batch=2),
}


def run(
    recipe: Recipe, facts: list[Fact], moments_of: Moments, folder: Path
) -> tuple[list[Iteration], LanguageModel]:
    """A job on a model that says no numbers from its third layer on."""
    model, factors = tiny_model("llama", dtype=torch.float32), {}
    edits = edits_of(model, facts)
    if reads_moments(recipe.algorithm, recipe.hyperparameters):
        factors = factors_of(moments_of(model, recipe.layers), recipe)
    model.model.get_submodule("model.layers.2.input_layernorm").weight.data.fill_(float("nan"))
    return iterate(Editor(model, recipe, factors, workers=Workers(Journal(folder, "f"))), edits), model


@pytest.mark.parametrize("name", RECIPES)
def test_a_collapsed_model_is_left_as_it_is_and_a_line_says_so(
    name: str,
    tiny_dataset: list[Fact],
    moments_of: Moments,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("WARNING", logger="reedit")
    (done,), model = run(RECIPES[name], tiny_dataset[:3], moments_of, tmp_path)
    for layer in RECIPES[name].layers:
        assert not model.cumulative_update(layer).any()
    assert done.row["ppl_edited"] == float("inf")
    told = [record.getMessage() for record in caplog.records]
    assert [line for line in told if "collapsed: the perplexity" not in line], "beside the perplexities' line"


@pytest.mark.parametrize("name", RECIPES)
def test_or_it_is_refused(name: str, tiny_dataset: list[Fact], moments_of: Moments, tmp_path: Path) -> None:
    recipe = replace(RECIPES[name], nonfinite="stop")
    with pytest.raises(InputError, match="nonfinite: drop would") as caught:
        run(recipe, tiny_dataset[:3], moments_of, tmp_path)
    assert "\\n" not in str(caught.value)
