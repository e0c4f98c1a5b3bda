"""Edits that are done: held at their last targets, without a pass, and optimised again once they are not."""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from naive import naive_edit, naive_iterate
from oracle import hold_to
from tiers import long_but
from variants import LAYERS, TEMPLATES, VARIANTS, Moments, edits_of, factors_of, plan, steps_of

from reedit.edit.editor import Editor
from reedit.edit.edits import Edit
from reedit.edit.found import Found
from reedit.edit.iteration import iterate
from reedit.edit.journal import Iteration, Journal
from reedit.edit.memory import Memory
from reedit.edit.optimization import optimize as optimization
from reedit.edit.workers import Workers
from reedit.methods.recipe import Recipe
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact


@pytest.fixture
def facts(tiny_dataset: list[Fact]) -> list[Fact]:
    """Six facts, four of which the taught model knows already: some of them are done at once."""
    known = [replace(fact, target_new=fact.target_true) for fact in tiny_dataset]
    return [known[i] if i % 3 else tiny_dataset[i] for i in range(0, 24, 4)]


@pytest.fixture
def taught(taught_folder: Path) -> LanguageModel:
    return LanguageModel.load(taught_folder, device="cpu")


def leaving(variant: str, **changes: Any) -> Recipe:
    return replace(plan(3, variant=f"{variant}, leaving"), **changes)


@pytest.mark.parametrize(
    ("variant", "assisting"),
    long_but(
        [("memit", 0), ("memit", 1), ("pmet", 0), ("pmet", 1), ("memit in batches", 0)],
        ("memit in batches", 0).__eq__,
    ),
)
def test_three_iterations_are_those_of_the_oracle(
    variant: str,
    assisting: int,
    taught: LanguageModel,
    facts: list[Fact],
    moments_of: Moments,
    in_fp64: Any,
) -> None:
    model, wanted, protocol, facts = in_fp64(taught), leaving(variant), "corrected", facts[1:4]
    moments = moments_of(model, LAYERS)
    plain = [
        naive_edit(model.tokenizer, fact, TEMPLATES, fact.neighbors[:assisting], False, protocol)
        for fact in facts
    ]
    algorithm, settings = VARIANTS[variant]
    expected = naive_iterate(model.model, plain, moments, settings, 3, algorithm, **steps_of(wanted))
    held = [sum(one.steps == 0 for one in k.optimized) for k in expected]
    assert 0 < held[1] < len(facts) and 0 < held[2] < len(facts)
    hold_to(expected, Editor(model, wanted, factors_of(moments)), edits_of(model, facts, assisting))


def run(
    model: LanguageModel, edits: Sequence[Edit], recipe: Recipe, moments: Moments, folder: Path
) -> list[Iteration]:
    workers = Workers(Journal(folder, "f"))
    return iterate(Editor(model, recipe, factors_of(moments(model, LAYERS)), workers=workers), edits)


def watched(monkeypatch: pytest.MonkeyPatch, most: int = 99) -> list[list[int]]:
    """The cases of each call of OPTIMIZATION, `most` of them; the next one is interrupted."""
    original, calls = optimization.descend, []

    def descend(editor: Editor, layer: int, positions: int, edits: list[Edit], *rest: Any) -> Found:
        if len(calls) == most:
            raise KeyboardInterrupt
        calls.append(sorted(edit.case_id for edit in edits))
        return original(editor, layer, positions, edits, *rest)

    monkeypatch.setattr(optimization, "descend", descend)
    return calls


def is_open(row: dict[str, Any]) -> bool:
    return abs(row["ppl_edited"] - row["ppl_target"]) > 1 or row["ppl_edited"] > 2


def test_edits_that_are_done_make_no_pass_and_come_back_once_they_are_not(
    taught: LanguageModel,
    facts: list[Fact],
    moments_of: Moments,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = watched(monkeypatch)
    edits = edits_of(taught, facts)
    with caplog.at_level(logging.INFO, "reedit"):
        done = run(taught, edits, leaving("pmet", iterations=4), moments_of, tmp_path)
    tables = [{row["case_id"]: row for row in one.targets} for one in done]
    still = [sorted(tables[0]), *(sorted(case for case in k if is_open(k[case])) for k in tables[:-1])]
    assert calls == still
    assert any(set(later) - set(earlier) for earlier, later in pairwise(still[1:]))
    gaps = [abs(row["ppl_edited"] - row["ppl_target"]) for row in tables[0].values() if is_open(row)]
    assert min(gaps) < 1, "a hard fact, whose gap alone would hold it"
    for k, (before, now) in enumerate(pairwise(tables), start=2):
        assert list(now) == [edit.case_id for edit in edits]
        for case in set(now) - set(still[k - 1]):
            earlier, later = before[case], now[case]
            assert later["steps"] == 0 and later["ppl_target"] == earlier["ppl_target"]
            assert later["ppl_initial"] == earlier["ppl_edited"]
            assert later["delta_norm"] == later["residual_before"]
            assert later["residual_before"] == pytest.approx(earlier["residual_after"], rel=1e-4)
        mean = sum(row["ppl_target"] for row in now.values()) / len(now)
        assert done[k - 1].row["ppl_target"] == pytest.approx(mean), "the criterion is over all edits"
        assert f"; {len(still[k - 1])} of 6 edits optimised; " in caplog.text


@pytest.mark.parametrize("calls", long_but([2, 3, 4, 5], (3).__eq__))
def test_an_interrupted_run_holds_the_same_edits(
    calls: int,
    taught_folder: Path,
    facts: list[Fact],
    moments_of: Moments,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed after so many batches' OPTIMIZATION, two an iteration: between iterations and in one."""

    def whole(folder: Path, most: int) -> tuple[list[Any], list[list[int]], list[torch.Tensor]]:
        model = LanguageModel.load(taught_folder, device="cpu")
        with monkeypatch.context() as patch:
            made = watched(patch, most)
            try:
                done = run(
                    model, edits_of(model, facts[1:5]), leaving("memit in batches"), moments_of, folder
                )
            except KeyboardInterrupt:
                done = []
        return [one.targets for one in done], made, [model.weight(layer) for layer in LAYERS]

    straight, made, weights = whole(tmp_path / "whole", 99)
    assert [row["steps"] for row in straight[-1]].count(0) > 0
    assert whole(tmp_path / "cut", calls)[1] == made[:calls]
    resumed, rest, again = whole(tmp_path / "cut", 99)
    assert rest == made[calls:] and resumed == straight
    assert all(torch.equal(one, other) for one, other in zip(weights, again, strict=True))


@pytest.mark.parametrize(
    ("edited", "target", "held"),
    [
        (1.9, 1.1, True),
        (2.0, 1.0, True),
        (2.1, 1.5, False),  # the target need not lead
        (2.9, 2.8, False),
        (1.5, 2.6, False),  # the gap is open, on whichever side
        (1.5, 2.4, True),
        (math.inf, 1.1, False),
        (1.1, math.inf, False),  # lost the last time
        (math.inf, math.inf, False),
        (math.nan, 1.1, False),
    ],
)
def test_an_edit_is_held_while_its_gap_is_closed_and_its_target_leads(
    edited: float, target: float, held: bool
) -> None:
    rows = [{"ppl_edited": edited, "ppl_target": target}, {"ppl_edited": 9.0, "ppl_target": 1.0}]
    assert leaving("memit").held(rows) == ({0} if held else set())
    assert plan(3).held(rows) == set() and plan(3, variant="memit, SPREAD only").held(rows) == {0, 1}


def test_memory_keeps_the_target_of_a_held_edit_and_learns_the_others() -> None:
    memory = Memory()
    memory.keep_targets(torch.zeros(3, 2), [1.0, 2.0, math.inf])
    memory.held = frozenset({1})
    memory.keep_targets(torch.ones(3, 2), [7.0, 8.0, 9.0])
    assert memory.targets[:, 0].tolist() == [1.0, 0.0, 1.0]
    assert memory.ppl_target.tolist() == [7.0, 2.0, 9.0]


def test_a_held_edit_that_is_lost_is_optimised_again(
    taught: LanguageModel,
    facts: list[Fact],
    moments_of: Moments,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`nonfinite: drop`: what has no finite numbers at k = 2 is open at k = 3."""
    edits, spread = edits_of(taught, facts[1:4]), Memory.keep_targets
    calls = watched(monkeypatch)

    def broken(memory: Memory, targets: torch.Tensor, ppl_target: Sequence[float]) -> None:
        spread(memory, targets, ppl_target)
        memory.targets[0] = math.nan

    with monkeypatch.context() as patch:
        patch.setattr(Memory, "keep_targets", broken)
        done = run(taught, edits, leaving("memit"), moments_of, tmp_path)
    first = edits[0].case_id
    assert [first in some for some in calls] == [True, False, True]
    assert done[1].targets[0]["ppl_target"] == math.inf and done[1].row["delta_p"] == math.inf
    assert math.isfinite(done[2].targets[0]["ppl_target"])
