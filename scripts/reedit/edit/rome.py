"""ROME's way through a batch: each edit is optimised on the weights that the edits before it left."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from reedit.edit.edits import Edit
from reedit.edit.optimization.descent import optimize
from reedit.edit.optimized import Optimized, joined
from reedit.edit.saved_edits import SavedEdits
from reedit.edit.spread.post_norm import before_norm
from reedit.edit.spread.spread import rank_one_update, split_by_edit
from reedit.edit.states import rewriting_rows, states_at_subject
from reedit.methods.algorithms import Algorithm
from reedit.models.language_model import LanguageModel


def edit_one_by_one(
    model: LanguageModel,
    edits: Sequence[Edit],
    algorithm: Algorithm,
    hyperparameters: Mapping[str, Any],
    protocol: str,
    factor: Tensor | None,
    report: Callable[[int], None],
    saved: SavedEdits | None = None,
) -> tuple[Optimized, Tensor, float]:
    """What was optimised, the sum of all updates [d, key], and the seconds of OPTIMIZATION alone.

    The model is left bit for bit as it was. `factor`: Cholesky factor of C for mom2_adjustment, else None
    (design, section 4, ROME). `saved`: edits that are done, here or before an interruption.
    """
    (layer,) = hyperparameters["layers"]
    # a layer's keys come before its own weights, so that no edit changes them
    keys = split_by_edit(states_at_subject(model, rewriting_rows(edits), layer, ["key"])["key"], edits)
    factor = None if factor is None else factor.to(model.device)
    before = model.weight(layer)
    total = torch.zeros_like(before)
    parts = saved.load(algorithm.optimises, model.device) if saved else []
    done = {place: found for (place,), found in parts}
    seconds = 0.0
    try:
        for i, edit in enumerate(edits):
            start = time.monotonic()
            if i not in done:
                done[i] = optimize(model, [edit], algorithm, hyperparameters, protocol)
                if saved:
                    saved.save([i], done[i], time.monotonic() - start)
            seconds += time.monotonic() - start
            weight = model.weight(layer) if algorithm.one_key else None
            (delta,) = before_norm(model, layer, keys[i][:1], done[i].delta[:, 0])  # z - W k, [d]
            update = rank_one_update(keys[i], delta, factor, weight).to(total.dtype)
            if done[i].dropped or not update.isfinite().all():  # a collapsed model has no keys to write to
                done[i] = done[i].dropping([0])
            else:
                total += update
                model.set_weight(layer, before + total)
            report((i + 1) * hyperparameters["v_num_grad_steps"])
    finally:
        model.set_weight(layer, before)
    return joined(([i], found) for i, found in done.items()), total, seconds
