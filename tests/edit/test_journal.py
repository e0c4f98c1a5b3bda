"""Edits that OPTIMIZATION is done with: saved on disk, never optimised again, and equal to the bit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from test_iteration import VARIANTS, edits_of
from tiny import tiny_model

from reedit.edit import rome
from reedit.edit.found import Found
from reedit.edit.journal import Iteration, Journal
from reedit.edit.optimization import descent as optimization
from reedit.edit.optimization.descent import optimize
from reedit.edit.optimization.micro_batch import MicroBatch
from reedit.edit.saved_edits import SavedEdits
from reedit.methods.algorithms import ALGORITHMS
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact

TWO = MicroBatch(512, 2)


@pytest.fixture(scope="module")
def llama() -> LanguageModel:
    return tiny_model("llama", dtype=torch.float32)


def same(one: Found, other: Found) -> bool:
    numbers = [(found.steps, found.ppl_initial, found.ppl_target) for found in (one, other)]
    return torch.equal(one.hidden, other.hidden) and torch.equal(one.delta, other.delta) and len(
        set(map(str, numbers))
    ) == 1  # fmt: skip


def stopping_after(batches: int, module: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let `module.name` work so often and then be interrupted; the sizes of the batches it was given."""
    original, sizes = getattr(module, name), []

    def watched(model: LanguageModel, edits: list, *args: Any, **options: Any) -> Found:
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
            optimize(llama, edits, algorithm, settings, at_once=TWO, saved=SavedEdits(tmp_path))
        except KeyboardInterrupt:
            assert interrupted
        assert sizes == [2, 2, 1][:batches]
    with monkeypatch.context() as patch:
        sizes = stopping_after(9, optimization, "_optimize_batch", patch)
        reported: list[int] = []
        resumed = optimize(
            llama, edits, algorithm, settings, at_once=TWO, saved=SavedEdits(tmp_path), report=reported.append
        )
        assert sizes == [2, 2, 1][batches:]
    assert same(whole, resumed)
    assert reported == sorted(reported) and all(passes <= 5 * len(edits) for passes in reported)


def test_batches_of_another_size_take_up_what_is_saved(
    llama: LanguageModel, tiny_dataset: list[Fact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm, settings = ALGORITHMS["memit"], VARIANTS["memit"][1]
    edits = edits_of(llama, tiny_dataset[:5])
    whole = optimize(llama, edits, algorithm, settings, at_once=TWO)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stopping_after(1, optimization, "_optimize_batch", patch)
        optimize(llama, edits, algorithm, settings, at_once=TWO, saved=SavedEdits(tmp_path))
    resumed = optimize(
        llama, edits, algorithm, settings, at_once=MicroBatch(512, 3), saved=SavedEdits(tmp_path)
    )
    assert resumed.steps == whole.steps
    assert torch.allclose(resumed.delta, whole.delta, atol=1e-6)


def test_an_interrupted_rome_goes_on_with_the_edits_it_had_not_made(
    llama: LanguageModel, tiny_dataset: list[Fact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm, settings = ALGORITHMS["rome"], VARIANTS["rome"][1]
    edits = edits_of(llama, tiny_dataset[:4])

    def run(saved: SavedEdits | None) -> tuple[Found, torch.Tensor]:
        found, update, _ = rome.edit_one_by_one(
            llama, edits, algorithm, settings, "corrected", None, lambda passes: None, saved
        )
        return found, update

    whole, update = run(None)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stopping_after(2, rome, "optimize", patch)
        run(SavedEdits(tmp_path))
    with monkeypatch.context() as patch:
        sizes = stopping_after(9, rome, "optimize", patch)
        resumed, again = run(SavedEdits(tmp_path))
        assert sizes == [1, 1]
    assert same(whole, resumed) and torch.equal(update, again)


def test_what_is_saved_goes_with_its_iteration(tmp_path: Path) -> None:
    state = Journal(tmp_path / "state", "a")
    numbers = ([3], [float("inf")], [1.5])
    one = Found(("mlp",), torch.ones(1, 1, 4), torch.zeros(1, 1, 4), *numbers)
    state.optimized(1).save([0], one, 2.5)
    assert state.optimized(1).seconds() == 2.5
    ((places, found),) = Journal(tmp_path / "state", "a").optimized(1).load(("mlp",), torch.device("cpu"))
    assert (places, found.steps, found.ppl_initial, found.ppl_target) == ([0], *numbers)
    assert state.optimized(2).load(("mlp",), torch.device("cpu")) == []
    state.save(1, Iteration({"k": 1}, []), {"w": torch.zeros(1)})
    assert {path.name for path in state.folder.iterdir()} == {"fingerprint", "k1"}


def test_a_saved_file_that_was_damaged_goes_with_a_line_and_its_edits_are_optimised_again(
    llama: LanguageModel, tiny_dataset: list[Fact], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    algorithm, settings = ALGORITHMS["memit"], VARIANTS["memit"][1]
    edits = edits_of(llama, tiny_dataset[:4])
    whole = optimize(llama, edits, algorithm, settings, at_once=TWO, saved=SavedEdits(tmp_path))
    first, *_ = sorted(tmp_path.iterdir())
    first.write_bytes(first.read_bytes()[:100])
    again = optimize(llama, edits, algorithm, settings, at_once=TWO, saved=SavedEdits(tmp_path))
    assert same(whole, again) and "optimised again" in caplog.text
