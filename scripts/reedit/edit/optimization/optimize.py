"""OPTIMIZATION of a step's edits: found anew, or of those that are held the last targets again."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from reedit.edit.editor import Editor
from reedit.edit.edits import Edit, WeightedRow
from reedit.edit.found import Found, joined
from reedit.edit.measured import edited_perplexities
from reedit.edit.optimization.anchors import anchored
from reedit.edit.optimization.descent import Settings, descend
from reedit.edit.optimization.micro_batch import MicroBatch, micro_batch
from reedit.edit.states import bare_rows, states_at_subject
from reedit.methods.recipe import Step
from reedit.models.tokens import LabelledRow


def optimize(editor: Editor, edits: Sequence[Edit], step: Step, at_once: MicroBatch | None = None) -> Found:
    """Find delta for every edit, each as if alone (design, section 4, OPTIMIZATION, PMET, ROME).

    Those that the step holds make no pass. `at_once`: default from free memory.
    """
    ways = {True: _again, False: partial(_anew, at_once=at_once)}
    parts = []
    for held, way in ways.items():
        rows = [row for row, place in enumerate(step.places) if (place in step.held) == held]
        if rows:
            part = replace(step, places=tuple(step.places[row] for row in rows))
            parts.append((rows, way(editor, [edits[row] for row in rows], part)))
    return joined(parts)


def _anew(editor: Editor, edits: Sequence[Edit], step: Step, at_once: MicroBatch | None) -> Found:
    """By descent, at theta_k or at theta_1."""
    if not editor.recipe.algorithm.at_unedited:
        return _by_descent(editor, edits, step, at_once)
    with editor.model.unedited(step.layers):
        found = _by_descent(editor, edits, step, at_once)
    return from_now(editor, edits, step, found)


def from_now(editor: Editor, edits: Sequence[Edit], step: Step, found: Found) -> Found:
    """What was `found` at the unedited weights, told from where the model is now: the same targets."""
    found = replace(found, ppl_initial=edited_perplexities(editor, edits))
    if not found.vectors:
        return found
    hidden = _hidden(editor, edits, editor.recipe.algorithm.target_layer(step.layers))
    return replace(found, hidden=hidden, delta=found.hidden + found.delta - hidden)


def _by_descent(editor: Editor, edits: Sequence[Edit], step: Step, at_once: MicroBatch | None) -> Found:
    """At the weights as they are, in pieces that survive a kill."""
    layer, workers = editor.recipe.algorithm.target_layer(step.layers), editor.workers
    # the same on all ranks, whatever each has of free memory
    at_once = workers.ranks.agreed(at_once or micro_batch(editor.model, edits, layer))
    settings = Settings.of(editor.recipe, layer)
    if workers.journal and step.number == 0 and step.k == 1 and not editor.recipe.algorithm.one_by_one:
        rows = [[_read(row.row, row) for row in edit.labelled] + [_read(edit.kl)] for edit in edits]
        workers.journal.share(step, [vars(settings), rows])  # nothing is written yet
    work = partial(descend, editor.optimizes_on, settings, at_once.positions)
    found = workers.map(work, edits, step, editor.recipe, at_once.edits).to(editor.model.device)
    if editor.light is not None:  # z is of the model that is edited
        found = replace(found, hidden=_hidden(editor, edits, layer))
    return anchored(editor, edits, step, found)


def _hidden(editor: Editor, edits: Sequence[Edit], layer: int) -> Tensor:
    """What the bare prompts have at t, [m, vectors, d]."""
    vectors = editor.recipe.algorithm.optimises
    states = states_at_subject(editor.model, bare_rows(edits), layer, vectors)
    return torch.stack([states[vector] for vector in vectors], 1)


def _read(row: LabelledRow, weighted: WeightedRow | None = None) -> list[Any]:
    """All that OPTIMIZATION reads of a row, as plain values."""
    weights = [weighted.loss_weight, weighted.perplexity_weight] if weighted else []
    return [row.ids, row.labels, row.position, row.shift, *weights]


def _again(editor: Editor, edits: Sequence[Edit], step: Step) -> Found:
    """Their last targets as if they had been found now: what is missing from theta_k's states to them."""
    memory, places = editor.memory, list(step.places)
    vectors, spreads = editor.recipe.algorithm.optimises, editor.recipe.algorithm.spreads
    layer = editor.recipe.algorithm.target_layer(step.layers)
    hidden, spread = _hidden(editor, edits, layer), vectors.index(spreads)
    delta = torch.zeros_like(hidden)
    delta[:, spread] = memory.targets[places].to(hidden) - hidden[:, spread]
    return Found(
        vectors=vectors,
        hidden=hidden,
        delta=delta,
        steps=[0] * len(edits),
        ppl_initial=[memory.ppl_now[place] for place in places],
        ppl_target=memory.ppl_target[places].tolist(),
    )
