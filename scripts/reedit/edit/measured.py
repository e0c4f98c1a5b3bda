"""What an iteration is seen by: its row of `iterations` and its rows of `targets` (design, section 3)."""

import logging
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from reedit.edit.editor import Editor
from reedit.edit.edits import Edit
from reedit.edit.found import Found
from reedit.edit.journal import Iteration
from reedit.edit.states import bare_rows, states_at_subject
from reedit.jobs.job import peak_memory_mb
from reedit.models.language_model import LanguageModel
from reedit.models.likelihood import bounded_exp, likelihoods

OF_VECTORS = ("steps", "ppl_target", "hidden_norm", "delta_norm", "residual_before", "residual_after")


@dataclass(frozen=True)
class Start:
    """An iteration as it began, with the model at theta_k."""

    k: int
    weights: Mapping[int, Tensor]  # W by layer, [d, key]
    clock: float


def begin(editor: Editor, edits: Sequence[Edit], k: int) -> Start:
    """Iteration k begins; where it has to be measured now, p(theta_k) of each edit is.

    The iteration before ended with it. Of the first one OPTIMIZATION tells it, where
    cases are not edited one on what another left; where an iteration looks ahead, it is edit by edit always.
    """
    clock, recipe = time.monotonic(), editor.recipe
    if editor.memory.ppl_now is None and recipe.in_turn(len(edits)) and not recipe.looks_ahead:
        editor.memory.ppl_now = edited_perplexities(editor, edits)
    return Start(k, {layer: editor.model.weight(layer) for layer in recipe.layers}, clock)


def measured(
    editor: Editor, edits: Sequence[Edit], start: Start, found: Found, edited: Sequence[float]
) -> Iteration:
    """The rows of an iteration, the model at theta_{k+1}; `edited`: p(theta_{k+1}, h-hat) of each edit."""
    started = editor.memory.ppl_now or found.ppl_initial
    layers, seconds = editor.recipe.layers, editor.workers.seconds
    target = found.ppl_target if found.vectors else None
    updates = {layer: editor.model.weight(layer) - before for layer, before in start.weights.items()}
    row = {"k": start.k} | perplexity_columns(found.ppl_initial, target, started, edited)
    row |= weight_columns(editor.model, layers, updates)
    row["seconds_optimization"] = seconds.now + seconds.kept if found.vectors else None
    row["seconds_spread"] = seconds.spread if found.vectors else None
    row["seconds_total"] = time.monotonic() - start.clock + seconds.earlier
    of_edits = zip(edits, found.ppl_initial, edited, _vectors(editor, edits, found), strict=True)
    targets = [
        {"k": start.k, "case_id": edit.case_id, "ppl_initial": initial, "ppl_edited": after} | vectors
        for edit, initial, after, vectors in of_edits
    ]
    iteration = Iteration(row, targets)
    tell(iteration, len(edits) - len(editor.memory.held))
    return iteration


def _vectors(editor: Editor, edits: Sequence[Edit], found: Found) -> list[dict[str, float | None]]:
    """What is known of each edit's vectors, and what is missing of its target at theta_{k+1}."""
    if not found.vectors:
        return [dict.fromkeys(OF_VECTORS) for _ in edits]
    vector = editor.recipe.algorithm.spreads
    place = found.vectors.index(vector)
    hidden, delta = (part[:, place].norm(dim=1).tolist() for part in (found.hidden, found.delta))
    missing = residual_norms(editor, edits, editor.recipe.layers, found).tolist()
    # h is the bare prompt's own state: z - h = delta
    columns = (found.steps, found.ppl_target, hidden, delta, delta, missing)
    return [dict(zip(OF_VECTORS, values, strict=True)) for values in zip(*columns, strict=True)]


def residual_norms(editor: Editor, edits: Sequence[Edit], layers: Sequence[int], found: Found) -> Tensor:
    """How far each edit is from its target of the stage of `layers`, [m]; not a number where that is none."""
    vector, layer = editor.recipe.algorithm.spreads, editor.recipe.algorithm.target_layer(layers)
    now = states_at_subject(editor.model, bare_rows(edits), layer, [vector])[vector]  # [m, d]
    return (found.target(vector) - now).norm(dim=1)


def edited_perplexities(editor: Editor, edits: Sequence[Edit]) -> list[float]:
    """p(theta, h) of every edit with the weights as they are: one forward pass of the same rows (B.1)."""
    used = [(i, w) for i, edit in enumerate(edits) for w in edit.labelled if w.perplexity_weight]
    said = likelihoods(editor.model, [weighted.row for _, weighted in used])
    exponent = [0.0] * len(edits)
    for (i, weighted), likelihood in zip(used, said, strict=True):
        exponent[i] -= weighted.perplexity_weight * sum(likelihood.logp)
    if editor.recipe.rules.scaled_perplexity:  # of the NLL as a first pass scales it
        exponent = [value * editor.recipe.nll_factor for value in exponent]
    return list(map(bounded_exp, exponent))


def perplexity_columns(
    initial: Sequence[float],
    target: Sequence[float | None] | None,
    started: Sequence[float],
    edited: Sequence[float],
) -> dict[str, float | None]:
    """Means of three kinds over the edits, and the gaps; None for what an unknown `target` leaves open.

    `started` is p(theta_k) of every edit, measured as `edited` is, p(theta_{k+1}): between the two, delta_p2.
    `initial` is that of just before an edit's own turn, and other than `started` where edits have turns.
    """
    target = None if target is None or None in target else target
    row: dict[str, float | None] = {}
    for name, values in [("initial", initial), ("target", target), ("edited", edited)]:
        row[f"ppl_{name}"] = statistics.fmean(values) if values else None
        row[f"ppl_{name}_median"] = statistics.median(values) if values else None
        logs = [math.log(value) for value in values or ()]
        row[f"ppl_{name}_gmean"] = math.exp(statistics.fmean(logs)) if logs else None
    row["delta_p"] = _gap(row["ppl_edited"], row["ppl_target"])
    row["delta_p2"] = _gap(row["ppl_edited"], statistics.fmean(started) if started else None)
    return row


def weight_columns(
    model: LanguageModel, layers: Sequence[int], updates: Mapping[int, Tensor]
) -> dict[str, float]:
    """Norms of the iteration's updates and of the weights they led to, and the peak of memory so far."""
    on_device = model.device.type == "cuda"
    return {
        "update_norm": _norm(updates.values()),
        "weight_norm": _norm(model.weight(layer) for layer in layers),
        "peak_memory_mb": torch.cuda.max_memory_allocated() / 1024**2 if on_device else peak_memory_mb(),
    }


def _gap(one: float | None, other: float | None) -> float | None:
    """|one - other|, infinite where either is, None where either is unknown."""
    if one is None or other is None:
        return None
    return abs(one - other) if math.isfinite(one) and math.isfinite(other) else math.inf


def _norm(tensors: Any) -> float:
    """Frobenius norm of several tensors together."""
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in tensors))


def tell(iteration: Iteration, optimised: int) -> None:
    """One line for the log, `optimised` edits of them all, and one where the model has collapsed."""
    logger, row = logging.getLogger("reedit"), iteration.row
    columns = ("ppl_initial", "ppl_target", "ppl_edited", "delta_p")
    known = ["unknown" if row[name] is None else f"{row[name]:.4g}" for name in columns]
    logger.info(
        "k=%d: perplexity %s before, %s optimised, %s edited; |delta p| %s; %d of %d edits optimised; %.1f s",
        *(row["k"], *known, optimised, len(iteration.targets), row["seconds_total"]),
    )
    infinite = sum(not math.isfinite(target["ppl_edited"]) for target in iteration.targets)
    if not math.isfinite(row["ppl_edited"]):
        logger.warning(
            "k=%d: the model has collapsed: the perplexity of %d of %d edits is infinite",
            *(row["k"], infinite, len(iteration.targets)),
        )
