"""Edits that are done: held at their last targets, without a pass, and optimised again once they are not."""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from naive import naive_edit, naive_iterate
from oracle import hold_to
from tiers import long_but
from variants import LAYERS, TEMPLATES, VARIANTS, Moments, edits_of, factors_of, plan

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
    """Four facts, three of which the taught model knows already: some of them are done at once."""
    known = [replace(fact, target_new=fact.target_true) for fact in tiny_dataset]
    return [known[i] if i % 3 else tiny_dataset[i] for i in range(4, 20, 4)]


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
    model, wanted, protocol = in_fp64(taught), leaving(variant), "corrected"
    moments = moments_of(model, LAYERS)
    plain = [
        naive_edit(model.tokenizer, fact, TEMPLATES, fact.neighbors[:assisting], False, protocol)
        for fact in facts
    ]
    algorithm, settings = VARIANTS[variant]
    expected = naive_iterate(
        model.model, plain, moments, settings, 3, algorithm, wanted.batch, leaves=wanted.leaves
    )
    held = [sum(one.steps == 0 for one in k.optimized) for k in expected]
    assert 0 < held[1] < len(facts) and 0 < held[2] < len(facts)
    hold_to(expected, Editor(model, wanted, factors_of(moments)), edits_of(model, facts, assisting))
