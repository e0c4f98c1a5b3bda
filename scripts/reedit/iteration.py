"""Iterative editing: OPTIMIZATION and SPREAD again at theta_k until the perplexity gap closes.

Paper, section 3.1; design, section 4 (Iteration). Each iteration is kept durably in a state folder, so
that an interrupted job goes on after its last complete one.
"""

import json
import logging
import math
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from reedit import stopping
from reedit.algorithms import Algorithm
from reedit.edits import Edit
from reedit.files import atomic, flush
from reedit.job import peak_memory_mb
from reedit.language_model import LanguageModel
from reedit.likelihood import likelihoods
from reedit.optimization import optimize
from reedit.progress import progress
from reedit.spread import apply_updates, compute_updates
from reedit.states import bare_outputs


@dataclass(frozen=True)
class Plan:
    """How one run iterates."""

    algorithm: Algorithm
    hyperparameters: Mapping[str, Any]
    iterations: int
    stop: str
    extend_to: int | None  # go on to here where `proposed` is not met by `iterations`

    def is_over(self, gaps: Sequence[float], changes: Sequence[float]) -> bool:
        """Whether to stop after the iterations whose delta_p and delta_p2 are given."""
        if stopping.met(self.stop, gaps, changes) is not None:
            return True
        if len(gaps) < self.iterations:
            return False
        extended = self.extend_to is not None and stopping.met("proposed", gaps, changes) is None
        return not (extended and len(gaps) < self.extend_to)


@dataclass(frozen=True)
class Iteration:
    """One iteration k: its row of ``iterations`` and its rows of ``targets``."""

    row: dict[str, float]
    targets: list[dict[str, float]]


def edited_perplexities(model: LanguageModel, edits: Sequence[Edit]) -> list[float]:
    """p(theta, h) of every edit with the weights as they are: one forward pass of the same rows (B.1)."""
    used = [(i, w) for i, edit in enumerate(edits) for w in edit.labelled if w.perplexity_weight]
    said = likelihoods(model, [weighted.row for _, weighted in used])
    exponent = [0.0] * len(edits)
    for (i, weighted), likelihood in zip(used, said, strict=True):
        exponent[i] -= weighted.perplexity_weight * sum(likelihood.logp)
    return [math.exp(value) if value < 700 else math.inf for value in exponent]


def iterate_once(
    model: LanguageModel, edits: Sequence[Edit], moments: Mapping[int, Tensor], plan: Plan, k: int
) -> Iteration:
    """Take the model from theta_k to theta_{k+1} and measure."""
    layers = plan.hyperparameters["layers"]
    start = time.monotonic()
    passes = len(edits) * plan.hyperparameters["v_num_grad_steps"]
    report = progress(f"k={k} OPTIMIZATION, passes", passes)
    found = optimize(model, edits, layers[-1], dict(plan.hyperparameters), report=report)
    optimized = time.monotonic()
    updates = compute_updates(
        model,
        edits,
        found.target,
        layers,
        moments,
        plan.hyperparameters["mom2_update_weight"],
        plan.algorithm,
    )
    apply_updates(model, updates)
    spread = time.monotonic()
    edited = edited_perplexities(model, edits)
    residual = (found.target - bare_outputs(model, edits, layers[-1])).norm(dim=1).tolist()
    hidden_norm, delta_norm = found.hidden.norm(dim=1).tolist(), found.delta.norm(dim=1).tolist()
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
    row: dict[str, float] = {"k": k}
    for name, values in [("initial", found.ppl_initial), ("target", found.ppl_target), ("edited", edited)]:
        row[f"ppl_{name}"] = statistics.fmean(values)
        row[f"ppl_{name}_median"] = statistics.median(values)
        row[f"ppl_{name}_gmean"] = math.exp(statistics.fmean(math.log(value) for value in values))
    row["delta_p"] = abs(row["ppl_edited"] - row["ppl_target"])
    row["delta_p2"] = abs(row["ppl_edited"] - row["ppl_initial"])
    row["update_norm"] = _norm(updates.values())
    row["weight_norm"] = _norm(model.weight(layer) for layer in layers)
    row["seconds_optimization"] = optimized - start
    row["seconds_spread"] = spread - optimized
    row["seconds_total"] = time.monotonic() - start
    row["peak_memory_mb"] = peak_memory_mb()
    if torch.cuda.is_available():
        row["peak_memory_mb"] = torch.cuda.max_memory_allocated() / 1024**2
    return Iteration(row, targets)


def _norm(tensors: Any) -> float:
    """Frobenius norm of several tensors together."""
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in tensors))


class State:
    """The complete iterations of one job, each a folder k{k} that appears as a whole.

    `fingerprint` is what the job depends on; a state of another fingerprint is discarded.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        mark = folder / "fingerprint"
        if folder.exists() and not (mark.exists() and mark.read_text() == fingerprint):
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(mark) as temporary:
            temporary.write_text(fingerprint)

    def completed(self) -> int:
        """The last k whose iteration is complete, 0 for none."""
        k = 0
        while (self.folder / f"k{k + 1}").exists():
            k += 1
        return k

    def weights(self, k: int) -> Path:
        return self.folder / f"k{k}" / "weights.safetensors"

    def save(self, k: int, iteration: Iteration, updates: Mapping[str, Tensor]) -> None:
        """Write iteration k; it is there entirely or not at all."""
        partial = self.folder / f"k{k}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        save_file(dict(updates), partial / "weights.safetensors", metadata={"k": str(k)})
        content = json.dumps({"row": iteration.row, "targets": iteration.targets})
        (partial / "iteration.json").write_text(content)
        for written in partial.iterdir():
            flush(written)
        partial.rename(self.folder / f"k{k}")

    def load(self, k: int) -> Iteration:
        return Iteration(**json.loads((self.folder / f"k{k}" / "iteration.json").read_text()))

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def iterate(
    model: LanguageModel, edits: Sequence[Edit], moments: Mapping[int, Tensor], plan: Plan, state: State
) -> list[Iteration]:
    """All iterations of a run; those that `state` holds are not repeated."""
    logger = logging.getLogger("reedit")
    layers = plan.hyperparameters["layers"]
    done = [state.load(k) for k in range(1, state.completed() + 1)]
    if done:
        logger.info("resuming after iteration %d", len(done))
        model.import_updates(load_file(state.weights(len(done)), device=str(model.device)), layers)
    while not done or not plan.is_over([i.row["delta_p"] for i in done], [i.row["delta_p2"] for i in done]):
        k = len(done) + 1
        iteration = iterate_once(model, edits, moments, plan, k)
        updates = model.export_updates(layers)
        model.import_updates(updates, layers)  # what is saved, to the last bit: a resumed run goes on alike
        state.save(k, iteration, updates)
        done.append(iteration)
        row = iteration.row
        logger.info(
            "k=%d: perplexity %.4g before, %.4g optimised, %.4g edited; |delta p| %.4g; %.1f s",
            *(k, row["ppl_initial"], row["ppl_target"], row["ppl_edited"], row["delta_p"]),
            row["seconds_total"],
        )
    return done


def kept_iterations(rows: Sequence[Mapping[str, float]], keep: str) -> list[int]:
    """The k whose weights stay: all, last, or selected (by the proposed rule)."""
    if keep == "all":
        return [int(row["k"]) for row in rows]
    if keep == "last":
        return [int(rows[-1]["k"])]
    k, _ = stopping.choose("proposed", [r["delta_p"] for r in rows], [r["delta_p2"] for r in rows])
    return [k]
