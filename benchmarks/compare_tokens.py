"""How many tokens do the second moments need? One SPREAD of the same targets, with moments of ever more.

    python benchmarks/compare_tokens.py --sizes 2 3 5 10 30 100 300 --other 10 100
    python benchmarks/compare_tokens.py --model MODELS/gemma-3-270m --experiment experiments/gemma.yaml

Of the default corpus' articles two thirds are A and one third is B; each is cut into passages of
--max-tokens, in a seeded order. Sizes are multiples of the edited key's width. A's moments of each size are
held against those of its largest one; B's, of other articles, are the yardstick: what the choice of texts
changes. All that is made is kept in --state, and an interrupted run goes on from there. What it found is in
docs/statistics.md.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from material import NAME, PROTOCOL, ROOT, first_facts, load, read_world_facts
from measuring import print_machine, print_table
from safetensors.torch import save_file
from torch import Tensor

from reedit.edit.editor import Editor, Update
from reedit.edit.edits import Edit, Rows
from reedit.edit.optimization.optimize import optimize
from reedit.edit.spread.solve import factorise, null_space
from reedit.edit.spread.spread import update_of
from reedit.errors import InputError
from reedit.evaluate.collapse import check_collapse, read_texts
from reedit.evaluate.measures import METRICS, paired_intervals, percentiles, resamples
from reedit.evaluate.probes import make_probes
from reedit.evaluate.scoring import score
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe, Step
from reedit.models.language_model import LanguageModel
from reedit.models.tokens import encode
from reedit.prepare.datasets import load_facts
from reedit.prepare.prefixes import sample_prefixes
from reedit.statistics.corpora import Documents
from reedit.statistics.moments import Reading, collect_moments, read_moment, write_moment
from reedit.statistics.spectra import decomposed
from reedit.storage.files import atomic, payload, whole_folder, write_text
from reedit.storage.tensors import read_tensors

SLACK = 16  # tokens of text beyond a passage's, since a text that is cut may be told in other tokens


class Comparison:
    """A model, its edits and their targets, and what has been found so far."""

    def __init__(self, model: LanguageModel, chosen: argparse.Namespace) -> None:
        self.model, self.chosen, self.state = model, chosen, chosen.state
        self.settings = read_hyperparameters(chosen)
        self.layers = self.settings["memit"]["layers"]
        self.keys = model.weight(self.layers[0]).shape[1]
        known = list(load_facts(chosen.facts).facts) if chosen.facts else read_world_facts()
        self.facts = first_facts(model, chosen.edits, known)

    def recipe(self, algorithm: str) -> Recipe:
        return Recipe(ALGORITHMS[algorithm], self.settings[algorithm], PROTOCOL)

    def edits(self) -> list[Edit]:
        """With config.yaml's prefixes, kept: they are sampled."""
        path = self.state / "prefixes.json"
        if not path.exists():
            keep(path, sample_prefixes(self.model, **read_config()["models"][NAME]["prefixes"]))
        rows = Rows(self.model.wording, PROTOCOL, json.loads(path.read_text()))
        return [rows.edit(fact) for fact in self.facts]

    def targets(self, edits: Sequence[Edit]) -> Tensor:
        """Z of the unedited model, [m, d]: MEMIT's, which the other algorithm's hyperparameters share."""
        path = self.state / "targets.safetensors"
        if not path.exists():
            start, editor = time.monotonic(), Editor(self.model, self.recipe("memit"))
            (found,) = (
                optimize(editor, edits, step)
                for step in editor.workers.begin(editor.recipe.steps(1, len(edits)), editor.recipe)
            )
            with atomic(path) as temporary:
                save_file({"targets": found.target("hidden").contiguous()}, temporary)
            print(f"OPTIMIZATION: {time.monotonic() - start:.0f} s", flush=True)
        return read_tensors(path)["targets"]

    def passages(self) -> dict[str, list[str]]:
        """Of each part of the articles, in a seeded order."""
        path, width = self.state / "passages.json", self.chosen.max_tokens
        if not path.exists():
            articles = Documents(payload(self.chosen.articles), "wikipedia-dump", 106, 10**6)
            parts: dict[str, list[str]] = {"A": [], "B": []}
            for number, text in enumerate(articles):
                parts["AAB"[number % 3]] += cut(self.model, text, width)
            for part in parts.values():
                random.Random(0).shuffle(part)
            keep(path, parts)
        return json.loads(path.read_text())

    def collect(self, part: str, sizes: Sequence[int]) -> None:
        """The moments of a part at each size; a larger one has the passages of the smaller ones too."""
        passages, before, start = self.passages()[part], 0, 0
        print(f"{part}: {len(passages)} passages, {len(passages) * self.chosen.max_tokens // self.keys}x")
        for size in sorted(sizes):
            end = size * self.keys // self.chosen.max_tokens
            if end > len(passages):
                raise SystemExit(f"{part}: {len(passages)} passages, {end} asked for")
            if not self.folder(part, size).exists():
                began = time.monotonic()
                reading = Reading(self.chosen.max_tokens)
                added, count = collect_moments(self.model, passages[start:end], self.layers, reading)
                with whole_folder(self.folder(part, size)) as folder:
                    for layer, moment in added:
                        if before:
                            path = self.folder(part, before) / f"{layer}.safetensors"
                            known, told = read_moment(path)
                            weight = int(told["count"])
                            moment = (moment * count + known * weight) / (count + weight)
                        write_moment(
                            moment, folder / f"{layer}.safetensors", {"count": str(end * reading.max_tokens)}
                        )
                seconds = time.monotonic() - began
                print(f"{part} {size}x: {count} tokens more, {seconds:.0f} s", flush=True)
            before, start = size, end

    def folder(self, part: str, size: int) -> Path:
        return self.state / "moments" / f"{part}{size}"

    def named(self, algorithm: str, part: str, size: int, suffix: str) -> Path:
        """The file of what was found with these moments."""
        spreads = self.chosen.spreads
        return self.state / f"{algorithm}-{part}{size}{f'-{spreads}' if spreads > 1 else ''}{suffix}"

    def factors(self, algorithm: str, part: str, size: int) -> dict[int, Tensor]:
        """What an algorithm reads of the moments of a part at a size."""
        found = {}
        for layer in self.layers:
            moment, told = read_moment(self.folder(part, size) / f"{layer}.safetensors")
            if ALGORITHMS[algorithm].preserves == "null_space":
                threshold = self.settings[algorithm]["nullspace_threshold"]
                found[layer] = null_space(*decomposed(moment), threshold, layer)
            else:
                found[layer] = factorise(moment, layer, int(told["count"]))
        return found

    def spread(self, algorithm: str, part: str, size: int, edits: Sequence[Edit], targets: Tensor) -> None:
        """The update of the targets with these moments, kept with what it took."""
        path = self.named(algorithm, part, size, ".safetensors")
        if path.exists():
            return
        start = time.monotonic()
        editor = Editor(self.model, self.recipe(algorithm), self.factors(algorithm, part, size))
        (step,) = editor.recipe.steps(1, len(edits))
        with self.model.restored(self.layers):
            before = {layer: self.model.weight(layer).clone() for layer in self.layers}
            for _ in range(self.chosen.spreads):
                editor.write(step, update_of(editor, edits, step, targets))
            deltas = {layer: self.model.weight(layer) - weight for layer, weight in before.items()}
        free = {layer: factor.shape[1] for layer, factor in editor.factors.items()}
        told = {"seconds": f"{time.monotonic() - start:.1f}", "free": json.dumps(free)}
        with atomic(path) as temporary:
            tensors = {str(layer): delta.contiguous() for layer, delta in deltas.items()}
            save_file(tensors, temporary, metadata=told)

    def score(self, algorithm: str, part: str, size: int) -> None:
        """Case means of accuracy and success, and the general texts' perplexities, of the edited model."""
        path = self.named(algorithm, part, size, ".json")
        if path.exists():
            return
        start, deltas = time.monotonic(), self.update(algorithm, part, size)
        probes = self.probes
        with self.model.restored(self.layers):
            editor = Editor(self.model, self.recipe(algorithm))
            editor.write(Step(1, 0, 0, (), self.layers, ""), Update(deltas))
            said = score(self.model, probes, 1)
            texts = check_collapse(self.model, read_texts(self.chosen.texts), 1)
        means = case_means(said, [fact.case_id for fact in self.facts])
        keep(path, {"cases": means.tolist(), "ppl": [row["ppl"] for row in texts]})
        print(f"{algorithm} {part}{size}: scored, {time.monotonic() - start:.0f} s", flush=True)

    @property
    def probes(self) -> list:
        neighbors = {fact.case_id: list(fact.neighbors)[: self.chosen.neighbors] for fact in self.facts}
        if not hasattr(self, "_probes"):
            self._probes = make_probes(self.model, self.facts, neighbors, PROTOCOL)
        return self._probes

    def update(self, algorithm: str, part: str, size: int) -> dict[int, Tensor]:
        found = read_tensors(self.named(algorithm, part, size, ".safetensors"))
        return {int(layer): delta for layer, delta in found.items()}

    def rows(self, algorithm: str, sizes: Sequence[tuple[str, int]]) -> Iterator[list[str]]:
        """A row of the table for each of the sizes, held against A's largest."""
        best = max(size for part, size in sizes if part == "A")
        expected = self.update(algorithm, "A", best)
        reference = self.scores(algorithm, "A", best)
        for part, size in sizes:
            found = self.update(algorithm, part, size)
            apart = [difference(found[layer], expected[layer]) for layer in expected]
            cells = [
                f"{part}, {size}x",
                f"{size * self.keys:,}",
                " ".join(f"{100 * one:.0f}" for one in apart),
            ]
            one, other = (torch.cat([u[layer].flatten() for layer in expected]) for u in (found, expected))
            cells += [f"{one.norm() / other.norm():.2f}", f"{torch.cosine_similarity(one, other, dim=0):.2f}"]
            scores = self.scores(algorithm, part, size)
            yield cells + (
                compared(scores, reference, (part, size) == ("A", best)) if scores else ["", "", "", ""]
            )

    def scores(self, algorithm: str, part: str, size: int) -> dict[str, np.ndarray] | None:
        path = self.named(algorithm, part, size, ".json")
        if not path.exists():
            return None
        return {name: np.array(values) for name, values in json.loads(path.read_text()).items()}


def difference(one: Tensor, other: Tensor) -> float:
    """Norm of what two updates differ in, by that of the other one."""
    return float((one - other).norm() / other.norm())


def compared(scores: dict[str, np.ndarray], reference: dict[str, np.ndarray], itself: bool) -> list[str]:
    """Accuracy of the three metrics in percent and ME-PPL, or their differences with intervals of 95 %."""
    if itself:
        means = 100 * np.nanmean(scores["cases"][:, :, 0], axis=0)
        return [*(f"{mean:.1f}" for mean in means), f"{scores['ppl'].mean():.2f}"]
    means, bounds = paired_intervals([(scores["cases"], reference["cases"])], PROTOCOL, seed=0)
    cells = []
    for place in range(len(METRICS)):
        one = 2 * place  # accuracy; success stands behind it
        low, high = 100 * bounds[one]
        cells.append(f"{100 * means[one]:+.1f} ({low:+.1f} to {high:+.1f})")
    change = scores["ppl"] - reference["ppl"]
    draws = resamples(len(change), 0, 1) @ change[:, None] / len(change)
    ((low, high),) = percentiles(draws)
    return [*cells, f"{change.mean():+.2f} ({low:+.2f} to {high:+.2f})"]


def case_means(rows: Sequence[dict[str, Any]], cases: Sequence[int]) -> np.ndarray:
    """[cases, metrics, (accuracy, success)], NaN where a case has no prompt."""
    found = np.full((len(cases), len(METRICS), 2), np.nan)
    for i, case in enumerate(cases):
        for j, metric in enumerate(METRICS):
            said = [
                (r["accuracy"], r["success"]) for r in rows if (r["case_id"], r["metric"]) == (case, metric)
            ]
            if said:
                found[i, j] = np.mean(said, axis=0)
    return found


def cut(model: LanguageModel, text: str, width: int) -> list[str]:
    """The passages of a text, each of at least `width` tokens."""
    told = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    offsets, stride = told["offset_mapping"], width + SLACK
    texts = [
        text[offsets[start][0] : offsets[start + stride - 1][1]]
        for start in range(0, len(offsets) - stride, stride)
    ]
    return [one for one in texts if len(encode(model.tokenizer, one)) >= width]


def read_config() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))


def read_hyperparameters(chosen: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """MEMIT's of the model, and AlphaEdit's of config.yaml on the same targets."""
    asked = yaml.safe_load(chosen.experiment.read_text(encoding="utf-8"))["hyperparameters"]
    memit = asked["memit"][chosen.model.name]
    own = read_config()["hyperparameters"]["alphaedit"][NAME]
    names = ("nullspace_threshold", "L2")
    return {"memit": memit, "alphaedit": memit | {name: own[name] for name in names}}


def keep(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value))


def main() -> None:
    """Make what is missing, piece by piece, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("results/models") / NAME, help="prepared model")
    parser.add_argument("--device", help="cpu or cuda; CUDA where there is one by default")
    parser.add_argument("--experiment", type=Path, default=ROOT / "config.yaml", help="with hyperparameters")
    parser.add_argument("--articles", type=Path, default=Path("results/sources/wikipedia-sample"))
    parser.add_argument("--facts", type=Path, help="a file of facts; by default the world facts")
    parser.add_argument("--texts", type=Path, default=ROOT / "resources/general-sentences.json")
    parser.add_argument("--edits", type=int, default=60)
    parser.add_argument("--neighbors", type=int, default=3, help="scored a case")
    parser.add_argument("--spreads", type=int, default=1, help="so often the same targets, as spread_only")
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2, 3, 5, 10, 30, 100], help="of part A")
    parser.add_argument("--other", type=int, nargs="+", default=[10, 30], help="of part B")
    parser.add_argument("--algorithms", nargs="+", default=["memit", "alphaedit"])
    parser.add_argument("--scored", type=int, nargs="+", help="of AlphaEdit; by default all")
    parser.add_argument("--state", type=Path, help="by default results/compare-tokens/MODEL")
    parser.add_argument("--only", choices=["targets", "moments"], help="make these and no more")
    chosen = parser.parse_args()
    chosen.state = chosen.state or Path("results/compare-tokens") / chosen.model.name
    chosen.state.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    comparison = Comparison(load(chosen), chosen)
    if chosen.only != "targets":
        comparison.collect("A", chosen.sizes)
        comparison.collect("B", chosen.other)
    if chosen.only == "moments":
        return
    edits = comparison.edits()
    targets = comparison.targets(edits)
    if chosen.only == "targets":
        return
    sizes = [*(("A", size) for size in chosen.sizes), *(("B", size) for size in chosen.other)]
    for algorithm in chosen.algorithms:
        try:
            for part, size in sizes:
                comparison.spread(algorithm, part, size, edits, targets)
        except InputError as error:
            print(f"{algorithm}: {error}")
            continue
        for part, size in sorted(sizes, key=lambda one: -one[1]):  # what the others are held against first
            wanted = algorithm == "memit" or not chosen.scored or size in chosen.scored
            if wanted:
                comparison.score(algorithm, part, size)
        columns = ["texts", "tokens", "update's difference by layer, %", "its norm, times", "cosine"]
        columns += [*METRICS, "ME-PPL"]
        print(f"{algorithm}:\n")
        print_table(columns, list(comparison.rows(algorithm, sizes)))
    print_machine(comparison.model.device, "float32")


if __name__ == "__main__":
    main()
