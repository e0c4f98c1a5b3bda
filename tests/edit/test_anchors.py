"""NAS: values at the length that the unedited model's have, number by number."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from variants import LAYERS, Moments, edits_of, factors_of, plan

from reedit.edit.editor import Editor
from reedit.edit.iteration import iterate
from reedit.edit.journal import Journal
from reedit.edit.optimization.anchors import at_length, mean_length
from reedit.edit.states import bare_rows, states_at_subject
from reedit.edit.workers import Workers
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact


def test_a_value_gets_the_anchors_length_and_keeps_its_direction() -> None:
    values = torch.tensor([[3.0, 0.0], [0.0, 1.0], [6.0, 8.0]])
    delta = torch.tensor([[0.0, 4.0], [0.0, -3.0], [6.0, 8.0]])  # v*: (3, 4), (0, -2), (12, 16)
    found = values + at_length(values, delta, 10.0)
    assert torch.allclose(found, torch.tensor([[6.0, 8.0], [0.0, -10.0], [6.0, 8.0]]))


def test_a_value_beyond_the_limit_is_not_written() -> None:
    values, delta = torch.tensor([[3.0, 0.0], [3.0, 0.0]]), torch.tensor([[7.0, 0.0], [7.1, 0.0]])
    found = at_length(values, delta, 4.0, limit=2.5)
    assert found[0].tolist() == [1.0, 0.0] and not found[1].any()


def test_the_longest_twentieth_does_not_count() -> None:
    lengths = torch.tensor([*range(1, 20), 1e9])
    assert float(mean_length(torch.outer(lengths, torch.tensor([0.6, 0.8])))) == pytest.approx(10.0)
    assert float(mean_length(torch.tensor([[3.0, 4.0], [0.0, 7.0]]))) == pytest.approx(6.0), "of few all do"


def values_of(model: LanguageModel, facts: list[Fact]) -> Tensor:
    """What the MLP says of every fact at the last edited layer, [m, d]."""
    return states_at_subject(model, bare_rows(edits_of(model, facts)), LAYERS[-1], ["mlp"])["mlp"]


def test_later_batches_and_iterations_write_at_the_first_batchs_length(
    llama: LanguageModel, tiny_dataset: list[Fact], moments_of: Moments, tmp_path: Path
) -> None:
    facts = tiny_dataset[:4]
    before, lengths = values_of(llama, facts), {}
    for name in ("memit in batches", "memit in batches, NAS"):
        recipe = plan(2, variant=name)
        factors = factors_of(moments_of(llama, LAYERS), recipe)
        journal = Journal(tmp_path / name, "f")
        editor = Editor(llama, recipe, factors, workers=Workers(journal))
        with llama.restored(LAYERS):
            done = iterate(editor, edits_of(llama, facts))
        norms = [row["delta_norm"] for row in done[0].targets]
        lengths[name] = norms, journal.memory(2).running
    plain, anchored = lengths.values()
    assert not plain[1] and list(anchored[1]) == [f"anchor.{LAYERS[-1]}"]
    anchor = float(anchored[1][f"anchor.{LAYERS[-1]}"])
    # of the first batch, whose values are those of the unedited model
    for place in (0, 1):
        delta = anchored[0][place]
        assert abs(anchor - float(before[place].norm())) <= delta + 1e-6
    assert plain[0] != anchored[0]
