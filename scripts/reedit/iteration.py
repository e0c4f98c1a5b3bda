"""Iterative editing: OPTIMIZATION and SPREAD again at theta_k until the perplexity gap closes.

Paper, section 3.1; design, section 4 (Iteration).
"""

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from reedit import stopping
from reedit.algorithms import Algorithm
from reedit.edits import Edit
from reedit.errors import InputError
from reedit.iteration_rows import iteration_rows, tell
from reedit.language_model import LanguageModel
from reedit.likelihood import likelihoods
from reedit.optimization import optimize
from reedit.optimized import Kept, Optimized
from reedit.progress import progress
from reedit.ranks import ALONE, Ranks
from reedit.resumption import Iteration, State
from reedit.rome import edit_one_by_one
from reedit.spread import NotFinite, apply_updates, compute_updates
from reedit.tensors import read_tensors


@dataclass(frozen=True)
class Plan:
    """How one run iterates."""

    algorithm: Algorithm
    hyperparameters: Mapping[str, Any]
    protocol: str
    iterations: int = 1
    stop: str = "none"
    extend_to: int | None = None  # go on to here where `proposed` is not met by `iterations`
    nonfinite: str = "drop"  # what to do with a case whose numbers are not finite: drop, or stop

    @property
    def looks_ahead(self) -> bool:
        """Whether p(theta_{k+1}, h-hat) is what the next iteration's first passes say, edit by edit.

        So the published ROME has it (design, section 5); it costs one iteration more.
        """
        return self.algorithm.one_by_one and self.protocol == "released"

    def is_over(self, gaps: Sequence[float | None], changes: Sequence[float | None]) -> bool:
        """Whether to stop after the iterations whose delta_p and delta_p2 are given.

        Where a delta_p was not measured nobody knows whether `proposed` is met, and nothing is extended.
        """
        if stopping.met(self.stop, gaps, changes) is not None:
            return True
        if len(gaps) < self.iterations or self.extend_to is None or None in gaps:
            return len(gaps) >= self.iterations
        return stopping.met("proposed", gaps, changes) is not None or len(gaps) >= self.extend_to


@dataclass(frozen=True)
class Computed:
    """An iteration that has not been applied to the model yet."""

    found: Optimized
    updates: dict[int, Tensor]  # [d, key] by layer
    seconds_optimization: float
    seconds_spread: float
    seconds_earlier: float = 0.0  # of OPTIMIZATION, before an interruption


def compute(
    model: LanguageModel,
    edits: Sequence[Edit],
    factors: Mapping[int, Tensor],
    plan: Plan,
    k: int,
    kept: Kept | None = None,
    ranks: Ranks = ALONE,
) -> Computed:
    """OPTIMIZATION and SPREAD at theta_k; the model is left as it was.

    `kept`: edits that OPTIMIZATION is done with; `ranks` share the others. ROME's follow one another, so
    that every rank makes them all.
    """
    algorithm, hyperparameters = plan.algorithm, plan.hyperparameters
    layers = hyperparameters["layers"]
    start, earlier = time.monotonic(), (kept.seconds() / ranks.count if kept else 0.0)
    report = progress(f"k={k} OPTIMIZATION, passes", len(edits) * hyperparameters["v_num_grad_steps"])
    if algorithm.one_by_one:
        found, update, optimization = edit_one_by_one(
            model, edits, algorithm, hyperparameters, plan.protocol, factors.get(layers[0]), report, kept
        )
        updates = {layers[0]: update}
        _drop(found.dropped, edits, plan, f"k={k} OPTIMIZATION")
    else:
        found = optimize(
            *(model, edits, algorithm, hyperparameters, plan.protocol),
            report=report,
            kept=kept,
            ranks=ranks,
        )
        optimization = time.monotonic() - start
        found, updates = _spread(model, edits, found, factors, plan, k)
    ranks.align(list(updates.values()))
    spread = time.monotonic() - start - optimization
    return Computed(found, updates, optimization + earlier, spread, earlier)


def _spread(
    model: LanguageModel,
    edits: Sequence[Edit],
    found: Optimized,
    factors: Mapping[int, Tensor],
    plan: Plan,
    k: int,
) -> tuple[Optimized, dict[int, Tensor]]:
    """SPREAD of all edits whose numbers are finite; what was found, and the updates."""
    layers, weight = plan.hyperparameters["layers"], plan.hyperparameters["mom2_update_weight"]
    target = found.target(plan.algorithm.spreads)
    dropped, where = found.dropped, "OPTIMIZATION"
    while True:
        _drop(dropped, edits, plan, f"k={k} {where}")
        found = found.dropping(dropped)
        bad = set(found.dropped)
        used = [i for i in range(len(edits)) if i not in bad]
        if not used:
            return found, {layer: torch.zeros_like(model.weight(layer)) for layer in layers}
        chosen = [edits[i] for i in used]
        try:
            return found, compute_updates(
                model, chosen, target[used], plan.algorithm, layers, factors, weight
            )
        except NotFinite as error:
            dropped, where = [used[i] for i in error.edits], str(error)


def _drop(dropped: Sequence[int], edits: Sequence[Edit], plan: Plan, where: str) -> None:
    """Name the cases that are dropped; InputError where the run is to stop instead."""
    if not dropped:
        return
    names = ", ".join(str(edits[i].case_id) for i in dropped[:5]) + ", ..." * (len(dropped) > 5)
    told = f"{where}: numbers that are not finite in {len(dropped)} of {len(edits)} cases: {names}"
    if plan.nonfinite == "stop":
        raise InputError(f"{told}; nonfinite: drop would go on without them")
    logging.getLogger("reedit").warning("%s; dropped", told)


def apply(model: LanguageModel, computed: Computed, k: int) -> dict[int, Tensor]:
    """Take the model from theta_k to theta_{k+1}; the updates that were made.

    A collapsed model can give updates that are no numbers; they are left out, with a line that says so.
    """
    updates = computed.updates
    if not all(update.isfinite().all() for update in updates.values()):
        logging.getLogger("reedit").warning("k=%d: the model has collapsed: its update is left out", k)
        updates = {layer: torch.zeros_like(update) for layer, update in updates.items()}
    apply_updates(model, updates)
    return updates


def edited_perplexities(model: LanguageModel, edits: Sequence[Edit], plan: Plan) -> list[float]:
    """p(theta, h) of every edit with the weights as they are: one forward pass of the same rows (B.1)."""
    used = [(i, w) for i, edit in enumerate(edits) for w in edit.labelled if w.perplexity_weight]
    said = likelihoods(model, [weighted.row for _, weighted in used])
    exponent = [0.0] * len(edits)
    for (i, weighted), likelihood in zip(used, said, strict=True):
        exponent[i] -= weighted.perplexity_weight * sum(likelihood.logp)
    if plan.algorithm.damped and plan.protocol == "released":  # of the NLL as a first pass scales it
        exponent = [value * plan.hyperparameters.get("nll_loss_factor", 1.0) for value in exponent]
    return [math.exp(value) if value < 700 else math.inf for value in exponent]


def iterate(
    model: LanguageModel,
    edits: Sequence[Edit],
    factors: Mapping[int, Tensor],
    plan: Plan,
    state: State,
    ranks: Ranks = ALONE,
) -> list[Iteration]:
    """All iterations of a run; those that `state` holds are not repeated.

    `factors`: Cholesky factors of the second moments by layer, none for ROME without mom2_adjustment.
    `ranks` share the edits of OPTIMIZATION; the leading one writes `state`.
    """
    layers = plan.hyperparameters["layers"]
    done = resumed(model, layers, state)
    ahead: Computed | None = None
    while not done or not plan.is_over([i.row["delta_p"] for i in done], [i.row["delta_p2"] for i in done]):
        k, start = len(done) + 1, time.monotonic()
        computed = ahead or compute(model, edits, factors, plan, k, kept=state.optimized(k), ranks=ranks)
        updates = apply(model, computed, k)
        cumulative = model.export_updates(layers)
        model.import_updates(
            cumulative, layers
        )  # what is saved, to the last bit: a resumed run goes on alike
        if plan.looks_ahead:
            ahead = compute(model, edits, factors, plan, k + 1, kept=state.optimized(k + 1), ranks=ranks)
        edited = ahead.found.ppl_initial if ahead else edited_perplexities(model, edits, plan)
        iteration = iteration_rows(model, edits, plan.algorithm, layers, k, computed.found, updates, edited)
        iteration.row["seconds_optimization"] = computed.seconds_optimization
        iteration.row["seconds_spread"] = computed.seconds_spread
        iteration.row["seconds_total"] = time.monotonic() - start + computed.seconds_earlier
        if ranks.leads:
            state.save(k, iteration, cumulative)
        iteration = ranks.agreed(iteration)
        done.append(iteration)
        tell(iteration)
    return done


def resumed(model: LanguageModel, layers: list[int], state: State) -> list[Iteration]:
    """The complete iterations of `state`, with the model's weights as the last of them left them."""
    done = [state.load(k) for k in range(1, state.completed() + 1)]
    if done:
        logging.getLogger("reedit").info("resuming after iteration %d", len(done))
        model.import_updates(read_tensors(state.weights(len(done)), str(model.device)), layers)
    return done


def kept_iterations(rows: Sequence[Mapping[str, float]], keep: str) -> list[int]:
    """The k whose weights stay: all, last, or selected (by the proposed rule)."""
    if keep == "all":
        return [int(row["k"]) for row in rows]
    if keep == "last":
        return [int(rows[-1]["k"])]
    k, _ = stopping.choose("proposed", [r["delta_p"] for r in rows], [r["delta_p2"] for r in rows])
    return [k]
