"""OPTIMIZATION against the naive oracle, and what batching must not change."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from naive import NaiveOptimized, naive_edit, naive_optimize
from tiny import LAYERS, tiny_model

from reedit import optimization
from reedit.edits import Edit, WeightedRow, make_edit
from reedit.facts import Fact
from reedit.language_model import LanguageModel
from reedit.likelihood import likelihoods
from reedit.optimization import Optimized, evaluate, make_buckets, optimize

LAYER = 3
TEMPLATES = ["The old town of. {}", "Because he plays, I. {}"]
SETTINGS = {
    "v_lr": 0.5,
    "v_num_grad_steps": 6,
    "clamp_norm_factor": 0.75,
    "v_weight_decay": 0.5,
    "kl_factor": 0.0625,
}


def edits_of(
    model: LanguageModel, facts: list[Fact], count: int = 0, prefixed: bool = False, protocol="corrected"
) -> list[Edit]:
    return [
        make_edit(model.tokenizer, fact, TEMPLATES, fact.neighbors[:count], prefixed, protocol)
        for fact in facts
    ]


def relative(found: Any, expected: Any) -> float:
    found, expected = (torch.as_tensor(x, dtype=torch.float64) for x in (found, expected))
    return float((found - expected).norm() / expected.norm())


def check_against(found: Optimized, naive: list[NaiveOptimized], tolerance: float = 1e-5) -> None:
    assert found.steps == [one.steps for one in naive]
    assert relative(found.ppl_initial, [one.ppl_initial for one in naive]) < tolerance
    for i, one in enumerate(naive):
        assert relative(found.ppl_target[i], one.ppl_target) < tolerance
        assert relative(found.hidden[i], one.hidden) < tolerance
        assert relative(found.target[i], one.hidden + one.delta) < tolerance
        if one.steps:
            assert relative(found.delta[i], one.delta) < 10 * tolerance


@pytest.mark.parametrize(
    ("architecture", "tokenizer", "protocol", "count", "prefixed"),
    [
        ("llama", "bytes", "corrected", 0, False),
        ("llama", "bos", "corrected", 1, False),
        ("llama", "bytes", "released", 1, True),
        ("llama", "bytes", "released", 3, False),
        ("llama", "metaspace", "released", 1, False),
        ("llama", "bytes", "corrected", 3, True),
        ("gpt2", "bytes", "corrected", 1, False),
        ("gpt2", "bytes", "released", 3, True),
        ("gptj", "bytes", "corrected", 1, True),
        ("gptj", "bytes", "released", 0, False),
    ],
)
def test_targets_and_perplexities_are_those_of_full_passes_edit_by_edit(
    architecture: str, tokenizer: str, protocol: str, count: int, prefixed: bool, tiny_dataset: list[Fact]
) -> None:
    model = tiny_model(architecture, tokenizer)
    facts = [tiny_dataset[i] for i in (0, 9, 14)]
    naive = [
        naive_optimize(
            model.model,
            naive_edit(model.tokenizer, fact, TEMPLATES, fact.neighbors[:count], prefixed, protocol),
            LAYER,
            SETTINGS,
        )
        for fact in facts
    ]
    found = optimize(model, edits_of(model, facts, count, prefixed, protocol), LAYER, SETTINGS)
    check_against(found, naive)
    assert all(one.steps == 5 for one in naive)


def test_edits_stop_each_at_its_own_step_as_they_do_alone(
    taught_folder: Path, tiny_dataset: list[Fact], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimization, "STOP_LOSS", 0.9)  # a tiny model does not get to 0.05
    loaded = LanguageModel.load(taught_folder, device="cpu")
    model = LanguageModel(loaded.model.double(), loaded.tokenizer)
    settings = SETTINGS | {"v_num_grad_steps": 12, "clamp_norm_factor": 20, "v_weight_decay": 1e-3}
    facts = [replace(fact, target_new=fact.target_true) for fact in tiny_dataset[::4]] + [tiny_dataset[1]]
    naive = [
        naive_optimize(
            model.model,
            naive_edit(model.tokenizer, fact, TEMPLATES, [], False, "corrected"),
            0,
            settings,
            stop_loss=0.9,
        )
        for fact in facts
    ]
    found = optimize(model, edits_of(model, facts), 0, settings, budget=60)
    check_against(found, naive, 1e-4)  # delta is fp32, and Adam amplifies its rounding
    steps = {one.steps for one in naive}
    assert len(steps) > 2 and min(steps) < 11, "the edits were meant to stop at different steps"


@pytest.mark.parametrize("layer", [0, LAYERS - 1])
def test_the_first_and_the_last_layer_can_carry_delta(layer: int, tiny_dataset: list[Fact]) -> None:
    model = tiny_model("llama")
    # the subject ends the prompt: the last layer's delta reaches the logits of its own position alone
    fact = replace(tiny_dataset[5], prompt="Who lives in {}")
    naive = naive_optimize(
        model.model, naive_edit(model.tokenizer, fact, TEMPLATES, [], False, "corrected"), layer, SETTINGS
    )
    check_against(optimize(model, edits_of(model, [fact]), layer, SETTINGS), [naive])


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gptj"])
def test_without_delta_the_tail_gives_what_the_whole_model_gives(
    architecture: str, tiny_dataset: list[Fact]
) -> None:
    model = tiny_model(architecture)
    edits = edits_of(model, tiny_dataset[:6], 2)
    delta = torch.zeros(len(edits), model.head.weight.shape[1])
    said = likelihoods(model, [weighted.row for edit in edits for weighted in edit.labelled])
    whole = [-logp for likelihood in said for logp in likelihood.logp]
    found, kl_rows = [], 0
    for bucket in make_buckets(model, edits, LAYER, 100):
        nll, log_p = evaluate(model, model.tail(LAYER), bucket, delta)
        found += nll.tolist()
        kl_rows += len(log_p)
        for line, i in enumerate(bucket.edit[bucket.kl_row].tolist()):
            logits = model.model(input_ids=torch.tensor([edits[i].kl.ids])).logits[0, -1]
            assert torch.allclose(log_p[line], logits.log_softmax(-1).float(), atol=1e-5)
    assert kl_rows == len(edits)
    assert sorted(found) == pytest.approx(sorted(whole), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    "how",
    [{"budget": 1}, {"budget": 40}, {"budget": 10**6}, {"edits_at_once": 1}, {"edits_at_once": 3}],
    ids=str,
)
def test_batch_sizes_do_not_change_the_outcome(
    how: dict[str, int], llama: LanguageModel, tiny_dataset: list[Fact]
) -> None:
    edits = edits_of(llama, [*tiny_dataset[:3], *tiny_dataset[14:18]], 1)
    usual, other = optimize(llama, edits, LAYER, SETTINGS), optimize(llama, edits, LAYER, SETTINGS, **how)
    assert relative(other.delta, usual.delta) < 1e-5
    assert other.ppl_target == pytest.approx(usual.ppl_target, rel=1e-5)
    assert other.steps == usual.steps


def test_the_order_of_edits_does_not_change_what_each_becomes(
    llama: LanguageModel, tiny_dataset: list[Fact]
) -> None:
    edits = edits_of(llama, tiny_dataset[::3])
    order = [3, 0, 7, 1, 6, 2, 5, 4]
    usual = optimize(llama, edits, LAYER, SETTINGS)
    other = optimize(llama, [edits[i] for i in order], LAYER, SETTINGS, edits_at_once=3)
    assert relative(other.delta, usual.delta[order]) < 1e-5
    assert relative(other.hidden, usual.hidden[order]) < 1e-6
    assert other.ppl_initial == pytest.approx([usual.ppl_initial[i] for i in order], rel=1e-6)


def lightened(edit: Edit) -> Edit:
    """The same edit with a loss below the stopping value from the first pass on."""
    rows = tuple(WeightedRow(w.row, 1e-6 * w.loss_weight, w.perplexity_weight) for w in edit.rewriting)
    return Edit(edit.case_id, rows, edit.neighbors, edit.kl)


def test_an_edit_whose_first_loss_is_below_the_limit_is_left_alone(
    llama: LanguageModel, tiny_dataset: list[Fact]
) -> None:
    edit = edits_of(llama, tiny_dataset[:1])[0]
    found = optimize(llama, [lightened(edit)], LAYER, SETTINGS)
    assert found.steps == [0] and found.delta.abs().max() == 0
    assert found.ppl_initial == found.ppl_target
    assert torch.equal(found.target, found.hidden)


@pytest.mark.parametrize(("first_loss", "steps"), [(0.0499, 0), (0.0501, 5)])
def test_the_limit_of_the_loss_is_a_twentieth(
    first_loss: float, steps: int, llama: LanguageModel, tiny_dataset: list[Fact]
) -> None:
    edit = edits_of(llama, tiny_dataset[:1])[0]
    one_pass = SETTINGS | {"v_num_grad_steps": 1}
    usual = math.log(optimize(llama, [edit], LAYER, one_pass).ppl_initial[0])  # the loss without delta
    rows = tuple(
        WeightedRow(w.row, first_loss / usual * w.loss_weight, w.perplexity_weight) for w in edit.rewriting
    )
    settings = SETTINGS | {"v_lr": 1e-6}  # so that the loss hardly falls later
    settings["v_weight_decay"] = settings["kl_factor"] = 0.0
    found = optimize(llama, [Edit(edit.case_id, rows, (), edit.kl)], LAYER, settings)
    assert found.steps == [steps]


def test_finished_edits_do_not_influence_the_others(llama: LanguageModel, tiny_dataset: list[Fact]) -> None:
    edits = edits_of(llama, tiny_dataset[:4], 1)
    edits[0], edits[2] = (Edit(e.case_id, lightened(e).rewriting, (), e.kl) for e in (edits[0], edits[2]))
    together = optimize(llama, edits, LAYER, SETTINGS)
    alone = optimize(llama, [edits[1], edits[3]], LAYER, SETTINGS)
    assert together.steps == [0, 5, 0, 5]
    assert relative(together.delta[[1, 3]], alone.delta) < 1e-6
    assert together.delta[[0, 2]].abs().max() == 0


def test_delta_never_leaves_its_ball(llama: LanguageModel, tiny_dataset: list[Fact]) -> None:
    settings = SETTINGS | {"clamp_norm_factor": 0.05}
    found = optimize(llama, edits_of(llama, tiny_dataset[:5]), LAYER, settings)
    share = found.delta.norm(dim=1) / found.hidden.norm(dim=1)
    assert share.max() <= 0.05 * (1 + 1e-6)
    assert share.max() > 0.0499, "the ball was meant to bind"


def test_one_pass_measures_and_updates_nothing(llama: LanguageModel, tiny_dataset: list[Fact]) -> None:
    found = optimize(llama, edits_of(llama, tiny_dataset[:2]), LAYER, SETTINGS | {"v_num_grad_steps": 1})
    assert found.steps == [0, 0] and found.delta.abs().max() == 0


def test_optimisation_leaves_weights_and_hooks_as_they_were(tiny_dataset: list[Fact]) -> None:
    model = tiny_model("llama")
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    optimize(model, edits_of(model, tiny_dataset[:2]), LAYER, SETTINGS)
    assert all(torch.equal(value, before[name]) for name, value in model.model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.model.modules())
    assert all(parameter.grad is None for parameter in model.model.parameters())


def test_progress_counts_every_pass_and_ends_at_the_total(
    llama: LanguageModel, tiny_dataset: list[Fact]
) -> None:
    reported: list[int] = []
    edits = edits_of(llama, tiny_dataset[:5])
    optimize(llama, edits, LAYER, SETTINGS, edits_at_once=2, report=reported.append)
    assert reported == sorted(reported)
    assert reported[-1] == 5 * SETTINGS["v_num_grad_steps"]
