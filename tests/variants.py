"""Every variant of the loop as a small recipe, with edits and factors for it."""

from collections.abc import Callable
from typing import Any

import torch

from reedit.edit.edits import Edit, Rows
from reedit.edit.job.inputs import factor_of
from reedit.edit.spread.solve import factorise, null_space
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact
from reedit.statistics.spectra import decomposed

TEMPLATES = ["The old town of. {}"]
LAYERS = [1, 2, 3]
SETTINGS = {
    "layers": LAYERS,
    "v_lr": 0.5,
    "v_num_grad_steps": 5,
    "clamp_norm_factor": 0.75,
    "v_weight_decay": 0.5,
    "kl_factor": 0.0625,
    "mom2_update_weight": 4,
}
Moments = Callable[[LanguageModel, list[int]], dict[int, torch.Tensor]]
ROME = SETTINGS | {"layers": [2]}
NULL_SPACE = SETTINGS | {"layers": [2, 3], "nullspace_threshold": 0.1, "L2": 0.02}
LEAKING = NULL_SPACE | {"nullspace_threshold": 0.13, "L2": 0.5, "lambda1": 2.0, "tau": 2}
# one of its edits is near at the second round, and one is too far at any
NEURONS = SETTINGS | {"alpha": 0.5, "upper_bound": 9.5, "max_iterations": 3, "neuron_threshold": 0.8}
VARIANTS = {
    "memit": ("memit", SETTINGS),
    "pmet": ("pmet", SETTINGS | {"nll_loss_factor": 0.8}),
    "rome": ("rome", ROME),
    "rome adjusted": ("rome", ROME | {"mom2_adjustment": True}),
    "r_rome": ("r_rome", ROME),
    "r_rome adjusted": ("r_rome", ROME | {"mom2_adjustment": True}),
    "emmet": ("emmet", SETTINGS | {"layers": [2, 3]}),
    "alphaedit": ("alphaedit", NULL_SPACE),
    "alphaedit in batches": ("alphaedit", NULL_SPACE),
    "alphaedit protecting its own": ("alphaedit", NULL_SPACE),
    "alphaedit in batches protecting its own": ("alphaedit", NULL_SPACE),
    "blue": ("blue", SETTINGS),
    "blue in batches": ("blue", SETTINGS),
    "encore": ("encore", SETTINGS | {"update_norm_lambda": 0.5}),
    "encore in batches": ("encore", SETTINGS | {"update_norm_lambda": 0.5, "prob_cutoff": -2}),
    "memit in batches": ("memit", SETTINGS),
    "memit_fe": ("memit_fe", SETTINGS),
    "betaedit": ("betaedit", LEAKING),
    "betaedit in batches": ("betaedit", LEAKING),
    "nse": ("nse", NEURONS),
    "nse in batches": ("nse", NEURONS),
    "memit in batches protecting others": ("memit", SETTINGS),
    "pmet in batches protecting its own": ("pmet", SETTINGS | {"nll_loss_factor": 0.8}),
    "memit in batches, RECT": ("memit", SETTINGS),
    "memit in batches, NAS": ("memit", SETTINGS),
    "pmet in batches, NAS": ("pmet", SETTINGS | {"nll_loss_factor": 0.8}),
    "rome in batches, SPHERE": ("rome", ROME),
    "blue in batches, PRUNE and SPHERE": ("blue", SETTINGS),
    "rome in batches": ("rome", ROME),
    "memit, SPREAD only": ("memit", SETTINGS),
    "pmet, SPREAD only": ("pmet", SETTINGS | {"nll_loss_factor": 0.8}),
    "pmet in batches, SPREAD only": ("pmet", SETTINGS | {"nll_loss_factor": 0.8}),
    "memit, leaving": ("memit", SETTINGS),
    "pmet, leaving": ("pmet", SETTINGS | {"nll_loss_factor": 0.8}),
    "memit in batches, leaving": ("memit", SETTINGS),
}
REGULARISERS = {  # their options such that they do something to weights as small as these
    "NAS": {"name": "nas", "limit": 1.1},
    "RECT": {"name": "rect", "keep": 0.3},
    "PRUNE": {"name": "prune"},
    "SPHERE": {"name": "sphere", "share": 0.4, "strength": 0.7},
}
LEAVING = [variant for variant in VARIANTS if "leaving" in variant]  # tests/edit/test_leaving.py


def plan(
    iterations: int,
    stop: str = "none",
    extend_to: int | None = None,
    variant: str = "memit",
    protocol: str = "corrected",
) -> Recipe:
    algorithm, settings = VARIANTS[variant]
    protects = {"its own": "all", "others": "others"}.get(variant.partition("protecting ")[2])
    return Recipe(
        *(ALGORITHMS[algorithm], settings, protocol, iterations, stop, extend_to),
        batch=2 if "in batches" in variant else None,
        spread_only="SPREAD only" in variant,
        leaves="gap" if variant in LEAVING else "never",
        protects=protects,
        regularisers=[one for name, one in REGULARISERS.items() if name in variant],
    )


def steps_of(recipe: Recipe) -> dict[str, Any]:
    """The same, as the oracle is told it (naive.naive_iterate)."""
    told = {name: getattr(recipe, name) for name in ("batch", "spread_only", "leaves", "regularisers")}
    return told | {"protects": recipe.protected, "accumulates": recipe.accumulates}


def edits_of(
    model: LanguageModel,
    facts: list[Fact],
    count: int = 0,
    protocol: str = "corrected",
    prefixed: bool = False,
) -> list[Edit]:
    return [
        Rows(model.wording, protocol, TEMPLATES).edit(fact, fact.neighbors[:count], prefixed)
        for fact in facts
    ]


def factors_of(moments: dict[int, torch.Tensor], recipe: Recipe | None = None) -> dict[int, torch.Tensor]:
    """What a job would read of them; of no recipe as for MEMIT."""
    if recipe is None:
        return {layer: factorise(moment, layer, 0) for layer, moment in moments.items()}
    return {layer: what_is_read(moment, recipe, layer) for layer, moment in moments.items()}


def what_is_read(moment: torch.Tensor, recipe: Recipe, layer: int) -> torch.Tensor:
    """What a job of the recipe would read of a layer's, on its own device."""
    if recipe.algorithm.preserves == "null_space":
        return null_space(*decomposed(moment), recipe.hyperparameters["nullspace_threshold"], layer)
    return factor_of(moment, recipe, layer, 0)
