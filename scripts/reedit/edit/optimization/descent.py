"""OPTIMIZATION: the vectors at the last causal layer that make the target likely (paper, section 2).

Many edits are optimised in one batch; what a pass computes is in buckets.py.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from reedit.edit.edits import Edit
from reedit.edit.found import Found
from reedit.edit.optimization.buckets import Bucket, Tail, make_buckets
from reedit.edit.states import bare_rows, states_at_subject
from reedit.methods.recipe import Recipe
from reedit.models.batches import halving
from reedit.models.language_model import LanguageModel

STOP_LOSS = 0.05  # an edit stops before its update once its loss is below (design, section 4)
# and step_length or v_lr
READ = ("v_num_grad_steps", "clamp_norm_factor", "v_weight_decay", "kl_factor")
STOP_KL = 0.01  # PMET: likewise, once every label is the argmax and the KL term is not above


@dataclass
class _Pass:
    """One pass over m edits, summed over their rows."""

    nll: Tensor  # weighted as in the loss, [m]
    log_ppl: Tensor  # [m]
    kl: Tensor  # kl_factor included, [m]
    best: Tensor  # whether every label is the argmax, [m]
    leads: Tensor  # the same of all rows but the bare prompt, [m]
    gradient: Tensor  # of the NLL, damped, and of the KL term, [m, vectors, d]

    def add(self, part: "_Pass") -> None:
        """Add what a pass over other rows gave; in place, so that it takes no memory."""
        self.nll += part.nll
        self.log_ppl += part.log_ppl
        self.kl += part.kl
        self.best &= part.best
        self.leads &= part.leads
        self.gradient += part.gradient


@dataclass(frozen=True)
class _Factors:
    """Of the terms of the loss."""

    nll: Tensor  # of each edit's in this pass, [m]
    kl: float


@dataclass(frozen=True)
class Settings:
    """All that the descent depends on beside the model and the edits' rows."""

    layer: int  # l_c
    vectors: tuple[str, ...]
    hyperparameters: Mapping[str, float]  # those that it reads
    nll_factor: float
    damped: bool
    leads: int | None  # in how many passes the target has to
    scaled_perplexity: bool

    @classmethod
    def of(cls, recipe: Recipe, layer: int) -> "Settings":
        """Of OPTIMIZATION at a layer, as a recipe has it."""
        algorithm, known = recipe.algorithm, recipe.hyperparameters
        read = [*READ, "step_length" if "step_length" in known else "v_lr"]
        return cls(
            layer=layer,
            vectors=algorithm.optimises,
            hyperparameters={name: known[name] for name in read},
            nll_factor=recipe.nll_factor,
            damped=algorithm.damped,
            leads=recipe.leading_passes,
            scaled_perplexity=recipe.rules.scaled_perplexity,
        )


def descend(
    model: LanguageModel,
    settings: Settings,
    positions: int,
    edits: Sequence[Edit],
    report: Callable[[int], None],
) -> Found:
    """Delta of every edit by descent on its loss, all of them at once, each as if alone.

    `positions`: at most so many in one forward and backward pass; `report` is called with the passes made so
    far. Of the hyperparameters, step_length replaces the published Adam and its v_lr (docs/performance.md).
    """
    layer, hyperparameters, full = settings.layer, settings.hyperparameters, settings.nll_factor
    passes = hyperparameters["v_num_grad_steps"]
    states = states_at_subject(model, bare_rows(edits), layer, settings.vectors)
    hidden = torch.stack([states[name] for name in settings.vectors], 1)  # [m, vectors, d]
    norm = hidden.norm(dim=2)  # [m, vectors]
    radius = hyperparameters["clamp_norm_factor"] * norm
    tail = Tail(model, layer, settings.vectors)
    buckets = make_buckets(model, edits, layer, positions)
    m = len(edits)
    delta = torch.zeros_like(hidden, requires_grad=True)
    step = _step_rule(delta, norm, hyperparameters)
    found = torch.zeros_like(hidden)
    factor = hidden.new_full((m,), full)  # of each edit's NLL in this pass
    active = torch.ones(m, dtype=torch.bool, device=hidden.device)
    led = torch.zeros(m, dtype=torch.long, device=hidden.device)  # passes in which the target leads
    steps, ppl_initial, ppl_target = [0] * m, [math.inf] * m, [math.inf] * m
    for number in range(passes):
        last = number == passes - 1
        factors = _Factors(factor, hyperparameters["kl_factor"])
        now, buckets = _pass(tail, buckets, delta, factors, not last)
        with torch.enable_grad():
            decay = hyperparameters["v_weight_decay"] * (delta.norm(dim=2) / norm**2).sum(1)  # [m]
            pull = torch.autograd.grad(decay.sum(), delta)[0]
        loss = factor * now.nll + now.kl + decay.detach()
        scaled = factor if settings.scaled_perplexity else 1.0  # of one where nothing damps
        ppl_now = (scaled * now.log_ppl).double().exp()
        ppl_now[~loss.isfinite()] = math.inf  # a collapsed model says no numbers
        for i, ppl in enumerate(ppl_now.tolist()):
            if active[i]:
                ppl_target[i] = ppl
                if number == 0:
                    ppl_initial[i] = ppl_target[i]
        finished = (loss < STOP_LOSS) | ~loss.isfinite() | last
        if settings.leads:
            led += now.leads
            finished |= led >= settings.leads
        if settings.damped:
            finished |= now.best & (now.kl <= STOP_KL)
            factor = torch.full_like(factor, full)
            factor[now.best] = 0.1 * full
        finished &= active
        found[finished] = delta.detach()[finished]
        active &= ~finished
        remaining = int(active.sum())
        report(m * passes - remaining * (passes - number - 1))
        if not remaining:
            break
        step(now.gradient + pull)
        for i in active.nonzero()[:, 0].tolist():
            steps[i] += 1
        with torch.no_grad():
            delta.mul_((radius / delta.norm(dim=2).clamp(min=1e-30)).clamp(max=1.0)[:, :, None])
        if finished.any():
            for place in range(len(buckets)):  # one by one, so that not all of them are held twice
                buckets[place] = buckets[place].select(active[buckets[place].edit])
            buckets = [bucket for bucket in buckets if len(bucket.edit)]
    found = torch.where(found.isfinite().all(dim=2, keepdim=True), found, 0.0)
    return Found(settings.vectors, hidden, found, steps, ppl_initial, ppl_target)


def _step_rule(delta: Tensor, norm: Tensor, hyperparameters: Mapping[str, Any]) -> Callable[[Tensor], None]:
    """What moves delta [m, vectors, d], in place, by the gradient of its loss.

    Adam, as published; or, with step_length, straight against the gradient by that part of the norm of h
    [m, vectors], whatever the gradient's size.
    """
    if "step_length" not in hyperparameters:
        adam = torch.optim.Adam([delta], lr=hyperparameters["v_lr"])

        def adaptive(gradient: Tensor) -> None:
            delta.grad = gradient
            adam.step()

        return adaptive
    length = hyperparameters["step_length"] * norm[:, :, None]

    def straight(gradient: Tensor) -> None:
        size = gradient.norm(dim=2, keepdim=True).clamp(min=1e-30)
        delta.data -= length * gradient / size

    return straight


def _pass(
    tail: Tail,
    buckets: Sequence[Bucket],
    delta: Tensor,
    factors: _Factors,
    differentiate: bool,
) -> tuple[_Pass, list[Bucket]]:
    """One pass over all buckets; also the buckets as they are to be used next.

    These know the unedited distributions after the first pass, and are smaller where memory was short.
    """
    m, factor = len(delta), factors.nll

    def nothing() -> _Pass:
        zeros, every = factor.new_zeros(3, m), torch.ones(2, m, dtype=torch.bool, device=delta.device)
        return _Pass(*zeros.unbind(), *every.unbind(), gradient=torch.zeros_like(delta))

    def run(bucket: Bucket) -> tuple[Bucket, _Pass]:
        found, edit = nothing(), bucket.edit[bucket.label_row]
        with torch.set_grad_enabled(differentiate):
            said = tail(bucket, delta)
            if bucket.unedited is None:
                bucket = replace(bucket, unedited=said.log_p.detach())
            nll = factor.new_zeros(m).index_add(0, edit, said.nll * bucket.loss_weight)
            kl = (said.log_p.exp() * (said.log_p - bucket.unedited)).sum(1)  # KL(p_delta || p_0), [q]
            kl = factor.new_zeros(m).index_add(0, bucket.edit[bucket.kl_row], factors.kl * kl)
        if differentiate:
            found.gradient = torch.autograd.grad((factor * nll + kl).sum(), delta)[0]
        found.nll, found.kl = nll.detach(), kl.detach()
        found.log_ppl.index_add_(0, edit, said.nll.detach() * bucket.perplexity_weight)
        found.best[edit[~said.best]] = False
        found.leads[edit[~said.best & ~bucket.bare[bucket.label_row]]] = False
        return bucket, found

    total, left = nothing(), []
    for bucket, found in halving(buckets, run, Bucket.halves):
        total.add(found)
        left.append(bucket)
    return total, left
