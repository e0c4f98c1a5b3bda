"""ROME's way through a batch: each edit is optimised on the weights that the edits before it left."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from reedit.algorithms import Algorithm
from reedit.edits import Edit
from reedit.language_model import LanguageModel
from reedit.optimization import Optimized, optimize
from reedit.spread import rank_one_update, split_by_edit
from reedit.states import rewriting_rows, states_at_subject


def edit_one_by_one(
    model: LanguageModel,
    edits: Sequence[Edit],
    algorithm: Algorithm,
    hyperparameters: Mapping[str, Any],
    protocol: str,
    factor: Tensor | None,
    report: Callable[[int], None],
) -> tuple[Optimized, Tensor, float]:
    """What was optimised, the sum of all updates [d, key], and the seconds of OPTIMIZATION alone.

    The model is left bit for bit as it was. `factor`: Cholesky factor of C for mom2_adjustment, else None
    (design, section 4, ROME).
    """
    (layer,) = hyperparameters["layers"]
    # a layer's keys come before its own weights, so that no edit changes them
    keys = split_by_edit(states_at_subject(model, rewriting_rows(edits), layer, ["key"])["key"], edits)
    factor = None if factor is None else factor.to(model.device)
    before = model.weight(layer)
    total = torch.zeros_like(before)
    parts: list[Optimized] = []
    seconds = 0.0
    try:
        for i, edit in enumerate(edits):
            start = time.monotonic()
            part = optimize(model, [edit], algorithm, hyperparameters, protocol)
            seconds += time.monotonic() - start
            update = rank_one_update(keys[i], part.delta[0, 0], factor).to(total.dtype)
            if update.isfinite().all():  # a collapsed model has no keys to write to
                total += update
                model.set_weight(layer, before + total)
            parts.append(part)
            report((i + 1) * hyperparameters["v_num_grad_steps"])
    finally:
        model.set_weight(layer, before)
    found = Optimized(
        vectors=algorithm.optimises,
        hidden=torch.cat([part.hidden for part in parts]),
        delta=torch.cat([part.delta for part in parts]),
        steps=[part.steps[0] for part in parts],
        ppl_initial=[part.ppl_initial[0] for part in parts],
        ppl_target=[part.ppl_target[0] for part in parts],
    )
    return found, total, seconds
