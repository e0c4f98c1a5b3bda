"""NSE: rounds of SPREAD end when all are near, and write to the neurons that are active alone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from variants import LAYERS, Moments, edits_of, factors_of, plan

from reedit.edit.editor import Editor
from reedit.edit.iteration import iterate
from reedit.edit.journal import Journal
from reedit.edit.spread import rounds
from reedit.edit.spread.solve import Preserved, layer_update, update_of_few
from reedit.edit.workers import Workers
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact


def test_an_update_of_few_neurons_is_that_of_a_model_that_has_no_others() -> None:
    draw = torch.Generator().manual_seed(0)
    keys, residual = (torch.randn(3, n, generator=draw, dtype=torch.float64) for n in (6, 4))
    keys[:, [1, 4]] *= 20
    root = torch.randn(6, 6, generator=draw, dtype=torch.float64)
    moment = root @ root.T + torch.eye(6, dtype=torch.float64)
    stay = torch.randn(2, 6, generator=draw, dtype=torch.float64)
    preserved = Preserved("moments", torch.linalg.cholesky(moment), 3.0, stay, products=stay.T @ stay)
    active = keys.abs().sum(0)
    found = update_of_few(keys, residual, preserved, float(active[[1, 4]].sum() / active.sum()) + 1e-9)
    few = [1, 4]
    part = Preserved(
        *("moments", torch.linalg.cholesky(moment[few][:, few]), 3.0, stay[:, few]),
        products=(stay.T @ stay)[few][:, few],
    )
    assert torch.allclose(found[:, few], layer_update(keys[:, few], residual, part))
    assert not found[:, [0, 2, 3, 5]].any()
    most = update_of_few(keys, residual, preserved, 1e-6)
    assert (most != 0).any(0).sum() == 1, "at least one neuron"


@pytest.mark.parametrize(
    ("changes", "made"),
    [({"alpha": 100.0}, 1), ({"upper_bound": 0.1}, 1), ({"max_iterations": 4, "alpha": 0.0}, 3)],
)
def test_rounds_are_of_what_is_far_and_no_more_than_asked(
    changes: dict[str, float],
    made: int,
    llama: LanguageModel,
    tiny_dataset: list[Fact],
    moments_of: Moments,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    once, asked = rounds.residual_norms, []

    def residual_norms(*given) -> Tensor:
        asked.append(once(*given))
        return asked[-1]

    monkeypatch.setattr(rounds, "residual_norms", residual_norms)
    recipe = plan(1, variant="nse")
    recipe = replace(recipe, hyperparameters=recipe.hyperparameters | changes)
    factors, journal = factors_of(moments_of(llama, LAYERS), recipe), Journal(tmp_path, "f")
    editor = Editor(llama, recipe, factors, workers=Workers(journal))
    with llama.restored(LAYERS):
        iterate(editor, edits_of(llama, tiny_dataset[:3]))
        assert any(llama.cumulative_update(layer).any() for layer in LAYERS) == (made > 1)
    assert len(asked) == made
    if made > 1:
        assert asked[-1].median() < asked[0].median() / 5
