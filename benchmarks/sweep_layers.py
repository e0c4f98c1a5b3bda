"""Where to edit SmolLM2-135M: a sweep over causal layers, lambda and the clamp, after one iteration.

Run after `make` inside the environment: python benchmarks/sweep_layers.py --edits 16 > table.md
Reads the default experiment's results/ (model, facts, neighbors, prefixes), edits the first eligible cases
of the facts file, and prints a Markdown table. docs/hyperparameters.md holds the one that chose the defaults.
"""

import argparse
import itertools
import sys
from pathlib import Path

import torch

from reedit.edit.editor import Editor
from reedit.edit.edits import Edit, Rows
from reedit.edit.measured import edited_perplexities
from reedit.edit.optimization.optimize import optimize
from reedit.edit.spread.solve import factorise
from reedit.edit.spread.spread import update_of
from reedit.evaluate.probes import make_probes
from reedit.evaluate.scoring import score
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe, Step
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import read_facts
from reedit.prepare.roles import by_case, evaluated_neighbors, is_eligible
from reedit.statistics.corpora import Documents
from reedit.statistics.moments import Reading, collect_moments
from reedit.storage import parquet
from reedit.storage.files import payload

COLUMNS = ["layers", "clamp", "lambda", "ppl optimised", "ppl edited", "median", "efficacy", "generalization"]


def mean_accuracy(rows: list[dict], metric: str) -> float:
    """Mean accuracy over prompts, in percent."""
    values = [row["accuracy"] for row in rows if row["metric"] == metric]
    return 100 * sum(values) / len(values)


def steps(editor: Editor, edits: list[Edit]) -> list[Step]:
    """The steps of a first iteration: one, of the algorithms that are swept."""
    return editor.recipe.steps(1, len(edits))


def main() -> None:
    """Optimise once for each (last layer, clamp), SPREAD for each window and lambda."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--algorithm", choices=["memit", "pmet"], default="memit")
    parser.add_argument("--edits", type=int, default=16)
    parser.add_argument("--last", type=int, nargs="+", default=[5, 8, 11, 14, 17])
    parser.add_argument("--windows", type=int, nargs="+", default=[5])
    parser.add_argument("--clamps", type=float, nargs="+", default=[4.0, 1.0])
    parser.add_argument("--lambdas", type=float, nargs="+", default=[400, 1500, 5000, 15000])
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--lr", type=float, default=0.5)
    parser.add_argument("--decay", type=float, default=1e-3)
    chosen = parser.parse_args()
    model = LanguageModel.load(chosen.results / "models" / chosen.model)
    filtered = by_case(
        parquet.read(chosen.results / f"neighbors/{chosen.model}/worldfacts.parquet", "neighbors")
    )
    facts = read_facts(chosen.results / "facts/worldfacts.parquet")
    facts = [fact for fact in facts if is_eligible(filtered[fact.case_id], [(1, "random")])][: chosen.edits]
    templates = [
        row["template"]
        for row in parquet.read(chosen.results / f"prefixes/{chosen.model}.parquet", "prefixes")
    ]
    edits = [Rows(model.wording, "corrected", templates).edit(fact) for fact in facts]
    neighbors = {f.case_id: evaluated_neighbors(f, filtered[f.case_id], True, [(1, "random")]) for f in facts}
    probes = make_probes(model, facts, neighbors, "corrected")
    windows = {
        (last, size): list(range(last - size + 1, last + 1))
        for last in chosen.last
        for size in chosen.windows
    }
    layers = sorted({layer for window in windows.values() for layer in window})
    texts = Documents(payload(chosen.results / "sources/wikipedia-sample"), "wikipedia-dump", 106, 256)
    moments, tokens = collect_moments(model, texts, layers, Reading(256))
    factors = {layer: factorise(moment, layer, tokens) for layer, moment in moments}
    algorithm = ALGORITHMS[chosen.algorithm]
    zero = {layer: torch.zeros_like(model.weight(layer)) for layer in layers}
    print(f"| {' | '.join([*COLUMNS, 'specificity'])} |\n|{' ---: |' * (len(COLUMNS) + 1)}")
    for last, clamp in itertools.product(chosen.last, chosen.clamps):
        settings = {"v_lr": chosen.lr, "v_num_grad_steps": chosen.steps, "clamp_norm_factor": clamp}
        settings |= {"v_weight_decay": chosen.decay, "kl_factor": 0.0625}
        settings |= {"layers": [last]}
        editor = Editor(model, Recipe(algorithm, settings))
        (found,) = (
            optimize(editor, edits, s) for s in editor.workers.begin(steps(editor, edits), editor.recipe)
        )
        target = found.target(algorithm.spreads)
        for size, weight in itertools.product(chosen.windows, chosen.lambdas):
            window = windows[last, size]
            spread = {"layers": window, algorithm.weight: weight}
            writer = Editor(model, Recipe(algorithm, settings | spread), factors)
            (step,) = steps(writer, edits)
            writer.write(step, update_of(writer, edits, step, target))
            edited = sorted(edited_perplexities(writer, edits))
            rows = score(model, probes, 1)
            optimised = sum(found.ppl_target) / len(edits)
            cells = [f"{window[0]}-{last}", f"{clamp:g}", f"{weight:g}", f"{optimised:.3g}"]
            cells += [f"{sum(edited) / len(edited):.3g}", f"{edited[len(edited) // 2]:.3g}"]
            cells += [f"{mean_accuracy(rows, m):.1f}" for m in ("efficacy", "generalization", "specificity")]
            print(f"| {' | '.join(cells)} |")
            sys.stdout.flush()
            for layer in window:
                model.set_cumulative_update(layer, zero[layer])


if __name__ == "__main__":
    main()
