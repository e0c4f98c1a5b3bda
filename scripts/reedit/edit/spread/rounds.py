"""SPREAD in rounds: what is far from its target is written again, what is near leaves (NSE)."""

from collections.abc import Sequence
from dataclasses import replace

from reedit.edit.editor import Editor, Update
from reedit.edit.edits import Edit
from reedit.edit.found import Found
from reedit.edit.lost import lose
from reedit.edit.measured import residual_norms
from reedit.edit.spread.spread import mean_keys, spread
from reedit.methods.recipe import Step


def spread_in_rounds(editor: Editor, edits: Sequence[Edit], step: Step, found: Found) -> tuple[Found, Update]:
    """What rounds of SPREAD make of a step's weights, each on what the one before it wrote.

    A round is of the edits whose residual is longer than `alpha` and shorter than `upper_bound`; there is one
    less than `max_iterations`, as published.
    """
    model, known, recipe = editor.model, editor.recipe.hyperparameters, editor.recipe
    found = lose(edits, found, found.unusable, f"{step.name} OPTIMIZATION", recipe.nonfinite)
    before = {layer: model.weight(layer) for layer in step.layers}
    with model.restored(step.layers):
        for _ in range(known["max_iterations"] - 1):
            missing = residual_norms(editor, edits, step.layers, found)
            lost = [
                place for place in (~missing.isfinite()).nonzero()[:, 0].tolist() if place not in found.lost
            ]
            found = lose(edits, found, lost, f"{step.name} SPREAD", recipe.nonfinite)
            far = (missing > known["alpha"]) & (missing < known["upper_bound"])
            left = [place for place in far.nonzero()[:, 0].tolist() if place not in found.lost]
            if not left:
                break
            part = replace(step, places=tuple(step.places[place] for place in left))
            told, update = spread(editor, [edits[place] for place in left], part, found.of(left))
            for place, where in told.lost.items():
                found = found.losing([left[place]], where)
            for layer, delta in update.deltas.items():
                model.set_weight(layer, model.weight(layer) + delta)
        kept = [edit for place, edit in enumerate(edits) if place not in found.lost]
        keys = mean_keys(editor, kept, step) if kept and recipe.protected != "none" else {}
        return found, Update({layer: model.weight(layer) - before[layer] for layer in before}, keys)
