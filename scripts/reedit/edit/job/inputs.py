"""What the editing jobs of a run read: its settings as a recipe, its cases as edits, its second moments."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import torch

from reedit.edit.edits import Edit, Rows
from reedit.edit.job.settings import EditSettings
from reedit.edit.spread.solve import factorise, null_space
from reedit.errors import InputError
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.hyperparameters import check_for_model
from reedit.methods.recipe import Recipe
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact, by_fact, read_together
from reedit.prepare.roles import choose_assistants
from reedit.prepare.trials import trial_facts
from reedit.statistics.moments import read_moment
from reedit.statistics.spectra import read_spectrum
from reedit.storage import parquet

Paths = Mapping[str, Path]


def load_model(folder: Path, settings: EditSettings) -> LanguageModel:
    """The unedited model; InputError where the hyperparameters are of another one."""
    model = LanguageModel.load(folder, settings.dtype, wording=settings.wording)
    model.check_layers(settings.hyperparameters["layers"])
    check_for_model(settings.hyperparameters, len(model.layers), model.module_name("{}"))
    return model


def read_templates(paths: Paths) -> list[str]:
    """The run's prefix templates."""
    return [row["template"] for row in parquet.read(paths["prefixes"], "prefixes")]


def read_edits(
    paths: Paths, settings: EditSettings, model: LanguageModel, templates: Sequence[str]
) -> tuple[list[Fact], list[Edit]]:
    """The cases of a trial in split order, and their rows.

    `paths`: facts, split, where neighbors were filtered neighbors; `templates`: of read_templates. Raises
    InputError, naming the case, for one that has too few neighbors to assist it, that does not align or that
    is too long.
    """
    facts, rows = trial_facts(paths, settings.trial)
    spaced = ALGORITHMS[settings.algorithm].released_space(settings.repository)
    made = Rows(model.wording, settings.protocol, templates, spaced, settings.subject_end)
    edits = []
    for fact in facts:
        kept = rows.get(fact.case_id, [])
        chosen = choose_assistants(fact.case_id, kept, settings.assisting, settings.choice)
        assistants = [fact.neighbors[row["neighbor"]] for row in chosen]
        edit = made.edit(fact, assistants, settings.prefixed)
        for weighted in edit.labelled:
            model.check_length(weighted.row.ids)
        edits.append(edit)
    return facts, edits


def whole_cases(paths: Paths, facts: Sequence[Fact]) -> list[int]:
    """How many of the facts, one after the other, belong to each case; nothing where it is one each."""
    case_of = by_fact(read_together(paths["facts"]))
    cases = groupby(case_of.get(fact.case_id, (fact.case_id,)) for fact in facts)
    return [len(list(some)) for _, some in cases] if case_of else []


def left_out(paths: Paths) -> dict[str, int]:
    """How many cases of the dataset were left out before sampling, by why; empty where none was."""
    unread = parquet.read_provenance(paths["facts"]).get("malformed", [])
    roles = [one["role"] for one in parquet.read_provenance(paths["split"]).get("left_out", [])]
    return dict(Counter([*("not readable" for _ in unread), *roles]))


def moment_files(paths: Paths, layers: Sequence[int]) -> dict[int, Path]:
    """The file of each of `layers` in the folder `moments` or `spectra` of `paths`; none of neither."""
    folder = paths.get("spectra") or paths.get("moments")
    return {layer: folder / f"{layer}.safetensors" for layer in layers} if folder else {}


def read_factors(
    paths: Paths, recipe: Recipe, model: LanguageModel
) -> tuple[dict[int, torch.Tensor], int | None]:
    """What the algorithm reads of the second moments (spread/solve.py) by layer, and of how many tokens.

    `paths`: moments or spectra, whichever it needs; nothing where it needs neither.
    """
    factors, tokens = {}, None
    for layer, path in moment_files(paths, recipe.layers).items():
        if "spectra" in paths:
            values, vectors, metadata = read_spectrum(path)
            _check_size(path, len(values), model, layer)
            factor = null_space(values, vectors, recipe.hyperparameters["nullspace_threshold"], layer)
        else:
            moment, metadata = read_moment(path)
            _check_size(path, len(moment), model, layer)
            factor = factor_of(moment.to(model.device), recipe, layer, int(metadata["count"]))
        tokens = int(metadata["count"])
        factors[layer] = factor.cpu()  # in the machine's own memory: 2 GB each for keys as wide as GPT-J's
    return factors, tokens


def factor_of(moment: torch.Tensor, recipe: Recipe, layer: int, tokens: int) -> torch.Tensor:
    """What an algorithm that reads second moments reads of a layer's, [key, key] in fp64.

    Its Cholesky factor; BetaEdit, which finds null spaces itself, reads C as it is.
    """
    if recipe.algorithm.solves == "refreshed":
        return moment.double()
    return factorise(moment, layer, tokens, recipe.ridge)


def _check_size(path: Path, size: int, model: LanguageModel, layer: int) -> None:
    """Raise InputError for a second moment of other keys than the model's."""
    if size != (keys := model.weight(layer).shape[1]):
        raise InputError(f"{path}: of {size} dimensions, expected {keys} for this model")
