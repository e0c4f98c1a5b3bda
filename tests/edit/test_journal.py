"""Edits that OPTIMIZATION is done with: saved on disk, never optimised again, and equal to the bit."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from steps import found_of, reporting
from tiny import tiny_model
from variants import VARIANTS, edits_of

from reedit.edit.editor import Editor
from reedit.edit.edits import Edit
from reedit.edit.found import Found
from reedit.edit.iteration import iterate, one_iteration, ours
from reedit.edit.journal import Iteration, Journal
from reedit.edit.memory import Memory
from reedit.edit.optimization import optimize as optimization
from reedit.edit.optimization.micro_batch import MicroBatch
from reedit.edit.workers import Workers
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe, Step
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

    def watched(editor: Editor, layer: int, positions: int, edits: list[Edit], *args: Any) -> Found:
        if len(sizes) == batches:
            raise KeyboardInterrupt
        sizes.append(len(edits))
        return original(editor, layer, positions, edits, *args)

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
    whole = found_of(llama, edits, Recipe(algorithm, settings), TWO)
    with monkeypatch.context() as patch:
        sizes = stopping_after(batches, optimization, "descend", patch)
        interrupted = batches < 3
        try:
            found_of(
                llama,
                edits,
                Recipe(algorithm, settings),
                TWO,
                workers=Workers(Journal(tmp_path, "f")),
            )
        except KeyboardInterrupt:
            assert interrupted
        assert sizes == [2, 2, 1][:batches]
    with monkeypatch.context() as patch:
        sizes = stopping_after(9, optimization, "descend", patch)
        reported: list[int] = []
        resumed = found_of(
            llama,
            edits,
            Recipe(algorithm, settings),
            TWO,
            workers=reporting(reported, Journal(tmp_path, "f")),
        )
        assert sizes == [2, 2, 1][batches:]
    assert same(whole, resumed)
    assert reported == sorted(reported) and all(passes <= 5 * len(edits) for passes in reported)


def test_batches_of_another_size_take_up_what_is_saved(
    llama: LanguageModel, tiny_dataset: list[Fact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm, settings = ALGORITHMS["memit"], VARIANTS["memit"][1]
    edits = edits_of(llama, tiny_dataset[:5])
    whole = found_of(llama, edits, Recipe(algorithm, settings), TWO)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stopping_after(1, optimization, "descend", patch)
        found_of(
            llama,
            edits,
            Recipe(algorithm, settings),
            TWO,
            workers=Workers(Journal(tmp_path, "f")),
        )
    resumed = found_of(
        llama,
        edits,
        Recipe(algorithm, settings),
        MicroBatch(512, 3),
        workers=Workers(Journal(tmp_path, "f")),
    )
    assert resumed.steps == whole.steps
    assert torch.allclose(resumed.delta, whole.delta, atol=1e-5)  # batches share other starts


def test_an_interrupted_rome_goes_on_with_the_edits_it_had_not_made(
    llama: LanguageModel, tiny_dataset: list[Fact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm, settings = ALGORITHMS["rome"], VARIANTS["rome"][1]
    edits = edits_of(llama, tiny_dataset[:4])

    recipe = Recipe(algorithm, settings)

    def run(workers: Workers) -> tuple[Found, torch.Tensor]:
        with llama.restored(recipe.layers):
            before = llama.weight(recipe.layers[0])
            found = one_iteration(Editor(llama, recipe, workers=workers), edits, 1, ours)
            return found, llama.weight(recipe.layers[0]) - before

    whole, update = run(Workers())
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stopping_after(2, optimization, "descend", patch)
        run(Workers(Journal(tmp_path, "f")))
    with monkeypatch.context() as patch:
        sizes = stopping_after(9, optimization, "descend", patch)
        resumed, again = run(Workers(Journal(tmp_path, "f")))
        assert sizes == [1, 1]
    assert same(whole, resumed) and torch.equal(update, again)


def test_looking_ahead_is_optimization_that_is_not_made_again(
    llama: LanguageModel, tiny_dataset: list[Fact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The released ROME: three iterations for two, the third never applied; none is counted as earlier."""
    recipe = Recipe(ALGORITHMS["rome"], VARIANTS["rome"][1], "released", iterations=2)
    edits = edits_of(llama, tiny_dataset[:3], protocol="released")
    with monkeypatch.context() as patch, llama.restored(recipe.layers):
        sizes = stopping_after(10, optimization, "descend", patch)
        editor = Editor(llama, recipe, workers=Workers(Journal(tmp_path, "f")))
        start = time.monotonic()
        done = iterate(editor, edits)
        spent = time.monotonic() - start
    assert sizes == [1] * 9
    assert [row["ppl_edited"] for row in done[0].targets] == [row["ppl_initial"] for row in done[1].targets]
    assert sum(one.row["seconds_total"] for one in done) <= spent
    assert done[1].row["seconds_optimization"] > 0


def test_what_is_kept_of_a_step_goes_with_its_iteration(tmp_path: Path) -> None:
    journal, step = Journal(tmp_path / "state", "a"), Step(1, 4, 0, (7,), [2], "k=1")
    numbers = ([3], [float("inf")], [1.5])
    one = Found(("mlp",), torch.ones(1, 1, 4), torch.zeros(1, 1, 4), *numbers)
    journal.keep(step, [0], one, 2.5)
    (own,) = journal.pieces(step, ("mlp",))
    assert not own.earlier
    (piece,) = Journal(tmp_path / "state", "a").pieces(step, ("mlp",))
    assert (piece.places, piece.seconds, piece.earlier) == ([0], 2.5, True)
    assert (piece.found.steps, piece.found.ppl_initial, piece.found.ppl_target) == numbers
    assert journal.pieces(replace(step, number=5), ("mlp",)) == []
    assert journal.pieces(replace(step, k=2), ("mlp",)) == []
    journal.complete(1, Iteration({"k": 1}, []), {"w": torch.zeros(1)}, Memory())
    assert {path.name for path in journal.folder.iterdir()} == {"fingerprint", "k1"}


def test_a_saved_file_that_was_damaged_goes_with_a_line_and_its_edits_are_optimised_again(
    llama: LanguageModel, tiny_dataset: list[Fact], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    algorithm, settings = ALGORITHMS["memit"], VARIANTS["memit"][1]
    edits = edits_of(llama, tiny_dataset[:4])
    whole = found_of(
        llama,
        edits,
        Recipe(algorithm, settings),
        TWO,
        workers=Workers(Journal(tmp_path, "f")),
    )
    first, *_ = sorted(tmp_path.glob("k1.optimized/*"))
    first.write_bytes(first.read_bytes()[:100])
    again = found_of(
        llama,
        edits,
        Recipe(algorithm, settings),
        TWO,
        workers=Workers(Journal(tmp_path, "f")),
    )
    assert same(whole, again) and "optimised again" in caplog.text
