"""The job of a method that regularises another one's updates: its weights, and what they say."""

import time
from collections.abc import Mapping
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from reedit.edit.editor import Editor
from reedit.edit.job.inputs import Paths, load_model, read_edits, read_templates
from reedit.edit.job.settings import EditSettings
from reedit.edit.kept_weights import UNEDITED, KeptStates
from reedit.edit.measured import edited_perplexities, perplexity_columns, weight_columns
from reedit.edit.spread.regularisation import gentler
from reedit.jobs.progress import progress
from reedit.models.language_model import LanguageModel
from reedit.storage import parquet
from reedit.storage.files import atomic

Row = dict[str, Any]


def regularise_run(paths: Paths, settings: EditSettings, regularisation: Mapping[str, Any]) -> None:
    """Regularise every iteration of a run; write targets, iterations and weights as its own job does.

    `paths`: model, facts, split, prefixes, neighbors where they were filtered; base_weights, base_targets and
    base_iterations of the run that is regularised, whose `settings` these are; outputs targets, iterations,
    weights. What was optimised, and from where, is that run's: only what the edited model says is new.
    """
    editor = Editor(load_model(paths["model"], settings), settings.recipe)
    model = editor.model
    _, edits = read_edits(paths, settings, model, read_templates(paths))
    layers, vectors = editor.recipe.layers, parquet.read(paths["base_targets"], "targets")
    rows = {row["k"]: row for row in parquet.read(paths["base_iterations"], "iterations")}
    written = {layer: model.weight(layer).clone().zero_() for layer in layers}  # by the iteration before
    targets: list[Row] = []
    iterations: list[Row] = []
    report = progress(f"iterations regularised ({regularisation['name']})", len(rows))
    for state in KeptStates(model, paths["base_weights"], layers):
        if state == UNEDITED:
            started = edited_perplexities(editor, edits)
            continue
        k, start = state.k, time.monotonic()
        updates = _regularise(model, layers, regularisation)
        with atomic(paths["weights"] / state.file) as temporary:
            save_file(model.export_updates(layers), temporary, metadata={"k": str(k)})
        if state.after:
            continue
        edited = edited_perplexities(editor, edits)
        of_k = [row for row in vectors if row["k"] == k]
        # z is not kept, so that what is missing to it now is not known
        targets += [
            row | {"ppl_edited": ppl, "residual_after": None} for row, ppl in zip(of_k, edited, strict=True)
        ]
        made = {layer: update - written[layer] for layer, update in updates.items()}
        row = rows[k] | weight_columns(model, layers, made)
        row |= perplexity_columns(
            *([one[f"ppl_{name}"] for one in of_k] for name in ("initial", "target")), started, edited
        )
        row["seconds_total"] += time.monotonic() - start
        iterations.append(row)
        written, started = updates, edited
        report(len(iterations))
    made_by = parquet.read_provenance(paths["base_iterations"]) | {"regularisation": dict(regularisation)}
    parquet.write(targets, paths["targets"], "targets", made_by)
    parquet.write(iterations, paths["iterations"], "iterations", made_by)


def _regularise(
    model: LanguageModel, layers: list[int], regularisation: Mapping[str, Any]
) -> dict[int, Tensor]:
    """Put the regularised form of a model's updates in their place; what they are, [d, key] by layer."""
    updates = {}
    for layer in layers:
        update = model.cumulative_update(layer)
        unedited = model.weight(layer) - update
        updates[layer] = gentler(update, unedited, [regularisation])
        model.set_cumulative_update(layer, updates[layer])
    return updates
