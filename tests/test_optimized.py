"""Edits that OPTIMIZATION is done with: kept on disk, never optimised again, and equal to the bit."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_iteration import VARIANTS, edits_of, plan
from tiny import tiny_model

from reedit.edit import optimization, rome, spread
from reedit.edit.algorithms import ALGORITHMS
from reedit.edit.editing import compute
from reedit.edit.edits import Edit
from reedit.edit.optimization import optimize
from reedit.edit.optimized import Kept, Optimized, joined
from reedit.edit.resumption import Iteration, State
from reedit.edit.spread import split_by_edit
from reedit.edit.states import rewriting_rows, states_at_subject
from reedit.errors import InputError
from reedit.jobs.memory import MicroBatch
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact

TWO = MicroBatch(512, 2)


@pytest.fixture(scope="module")
def llama() -> LanguageModel:
    return tiny_model("llama", dtype=torch.float32)


def same(one: Optimized, other: Optimized) -> bool:
    numbers = [(found.steps, found.ppl_initial, found.ppl_target) for found in (one, other)]
    return torch.equal(one.hidden, other.hidden) and torch.equal(one.delta, other.delta) and len(
        set(map(str, numbers))
    ) == 1  # fmt: skip


def stopping_after(batches: int, module: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let `module.name` work so often and then be interrupted; the sizes of the batches it was given."""
    original, sizes = getattr(module, name), []

    def watched(model: LanguageModel, edits: list, *args: Any, **options: Any) -> Optimized:
        if len(sizes) == batches:
            raise KeyboardInterrupt
        sizes.append(len(edits))
        return original(model, edits, *args, **options)

    monkeypatch.setattr(module, name, watched)
    return sizes


@pytest.mark.parametrize("variant", ["memit", "pmet"])
@pytest.mark.parametrize("batches", [0, 1, 2, 3])
def test_an_interrupted_optimization_goes_on_with_the_edits_it_had_not_done(
    variant: str,
    batches: int,
    llama: LanguageModel,
    tiny_dataset: list[Fact],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    algorithm, settings = ALGORITHMS[VARIANTS[variant][0]], VARIANTS[variant][1]
    edits = edits_of(llama, tiny_dataset[:5])
    whole = optimize(llama, edits, algorithm, settings, at_once=TWO)
    with monkeypatch.context() as patch:
        sizes = stopping_after(batches, optimization, "_optimize_batch", patch)
        interrupted = batches < 3
        try:
            optimize(llama, edits, algorithm, settings, at_once=TWO, kept=Kept(tmp_path))
        except KeyboardInterrupt:
            assert interrupted
        assert sizes == [2, 2, 1][:batches]
    with monkeypatch.context() as patch:
        sizes = stopping_after(9, optimization, "_optimize_batch", patch)
        reported: list[int] = []
        resumed = optimize(
            llama, edits, algorithm, settings, at_once=TWO, kept=Kept(tmp_path), report=reported.append
        )
        assert sizes == [2, 2, 1][batches:]
    assert same(whole, resumed)
    assert reported == sorted(reported) and all(passes <= 5 * len(edits) for passes in reported)


def test_batches_of_another_size_take_up_what_is_kept(
    llama: LanguageModel, tiny_dataset: list[Fact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm, settings = ALGORITHMS["memit"], VARIANTS["memit"][1]
    edits = edits_of(llama, tiny_dataset[:5])
    whole = optimize(llama, edits, algorithm, settings, at_once=TWO)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stopping_after(1, optimization, "_optimize_batch", patch)
        optimize(llama, edits, algorithm, settings, at_once=TWO, kept=Kept(tmp_path))
    resumed = optimize(llama, edits, algorithm, settings, at_once=MicroBatch(512, 3), kept=Kept(tmp_path))
    assert resumed.steps == whole.steps
    assert torch.allclose(resumed.delta, whole.delta, atol=1e-6)


def test_an_interrupted_rome_goes_on_with_the_edits_it_had_not_made(
    llama: LanguageModel, tiny_dataset: list[Fact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm, settings = ALGORITHMS["rome"], VARIANTS["rome"][1]
    edits = edits_of(llama, tiny_dataset[:4])

    def run(kept: Kept | None) -> tuple[Optimized, torch.Tensor]:
        found, update, _ = rome.edit_one_by_one(
            llama, edits, algorithm, settings, "corrected", None, lambda passes: None, kept
        )
        return found, update

    whole, update = run(None)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stopping_after(2, rome, "optimize", patch)
        run(Kept(tmp_path))
    with monkeypatch.context() as patch:
        sizes = stopping_after(9, rome, "optimize", patch)
        resumed, again = run(Kept(tmp_path))
        assert sizes == [1, 1]
    assert same(whole, resumed) and torch.equal(update, again)


def test_what_is_kept_goes_with_its_iteration(tmp_path: Path) -> None:
    state = State(tmp_path / "state", "a")
    numbers = ([3], [float("inf")], [1.5])
    kept = Optimized(("mlp",), torch.ones(1, 1, 4), torch.zeros(1, 1, 4), *numbers)
    state.optimized(1).save([0], kept, 2.5)
    assert state.optimized(1).seconds() == 2.5
    ((places, found),) = State(tmp_path / "state", "a").optimized(1).load(("mlp",), torch.device("cpu"))
    assert (places, found.steps, found.ppl_initial, found.ppl_target) == ([0], *numbers)
    assert state.optimized(2).load(("mlp",), torch.device("cpu")) == []
    state.save(1, Iteration({"k": 1}, []), {"w": torch.zeros(1)})
    assert {path.name for path in state.folder.iterdir()} == {"fingerprint", "k1"}


def test_a_kept_file_that_was_damaged_goes_with_a_line_and_its_edits_are_optimised_again(
    llama: LanguageModel, tiny_dataset: list[Fact], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    algorithm, settings = ALGORITHMS["memit"], VARIANTS["memit"][1]
    edits = edits_of(llama, tiny_dataset[:4])
    whole = optimize(llama, edits, algorithm, settings, at_once=TWO, kept=Kept(tmp_path))
    first, *_ = sorted(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:100])
    again = optimize(llama, edits, algorithm, settings, at_once=TWO, kept=Kept(tmp_path))
    assert same(whole, again) and "optimised again" in caplog.text


def test_parts_are_joined_in_the_order_of_the_edits_each_once() -> None:
    def part(*values: float) -> Optimized:
        column = torch.tensor(values)[:, None, None]
        return Optimized(("mlp",), column, -column, [int(v) for v in values], list(values), list(values))

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
    alone = compute(model, edits[:-1], factors, plan(1, variant=variant), 1)
    found = compute(model, edits, factors, plan(1, variant=variant), 1)
    for layer, update in alone.updates.items():
        assert torch.allclose(found.updates[layer], update, rtol=1e-4, atol=1e-6)
    assert f"numbers that are not finite in 1 of 4 cases: {edits[-1].case_id}" in caplog.text
    assert found.found.dropped == [3] and math.isinf(found.found.ppl_target[3])
    stop = replace(plan(1, variant=variant), nonfinite="stop")
    with pytest.raises(InputError, match=f"k=1 OPTIMIZATION: .* cases: {edits[-1].case_id}; nonfinite: drop"):
        compute(model, edits, factors, stop, 1)


def test_a_key_of_no_numbers_is_found_in_spread_and_its_case_dropped(
    tiny_dataset: list[Fact], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model("llama", dtype=torch.float32)
    edits = edits_of(model, tiny_dataset[:3])
    factors = factors_of_identity(model, VARIANTS["memit"][1]["layers"])
    alone = compute(model, [edits[0], edits[2]], factors, plan(1), 1)
    whole = spread.mean_key
    broken = split_by_edit(states_at_subject(model, rewriting_rows(edits), 1, ["key"])["key"].double(), edits)

    def mean_key(own: torch.Tensor) -> torch.Tensor:
        return whole(own) * (torch.nan if torch.equal(own, broken[1]) else 1)

    monkeypatch.setattr(spread, "mean_key", mean_key)
    found = compute(model, edits, factors, plan(1), 1)
    told = f"k=1 SPREAD, layer 1: numbers that are not finite in 1 of 3 cases: {edits[1].case_id}; dropped"
    assert told in caplog.text and found.found.dropped == [1]
    for layer, update in alone.updates.items():
        assert torch.allclose(found.updates[layer], update, rtol=1e-4, atol=1e-6)


def test_where_no_case_is_left_nothing_is_written(tiny_dataset: list[Fact]) -> None:
    model = tiny_model("llama", dtype=torch.float32)
    edits = edits_of(model, tiny_dataset[:2])
    model.model.get_input_embeddings().weight.data[:] = torch.inf
    factors = factors_of_identity(model, VARIANTS["memit"][1]["layers"])
    found = compute(model, edits, factors, plan(1), 1)
    assert found.found.dropped == [0, 1]
    assert all(not update.any() for update in found.updates.values())


def factors_of_identity(model: LanguageModel, layers: list[int]) -> dict[int, torch.Tensor]:
    """Factors of C = I."""
    return {layer: torch.eye(model.weight(layer).shape[1], dtype=torch.float64) for layer in layers}
