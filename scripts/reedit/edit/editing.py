"""One iteration: OPTIMIZATION and SPREAD at theta_k, step by step, and what the edited model says then.

Paper, section 3.1; design, section 4 (Iteration).
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from reedit.edit.carried import Carried
from reedit.edit.edits import Edit
from reedit.edit.optimization.descent import optimize
from reedit.edit.optimized import Optimized, in_turn, joined
from reedit.edit.ranks import ALONE, Ranks
from reedit.edit.resumption import Iteration
from reedit.edit.rome import edit_one_by_one
from reedit.edit.saved_edits import SavedEdits
from reedit.edit.spread.spread import NotFinite, Spread, apply_updates, compute_updates
from reedit.edit.states import bare_rows, states_at_subject
from reedit.errors import InputError
from reedit.jobs.progress import progress
from reedit.methods.recipe import Schedule
from reedit.models.language_model import LanguageModel
from reedit.models.likelihood import bounded_exp, likelihoods


@dataclass(frozen=True)
class Computed:
    """An iteration that has not been applied to the model yet."""

    found: Optimized
    updates: dict[int, Tensor]  # [d, key] by layer
    seconds_optimization: float
    seconds_spread: float
    seconds_earlier: float = 0.0  # of OPTIMIZATION, before an interruption
    carried: Carried = field(default_factory=Carried)


@dataclass(frozen=True)
class _Done:
    """What a step found and what it makes of the weights."""

    found: Optimized
    spread: Spread
    seconds_optimization: float
    seconds_earlier: float


def compute(
    model: LanguageModel,
    edits: Sequence[Edit],
    factors: Mapping[int, Tensor],
    schedule: Schedule,
    k: int,
    saved: Callable[[int], SavedEdits | None] = lambda step: None,
    ranks: Ranks = ALONE,
    before: Iteration | None = None,
    carried: Carried | None = None,
) -> Computed:
    """OPTIMIZATION and SPREAD at theta_k; the model is left as it was.

    `factors`: what the job knows of the second moments, by layer. `saved`: by step, the edits that
    OPTIMIZATION is done with; `ranks` share the others. `before` and `carried` are of the iteration before.
    """
    start, carried = time.monotonic(), carried or Carried()
    weights = {layer: model.weight(layer) for layer in schedule.layers}
    updates: dict[int, Tensor] = {}
    by_batch: dict[int, list[Optimized]] = {}
    steps, optimization, earlier = schedule.steps(len(edits)), 0.0, 0.0
    try:
        for step in steps:
            done = _step(
                *(model, [edits[place] for place in step.places], factors, schedule, step.layers),
                name=f"k={k}{step.name}",
                saved=saved(step.number),
                ranks=ranks,
                repeated=_repeated(before, carried, step.places),
                protected=carried.protected(step.batch, schedule.protects_own),
            )
            made = done.spread.updates
            ranks.align(list(made.values()))
            if len(steps) > 1:  # the next step finds what this one wrote
                made = _finite(made, f"k={k}{step.name}")
                apply_updates(model, made)
            for layer, update in made.items():
                updates[layer] = updates[layer] + update if layer in updates else update
            if schedule.protects:
                carried = carried.with_keys(step.batch, done.spread.keys)
            by_batch.setdefault(step.batch, []).append(done.found)
            optimization += done.seconds_optimization
            earlier += done.seconds_earlier
    finally:
        for layer, weight in weights.items():
            model.set_weight(layer, weight)
    places = {step.batch: step.places for step in steps}
    found = joined((places[batch], in_turn(stages)) for batch, stages in by_batch.items())
    if schedule.spread_only and carried.targets is None:
        carried = carried.with_targets(found.target(schedule.algorithm.spreads))
    spread = time.monotonic() - start - optimization
    return Computed(found, updates, optimization + earlier, spread, earlier, carried)


Repeated = tuple[Tensor, list[dict[str, float | None]]]  # z [m, d], and the rows of the iteration before


def _repeated(before: Iteration | None, carried: Carried, places: Sequence[int]) -> Repeated | None:
    """For some edits, what SPREAD alone needs to go on; None where OPTIMIZATION is to be made."""
    if before is None or carried.targets is None:
        return None
    return carried.targets[list(places)], [before.targets[place] for place in places]


def _step(
    model: LanguageModel,
    edits: Sequence[Edit],
    factors: Mapping[int, Tensor],
    schedule: Schedule,
    layers: Sequence[int],
    name: str,
    saved: SavedEdits | None,
    ranks: Ranks,
    repeated: Repeated | None,
    protected: Mapping[int, Tensor] | None,
) -> _Done:
    """OPTIMIZATION at the last of `layers`, then SPREAD over them.

    ROME's edits follow one another, so that every rank makes them all.
    """
    algorithm, hyperparameters = schedule.algorithm, {**schedule.hyperparameters, "layers": list(layers)}
    start, earlier = time.monotonic(), (saved.seconds() / ranks.count if saved else 0.0)
    given = (model, edits, algorithm, hyperparameters, schedule.protocol)
    report = progress(f"{name} OPTIMIZATION, passes", len(edits) * hyperparameters["v_num_grad_steps"])
    if algorithm.one_by_one:
        found, update, optimization = edit_one_by_one(*given, factors.get(layers[0]), report, saved)
        _drop(found.dropped, edits, schedule, f"{name} OPTIMIZATION")
        return _Done(found, Spread({layers[0]: update}, {}), optimization, earlier)
    if repeated:
        found = _again(model, edits, schedule, layers, repeated)
    else:
        found = optimize(*given, report=report, saved=saved, ranks=ranks)
    optimization = time.monotonic() - start
    found, spread = _spread(model, edits, found, factors, schedule, layers, name, protected)
    return _Done(found, spread, optimization, earlier)


def _again(
    model: LanguageModel,
    edits: Sequence[Edit],
    schedule: Schedule,
    layers: Sequence[int],
    repeated: Repeated,
) -> Optimized:
    """The targets of k = 1 as if they had been found now: what is missing from theta_k's states to them."""
    targets, rows = repeated
    vectors, spreads = schedule.algorithm.optimises, schedule.algorithm.spreads
    states = states_at_subject(model, bare_rows(edits), layers[-1], vectors)
    hidden = torch.stack([states[vector] for vector in vectors], 1)  # [m, vectors, d]
    delta = torch.zeros_like(hidden)
    delta[:, vectors.index(spreads)] = targets.to(hidden) - states[spreads]
    return Optimized(
        vectors=vectors,
        hidden=hidden,
        delta=delta,
        steps=[0] * len(edits),
        ppl_initial=[row["ppl_edited"] for row in rows],
        ppl_target=[row["ppl_target"] for row in rows],
    )


def _spread(
    model: LanguageModel,
    edits: Sequence[Edit],
    found: Optimized,
    factors: Mapping[int, Tensor],
    schedule: Schedule,
    layers: Sequence[int],
    name: str,
    protected: Mapping[int, Tensor] | None,
) -> tuple[Optimized, Spread]:
    """SPREAD of all edits whose numbers are finite; what was found, and the updates."""
    algorithm, target = schedule.algorithm, found.target(schedule.algorithm.spreads)
    dropped, where = found.dropped, "OPTIMIZATION"
    while True:
        _drop(dropped, edits, schedule, f"{name} {where}")
        found = found.dropping(dropped)
        bad = set(found.dropped)
        used = [i for i in range(len(edits)) if i not in bad]
        if not used:
            return found, Spread({layer: torch.zeros_like(model.weight(layer)) for layer in layers}, {})
        given = (model, [edits[i] for i in used], target[used], algorithm, layers, factors)
        try:
            return found, compute_updates(*given, schedule.weight, protected)
        except NotFinite as error:
            dropped, where = [used[i] for i in error.edits], str(error)


def _drop(dropped: Sequence[int], edits: Sequence[Edit], schedule: Schedule, where: str) -> None:
    """Name the cases that are dropped; InputError where the run is to stop instead."""
    if not dropped:
        return
    names = ", ".join(str(edits[i].case_id) for i in dropped[:5]) + ", ..." * (len(dropped) > 5)
    told = f"{where}: numbers that are not finite in {len(dropped)} of {len(edits)} cases: {names}"
    if schedule.nonfinite == "stop":
        raise InputError(f"{told}; nonfinite: drop would go on without them")
    logging.getLogger("reedit").warning("%s; dropped", told)


def apply(model: LanguageModel, computed: Computed, k: int) -> dict[int, Tensor]:
    """Take the model from theta_k to theta_{k+1}; the updates that were made."""
    updates = _finite(computed.updates, f"k={k}")
    apply_updates(model, updates)
    return updates


def _finite(updates: dict[int, Tensor], name: str) -> dict[int, Tensor]:
    """The updates, or none, with a line: those of a collapsed model can be no numbers."""
    if all(update.isfinite().all() for update in updates.values()):
        return updates
    logging.getLogger("reedit").warning("%s: the model has collapsed: its update is left out", name)
    return {layer: torch.zeros_like(update) for layer, update in updates.items()}


def perplexities_before(
    model: LanguageModel,
    edits: Sequence[Edit],
    schedule: Schedule,
    before: Iteration | None,
    found: Optimized,
) -> list[float]:
    """p(theta_k, h) of every edit, with the model at theta_k and what OPTIMIZATION `found` there.

    The iteration before ended with it. The first one began with it, where cases are not edited one on what
    another left: ppl_initial has that in it, and one pass tells. Where an iteration looks ahead, every
    p(theta) is edit by edit, and the first one's ppl_initial is like the others.
    """
    if before:
        return [row["ppl_edited"] for row in before.targets]
    if schedule.looks_ahead or not schedule.in_turn(len(edits)):
        return found.ppl_initial
    return edited_perplexities(model, edits, schedule)


def edited_perplexities(model: LanguageModel, edits: Sequence[Edit], schedule: Schedule) -> list[float]:
    """p(theta, h) of every edit with the weights as they are: one forward pass of the same rows (B.1)."""
    used = [(i, w) for i, edit in enumerate(edits) for w in edit.labelled if w.perplexity_weight]
    said = likelihoods(model, [weighted.row for _, weighted in used])
    exponent = [0.0] * len(edits)
    for (i, weighted), likelihood in zip(used, said, strict=True):
        exponent[i] -= weighted.perplexity_weight * sum(likelihood.logp)
    if schedule.algorithm.damped and schedule.protocol == "released":  # of the NLL as a first pass scales it
        exponent = [value * schedule.hyperparameters.get("nll_loss_factor", 1.0) for value in exponent]
    return list(map(bounded_exp, exponent))
