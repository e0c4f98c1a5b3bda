"""Parity with the published implementation on SmolLM2-135M, in fp32 and the released protocol.

The numbers of golden/ were computed with the published code. The model and the corpus are fetched once, as
the workflow does it, into .cache/tests, where they stay under the sha256 of what was fetched.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from configurations import REPOSITORY
from steps import found_of, updates_of

from reedit.edit.editor import Editor
from reedit.edit.edits import Edit, Rows
from reedit.edit.found import Found
from reedit.edit.iteration import one_iteration, ours
from reedit.edit.spread.solve import factorise, null_space
from reedit.errors import InputError
from reedit.evaluate.collapse import check_collapse, read_texts
from reedit.evaluate.probes import make_probes
from reedit.evaluate.scored_rows import Probe
from reedit.evaluate.scoring import score
from reedit.fetch.sources import fetch
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe
from reedit.models.language_model import LanguageModel
from reedit.models.likelihood import likelihoods
from reedit.prepare.datasets import load_facts
from reedit.prepare.facts import Fact
from reedit.prepare.preparation import prepare_model
from reedit.statistics.corpora import Documents
from reedit.statistics.moments import Reading, collect_moments
from reedit.statistics.spectra import decomposed
from reedit.storage.files import payload

GOLDEN = REPOSITORY / "tests/golden"
CACHE = REPOSITORY / ".cache" / "tests"
ME_PPL_50 = REPOSITORY.parent / "shared" / "data" / "me-ppl-50.json"

CORPUS = {
    "kind": "wheel",
    "package": "gensim",
    "version": "4.4.0",
    "member": "gensim/test/test_data/lee_background.cor",
    "sha256": "5d78d6dafd953bbf65797bef09a9ffb9ec430583381be705f8fd460000f370fb",
}
LAYERS = [4, 5, 6, 7, 8]
MEMIT = {
    "layers": LAYERS,
    "v_lr": 0.5,
    "v_num_grad_steps": 25,
    "clamp_norm_factor": 4,
    "v_weight_decay": 1e-3,
    "kl_factor": 0.0625,
    "mom2_update_weight": 400,
}
SETTINGS = {
    "rome": MEMIT | {"layers": [5], "mom2_adjustment": False},
    "memit": MEMIT,
    "pmet": MEMIT
    | {"clamp_norm_factor": 1, "v_num_grad_steps": 20, "v_weight_decay": 0.5, "nll_loss_factor": 1},
    "alphaedit": MEMIT | {"nullspace_threshold": 0.02, "L2": 10},
}
# Adam amplifies the rounding of this one case: ours in fp32 and in fp64 are 2.8e-4 apart themselves
ROUNDING = {("na_pmet", 3): 5e-4}
METHODS = {  # algorithm, assisting, prefixed
    "memit": ("memit", 0, False),
    "na_memit": ("memit", 1, False),
    "nap_memit": ("memit", 1, True),
    "pmet": ("pmet", 0, False),
    "na_pmet": ("pmet", 1, False),
    "rome": ("rome", 0, False),
    "alphaedit": ("alphaedit", 0, False),  # of the second iteration on what the first one has written stays
    "nap_alphaedit": ("alphaedit", 1, True),
}


def relative(found: Any, expected: Any) -> float:
    """|found - expected| / |expected|, Frobenius."""
    found, expected = (torch.as_tensor(x, dtype=torch.float64) for x in (found, expected))
    return float((found - expected).norm() / expected.norm())


@dataclass
class Golden:
    """The model, its moments, and what the published implementation made of it."""

    model: LanguageModel
    facts: list[Fact]
    templates: list[str]
    moments: dict[int, torch.Tensor]
    tokens: int
    released: dict[str, Any]
    targets: Mapping[str, np.ndarray]
    probes: list[Probe]


def cached(name: str, source: Mapping[str, Any]) -> Path:
    """The fetched source, from the network the first time only."""
    folder = CACHE / source["sha256"]
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        try:
            fetch(name, source, folder)
        except InputError as error:
            pytest.fail(f"parity needs {name}, which could not be fetched: {error}", pytrace=False)
    return folder


@pytest.fixture(scope="module")
def golden() -> Golden:
    source = yaml.safe_load((REPOSITORY / "config.yaml").read_text())["sources"]["smollm2"]
    folder = CACHE / f"{source['sha256']}-model"
    if not folder.exists():
        prepare_model(cached("smollm2", source), folder, source)
    texts = Documents(payload(cached("lee-background", CORPUS)), "lines", 100, 128)
    model = LanguageModel.load(folder, device="cpu")
    moments, tokens = collect_moments(model, texts, LAYERS, Reading(128))
    facts = list(load_facts(GOLDEN / "facts.json").facts)
    evaluating = {fact.case_id: list(fact.neighbors[1:]) for fact in facts}
    return Golden(
        model,
        facts,
        json.loads((GOLDEN / "prefix_templates.json").read_text()),
        dict(moments),
        tokens,
        json.loads((GOLDEN / "released.json").read_text()),
        np.load(GOLDEN / "targets.npz"),
        make_probes(model, facts, evaluating, "released"),
    )


def reset(model: LanguageModel) -> None:
    for layer in LAYERS:
        model.set_cumulative_update(layer, torch.zeros_like(model.weight(layer)))


def check_scores(golden: Golden, expected: list[dict[str, Any]], k: int) -> None:
    """Accuracy and success of every prompt, and every neighbor's argmax, are the published ones."""
    rows = score(golden.model, golden.probes, k)
    neighbors = [probe for probe in golden.probes if probe.metric == "specificity"]
    said = likelihoods(golden.model, [probe.reference for probe in neighbors])
    for fact, published in zip(golden.facts, expected, strict=True):
        own = [row for row in rows if row["case_id"] == fact.case_id]
        for metric, name in [("efficacy", "rewrite"), ("generalization", "rephrase")]:
            found = [row for row in own if row["metric"] == metric]
            assert [row["accuracy"] for row in found] == pytest.approx(published[f"{name}_acc"])
            assert [row["success"] for row in found] == published[f"{name}_success"]
        success = [row["success"] for row in own if row["metric"] == "specificity"]
        assert success == published["neighborhood_success"]
        outputs = [
            list(likelihood.argmax)
            for probe, likelihood in zip(neighbors, said, strict=True)
            if probe.case_id == fact.case_id
        ]
        assert outputs == published["neighborhood_output"]


def check_collapse_on_the_papers_texts(golden: Golden, expected: float) -> None:
    if ME_PPL_50.exists():
        rows = check_collapse(golden.model, read_texts(ME_PPL_50), 0)
        assert np.mean([row["ppl_released"] for row in rows]) == pytest.approx(expected, rel=1e-3)


def test_second_moments_are_the_published_ones(golden: Golden) -> None:
    published = golden.released["moments"]
    assert golden.tokens == published["count"]
    for layer in LAYERS:
        expected, moment = published["layers"][str(layer)], golden.moments[layer]
        assert float(moment.trace()) == pytest.approx(expected["trace"], rel=1e-3)
        assert float(moment.norm()) == pytest.approx(expected["frobenius"], rel=1e-3)
        assert relative(moment[:3, :3], expected["first"]) < 1e-3


def test_scores_of_the_unedited_model_are_the_published_ones(golden: Golden) -> None:
    reset(golden.model)
    check_scores(golden, golden.released["unedited"]["scores"], 0)


@pytest.mark.long
@pytest.mark.skipif(
    not ME_PPL_50.exists(), reason="the paper's 50 texts may not be committed: needs ../shared/data"
)
def test_perplexity_of_the_papers_texts_is_the_published_one(golden: Golden) -> None:
    reset(golden.model)
    check_collapse_on_the_papers_texts(golden, golden.released["unedited"]["me_ppl_50_released"])


def recipe_of(method: str) -> Recipe:
    name, *_ = METHODS[method]
    algorithm = ALGORITHMS[name]
    return Recipe(algorithm, SETTINGS[name], "released", iterations=2, stop="none", extend_to=None)


def edits_of(golden: Golden, method: str) -> list[Edit]:
    name, assisting, prefixed = METHODS[method]
    spaced = ALGORITHMS[name].released_space("smollm2-135m")
    rows = Rows(golden.model.wording, "released", golden.templates, spaced)
    return [rows.edit(fact, fact.neighbors[:assisting], prefixed) for fact in golden.facts]


def factors_of(golden: Golden, method: str) -> dict[int, torch.Tensor]:
    if method == "rome":
        return {}
    if "alphaedit" in method:
        spectra = {layer: decomposed(golden.moments[layer]) for layer in LAYERS}
        threshold = SETTINGS["alphaedit"]["nullspace_threshold"]
        return {layer: null_space(*spectrum, threshold, layer) for layer, spectrum in spectra.items()}
    return {layer: factorise(golden.moments[layer], layer, golden.tokens) for layer in LAYERS}


def published_target(golden: Golden, method: str, k: int, place: int, vector: str) -> torch.Tensor:
    case = golden.facts[place].case_id
    return torch.as_tensor(golden.targets[f"{method}/k{k}/case{case}/{vector}"])


def check_found(golden: Golden, method: str, k: int, found: Found) -> None:
    """Perplexities and targets of the first facts, as many as were found for."""
    count, published = len(found.steps), golden.released[method][k - 1]
    for name in ("ppl_initial", "ppl_target"):
        expected = published[name][:count]
        assert getattr(found, name) == pytest.approx(expected, rel=1e-3 if k == 1 else 2e-2)
    for vector in found.vectors:
        for i, fact in enumerate(golden.facts[:count]):
            if method != "rome":  # the published targets of ROME were not kept
                expected = published_target(golden, method, k, i, vector)
                tolerance = ROUNDING.get((method, fact.case_id), 1e-4) if k == 1 else 2e-2
                assert relative(found.target(vector)[i], expected) < tolerance


def check_updates(golden: Golden, method: str, k: int, updates: Mapping[int, torch.Tensor]) -> None:
    """Every layer's update, by its norm and a projection."""
    published, tolerance = golden.released[method][k - 1]["update"], 1e-3 if k == 1 else 2e-2
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(576, 4, generator=generator, dtype=torch.float64)
    right = torch.randn(1536, 4, generator=generator, dtype=torch.float64)
    assert sorted(map(str, updates)) == sorted(published)
    for layer, update in updates.items():
        expected = published[str(layer)]
        assert float(update.norm()) == pytest.approx(expected["frobenius"], rel=tolerance)
        assert relative(left.T @ update.double() @ right, expected["projection"]) < tolerance


@pytest.mark.parametrize("method", ["memit", "nap_alphaedit"])
def test_targets_and_updates_are_the_published_ones(method: str, golden: Golden) -> None:
    """OPTIMIZATION of two facts; SPREAD of what was found for them and was published for the others."""
    reset(golden.model)
    recipe, edits = recipe_of(method), edits_of(golden, method)
    found = found_of(golden.model, edits[:2], recipe)
    check_found(golden, method, 1, found)
    others = [published_target(golden, method, 1, i, "hidden") for i in range(2, len(edits))]
    targets = torch.stack([*found.target("hidden"), *others])
    updates = updates_of(golden.model, edits, targets, recipe, factors_of(golden, method))
    check_updates(golden, method, 1, updates)


@pytest.mark.long
@pytest.mark.parametrize("method", METHODS)
def test_edits_are_the_published_ones(method: str, golden: Golden) -> None:
    """Perplexities, targets, updates and scores, iteration by iteration."""
    model, recipe, edits = golden.model, recipe_of(method), edits_of(golden, method)
    reset(model)
    editor = Editor(model, recipe, factors_of(golden, method))
    for published in golden.released[method]:
        k = published["k"]
        before = {layer: model.weight(layer) for layer in recipe.layers}
        found = one_iteration(editor, edits, k, ours)
        check_found(golden, method, k, found)
        updates = {layer: model.weight(layer) - weight for layer, weight in before.items()}
        check_updates(golden, method, k, updates)
        if "scores" in published:  # of AlphaEdit none were kept
            check_scores(golden, published["scores"], k)
            check_collapse_on_the_papers_texts(golden, published["me_ppl_50_released"])
