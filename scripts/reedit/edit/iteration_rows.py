"""What an iteration is seen by: its row of `iterations` and its rows of `targets` (design, section 3)."""

import logging
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from reedit.edit.edits import Edit
from reedit.edit.optimized import Optimized
from reedit.edit.resumption import Iteration
from reedit.edit.states import bare_rows, states_at_subject
from reedit.jobs.job import peak_memory_mb
from reedit.methods.algorithms import Algorithm
from reedit.models.language_model import LanguageModel


def iteration_rows(
    model: LanguageModel,
    edits: Sequence[Edit],
    algorithm: Algorithm,
    layers: Sequence[int],
    k: int,
    found: Optimized,
    updates: Mapping[int, Tensor],
    started: Sequence[float],
    edited: Sequence[float],
) -> Iteration:
    """The rows of iteration k but for its times, with the model at theta_{k+1}.

    `started` and `edited` are p(theta_k) and p(theta_{k+1}, h-hat) of each edit.
    """
    vector = algorithm.spreads
    now = states_at_subject(model, bare_rows(edits), layers[-1], [vector])[vector]  # [m, d]
    residual = (found.target(vector) - now).norm(dim=1).tolist()
    place = found.vectors.index(vector)
    hidden_norm = found.hidden[:, place].norm(dim=1).tolist()
    delta_norm = found.delta[:, place].norm(dim=1).tolist()
    targets = [
        {
            "k": k,
            "case_id": edit.case_id,
            "steps": found.steps[i],
            "ppl_initial": found.ppl_initial[i],
            "ppl_target": found.ppl_target[i],
            "ppl_edited": edited[i],
            "hidden_norm": hidden_norm[i],
            "delta_norm": delta_norm[i],
            "residual_before": delta_norm[i],  # h is the bare prompt's own state: z - h = delta
            "residual_after": residual[i],
        }
        for i, edit in enumerate(edits)
    ]
    row = {"k": k} | perplexity_columns(found.ppl_initial, found.ppl_target, started, edited)
    row |= weight_columns(model, layers, updates)
    return Iteration(row, targets)


def perplexity_columns(
    initial: Sequence[float],
    target: Sequence[float] | None,
    started: Sequence[float],
    edited: Sequence[float],
) -> dict[str, float | None]:
    """Means of three kinds over the edits, and the gaps; None for what an unknown `target` leaves open.

    `started` is p(theta_k) of every edit, measured as `edited` is, p(theta_{k+1}): between the two, delta_p2.
    `initial` is that of just before an edit's own turn, and other than `started` where edits have turns.
    """
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


def tell(iteration: Iteration) -> None:
    """One line for the log, and another one where the model has collapsed."""
    logger, row = logging.getLogger("reedit"), iteration.row
    columns = ("ppl_initial", "ppl_target", "ppl_edited", "delta_p")
    known = ["unknown" if row[name] is None else f"{row[name]:.4g}" for name in columns]
    logger.info(
        "k=%d: perplexity %s before, %s optimised, %s edited; |delta p| %s; %.1f s",
        *(row["k"], *known, row["seconds_total"]),
    )
    infinite = sum(not math.isfinite(target["ppl_edited"]) for target in iteration.targets)
    if not math.isfinite(row["ppl_edited"]):
        logger.warning(
            "k=%d: the model has collapsed: the perplexity of %d of %d edits is infinite",
            *(row["k"], infinite, len(iteration.targets)),
        )
