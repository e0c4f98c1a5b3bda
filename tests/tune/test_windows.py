"""Which layers are compared: gradients as differences say, windows apart from each other."""

from itertools import pairwise

import pytest
import torch
from tiers import long_but
from tiny import LAYERS, tiny_model
from torch.nn.functional import cross_entropy
from variants import edits_of

from reedit.models.language_model import LanguageModel
from reedit.models.tokens import LabelledRow
from reedit.prepare.facts import Fact
from reedit.tune.layers import by_gradient, by_tracing, candidates, windows


@pytest.mark.parametrize("architecture", long_but(["gpt2", "llama"], "gpt2".__eq__))
def test_gradients_are_what_small_changes_make_of_the_loss(architecture, tiny_dataset, in_fp64) -> None:
    model, facts = in_fp64(tiny_model(architecture)), tiny_dataset[:1]
    edits = edits_of(model, facts)
    expected = [
        sum(_slope(model, layer, edit.rewriting[0].row) for edit in edits) / len(edits)
        for layer in range(LAYERS)
    ]
    assert by_gradient(model, edits) == pytest.approx(expected, rel=1e-4)


def _slope(model: LanguageModel, layer: int, row: LabelledRow) -> float:
    """||dNLL / dm|| ||m|| by central differences in every direction of what the MLP says, m."""
    ids, labels, seen = torch.tensor([row.ids]), torch.tensor(row.labels), []

    def nll(change: torch.Tensor) -> float:
        def moved(module, args, out):
            seen.append(out[0, row.position].norm().item())
            out = out.clone()
            out[0, row.position] += change
            return out

        with model.mlp(layer).register_forward_hook(moved), torch.no_grad():
            logits = model.model(input_ids=ids).logits[0, -len(labels) :]
        return cross_entropy(logits, labels).item()

    steps = 1e-5 * torch.eye(model.model.config.hidden_size, dtype=torch.float64)
    slopes = torch.tensor([(nll(step) - nll(-step)) / 2e-5 for step in steps])
    return slopes.norm().item() * seen[0]


def test_tracing_tells_a_window_by_its_first_layer(tiny_dataset: list[Fact], monkeypatch) -> None:
    rows = [
        {"layer": layer, "p_restored": gained + 0.1, "p_corrupted": 0.1}
        for layer, gained in ((0, 0.2), (1, 0.5), (0, 0.4), (1, 0.1))
    ]
    asked = {}

    def traced(model, facts, settings):
        asked.update(settings)
        return rows

    monkeypatch.setattr("reedit.tune.layers.trace_facts", traced)
    found = by_tracing(tiny_model("llama"), tiny_dataset, {"facts": 2, "window": 3})
    assert found == pytest.approx({0: 0.3, 1: 0.3}) and asked["kinds"] == ["mlp"] and asked["window"] == 3


def test_windows_leave_a_layer_on_either_side_where_there_are_as_many() -> None:
    assert windows(8, 5) == [[1, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5, 6]]
    assert windows(30, 1)[0] == [1] and windows(30, 1)[-1] == [28]
    assert windows(2, 5) == [[0], [1]] and windows(1, 5) == [[0]]


def test_the_best_of_either_kind_are_compared_and_none_beside_them() -> None:
    every = windows(30, 5)
    traced = {layers[0]: 1.0 - abs(layers[0] - 6) / 30 for layers in every}
    gradient = [float(layer == 20) for layer in range(30)]
    found = candidates(every, traced, gradient, 6)
    assert [6, 7, 8, 9, 10] in found and any(20 in layers for layers in found)
    assert found[0] == [6, 7, 8, 9, 10]  # the most promising first, lest time ends
    firsts = sorted(layers[0] for layers in found)
    assert len(found) == 6
    assert all(later - earlier >= 3 for earlier, later in pairwise(firsts))
    assert candidates(windows(2, 5), {}, [0.0, 0.0], 6) == [[0], [1]]
