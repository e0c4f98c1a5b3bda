"""CPU against CUDA: tiny models of every architecture, and the real SmolLM2 where it lies prepared."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tiny
import torch
from steps import found_of
from torch import Tensor
from whole_path import SETTINGS

from gpu.material import (
    DEVICE,
    ROOT,
    aligned,
    factors_of,
    moments_of,
    plain_edits,
    relative,
    small_facts,
    world_facts,
)
from gpu.report import Report
from reedit.edit.editor import Editor
from reedit.edit.edits import Rows
from reedit.edit.iteration import iterate
from reedit.edit.journal import Journal
from reedit.edit.workers import Workers
from reedit.evaluate.probes import make_probes
from reedit.evaluate.scoring import score
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact
from reedit.prepare.prefixes import sample_prefixes

PLACES = ("cpu", DEVICE)
TEMPLATES = ["The old town of. {}", "Because he plays, I. {}"]
LAYERS: list[int] = SETTINGS["layers"]
# beside SETTINGS, what an algorithm asks for
OWN: Mapping[str, Mapping[str, Any]] = {
    "rome": {"layers": [2]},
    "r_rome": {"layers": [2]},
    "emmet": {"layers": [2, 3]},
    "alphaedit": {"layers": [2, 3], "nullspace_threshold": 0.1, "L2": 0.02},
    "encore": {"update_norm_lambda": 0.5},
    "betaedit": {"layers": [2, 3], "nullspace_threshold": 0.1, "L2": 0.5, "lambda1": 2.0, "tau": 4},
    "nse": {"alpha": 0.5, "upper_bound": 1e6, "max_iterations": 3},
    "ultraedit": {"lr": 0.01, "batch_size": 4},
}
# Adam's first steps have one size, whatever the gradient's: where that is nearly nothing, rounding decides
COMPARED = [name for name, algorithm in ALGORITHMS.items() if algorithm.takes != "gradients"]
# Relative, but for log probabilities. In what the last three limit, float32 and float64 are up to 6e-5, 9e-5
# and 6e-5 apart on a CPU, and mostly 3e-6; TF32, or a mask gone wrong, is far beyond.
MOMENTS, ONE, TWO, SCORES = 1e-5, 3e-4, 1e-3, 5e-4


@dataclass
class Outcome:
    """What two iterations leave."""

    updates: list[dict[int, Tensor]]  # cumulative, after each, by layer
    perplexities: list[float]
    scores: list[float]  # log probabilities of target_new, after both


def tiny_models(report: Report, small: bool) -> None:
    """Every architecture, algorithm and protocol; two iterations, the second resumed from its state."""
    architectures = ("gpt2",) if small else tiny.ALL_ARCHITECTURES
    with TemporaryDirectory() as folder:
        for architecture in architectures:
            with report.alone(architecture):
                one_architecture(report, architecture, Path(folder) / architecture)


def one_architecture(report: Report, architecture: str, folder: Path) -> None:
    """What a tiny model says on both devices, then its edits."""
    tiny.save_tiny_model(folder, architecture=architecture)
    models, facts = [LanguageModel.load(folder, device=place) for place in PLACES], small_facts()
    report.measured(f"{architecture}: attention", models[1].model.config._attn_implementation)
    prefixes = [sample_prefixes(model, 5, 6, 0) for model in models]
    report.expect(f"{architecture}: prefixes drawn alike", prefixes[0] == prefixes[1])
    moments = [moments_of(m, tiny.tiny_corpus().splitlines()[:24], LAYERS, 40)[0] for m in models]
    gap = max(relative(moments[1][layer], moments[0][layer]) for layer in LAYERS)
    report.verdict(f"{architecture}: second moments", gap, MOMENTS)
    for protocol in ("corrected", "released"):
        one, two, said = {}, {}, {}
        for algorithm in COMPARED:
            with report.alone(f"{architecture}: {algorithm}, {protocol}"):
                host, device = (
                    edited(model, facts, moments[place], algorithm, protocol, folder / f"{protocol}-{place}")
                    for place, model in enumerate(models)
                )
                one[algorithm], two[algorithm] = gaps(host, device)
                said[algorithm] = max(
                    apart(device.perplexities, host.perplexities, False),
                    apart(device.scores, host.scores, True),
                )
        worst(report, f"{architecture}, {protocol}: update of k = 1", one, ONE)
        worst(report, f"{architecture}, {protocol}: update of k = 1 and 2", two, TWO)
        worst(report, f"{architecture}, {protocol}: perplexities and scores", said, SCORES)


def worst(report: Report, what: str, by_algorithm: Mapping[str, float], limit: float) -> None:
    """A verdict on the largest of them."""
    if by_algorithm:
        name = max(by_algorithm, key=lambda name: (math.isnan(by_algorithm[name]), by_algorithm[name]))
        report.verdict(f"{what} (most: {name})", by_algorithm[name], limit, **by_algorithm)


def edited(
    model: LanguageModel,
    facts: Sequence[Fact],
    moments: Mapping[int, Tensor],
    algorithm: str,
    protocol: str,
    state: Path,
) -> Outcome:
    """Two iterations, the second one from what the first has saved; the model is left unedited."""
    settings = {**SETTINGS, **OWN.get(algorithm, {})}
    probes = make_probes(model, facts, {fact.case_id: fact.neighbors for fact in facts}, protocol)
    edits = [Rows(model.wording, protocol, TEMPLATES).edit(fact, fact.neighbors[:1]) for fact in facts]
    updates = []
    for iterations in (1, 2):
        recipe = Recipe(ALGORITHMS[algorithm], settings, protocol, iterations)
        factors = factors_of(moments, recipe, model.device)
        done = iterate(Editor(model, recipe, factors, workers=Workers(Journal(state, algorithm))), edits)
        updates.append({layer: model.cumulative_update(layer).cpu() for layer in recipe.layers})
        if iterations == 2:
            scores = [row["logp_new"] for row in score(model, probes, 2)]
        for layer, update in updates[-1].items():
            model.set_cumulative_update(layer, torch.zeros_like(update))
    told = [row[name] for one in done for row in one.targets for name in ("ppl_target", "ppl_edited")]
    return Outcome(updates, told, scores)


def gaps(host: Outcome, device: Outcome) -> Iterator[float]:
    """Of each iteration's cumulative updates, the largest relative difference of a layer."""
    for expected, found in zip(host.updates, device.updates, strict=True):
        yield max(relative(found[layer], update) for layer, update in expected.items())


def apart(found: Sequence[float], expected: Sequence[float], logarithms: bool) -> float:
    """The largest difference: of logarithms themselves, else relative."""
    pairs = zip(found, expected, strict=True)
    return max(abs(a - b) if logarithms else abs(a / b - 1) if a != b else 0.0 for a, b in pairs)


def smollm2(report: Report, small: bool) -> None:
    """OPTIMIZATION on real weights, in every dtype of the configuration, against the CPU's float32."""
    folder = ROOT / "results/models/smollm2-135m"
    if small or not (folder / "model.safetensors").exists():
        report.left_out("SmolLM2-135M", f"no prepared model in {folder.relative_to(ROOT)}: `make` makes it")
        return
    host = LanguageModel.load(folder, device="cpu")
    facts = aligned(host, world_facts())[:4]
    templates = sample_prefixes(host, 5, 10, 0)
    settings = SETTINGS | {"layers": [4, 5, 6, 7, 8], "v_num_grad_steps": 8}
    expected = found_of(host, plain_edits(host, facts, templates), Recipe(ALGORITHMS["memit"], settings))
    for dtype in ("float32", "tfloat32", "bfloat16", "float16"):
        model = LanguageModel.load(folder, dtype, DEVICE)
        found = found_of(model, plain_edits(model, facts, templates), Recipe(ALGORITHMS["memit"], settings))
        target = relative(found.target("hidden").float(), expected.target("hidden"))
        ppl = apart(found.ppl_initial, expected.ppl_initial, False)
        if dtype == "float32":
            report.verdict("SmolLM2 in float32: targets", target, 1e-3)
            report.verdict("SmolLM2 in float32: perplexities before", ppl, 1e-3)
        else:
            report.measured(f"SmolLM2 in {dtype}: targets", target, "relative")
            report.measured(f"SmolLM2 in {dtype}: perplexities before", ppl, "relative")
    torch.set_float32_matmul_precision("highest")
