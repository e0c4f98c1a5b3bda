"""SPREAD against explicit inverses, and what computing an update must leave alone."""

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest
import torch
from naive import naive_edit, naive_spread, row_state
from steps import apply_updates, spreading, updates_of
from tiers import long_but
from tiny import ALL_ARCHITECTURES, ARCHITECTURES, FURTHER_ARCHITECTURES, KEYS, WIDTH, tiny_model

from reedit.edit.edits import Edit, Rows
from reedit.edit.spread import spread
from reedit.edit.spread.solve import Preserved, factorise, layer_update, mean_key, rank_one_update
from reedit.edit.states import Walk, bare_rows, states_at_subject
from reedit.errors import InputError
from reedit.methods.algorithms import ALGORITHMS
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact

MEMIT = ALGORITHMS["memit"]
Widen = Callable[[LanguageModel], LanguageModel]
TEMPLATES = ["The old town of. {}", "Because he plays, I. {}"]
Moments = Callable[[LanguageModel, list[int]], dict[int, torch.Tensor]]


def edits_of(model: LanguageModel, facts: list[Fact], templates: list[str]) -> list[Edit]:
    return [Rows(model.wording, "corrected", templates).edit(fact) for fact in facts]


def bare(model: LanguageModel, edits: list[Edit], layer: int, name: str = "hidden") -> torch.Tensor:
    return states_at_subject(model, bare_rows(edits), layer, [name])[name]


def factors_of(moments: dict[int, torch.Tensor]) -> dict[int, torch.Tensor]:
    return {layer: factorise(moment, layer, 0) for layer, moment in moments.items()}


def shifted_targets(
    model: LanguageModel, edits: list[Edit], layer: int, name: str = "hidden"
) -> torch.Tensor:
    """Targets at some distance from the states."""
    torch.manual_seed(7)
    hidden = bare(model, edits, layer, name)
    return hidden + 0.5 * hidden.norm(dim=1, keepdim=True) * torch.randn_like(hidden) / WIDTH**0.5


@pytest.mark.parametrize("algorithm", ["memit", "pmet"])
@pytest.mark.parametrize(
    ("architecture", "templates"),
    [
        *long_but(
            product(ALL_ARCHITECTURES, ([], TEMPLATES)), lambda pair: pair[1] or pair[0] in ARCHITECTURES
        ),
        *long_but(product(FURTHER_ARCHITECTURES, [TEMPLATES]), lambda pair: pair[0] in ("granite", "phi")),
    ],
    ids=lambda value: value if isinstance(value, str) else "prefixed" if value else "bare",
)
def test_updates_are_those_of_the_explicit_formulas(
    architecture: str,
    algorithm: str,
    templates: list[str],
    tiny_dataset: list[Fact],
    moments_of: Moments,
    in_fp64: Widen,
) -> None:
    model, layers = in_fp64(tiny_model(architecture)), [1, 2, 4]
    facts = tiny_dataset[::5]
    edits = edits_of(model, facts, templates)
    moments, one = moments_of(model, layers), ALGORITHMS[algorithm]
    targets = shifted_targets(model, edits, 4, one.spreads)
    found = updates_of(model, edits, targets, spreading(one, layers, 3.0), factors_of(moments))
    plain = [naive_edit(model.tokenizer, fact, templates, [], False, "corrected") for fact in facts]
    settings = {"mom2_update_weight": 3.0}
    expected, _ = naive_spread(model.model, plain, targets.double(), layers, moments, settings, algorithm)
    assert list(found) == layers
    for layer in layers:
        assert found[layer].shape == (WIDTH, KEYS)
        assert (found[layer] - expected[layer]).norm() < 2e-6 * expected[layer].norm()


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_a_square_weight_is_not_confused(
    architecture: str, tiny_dataset: list[Fact], moments_of: Moments
) -> None:
    """Keys as wide as the model: Linear and Conv1D cannot be told apart by shape."""
    model = tiny_model(architecture, keys=WIDTH)
    edits = edits_of(model, tiny_dataset[3:4], [])
    targets = shifted_targets(model, edits, 4)
    updates = updates_of(
        model, edits, targets, spreading(MEMIT, [4], 1e-9), factors_of(moments_of(model, [4]))
    )
    apply_updates(model, updates)
    assert (bare(model, edits, 4) - targets).norm() < 1e-5 * targets.norm()


def test_a_small_lambda_writes_a_single_edit_exactly(tiny_dataset: list[Fact], moments_of: Moments) -> None:
    """One layer, one edit, no prefixes, lambda to 0: R K^T (K K^T)^+ K = R, so that the model says z."""
    model = tiny_model("llama")
    edits = edits_of(model, tiny_dataset[3:4], [])
    targets = shifted_targets(model, edits, 4)
    updates = updates_of(
        model, edits, targets, spreading(MEMIT, [4], 1e-9), factors_of(moments_of(model, [4]))
    )
    apply_updates(model, updates)
    assert (bare(model, edits, 4) - targets).norm() < 1e-5 * targets.norm()


def test_with_prefixes_a_small_lambda_writes_the_target_for_the_averaged_key(
    tiny_dataset: list[Fact], moments_of: Moments
) -> None:
    model = tiny_model("llama")
    edits = edits_of(model, tiny_dataset[3:4], TEMPLATES)
    own = states_at_subject(model, [w.row for w in edits[0].rewriting], 4, ["key"])["key"]
    targets = shifted_targets(model, edits, 4)
    wanted = targets - bare(model, edits, 4)
    updates = updates_of(
        model, edits, targets, spreading(MEMIT, [4], 1e-9), factors_of(moments_of(model, [4]))
    )
    assert torch.allclose(updates[4] @ mean_key(own), wanted[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("adjusted", [False, True])
def test_a_rank_one_update_writes_the_bare_prompts_target_and_nothing_across(adjusted: bool) -> None:
    torch.manual_seed(0)
    keys, delta = torch.randn(4, 12, dtype=torch.float64), torch.randn(7, dtype=torch.float64)
    root = torch.randn(40, 12, dtype=torch.float64)
    moment = root.T @ root / 40
    update = rank_one_update(keys, delta, factorise(moment, 0, 40) if adjusted else None)
    assert torch.allclose(update @ keys[0], delta)
    direction = torch.linalg.solve(moment, keys.mean(0)) if adjusted else keys.mean(0)
    across = torch.randn(12, dtype=torch.float64)
    across -= direction * (across @ direction) / (direction @ direction)
    assert (update @ across).norm() < 1e-12


def test_one_edit_is_damped_by_the_closed_form(tiny_dataset: list[Fact], moments_of: Moments) -> None:
    """With C = I the written share of the residual is |k|^2 / (lambda + |k|^2)."""
    model = tiny_model("llama")
    edits = edits_of(model, tiny_dataset[3:4], [])
    before, targets = bare(model, edits, 4), shifted_targets(model, edits, 4)
    square = float(bare(model, edits, 4, "key").square().sum())
    identity = {4: torch.eye(KEYS, dtype=torch.float64)}
    updates = updates_of(model, edits, targets, spreading(MEMIT, [4], 2 * square), identity)
    apply_updates(model, updates)
    written = bare(model, edits, 4) - before
    assert torch.allclose(written, (targets - before) / 3, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [1, 5, 30], ids=lambda count: f"{count} edits")
def test_layer_update_solves_the_normal_equations_in_double_precision(count: int) -> None:
    """Whether there are fewer edits than key dimensions or more."""
    torch.manual_seed(0)
    keys, residual = torch.randn(count, 12, dtype=torch.float64), torch.randn(count, 7, dtype=torch.float64)
    root = torch.randn(40, 12, dtype=torch.float64)
    moment = (root.T @ root / 40).float()
    update = layer_update(keys, residual, Preserved("moments", factorise(moment, 0, 40), 0.7))
    assert update.shape == (7, 12) and update.dtype == torch.float64
    left = update @ (0.7 * moment.double() + keys.T @ keys)
    assert torch.allclose(left, residual.T @ keys, rtol=1e-11, atol=1e-11)


def test_a_singular_system_is_an_input_error() -> None:
    keys, residual = torch.ones(2, 4, dtype=torch.float64), torch.ones(2, 3)
    with pytest.raises(InputError, match="not positive definite"):
        layer_update(
            keys,
            residual,
            Preserved("moments", torch.eye(4, dtype=torch.float64), -1.0, called="mom2_update_weight"),
        )


def test_moments_of_too_few_tokens_are_refused() -> None:
    few = torch.randn(3, 8)
    with pytest.raises(InputError, match=r"layer 2.*3 tokens for 8 dimensions"):
        factorise(few.T @ few / 3, 2, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_computing_updates_leaves_the_model_bit_for_bit(
    dtype: torch.dtype, tiny_dataset: list[Fact], moments_of: Moments
) -> None:
    model = tiny_model("llama", dtype=dtype)
    edits = edits_of(model, tiny_dataset[:3], TEMPLATES)
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    factors = factors_of(moments_of(model, [2, 3]))
    targets = shifted_targets(model, edits, 3)
    updates = updates_of(model, edits, targets, spreading(MEMIT, [2, 3], 3.0), factors)
    assert all(update.norm() > 0 for update in updates.values())
    assert all(torch.equal(value, before[name]) for name, value in model.model.state_dict().items())
    assert all(model.cumulative_update(layer).abs().max() == 0 for layer in (2, 3))


def test_an_exception_in_the_middle_leaves_the_model_bit_for_bit_and_without_hooks(
    tiny_dataset: list[Fact], moments_of: Moments, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model("llama", dtype=torch.float32)
    edits = edits_of(model, tiny_dataset[:3], TEMPLATES)
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    factors, targets = factors_of(moments_of(model, [2, 3])), shifted_targets(model, edits, 3)
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
        updates_of(model, edits, targets, spreading(MEMIT, [2, 3], 3.0), factors)
    assert all(torch.equal(value, before[name]) for name, value in model.model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.model.modules())


def test_keys_are_measured_on_the_weights_as_updated_so_far(
    tiny_dataset: list[Fact], moments_of: Moments
) -> None:
    """A second layer's update differs from the one it has alone, for the first one changed its keys."""
    model = tiny_model("llama")
    edits = edits_of(model, tiny_dataset[:3], [])
    targets, factors = shifted_targets(model, edits, 4), factors_of(moments_of(model, [2, 4]))
    both = updates_of(model, edits, targets, spreading(MEMIT, [2, 4], 3.0), factors)
    alone = updates_of(model, edits, targets, spreading(MEMIT, [4], 3.0), factors)
    apply_updates(model, {2: both[2]})
    after = updates_of(model, edits, targets, spreading(MEMIT, [4], 3.0), factors)
    assert (both[4] - after[4]).norm() < 1e-5 * after[4].norm()
    assert (both[4] - alone[4]).norm() > 1e-2 * alone[4].norm()


def test_order_and_repetition_of_edits_change_only_what_they_should(
    tiny_dataset: list[Fact], moments_of: Moments
) -> None:
    model = tiny_model("llama")
    edits = edits_of(model, tiny_dataset[:4], TEMPLATES)
    targets, factors = shifted_targets(model, edits, 3), factors_of(moments_of(model, [2, 3]))
    usual = updates_of(model, edits, targets, spreading(MEMIT, [2, 3], 3.0), factors)
    order = [2, 0, 3, 1]
    other = updates_of(
        model, [edits[i] for i in order], targets[order], spreading(MEMIT, [2, 3], 3.0), factors
    )
    for layer in (2, 3):
        assert (usual[layer] - other[layer]).norm() < 1e-5 * usual[layer].norm()


NAMES = ["key", "mlp", "attention", "hidden"]


def test_states_do_not_depend_on_the_rows_beside_them(llama: LanguageModel, tiny_dataset: list[Fact]) -> None:
    edits = edits_of(llama, tiny_dataset[:6], TEMPLATES)
    rows = [weighted.row for edit in edits for weighted in edit.rewriting]
    together = states_at_subject(llama, rows, 2, NAMES)
    tight = states_at_subject(llama, rows, 2, NAMES, budget=1)
    for name in NAMES:
        alone = torch.cat([states_at_subject(llama, [row], 2, [name])[name] for row in rows])
        assert torch.allclose(together[name], alone, rtol=1e-5, atol=1e-5)
        assert torch.allclose(tight[name], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", [*ALL_ARCHITECTURES, *FURTHER_ARCHITECTURES])
def test_states_are_those_of_a_whole_pass(architecture: str, tiny_dataset: list[Fact]) -> None:
    model = tiny_model(architecture)
    fact = tiny_dataset[4]
    row = edits_of(model, [fact], [])[0].rewriting[0].row
    naive = naive_edit(model.tokenizer, fact, [], [], False, "corrected").rewriting[0]
    found = states_at_subject(model, [row], 3, NAMES)
    for name, part in [("key", "key"), ("mlp", "mlp"), ("attention", "attention"), ("hidden", "block")]:
        assert torch.allclose(found[name][0], row_state(model.model, 3, naive, part))


def test_a_walk_reads_on_its_way_what_a_fresh_start_reads(
    llama: LanguageModel, tiny_dataset: list[Fact]
) -> None:
    rows = bare_rows(edits_of(llama, tiny_dataset[:6], []))
    walk = Walk(llama, rows, 0, budget=40)
    for before, layer in [(0, 0), (0, 2), (2, 2), (3, 5)]:
        walk.advance(before)
        found, fresh = walk.read(layer, NAMES), states_at_subject(llama, rows, layer, NAMES)
        assert all(torch.allclose(found[name], fresh[name]) for name in NAMES)


def test_what_follows_the_subject_changes_no_state(llama: LanguageModel, tiny_dataset: list[Fact]) -> None:
    row = edits_of(llama, tiny_dataset[:1], [])[0].rewriting[0].row
    other = replace(row, ids=(*row.ids[: row.position + 1], 5, 6, 7, 8))
    found = states_at_subject(llama, [row, other], 3, ["hidden"])["hidden"]
    assert torch.allclose(found[0], found[1])


def test_a_mean_key_is_half_the_bare_prompts_and_half_the_mean_of_the_prefixed() -> None:
    own = torch.arange(12.0).reshape(4, 3)
    assert torch.equal(mean_key(own), own[0] / 2 + (own[1] + own[2] + own[3]) / 6)
    assert torch.equal(mean_key(own[:1]), own[0])
