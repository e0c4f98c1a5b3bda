"""Batch after batch: a job goes on inside an iteration, and checkpoints are the model along the way."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_iteration import iterated, without_times
from tiers import long_but
from tiny import tiny_model
from variants import LAYERS, Moments, edits_of, factors_of, plan

from reedit.edit import iteration
from reedit.edit.editor import Editor
from reedit.edit.edits import Edit
from reedit.edit.journal import Iteration, Journal
from reedit.edit.kept_weights import UNEDITED, KeptStates, State
from reedit.edit.written import Batch
from reedit.methods.recipe import Recipe
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact

VARIANTS = [
    "memit in batches",
    "alphaedit in batches protecting its own",
    "blue in batches, PRUNE and SPHERE",
    "memit in batches, NAS",
    "betaedit in batches",
]
VARIANTS += ["rome in batches", "memit in batches, leaving", "alphaedit in batches"]


def run(
    folder: Path, recipe: Recipe, facts: list[Fact], moments_of: Moments, watched: Any = None
) -> tuple[list[Iteration] | None, LanguageModel]:
    """A job of so many facts; nothing where `watched`, called before each batch, interrupts it."""
    model = tiny_model("llama", dtype=torch.float32)
    factors = factors_of(moments_of(model, LAYERS), recipe)
    once = iteration.one_batch

    def one_batch(editor: Editor, edits: list[Edit], *rest: Any) -> Batch:
        if watched:
            watched()
        return once(editor, edits, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(iteration, "one_batch", one_batch)
        try:
            return iterated(model, edits_of(model, facts), factors, recipe, folder), model
        except KeyboardInterrupt:
            return None, model


@pytest.mark.parametrize("variant", long_but(VARIANTS, VARIANTS[:5].__contains__))
@pytest.mark.parametrize("protocol", ["corrected", "released"])
def test_a_job_that_was_cut_off_after_a_batch_goes_on_with_the_next(
    variant: str, protocol: str, tiny_dataset: list[Fact], moments_of: Moments, tmp_path: Path
) -> None:
    recipe, facts = plan(2, variant=variant, protocol=protocol), tiny_dataset[:5]  # three batches
    whole, straight = run(tmp_path / "whole", recipe, facts, moments_of)
    batches = 0

    def counted() -> None:
        nonlocal batches
        batches += 1

    for end in (2, 3, 5):  # inside the first iteration, twice, and inside the second

        def cut(end: int = end) -> None:
            if batches == end:
                raise KeyboardInterrupt
            counted()

        assert run(tmp_path / "cut", recipe, facts, moments_of, cut)[0] is None and batches == end
    resumed, model = run(tmp_path / "cut", recipe, facts, moments_of, counted)
    assert batches == 6 or recipe.looks_ahead  # which is made once more
    assert whole is not None and resumed is not None and without_times(resumed) == without_times(whole)
    for layer in LAYERS:
        assert torch.equal(model.weight(layer), straight.weight(layer))


@pytest.mark.parametrize("variant", ["memit in batches protecting others", "rome in batches, SPHERE"])
def test_a_checkpoint_is_what_its_edits_alone_make(
    variant: str, tiny_dataset: list[Fact], moments_of: Moments, tmp_path: Path
) -> None:
    recipe = replace(plan(1, variant=variant), checkpoints=1)
    run(tmp_path / "all", recipe, tiny_dataset[:5], moments_of)
    journal = Journal(tmp_path / "all", "f")
    assert [path.name for path in journal.checkpoints(1)] == ["after2.safetensors", "after4.safetensors"]
    for path, count in zip(journal.checkpoints(1), (2, 4), strict=True):
        run(tmp_path / str(count), recipe, tiny_dataset[:count], moments_of)
        alone = load_file(Journal(tmp_path / str(count), "f").weights(1))
        along = load_file(path)
        assert along.keys() == alone.keys() and all(torch.equal(along[name], alone[name]) for name in alone)
    assert not list((tmp_path / "all").glob("*.batches"))


def test_every_second_batch(tiny_dataset: list[Fact], moments_of: Moments, tmp_path: Path) -> None:
    recipe = replace(plan(2), batch=1, checkpoints=2)
    run(tmp_path, recipe, tiny_dataset[:5], moments_of)
    for k in (1, 2):
        names = [path.stem for path in Journal(tmp_path, "f").checkpoints(k)]
        assert names == ["after2", "after4"], "what is complete is no checkpoint"


def test_states_come_in_the_order_of_editing(llama: LanguageModel, tmp_path: Path) -> None:
    for state in (State(2), State(1), State(1, 10), State(1, 2), State(10, 5), State(10)):
        save_file(llama.export_updates([1]), tmp_path / state.file)
    found = list(KeptStates(llama, tmp_path, [1]))
    assert found == [UNEDITED, State(1, 2), State(1, 10), State(1), State(2), State(10, 5), State(10)]


def test_what_is_asked_along_the_way_is_of_what_was_edited(tiny_dataset: list[Fact]) -> None:
    facts = tiny_dataset[:4]
    items = [fact for fact in facts for _ in range(2)]
    assert State(1, 3).of_edited(items, facts) == items[:6]
    assert State(1).of_edited(items, facts) == UNEDITED.of_edited(items, facts) == items
    assert State(1, 3).told([{"k": 1}]) == [{"k": 1, "after": 3}]


@pytest.mark.parametrize(
    ("whole", "batch", "sizes", "along"),
    [
        ((), 2, [2, 2, 2, 1], [2, 4, 6]),
        ((2, 1, 3, 1), 3, [3, 3, 1], [3, 6]),
        ((2, 2, 1, 2), 3, [2, 3, 2], [2, 5]),
        ((4, 1, 2), 2, [4, 1, 2], [4, 5]),
        ((2, 5), None, [7], []),
    ],
    ids=["one each", "as they fit", "not torn apart", "larger than a batch", "all at once"],
)
def test_what_belongs_to_one_case_is_in_one_batch(
    whole: tuple[int, ...], batch: int | None, sizes: list[int], along: list[int]
) -> None:
    checkpoints = 1 if batch else None
    recipe = replace(plan(1), batch=batch, checkpoints=checkpoints, whole=whole)
    batches = recipe.batches(7)
    assert [len(one) for one in batches] == sizes and [place for one in batches for place in one] == list(
        range(7)
    )
    assert recipe.along(7) == along
    assert [step.places for step in recipe.steps(1, 7)] == batches
