"""Models of the paper's real shapes, weights drawn at random on the device: time and memory of every stage.

The weights say nothing, but take as long as those that do. The plan's figures stand beside what is measured.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from measuring import timed
from published import compute_z, score_probe
from steps import found_of, updates_of
from torch import Tensor

from gpu.halvings import halvings
from gpu.machine import measured_rate
from gpu.material import (
    DEVICE,
    SMALL,
    SUBJECTS,
    Subject,
    aligned,
    documents,
    factors_of,
    moments_of,
    plain_edits,
    relative,
    shape_of,
    tidy,
    world_facts,
    world_templates,
)
from gpu.report import Report
from reedit.edit.edits import Edit
from reedit.edit.found import Found
from reedit.edit.optimization.micro_batch import PER_KEY, PER_WIDTH, micro_batch
from reedit.evaluate.norms import singular_values
from reedit.evaluate.probes import make_probes
from reedit.evaluate.scoring import score
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact
from reedit.prepare.prefixes import sample_prefixes
from reedit.use.costs import (
    GB,
    ROW,
    TAIL,
    Shape,
    Sizes,
    edit_cost,
    iteration_work,
    moment_cost,
    norm_cost,
    score_cost,
)

MEMIT = ALGORITHMS["memit"]
PASSES = 8  # of OPTIMIZATION here; the paper's are 20 to 30, each like the one before
TARGETS, SCORES = 1e-4, 1e-3  # relative (on a CPU 1e-6 at most); log probabilities
HOURS_OF = 5e7  # tokens, about what 100,000 articles have


@dataclass
class Bench:
    """One model on the device, and what its stages hand on."""

    report: Report
    small: bool
    name: str
    model: LanguageModel
    shape: Shape
    settings: dict[str, Any]  # the paper's for MEMIT, in PASSES passes
    facts: list[Fact]
    edits: list[Edit]
    templates: list[str]
    found: Found | None = None  # by OPTIMIZATION
    factors: dict[int, Tensor] | None = None

    @property
    def layers(self) -> list[int]:
        return self.settings["layers"]

    def timed(self, call: Callable[[], Any]) -> tuple[Any, float, float]:
        """What a call gives, its seconds, and the peak of memory in GB, the model included."""
        tidy()
        result, seconds = timed(torch.device(DEVICE), call)
        return result, seconds, torch.cuda.max_memory_allocated() / GB

    def measured(self, what: str, value: Any, unit: str = "", plan: float | None = None) -> None:
        self.report.measured(what, value, unit, plan)

    def planned(self, work: float, precision: str = "float32") -> float | None:
        """Seconds that `make plan` would give for some operations at half of the rate measured here."""
        rate = measured_rate(self.report, precision)
        return work / (0.5 * rate) if rate else None


def gpt2_xl(report: Report, small: bool) -> None:
    at_shape(report, (SMALL if small else SUBJECTS)[0], small)


def gpt_j(report: Report, small: bool) -> None:
    at_shape(report, (SMALL if small else SUBJECTS)[1], small)


def llama_2(report: Report, small: bool) -> None:
    at_shape(report, (SMALL if small else SUBJECTS)[2], small)


def at_shape(report: Report, subject: Subject, small: bool) -> None:
    """All stages of an experiment at a model's shape; left out where the plan says that it does not fit."""
    settings = subject.settings("memit") | {"v_num_grad_steps": 3 if small else PASSES}
    count, free = 4 if small else 64, torch.cuda.mem_get_info()[0] / GB
    sizes = Sizes(edits=count, templates=5)
    plan = edit_cost(subject.planned_shape(), Recipe(MEMIT, settings), sizes).gpu
    if free < plan and not small:
        report.left_out(subject.name, f"make plan asks for {plan:.1f} GB, {free:.1f} GB are free")
        return
    tidy()
    model, seconds = timed(torch.device(DEVICE), subject.build)
    report.measured("model made", seconds, "s")
    shape = shape_of(model, settings["layers"][0])
    if not small:
        report.expect(
            "shape as in experiments/paper.yaml", shape == subject.planned_shape(), found=str(shape)
        )
    report.measured("attention", str(model.model.config._attn_implementation))
    _, seconds = timed(torch.device(DEVICE), lambda: sample_prefixes(model, 5, 10, 0))
    report.measured("five prefixes sampled", seconds, "s")
    facts = aligned(model, world_facts())[: max(count, 6 if small else 100)]
    templates = world_templates()
    edits = plain_edits(model, facts[:count], templates)
    bench = Bench(report, small, subject.name, model, shape, settings, facts, edits, templates)
    row_lengths(bench)
    for stage in (optimization, published, rounded, again, moments, spread, scores, norms):
        stage(bench)
    pmet(bench, subject)


def row_lengths(bench: Bench) -> None:
    """Positions of a row here, beside those that the plan takes for typical."""
    rows = [weighted.row for edit in bench.edits for weighted in edit.rewriting]
    bench.measured("tokens of a row", sum(len(row.ids) for row in rows) / len(rows), "", ROW)
    tails = [len(row.ids) - row.position for row in rows]
    bench.measured("of them from the subject's end on", sum(tails) / len(rows), "", TAIL)


def work_of(bench: Bench, edits: int, passes: int) -> float:
    """Operations of OPTIMIZATION alone, by the plan's formula."""
    recipe = Recipe(MEMIT, bench.settings | {"v_num_grad_steps": passes}, spread_only=True)
    sizes = Sizes(edits, len(bench.templates))
    first, second = (iteration_work(bench.shape, recipe, sizes, k) for k in (1, 2))
    return first - second


def optimization(bench: Bench) -> None:
    """MEMIT's, of all edits at once, in the sizes that free memory gives."""
    report, edits, settings = bench.report, bench.edits, bench.settings
    found_of(bench.model, edits[:2], Recipe(MEMIT, settings | {"v_num_grad_steps": 2}))  # kernels are loaded
    tidy()
    sizes = micro_batch(bench.model, edits, bench.layers[-1])
    before = torch.cuda.memory_allocated() / GB
    with halvings() as halved:
        bench.found, seconds, peak = bench.timed(
            lambda: found_of(bench.model, edits, Recipe(MEMIT, settings))
        )
    steps = sum(bench.found.steps) / len(edits) + 1
    plan = bench.planned(work_of(bench, len(edits), round(steps)))
    bench.measured(
        f"OPTIMIZATION, MEMIT, {steps:.0f} passes: an edit",
        seconds / len(edits),
        "s",
        plan and plan / len(edits),
    )
    if rate := measured_rate(report, "float32"):
        share = work_of(bench, len(edits), round(steps)) / seconds / rate
        bench.measured("OPTIMIZATION: share of the rate of large products", share, "", 0.5)
    used = sum(len(w.row.ids) - w.row.position for edit in edits for w in edit.labelled)
    bench.measured("OPTIMIZATION: positions at once, those there were", f"{sizes.positions}, {used}")
    d, keys = bench.model.weight(bench.layers[-1]).shape
    counted = used * (bench.shape.layers - 1 - bench.layers[-1]) * (PER_WIDTH * d + PER_KEY * keys) * 4 / GB
    bench.measured("OPTIMIZATION: memory beside the model, by micro_batch.py", peak - before, "GB", counted)
    bench.measured("OPTIMIZATION: peak of memory, with batches as large", peak, "GB", edit_memory(bench))
    report.verdict("OPTIMIZATION: halvings in the sizes that free memory gave", len(halved), 0)
    report.expect("OPTIMIZATION: targets finite", not bench.found.unusable)


def published(bench: Bench) -> None:
    """The published way, one edit at a time through the whole model: the same targets, in what time."""
    few = range(2 if bench.small else 4)
    given = [(bench.facts[i], bench.edits[i]) for i in few]
    naive, seconds, peak = bench.timed(
        lambda: [compute_z(bench.model, fact, edit, bench.settings) for fact, edit in given]
    )
    passes = sum(found.steps + 1 for found in naive)
    bench.measured("the published way: an edit and pass", seconds / passes, "s")
    bench.measured("the published way: peak", peak, "GB")
    targets = bench.found.target("hidden")
    gap = max(relative(targets[i], naive[i].hidden + naive[i].delta) for i in few)
    bench.report.verdict("targets against the published way", gap, TARGETS)
    same = all(bench.found.steps[i] == naive[i].steps for i in few)
    bench.report.expect("as many steps as the published way", same)


def rounded(bench: Bench) -> None:
    """OPTIMIZATION by the GPU's TF32 units (dtype: tfloat32), against float32."""
    torch.set_float32_matmul_precision("high")
    try:
        found, seconds, _ = bench.timed(
            lambda: found_of(bench.model, bench.edits, Recipe(MEMIT, bench.settings))
        )
    finally:
        torch.set_float32_matmul_precision("highest")
    passes = sum(found.steps) + len(found.steps)
    bench.measured("OPTIMIZATION in tfloat32: an edit and pass", seconds / passes, "s")
    gap = relative(found.target("hidden"), bench.found.target("hidden"))
    bench.measured("targets in tfloat32 against float32", gap, "relative")
    ratios = [math.log(a / b) for a, b in zip(found.ppl_target, bench.found.ppl_target, strict=True)]
    bench.measured("log perplexity of the targets, likewise", max(map(abs, ratios)), "at most")


def again(bench: Bench) -> None:
    """The same once more: a GPU may add in another order each time."""
    some = bench.edits[: 2 if bench.small else 16]
    first, second = (found_of(bench.model, some, Recipe(MEMIT, bench.settings)).delta for _ in range(2))
    bench.report.verdict("a second run: deltas", relative(second, first), TARGETS)
    bench.measured("a second run gives the same to the last bit", bool(torch.equal(first, second)))


def moments(bench: Bench) -> None:
    """Second moments of all edited layers in one pass, and their factorisation in double precision."""
    texts, most = documents(4 if bench.small else 16, 100), 64 if bench.small else 1024
    (found, tokens), seconds, peak = bench.timed(lambda: moments_of(bench.model, texts, bench.layers, most))
    cost = moment_cost(bench.shape, bench.layers, 100_000 * most)
    work = tokens * moment_cost(bench.shape, bench.layers, 1).work
    bench.measured("second moments: tokens a second", tokens / seconds, "", _per_second(bench, work, tokens))
    bench.measured(f"second moments: {HOURS_OF:.0e} tokens", HOURS_OF / tokens * seconds / 3600, "h")
    bench.measured("second moments: peak of memory", peak, "GB", cost.gpu)
    recipe = Recipe(MEMIT, bench.settings)
    bench.factors, seconds, peak = bench.timed(lambda: factors_of(found, recipe, DEVICE))
    double = bench.planned(len(bench.layers) * bench.shape.keys**3 / 3, "float64")
    bench.measured("factorisation of all layers", seconds, "s", double)
    bench.measured("factorisation: peak of memory", peak, "GB")
    finite = all(bool(factor.isfinite().all()) for factor in bench.factors.values())
    bench.report.expect("factors finite", finite)


def _per_second(bench: Bench, work: float, tokens: int) -> float | None:
    seconds = bench.planned(work)
    return tokens / seconds if seconds else None


def edit_memory(bench: Bench) -> float:
    """GB that `make plan` asks for, for an edit job of as many edits."""
    sizes = Sizes(len(bench.edits), len(bench.templates))
    return edit_cost(bench.shape, Recipe(MEMIT, bench.settings), sizes).gpu


def spread(bench: Bench) -> None:
    """SPREAD of the targets that OPTIMIZATION has found, over all layers."""
    given = (bench.edits, bench.found.target("hidden"), Recipe(MEMIT, bench.settings), bench.factors)
    made, seconds, peak = bench.timed(lambda: updates_of(bench.model, *given))
    bench.measured(f"SPREAD of {len(bench.edits)} edits", seconds, "s")
    bench.measured("SPREAD: peak of memory", peak, "GB", edit_memory(bench))
    bench.report.expect("updates finite", all(bool(update.isfinite().all()) for update in made.values()))
    bench.factors = None


def scores(bench: Bench) -> None:
    """Scores of some cases, against one prompt and target at a time."""
    facts, few = bench.facts[: 2 if bench.small else 30], 4 if bench.small else 20
    neighbors = {fact.case_id: fact.neighbors for fact in facts}
    probes, seconds, _ = bench.timed(lambda: make_probes(bench.model, facts, neighbors, "corrected"))
    bench.measured("what the unedited model answers: a case", seconds / len(facts), "s")
    rows, seconds, peak = bench.timed(lambda: score(bench.model, probes, 0))
    cost = score_cost(bench.shape, len(facts), 0)
    plan = bench.planned(cost.work)
    bench.measured("scores: a case", seconds / len(facts), "s", plan / len(facts) if plan else None)
    bench.measured("scores: peak of memory", peak, "GB", cost.gpu)
    slow, seconds, _ = bench.timed(lambda: [score_probe(bench.model, probe) for probe in probes[:few]])
    bench.measured("scores, one prompt and target at a time: a prompt", seconds / few, "s")
    names = ("logp_new", "logp_true")
    gap = max(abs(row[name] - one[name]) for row, one in zip(rows, slow, strict=False) for name in names)
    bench.report.verdict("log probabilities against one prompt at a time", gap, SCORES)


def norms(bench: Bench) -> None:
    """Singular values of one weight in double precision, as PRUNE and the norms take them."""
    if bench.name != "gpt2-xl":
        bench.report.left_out("singular values", "minutes on this shape; gpt2-xl's tell how far the plan is")
        return
    weight = bench.model.weight(bench.layers[0]).double()
    values, seconds, _ = bench.timed(lambda: singular_values(weight))
    plan = bench.planned(norm_cost(bench.shape, [0], 0).double, "float64")
    bench.measured("singular values of a weight", seconds, "s", plan)
    bench.report.expect("singular values finite", bool(values.isfinite().all()))


def pmet(bench: Bench, subject: Subject) -> None:
    """OPTIMIZATION of two vectors, in PMET's settings."""
    settings = subject.settings("pmet") | {"v_num_grad_steps": bench.settings["v_num_grad_steps"]}
    some = bench.edits[: 2 if bench.small else 16]
    found, seconds, _ = bench.timed(lambda: found_of(bench.model, some, Recipe(ALGORITHMS["pmet"], settings)))
    passes = sum(found.steps) + len(found.steps)
    bench.measured("OPTIMIZATION, PMET: an edit and pass", seconds / passes, "s")
    bench.report.expect("OPTIMIZATION, PMET: targets finite", not found.unusable)
