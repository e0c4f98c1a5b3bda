"""NAS: every optimised value is as long as the unedited model's are (arXiv 2602.02543).

A value v* is what the MLP adds to the residual stream at the subject's last token, delta included. Longer and
longer ones are what makes sequential editing fail; so each is scaled to the mean length of those that the
first batch found at the unedited weights, of which the longest twentieth does not count.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from reedit.edit.editor import Editor
from reedit.edit.edits import Edit
from reedit.edit.found import Found
from reedit.edit.states import bare_rows, states_at_subject
from reedit.methods.recipe import Step

LONGEST = 0.05  # of the values, left out of the mean


def anchored(editor: Editor, edits: Sequence[Edit], step: Step, found: Found) -> Found:
    """`found` with its values at the anchor's length, where the recipe asks for it.

    The first batch at the unedited weights sets the anchor. The perplexities stay those that OPTIMIZATION
    reached.
    """
    asked = editor.recipe.target_regulariser
    if asked is None:
        return found
    algorithm, running = editor.recipe.algorithm, editor.memory.running
    layer = algorithm.target_layer(step.layers)
    name = f"anchor.{layer}"
    values = states_at_subject(editor.model, bare_rows(edits), layer, ["mlp"])["mlp"]  # [m, d]
    place = found.vectors.index(algorithm.spreads)
    delta = found.delta[:, place]  # [m, d]
    usable = [row for row in range(len(edits)) if row not in found.unusable]
    if not usable:
        return found
    if name not in running:
        running[name] = mean_length((values + delta)[usable]).cpu()
    scaled = found.delta.clone()
    scaled[:, place] = at_length(values, delta, float(running[name]), **asked)
    return replace(found, delta=scaled)


def at_length(values: Tensor, delta: Tensor, length: float, limit: float = 2.0) -> Tensor:
    """The delta [m, d] with which each of `values` [m, d] is `length` long.

    Of a value that its own `delta` [m, d] makes more than `limit` times as long it is 0: as published, it is
    not written.
    """
    long = values + delta
    norms = long.norm(dim=1, keepdim=True)  # [m, 1]
    scaled = long * (length / norms.clamp(min=1e-10)) - values
    return torch.where(norms > limit * length, 0.0, scaled)


def mean_length(values: Tensor) -> Tensor:
    """The mean norm of `values` [m, d] without the longest twentieth."""
    norms = values.double().norm(dim=1).sort().values
    return norms[: len(norms) - math.floor(LONGEST * len(norms))].mean()
