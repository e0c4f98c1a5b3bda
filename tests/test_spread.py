"""SPREAD against explicit inverses, and what computing an update must leave alone."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from naive import naive_edit, naive_spread
from tiny import KEYS, WIDTH, tiny_model

from reedit import spread
from reedit.algorithms import ALGORITHMS
from reedit.edits import Edit, make_edit
from reedit.errors import InputError
from reedit.facts import Fact
from reedit.language_model import LanguageModel
from reedit.spread import apply_updates, check_moments, compute_updates, layer_update
from reedit.states import bare_outputs, edit_keys, states_at_subject

MEMIT = ALGORITHMS["memit"]
TEMPLATES = ["The old town of. {}", "Because he plays, I. {}"]
Moments = Callable[[LanguageModel, list[int]], dict[int, torch.Tensor]]


def edits_of(model: LanguageModel, facts: list[Fact], templates: list[str]) -> list[Edit]:
    return [make_edit(model.tokenizer, fact, templates, [], False, "corrected") for fact in facts]


def shifted_targets(model: LanguageModel, edits: list[Edit], layer: int) -> torch.Tensor:
    """Targets at some distance from the hidden states."""
    torch.manual_seed(7)
    hidden = bare_outputs(model, edits, layer)
    return hidden + 0.5 * hidden.norm(dim=1, keepdim=True) * torch.randn_like(hidden) / WIDTH**0.5


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gptj"])
@pytest.mark.parametrize("templates", [[], TEMPLATES], ids=["bare", "prefixed"])
def test_updates_are_those_of_the_explicit_formulas(
    architecture: str, templates: list[str], tiny_dataset: list[Fact], moments_of: Moments
) -> None:
    model, layers = tiny_model(architecture), [1, 2, 4]
    facts = tiny_dataset[::5]
    edits = edits_of(model, facts, templates)
    targets, moments = shifted_targets(model, edits, 4), moments_of(model, layers)
    found = compute_updates(model, edits, targets, layers, moments, 3.0, MEMIT)
    plain = [naive_edit(model.tokenizer, fact, templates, [], False, "corrected") for fact in facts]
    expected = naive_spread(model.model, plain, targets.double(), layers, moments, 3.0)
    assert list(found) == layers
    for layer in layers:
        assert found[layer].shape == (WIDTH, KEYS) and found[layer].dtype == torch.float32
        assert (found[layer] - expected[layer]).norm() < 1e-5 * expected[layer].norm()


def test_a_small_lambda_writes_a_single_edit_exactly(tiny_dataset: list[Fact], moments_of: Moments) -> None:
    """One layer, one edit, no prefixes, lambda to 0: R K^T (K K^T)^+ K = R, so that the model says z."""
    model = tiny_model("llama")
    edits = edits_of(model, tiny_dataset[3:4], [])
    targets = shifted_targets(model, edits, 4)
    updates = compute_updates(model, edits, targets, [4], moments_of(model, [4]), 1e-9, MEMIT)
    apply_updates(model, updates)
    assert (bare_outputs(model, edits, 4) - targets).norm() < 1e-5 * targets.norm()


def test_one_edit_is_damped_by_the_closed_form(tiny_dataset: list[Fact], moments_of: Moments) -> None:
    """With C = I the written share of the residual is |k|^2 / (lambda + |k|^2)."""
    model = tiny_model("llama")
    edits = edits_of(model, tiny_dataset[3:4], [])
    before, targets = bare_outputs(model, edits, 4), shifted_targets(model, edits, 4)
    square = float(edit_keys(model, edits, 4).square().sum())
    updates = compute_updates(model, edits, targets, [4], {4: torch.eye(KEYS)}, 2 * square, MEMIT)
    apply_updates(model, updates)
    written = bare_outputs(model, edits, 4) - before
    assert torch.allclose(written, (targets - before) / 3, rtol=1e-4, atol=1e-4)


def test_layer_update_solves_the_normal_equations_in_double_precision() -> None:
    torch.manual_seed(0)
    keys, residual = torch.randn(5, 12, dtype=torch.float64), torch.randn(5, 7, dtype=torch.float64)
    root = torch.randn(40, 12, dtype=torch.float64)
    moment = (root.T @ root / 40).float()
    update = layer_update(keys, residual, moment, 0.7)
    assert update.shape == (7, 12) and update.dtype == torch.float64
    left = update @ (0.7 * moment.double() + keys.T @ keys)
    assert torch.allclose(left, residual.T @ keys, rtol=1e-12, atol=1e-12)


def test_a_singular_system_is_an_input_error() -> None:
    keys, residual = torch.zeros(1, 4, dtype=torch.float64), torch.ones(1, 3)
    with pytest.raises(InputError, match="not positive definite"):
        layer_update(keys, residual, torch.zeros(4, 4), 1.0)


def test_moments_of_too_few_tokens_are_refused_before_any_work() -> None:
    few = torch.randn(3, 8)
    with pytest.raises(InputError, match=r"layer 2.*3 tokens for 8 dimensions"):
        check_moments({2: few.T @ few / 3}, {2: 3})
    check_moments({2: torch.eye(8)}, {2: 100})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_computing_updates_leaves_the_model_bit_for_bit(
    dtype: torch.dtype, tiny_dataset: list[Fact], moments_of: Moments
) -> None:
    model = tiny_model("llama", dtype=dtype)
    edits = edits_of(model, tiny_dataset[:3], TEMPLATES)
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    moments = moments_of(model, [2, 3])
    targets = shifted_targets(model, edits, 3)
    updates = compute_updates(model, edits, targets, [2, 3], moments, 3.0, MEMIT)
    assert all(update.norm() > 0 for update in updates.values())
    assert all(torch.equal(value, before[name]) for name, value in model.model.state_dict().items())
    assert all(model.cumulative_update(layer).abs().max() == 0 for layer in (2, 3))


def test_an_exception_in_the_middle_leaves_the_model_bit_for_bit_and_without_hooks(
    tiny_dataset: list[Fact], moments_of: Moments, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model("llama", dtype=torch.float32)
    edits = edits_of(model, tiny_dataset[:3], TEMPLATES)
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    moments, targets = moments_of(model, [2, 3]), shifted_targets(model, edits, 3)
    solve, calls = spread.layer_update, []

    def failing(*args: object) -> torch.Tensor:
        calls.append(args)
        if len(calls) == 2:
            changed = model.model.state_dict()[model.parameter_name(2)]
            assert not torch.equal(changed, before[model.parameter_name(2)]), (
                "layer 2 was to be changed by now"
            )
            raise RuntimeError("power cut")
        return solve(*args)

    monkeypatch.setattr(spread, "layer_update", failing)
    with pytest.raises(RuntimeError, match="power cut"):
        compute_updates(model, edits, targets, [2, 3], moments, 3.0, MEMIT)
    assert all(torch.equal(value, before[name]) for name, value in model.model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.model.modules())


def test_keys_are_measured_on_the_weights_as_updated_so_far(
    tiny_dataset: list[Fact], moments_of: Moments
) -> None:
    """A second layer's update differs from the one it has alone, for the first one changed its keys."""
    model = tiny_model("llama")
    edits = edits_of(model, tiny_dataset[:3], [])
    targets, moments = shifted_targets(model, edits, 4), moments_of(model, [2, 4])
    both = compute_updates(model, edits, targets, [2, 4], moments, 3.0, MEMIT)
    alone = compute_updates(model, edits, targets, [4], moments, 3.0, MEMIT)
    apply_updates(model, {2: both[2]})
    after = compute_updates(model, edits, targets, [4], moments, 3.0, MEMIT)
    assert (both[4] - after[4]).norm() < 1e-5 * after[4].norm()
    assert (both[4] - alone[4]).norm() > 1e-2 * alone[4].norm()


def test_order_and_repetition_of_edits_change_only_what_they_should(
    tiny_dataset: list[Fact], moments_of: Moments
) -> None:
    model = tiny_model("llama")
    edits = edits_of(model, tiny_dataset[:4], TEMPLATES)
    targets, moments = shifted_targets(model, edits, 3), moments_of(model, [2, 3])
    usual = compute_updates(model, edits, targets, [2, 3], moments, 3.0, MEMIT)
    order = [2, 0, 3, 1]
    other = compute_updates(model, [edits[i] for i in order], targets[order], [2, 3], moments, 3.0, MEMIT)
    for layer in (2, 3):
        assert (usual[layer] - other[layer]).norm() < 1e-5 * usual[layer].norm()


def test_states_do_not_depend_on_the_rows_beside_them(llama: LanguageModel, tiny_dataset: list[Fact]) -> None:
    edits = edits_of(llama, tiny_dataset[:6], TEMPLATES)
    rows = [weighted.row for edit in edits for weighted in edit.rewriting]
    for kind in ({"keys_of": 2}, {"outputs_of": 2}):
        together = states_at_subject(llama, rows, **kind)
        alone = torch.stack([states_at_subject(llama, [row], **kind)[0] for row in rows])
        tight = states_at_subject(llama, rows, **kind, budget=1)
        assert torch.allclose(together, alone, rtol=1e-5, atol=1e-5)
        assert torch.allclose(tight, alone, rtol=1e-5, atol=1e-5)


def test_what_follows_the_subject_changes_no_state(llama: LanguageModel, tiny_dataset: list[Fact]) -> None:
    row = edits_of(llama, tiny_dataset[:1], [])[0].rewriting[0].row
    other = replace(row, ids=(*row.ids[: row.position + 1], 5, 6, 7, 8))
    found = states_at_subject(llama, [row, other], outputs_of=3)
    assert torch.allclose(found[0], found[1], rtol=1e-6, atol=1e-6)


def test_keys_are_half_the_bare_prompts_and_half_the_mean_of_the_prefixed(
    llama: LanguageModel, tiny_dataset: list[Fact]
) -> None:
    edit = edits_of(llama, tiny_dataset[:1], TEMPLATES)[0]
    own = states_at_subject(llama, [w.row for w in edit.rewriting], keys_of=2).double()
    found = edit_keys(llama, [edit], 2)[0]
    assert torch.allclose(found, own[0] / 2 + (own[1] + own[2]) / 4, rtol=1e-6)
