"""The whole path of an experiment on a tiny model, from prefixes to scores: what it gives, as numbers.

Wherever LanguageModel.load puts the model: the CPU, or a GPU where there is one.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_corpus
from torch import Tensor
from variants import what_is_read

from reedit.edit.editor import Editor
from reedit.edit.edits import Edit, Rows
from reedit.edit.iteration import iterate
from reedit.edit.journal import Iteration, Journal
from reedit.edit.workers import Workers
from reedit.evaluate.collapse import check_collapse
from reedit.evaluate.norms import norm_rows
from reedit.evaluate.probes import make_probes
from reedit.evaluate.scoring import score
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe
from reedit.models.generation import generate
from reedit.models.language_model import LanguageModel
from reedit.models.tokens import encode
from reedit.prepare.datasets import load_facts
from reedit.prepare.facts import Fact
from reedit.prepare.neighbors import filter_neighbors
from reedit.prepare.prefixes import sample_prefixes
from reedit.statistics.moments import Reading, collect_moments
from reedit.storage.checkpoint import Checkpoint

CORPUS = tiny_corpus().splitlines()
UNCOMPARED = ("seconds", "peak_memory", "delta_p")  # of the machine; a small difference of two columns
SETTINGS = {
    "layers": [1, 2, 3],
    "v_lr": 0.5,
    "v_num_grad_steps": 4,
    "clamp_norm_factor": 0.75,
    "v_weight_decay": 0.5,
    "kl_factor": 0.0625,
    "mom2_update_weight": 4,
}


def facts_of(file: Path) -> list[Fact]:
    """Three cases of a file in CounterFact's form, of both its relations."""
    return list(load_facts(file).facts)[::8]


def edits_of(model: LanguageModel, facts: list[Fact], recipe: Recipe, templates: list[str]) -> list[Edit]:
    """One neighbor assists each, prefixed."""
    return [
        Rows(model.wording, recipe.protocol, templates).edit(fact, fact.neighbors[:1], True) for fact in facts
    ]


def moments_of(model: LanguageModel, layers: list[int], state: Path) -> dict[int, Tensor]:
    """The moments of 24 documents, by a job that goes on after 16 of them from a state of its own."""
    for documents in (16, 24):
        saved = Checkpoint(state, "one", every=0)
        found, _ = collect_moments(model, CORPUS[:documents], layers, Reading(40, chunk=8), saved=saved)
    return dict(found)


def factors_of(model: LanguageModel, recipe: Recipe) -> dict[int, Tensor]:
    """What a job of the recipe has of the moments: on the CPU."""
    found, _ = collect_moments(model, CORPUS[:24], recipe.layers, Reading(40))
    return {layer: what_is_read(moment.to(model.device), recipe, layer).cpu() for layer, moment in found}


def edited(
    folder: Path, facts: list[Fact], state: Path, of: Callable[[int], Recipe], templates: list[str]
) -> tuple[LanguageModel, list[Iteration]]:
    """A model after two iterations of the recipe `of(iterations)`: the second one in a job of its own."""
    for iterations in (1, 2):
        model, recipe = LanguageModel.load(folder), of(iterations)
        factors = factors_of(model, recipe)
        if recipe.algorithm.one_by_one and not recipe.hyperparameters.get("mom2_adjustment"):
            factors = {}
        edits = edits_of(model, facts, recipe, templates)
        workers = Workers(Journal(state, "one"))
        done = iterate(Editor(model, recipe, factors, workers=workers), edits)
    return model, done


def told(model: LanguageModel, done: list[Iteration]) -> dict[str, Any]:
    """What iterations are seen by, and the weights that they have led to."""
    rows = [{n: v for n, v in one.row.items() if not n.startswith(UNCOMPARED)} for one in done]
    updates = model.export_updates([n for n in range(len(model.layers)) if model.cumulative_update(n).any()])
    return {"rows": rows, "targets": [one.targets for one in done], "updates": updates}


def whole_path(folder: Path, file: Path, state: Path, algorithm: str = "memit") -> dict[str, Any]:
    """All of it for the model in `folder` and the facts of `file`; `state`: a folder of its own."""
    unedited, facts = LanguageModel.load(folder), facts_of(file)
    more = {"update_norm_lambda": 0.5} if algorithm == "encore" else {}
    of = lambda iterations: Recipe(ALGORITHMS[algorithm], SETTINGS | more, "corrected", iterations)  # noqa: E731
    templates = sample_prefixes(unedited, 5, 6, 0)
    probes = make_probes(unedited, facts, {fact.case_id: fact.neighbors[1:] for fact in facts}, "corrected")
    model, done = edited(folder, facts, state, of, templates)
    prompts = [encode(model.tokenizer, fact.prompt.replace("{}", fact.subject)) for fact in facts]
    return told(model, done) | {
        "templates": templates,
        "moments": moments_of(unedited, SETTINGS["layers"], state.with_name(f"{state.name} moments")),
        "neighbors": filter_neighbors(unedited, facts, False, 0),
        "scores": score(model, probes, 2),
        "collapse": check_collapse(model, CORPUS[:3], 2),
        "norms": norm_rows(model, SETTINGS["layers"], 2),
        "texts": generate(model, prompts, 4),
    }


def check_alike(found: Any, expected: Any, tolerance: float, where: str = "") -> None:
    """Assert that two things made of numbers are equal but for rounding, tensors by their norm."""
    if isinstance(expected, Mapping):
        assert found.keys() == expected.keys(), where
        pairs = [(name, found[name], expected[name]) for name in expected]
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), where
        pairs = [(str(i), *pair) for i, pair in enumerate(zip(found, expected, strict=True))]
    elif isinstance(expected, Tensor):
        assert (found - expected).norm() <= tolerance * expected.norm(), where
        return
    else:
        close = pytest.approx(expected, rel=tolerance, abs=1e-5) if isinstance(expected, float) else expected
        assert found == close, where
        return
    for name, one, other in pairs:
        check_alike(one, other, tolerance, f"{where}/{name}")
