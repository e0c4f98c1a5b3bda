"""Other step rules for OPTIMIZATION than the published Adam: passes that each needs, and the scores.

    python benchmarks/step_rules.py screen --edits 16 --passes 25
    python benchmarks/step_rules.py run --edits 48 --lengths 0 0.1 0.2

`screen` lets every rule work at the unedited weights and prints how far it came after so many passes. `run`
iterates with the library as it is, with Adam and with steps of a given length, and prints seconds and scores.
What it found is in docs/performance.md.
"""

import argparse
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from material import (
    ALGORITHM,
    PROTOCOL,
    arguments,
    first_facts,
    load,
    make_edits,
    read_settings,
    small_factors,
)
from measuring import print_machine, print_table
from torch import Tensor

from reedit.edit.editor import Editor
from reedit.edit.edits import Edit
from reedit.edit.iteration import one_iteration, ours
from reedit.edit.measured import edited_perplexities
from reedit.edit.optimization.buckets import Bucket, Tail, make_buckets
from reedit.edit.optimization.descent import STOP_LOSS, _Factors, _pass
from reedit.edit.optimization.micro_batch import micro_batch
from reedit.edit.states import bare_rows, states_at_subject
from reedit.evaluate.probes import make_probes
from reedit.evaluate.scoring import score
from reedit.methods.recipe import Recipe
from reedit.models.language_model import LanguageModel


class Rule(Protocol):
    """Proposes the next delta [m, d] of every edit from the loss [m] and its gradient [m, d] at this one."""

    def __call__(self, delta: Tensor, loss: Tensor, gradient: Tensor) -> Tensor: ...


class Adam:
    """Adam's moments, elementwise; `decline` multiplies the rate after every step."""

    def __init__(self, rate: float, betas: tuple[float, float] = (0.9, 0.999), decline: float = 1.0) -> None:
        self.rate, self.betas, self.decline, self.steps = rate, betas, decline, 0
        self.first: Tensor | None = None
        self.second: Tensor | None = None

    def __call__(self, delta: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        one, two = self.betas
        if self.first is None:
            self.first, self.second = torch.zeros_like(delta), torch.zeros_like(delta)
        self.steps += 1
        self.first = one * self.first + (1 - one) * gradient
        self.second = two * self.second + (1 - two) * gradient**2
        mean, square = self.first / (1 - one**self.steps), self.second / (1 - two**self.steps)
        rate = self.rate * self.decline ** (self.steps - 1)
        return delta - rate * mean / (square.sqrt() + 1e-8)


class Steepest:
    """A step of given length (in parts of the hidden state's norm) against the gradient, with momentum."""

    def __init__(self, norm: Tensor, length: float, momentum: float = 0.0) -> None:
        self.length, self.momentum = length * norm[:, None], momentum
        self.direction: Tensor | float = 0.0

    def __call__(self, delta: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        unit = gradient / gradient.norm(dim=1, keepdim=True).clamp(min=1e-30)
        self.direction = self.momentum * self.direction + unit
        return delta - self.length * self.direction


class LBFGS:
    """L-BFGS of every edit by itself: a failed step (no decrease) is halved back, which costs its pass.

    The first step, and no later one more than `longest`, is limited in parts of the hidden state's norm.
    """

    def __init__(self, norm: Tensor, first: float, longest: float, history: int = 10) -> None:
        self.norm, self.first, self.longest, self.history = norm, first, longest, history
        self.pairs: list[tuple[Tensor, Tensor, Tensor]] = []  # step, change of gradient, 1 / their product
        self.best: tuple[Tensor, Tensor, Tensor] | None = None  # delta, loss, gradient of the last success
        self.move: Tensor | None = None

    def __call__(self, delta: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        if self.best is None:
            self.best = (delta, loss, gradient)
            unit = gradient / gradient.norm(dim=1, keepdim=True).clamp(min=1e-30)
            self.move = -self.first * self.norm[:, None] * unit
            return delta + self.move
        old, old_loss, old_gradient = self.best
        slope = (old_gradient * (delta - old)).sum(1)
        success = loss <= old_loss + 1e-4 * slope
        step, change = delta - old, gradient - old_gradient
        product = (step * change).sum(1)
        usable = success & (product > 1e-10 * step.norm(dim=1) * change.norm(dim=1))
        inverse = torch.where(usable, 1 / product, 0.0)  # a pair of no use changes nothing
        self.pairs = [*self.pairs[-self.history + 1 :], (step, change, inverse)]
        wins = success[:, None]
        self.best = (
            torch.where(wins, delta, old),
            torch.where(success, loss, old_loss),
            torch.where(wins, gradient, old_gradient),
        )
        self.move = torch.where(wins, self._limited(self._direction(), self.longest), self.move / 2)
        return self.best[0] + self.move

    def _direction(self) -> Tensor:
        """Two loops over the pairs, newest first and back again."""
        direction, weights = -self.best[2], []
        for step, change, inverse in reversed(self.pairs):
            weight = inverse * (step * direction).sum(1)
            weights.append(weight)
            direction = direction - weight[:, None] * change
        scale = torch.zeros_like(self.norm)
        for _, change, inverse in self.pairs:  # that of the newest pair in use
            found = 1 / (inverse * change.square().sum(1))
            scale = torch.where(inverse > 0, found, scale)
        none = scale == 0
        direction = direction * torch.where(none, 1.0, scale)[:, None]
        for (step, change, inverse), weight in zip(self.pairs, reversed(weights), strict=True):
            direction = direction + step * (weight - inverse * (change * direction).sum(1))[:, None]
        return torch.where(none[:, None], self.move / 2, direction)

    def _limited(self, move: Tensor, parts: float) -> Tensor:
        size = move.norm(dim=1).clamp(min=1e-30)
        return move * (parts * self.norm / size).clamp(max=1.0)[:, None]


RULES: dict[str, Callable[[Tensor], Rule]] = {
    "adam-0.5": lambda norm: Adam(0.5),
    "adam-1": lambda norm: Adam(1.0),
    "adam-1.5": lambda norm: Adam(1.5),
    "adam-2": lambda norm: Adam(2.0),
    "adam-1-quick": lambda norm: Adam(1.0, (0.8, 0.95)),
    "adam-2-declining": lambda norm: Adam(2.0, decline=0.85),
    "steepest-0.05": lambda norm: Steepest(norm, 0.05),
    "steepest-0.07": lambda norm: Steepest(norm, 0.07),
    "steepest-0.1": lambda norm: Steepest(norm, 0.1),
    "steepest-0.15": lambda norm: Steepest(norm, 0.15),
    "steepest-0.2": lambda norm: Steepest(norm, 0.2),
    "steepest-0.3": lambda norm: Steepest(norm, 0.3),
    "steepest-0.05-momentum": lambda norm: Steepest(norm, 0.05, 0.8),
    "lbfgs": lambda norm: LBFGS(norm, 0.1, 0.3),
    "lbfgs-bold": lambda norm: LBFGS(norm, 0.3, 0.6),
}


@dataclass
class Found:
    """What one rule found for m edits."""

    passes: Tensor  # done by each edit, [m]
    losses: list[Tensor]  # after each pass; a finished edit keeps its last one, [m] each
    seconds: float


def optimize_with(
    model: LanguageModel,
    edits: Sequence[Edit],
    settings: Mapping[str, Any],
    rule_of: Callable[[Tensor], Rule],
) -> Found:
    """OPTIMIZATION as the library's, with another step rule."""
    begin = time.perf_counter()
    layer, at_once = settings["layers"][-1], micro_batch(model, edits, settings["layers"][-1])
    hidden = states_at_subject(model, bare_rows(edits), layer, ["hidden"])["hidden"]  # [m, d]
    parts = []
    for first in range(0, len(edits), at_once.edits):
        span = slice(first, first + at_once.edits)
        buckets = make_buckets(model, edits[span], layer, at_once.positions)
        parts.append(_optimize_part(model, buckets, hidden[span], settings, rule_of))
    passes, losses = zip(*parts, strict=True)
    both = [torch.cat(rows) for rows in zip(*losses, strict=True)]
    return Found(torch.cat(passes), both, time.perf_counter() - begin)


def _optimize_part(
    model: LanguageModel,
    buckets: list[Bucket],
    hidden: Tensor,
    settings: Mapping[str, Any],
    rule_of: Callable[[Tensor], Rule],
) -> tuple[Tensor, list[Tensor]]:
    tail, norm = Tail(model, settings["layers"][-1], ["hidden"]), hidden.norm(dim=1)
    rule, radius, m = rule_of(norm), settings["clamp_norm_factor"] * norm, len(hidden)
    delta = torch.zeros_like(hidden)
    final = torch.full((m,), math.inf)
    active, passes, losses = torch.ones(m, dtype=torch.bool), torch.zeros(m, dtype=torch.long), []
    for number in range(settings["v_num_grad_steps"]):
        if active.any():
            carrier = delta[:, None].detach().requires_grad_()
            now, buckets = _pass(tail, buckets, carrier, _Factors(torch.ones(m), settings["kl_factor"]), True)
            loss = now.nll + now.kl + settings["v_weight_decay"] * delta.norm(dim=1) / norm**2
            pull = delta / delta.norm(dim=1, keepdim=True).clamp(min=1e-30) / norm[:, None] ** 2
            gradient = now.gradient[:, 0] + settings["v_weight_decay"] * pull
            final = torch.where(active, torch.minimum(final, loss), final)  # a rule may overshoot
            passes[active] += 1
            finished = active & (loss < STOP_LOSS)
            active = active & ~finished
            if number + 1 < settings["v_num_grad_steps"]:
                delta = rule(delta, loss, gradient)
                delta = delta * (radius / delta.norm(dim=1).clamp(min=1e-30)).clamp(max=1.0)[:, None]
            if finished.any():
                buckets = [bucket.select(active[bucket.edit]) for bucket in buckets]
                buckets = [bucket for bucket in buckets if len(bucket.edit)]
        losses.append(final.clone())
    return passes, losses


def screen(model: LanguageModel, chosen: argparse.Namespace) -> None:
    """How far each rule comes at the unedited weights."""
    settings = read_settings(chosen.passes)
    edits = make_edits(model, first_facts(model, chosen.edits))
    shown = [n for n in (3, 5, 7, 10, 15, 20, 25) if n <= chosen.passes]
    columns = ["rule", *(f"loss after {n}" for n in shown), "edits below 0.05", "passes per edit", "s"]
    rows = []
    for name in chosen.rules:
        found = optimize_with(model, edits, settings, RULES[name])
        below = int((found.losses[-1] < STOP_LOSS).sum())
        cells = [f"{found.losses[n - 1].mean():.3f}" for n in shown]
        average = f"{found.passes.double().mean():.1f}"
        rows.append([name, *cells, f"{below} of {len(edits)}", average, f"{found.seconds:.0f}"])
        print(rows[-1], flush=True)
    print_table(columns, rows)


def iterate(model: LanguageModel, chosen: argparse.Namespace) -> None:
    """Whole runs of the library: the published Adam (step length 0), or steps of a given length."""
    facts = first_facts(model, chosen.edits)
    edits = make_edits(model, facts)
    settings = read_settings()
    layers = settings["layers"]
    factors = small_factors(model, layers, 100)
    probes = make_probes(model, facts, {fact.case_id: list(fact.neighbors) for fact in facts}, PROTOCOL)
    columns = [
        "step length",
        "k",
        "steps per edit",
        "OPTIMIZATION, s",
        "all, s",
        "ppl optimised",
        "ppl edited",
    ]
    columns += ["efficacy", "generalization", "specificity"]
    rows = []
    for length in chosen.lengths:
        plan = Recipe(ALGORITHM, settings | ({"step_length": length} if length else {}), PROTOCOL)
        editor, optimization, whole = Editor(model, plan, factors), 0.0, 0.0
        for k in range(1, chosen.iterations + 1):
            begin = time.perf_counter()
            found = one_iteration(editor, edits, k, ours)
            edited = torch.tensor(edited_perplexities(editor, edits))
            whole += time.perf_counter() - begin
            optimization += editor.workers.seconds.now
            said = score(model, probes, k)
            cells = [f"{length:g}" if length else "Adam", k, f"{sum(found.steps) / len(edits):.1f}"]
            cells += [f"{optimization:.0f}", f"{whole:.0f}", f"{sum(found.ppl_target) / len(edits):.3f}"]
            cells += [f"{edited.mean():.2f}"]
            cells += [_interval(said, metric) for metric in ("efficacy", "generalization", "specificity")]
            rows.append(cells)
            print(cells, flush=True)
        for layer in layers:
            model.set_cumulative_update(layer, torch.zeros_like(model.weight(layer)))
    print_table(columns, rows)


def _interval(rows: Sequence[Mapping[str, Any]], metric: str) -> str:
    """Mean accuracy over cases in percent, with a bootstrap interval of 95 %."""
    by_case: dict[int, list[float]] = {}
    for row in rows:
        if row["metric"] == metric:
            by_case.setdefault(row["case_id"], []).append(row["accuracy"])
    cases = 100 * torch.tensor([sum(values) / len(values) for values in by_case.values()])
    drawn = torch.randint(len(cases), (2000, len(cases)), generator=torch.Generator().manual_seed(0))
    low, high = cases[drawn].mean(1).quantile(torch.tensor([0.025, 0.975])).tolist()
    return f"{cases.mean():.1f} ({low:.1f} to {high:.1f})"


def main() -> None:
    """Screen rules, or iterate with some of them; print a table."""
    parser = arguments(__doc__)
    parser.add_argument("what", choices=["screen", "run"])
    parser.add_argument("--edits", type=int, default=48)
    parser.add_argument("--rules", nargs="+", choices=list(RULES), default=list(RULES))
    parser.add_argument("--passes", type=int, default=20, help="for `screen`")
    parser.add_argument("--lengths", type=float, nargs="+", default=[0, 0.1, 0.2], help="for `run`; 0: Adam")
    parser.add_argument("--iterations", type=int, default=3)
    chosen = parser.parse_args()
    model = load(chosen)
    {"screen": screen, "run": iterate}[chosen.what](model, chosen)
    print_machine(model.device, "float32")


if __name__ == "__main__":
    main()
