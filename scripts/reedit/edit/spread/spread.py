"""SPREAD: new weights of the causal layers that write the optimised vectors (paper, section 2).

Design, section 4 (SPREAD, ROME). What is known of the second moments comes in fp64, made once a run.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from reedit.edit.editor import Editor, Update, nothing
from reedit.edit.edits import Edit
from reedit.edit.found import Found
from reedit.edit.lost import lose
from reedit.edit.spread.post_norm import before_norm
from reedit.edit.spread.refreshed import refreshed_update
from reedit.edit.spread.solve import Preserved, layer_update, mean_key, rank_one_update, update_of_few
from reedit.edit.states import Walk, bare_rows, rewriting_rows
from reedit.methods.recipe import Step
from reedit.models.language_model import LanguageModel

# Algorithm.share: layers still to be updated, this one included -> what the residual is divided by
SHARES: Mapping[str, Callable[[int], float]] = {"even": float, "root": math.sqrt, "whole": lambda left: 1.0}


class NotFinite(Exception):
    """Keys, residuals or updates of some edits, told by their places, are not finite at a layer."""

    def __init__(self, edits: Sequence[int], layer: int) -> None:
        super().__init__(f"SPREAD, layer {layer}")
        self.edits = edits


def spread(editor: Editor, edits: Sequence[Edit], step: Step, found: Found) -> tuple[Found, Update]:
    """What a step makes of the weights for all edits whose numbers are finite; `found` without the others."""
    lost, where = found.unusable, "OPTIMIZATION"
    while True:
        found = lose(edits, found, lost, f"{step.name} {where}", editor.recipe.nonfinite)
        used = [place for place in range(len(edits)) if place not in found.lost]
        if not used:
            return found, nothing(editor.model, step.layers)
        targets = found.target(editor.recipe.algorithm.spreads)[used]  # Z, [m, d]
        try:
            return found, update_of(editor, [edits[place] for place in used], step, targets)
        except NotFinite as error:
            lost, where = [used[place] for place in error.edits], str(error)


@torch.no_grad()
def update_of(editor: Editor, edits: Sequence[Edit], step: Step, targets: Tensor) -> Update:
    """The update of a step's layers, each on the weights as updated so far; the model is left as it was.

    `targets` Z [m, d] of the vector that the algorithm spreads, at its target layer. Raises NotFinite.
    """
    model, algorithm, vector = editor.model, editor.recipe.algorithm, editor.recipe.algorithm.spreads
    update = Update({}, {})
    wanted = {algorithm.target_layer(step.layers): targets}
    if algorithm.replays:
        wanted |= replayed(model, edits, step.layers, targets)
    rows = Walk(model, rewriting_rows(edits), step.layers[0])
    bare = Walk(model, bare_rows(edits), step.layers[0])
    with model.restored(step.layers):
        for i, layer in enumerate(step.layers):
            rows.advance(layer)
            bare.advance(layer)
            keys = keys_at(rows, layer, edits)
            at = layer if algorithm.replays else step.layers[-1]
            now = bare.read(at, [vector])[vector]  # [m, d]
            residual = (wanted[at] - now) / SHARES[algorithm.share](len(step.layers) - i)
            residual = before_norm(model, layer, torch.stack([own[0] for own in keys]), residual)
            written, delta = SOLVES[algorithm.solves](editor, step, layer, keys, residual)
            update.keys[layer], update.deltas[layer] = written, delta.to(model.weight(layer).dtype)
            model.set_weight(layer, model.weight(layer) + update.deltas[layer])
        if editor.recipe.protected != "none" and editor.recipe.keeps_edited_keys:
            return Update(update.deltas, mean_keys(editor, edits, step))
    return update


def mean_keys(editor: Editor, edits: Sequence[Edit], step: Step) -> dict[int, Tensor]:
    """The mean key of each edit at every layer of a step, [m, key], with the weights as they are."""
    rows, found = Walk(editor.model, rewriting_rows(edits), step.layers[0]), {}
    for layer in step.layers:
        rows.advance(layer)
        found[layer] = torch.stack([mean_key(own) for own in keys_at(rows, layer, edits)])
    return found


def replayed(
    model: LanguageModel, edits: Sequence[Edit], layers: Sequence[int], targets: Tensor
) -> dict[int, Tensor]:
    """What the other `layers` say at t of each bare prompt, [m, d], where the first says `targets` [m, d].

    Forward replay (2026, arXiv 2605.00358): no layer is asked for more than the first one's target brings.
    """
    first, *others = layers
    if not others:
        return {}
    walk = Walk(model, bare_rows(edits), first + 1)
    walk.put(targets)
    return {layer: walk.read(layer, ["hidden"])["hidden"] for layer in others}


def keys_at(rows: Walk, layer: int, edits: Sequence[Edit]) -> list[Tensor]:
    """Of each edit the keys of its rewriting rows at the layer that the walk is at, [1 + n, key] in fp64."""
    return split_by_edit(rows.read(layer, ["key"])["key"].double(), edits)


def split_by_edit(states: Tensor, edits: Sequence[Edit]) -> list[Tensor]:
    """States of all rewriting rows, [rows, .], as one tensor an edit."""
    return list(states.split([len(edit.rewriting) for edit in edits]))


def _least_squares(
    editor: Editor, step: Step, layer: int, keys: Sequence[Tensor], residual: Tensor
) -> tuple[Tensor, Tensor]:
    """All edits in one system: MEMIT's way. The keys it is solved for [m, key], and the update [d, key]."""
    recipe, means = editor.recipe, finite_means(keys, residual, layer)
    stay, products = editor.memory.stays(step.batch, layer, recipe.protected == "all")
    factor = editor.factors[layer].to(means.device)
    called, weight = recipe.algorithm.weight, recipe.weight(len(means))
    preserved = Preserved(recipe.algorithm.preserves, factor, weight, stay, called, products)
    share = recipe.hyperparameters.get("neuron_threshold", 1.0)
    solve = layer_update if share >= 1 else partial(update_of_few, share=share)
    return means, solve(means, residual, preserved)


def _refreshed(
    editor: Editor, step: Step, layer: int, keys: Sequence[Tensor], residual: Tensor
) -> tuple[Tensor, Tensor]:
    """Likewise in a null space that is found anew: BetaEdit's way."""
    means = finite_means(keys, residual, layer)
    return means, refreshed_update(editor, layer, means, residual)


def finite_means(keys: Sequence[Tensor], residual: Tensor, layer: int) -> Tensor:
    """The mean key of each edit, [m, key]; NotFinite where one, or its residual [m, d], is no numbers."""
    means = torch.stack([mean_key(own) for own in keys])
    bad = ~(means.isfinite().all(1) & residual.isfinite().all(1))  # [m]
    if bad.any():
        raise NotFinite(bad.nonzero()[:, 0].tolist(), layer)
    return means


def _rank_one(
    editor: Editor, step: Step, layer: int, keys: Sequence[Tensor], residual: Tensor
) -> tuple[Tensor, Tensor]:
    """The one edit of a step by ROME's rank-one update."""
    (own,), (missing,) = keys, residual
    factor = editor.factors.get(layer)
    factor = None if factor is None else factor.to(own.device)
    weight = editor.model.weight(layer) if editor.recipe.algorithm.one_key else None
    delta = rank_one_update(own, missing, factor, weight)
    if not delta.isfinite().all():  # a collapsed model has no keys to write to
        raise NotFinite([0], layer)
    return own[:1], delta


# Algorithm.solves -> the keys that an update is solved for, and the update
SOLVES: Mapping[str, Callable[..., tuple[Tensor, Tensor]]] = {
    "least_squares": _least_squares,
    "refreshed": _refreshed,
    "rank_one": _rank_one,
}
