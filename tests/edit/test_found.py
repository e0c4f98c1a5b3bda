"""What OPTIMIZATION found: parts of it joined, and cases whose numbers are not finite."""

import math
from dataclasses import replace

import pytest
import torch
from tiny import tiny_model
from variants import VARIANTS, edits_of, plan

from reedit.edit.editor import Editor
from reedit.edit.edits import Edit
from reedit.edit.found import Found, joined
from reedit.edit.iteration import one_iteration, ours
from reedit.edit.spread import spread
from reedit.edit.spread.spread import split_by_edit
from reedit.edit.states import rewriting_rows, states_at_subject
from reedit.errors import InputError
from reedit.methods.recipe import Recipe
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact


def test_parts_are_joined_in_the_order_of_the_edits_each_once() -> None:
    def part(*values: float) -> Found:
        column = torch.tensor(values)[:, None, None]
        return Found(("mlp",), column, -column, [int(v) for v in values], list(values), list(values))

    found = joined([([2, 0], part(2, 0)), ([1], part(1)), ([0, 2], part(0, 2))])
    assert found.steps == [0, 1, 2] and found.hidden.flatten().tolist() == [0, 1, 2]
    assert found.target("mlp").flatten().tolist() == [0, 0, 0]


# -- numbers that are not finite ----------------------------------------------------------------------------


def poisoned(edits: list[Edit], model: LanguageModel, token: int) -> list[Edit]:
    """Edits of which the last alone reads `token`, which is embedded as no number."""
    model.model.get_input_embeddings().register_forward_hook(
        lambda _, ids, states: states.masked_fill((ids[0] == token)[..., None], torch.nan)
    )
    *others, last = edits
    assert not any(token in w.row.ids for edit in others for w in edit.labelled)
    rows = tuple(
        replace(w, row=replace(w.row, ids=(token, *w.row.ids), position=w.row.position + 1))
        for w in last.rewriting
    )
    return [*others, replace(last, rewriting=rows)]


@pytest.mark.parametrize("variant", ["memit", "pmet", "rome"])
def test_a_case_of_no_numbers_is_named_and_leaves_the_others_as_they_are_alone(
    variant: str, tiny_dataset: list[Fact], caplog: pytest.LogCaptureFixture
) -> None:
    model = tiny_model("llama", dtype=torch.float32)
    edits = edits_of(model, tiny_dataset[:4])
    token = max(set(range(len(model.tokenizer))) - {i for e in edits for w in e.labelled for i in w.row.ids})
    edits = poisoned(edits, model, token)
    factors = factors_of_identity(model, VARIANTS[variant][1]["layers"])
    wanted = plan(1, variant=variant)
    _, alone = iterated_once(model, edits[:-1], factors, wanted)
    found, updates = iterated_once(model, edits, factors, wanted)
    for layer, update in alone.items():
        assert torch.allclose(updates[layer], update, rtol=1e-4, atol=1e-6)
    assert f"numbers that are not finite in 1 of 4 cases: {edits[-1].case_id}" in caplog.text
    assert list(found.lost) == [3] and math.isinf(found.ppl_target[3])
    stop = replace(plan(1, variant=variant), nonfinite="stop")
    with pytest.raises(InputError, match=f"k=1 OPTIMIZATION: .* cases: {edits[-1].case_id}; nonfinite: drop"):
        iterated_once(model, edits, factors, stop)


def test_a_key_of_no_numbers_is_found_in_spread_and_its_case_dropped(
    tiny_dataset: list[Fact], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model("llama", dtype=torch.float32)
    edits = edits_of(model, tiny_dataset[:3])
    factors = factors_of_identity(model, VARIANTS["memit"][1]["layers"])
    _, alone = iterated_once(model, [edits[0], edits[2]], factors, plan(1))
    whole = spread.mean_key
    broken = split_by_edit(states_at_subject(model, rewriting_rows(edits), 1, ["key"])["key"].double(), edits)

    def mean_key(own: torch.Tensor) -> torch.Tensor:
        return whole(own) * (torch.nan if torch.equal(own, broken[1]) else 1)

    monkeypatch.setattr(spread, "mean_key", mean_key)
    found, updates = iterated_once(model, edits, factors, plan(1))
    told = f"k=1 SPREAD, layer 1: numbers that are not finite in 1 of 3 cases: {edits[1].case_id}; dropped"
    assert told in caplog.text and list(found.lost) == [1]
    for layer, update in alone.items():
        assert torch.allclose(updates[layer], update, rtol=1e-4, atol=1e-6)


def test_where_no_case_is_left_nothing_is_written(tiny_dataset: list[Fact]) -> None:
    model = tiny_model("llama", dtype=torch.float32)
    edits = edits_of(model, tiny_dataset[:2])
    model.model.get_input_embeddings().weight.data[:] = torch.inf
    factors = factors_of_identity(model, VARIANTS["memit"][1]["layers"])
    found, updates = iterated_once(model, edits, factors, plan(1))
    assert sorted(found.lost) == [0, 1]
    assert all(not update.any() for update in updates.values())


def iterated_once(
    model: LanguageModel, edits: list[Edit], factors: dict[int, torch.Tensor], recipe: Recipe
) -> tuple[Found, dict[int, torch.Tensor]]:
    """What the first iteration finds and makes of the weights; the model is as before."""
    with model.restored(recipe.layers):
        before = {layer: model.weight(layer) for layer in recipe.layers}
        found = one_iteration(Editor(model, recipe, factors), edits, 1, ours)
        return found, {layer: model.weight(layer) - weight for layer, weight in before.items()}


def factors_of_identity(model: LanguageModel, layers: list[int]) -> dict[int, torch.Tensor]:
    """Factors of C = I."""
    return {layer: torch.eye(model.weight(layer).shape[1], dtype=torch.float64) for layer in layers}
