"""Algorithms of your checkout of EasyEdit beside ours, on the same facts, prefixes and second moments.

    python benchmarks/time_easyedit.py /home/me/EasyEdit --edits 16 100
    python benchmarks/time_easyedit.py /home/me/EasyEdit --algorithms rome pmet --ways "ours, float32"

One iteration with config.yaml's hyperparameters on SmolLM2 and world facts (or --facts, any file that is
read), after `make`; the released protocol, which is what EasyEdit computes. It needs the package datasets
(docs/easyedit.md). OPTIMIZATION is what compute_z takes there, compute_v of ROME; a whole iteration of ours
measures the perplexities as well, which EasyEdit does not. The last column is what an iteration's matrix
products would take at the rate that the machine reaches on large ones.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from material import ALGORITHM, arguments, first_facts, load, read_prefix_settings, read_settings
from measuring import print_machine, print_table, timed
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from reedit.edit.easyedit.engine import Engine, Material, load_published
from reedit.edit.editor import Editor
from reedit.edit.edits import Edit, Rows
from reedit.edit.iteration import one_iteration, ours
from reedit.edit.measured import edited_perplexities
from reedit.edit.spread.solve import factorise, null_space
from reedit.methods.algorithms import ALGORITHMS, Algorithm
from reedit.methods.hyperparameters import reads_moments
from reedit.methods.recipe import Recipe
from reedit.methods.speed import faster
from reedit.prepare.datasets import load_facts
from reedit.prepare.facts import Fact
from reedit.prepare.prefixes import sample_prefixes
from reedit.statistics.moments import read_moment

PROTOCOL, REPOSITORY = "released", "SmolLM2-135M-Instruct"
WAYS = {"ours, float32": torch.float32, "ours, bfloat16": torch.bfloat16, "ours, speed: fast": torch.bfloat16}
SIDE = 2048  # of the matrices whose product tells the machine's rate
COLUMNS = ["algorithm", "way", "edits", "OPTIMIZATION, s per edit", "EasyEdit / it", "iteration, s per edit"]
COLUMNS += ["EasyEdit / it", "update, rel. difference", "products alone, s per edit"]


@dataclass(frozen=True)
class Measured:
    """Seconds of one iteration of so many edits, and the updates that it made, by layer."""

    edits: int
    optimization: float
    iteration: float
    updates: Mapping[int, Tensor]
    products: float | None = None  # seconds of its matrix products at the machine's rate


class Bench:
    """The same material for both; every call begins at the unedited weights."""

    def __init__(self, chosen: Any) -> None:
        self.model = load(chosen)
        self.templates = sample_prefixes(self.model, **read_prefix_settings())
        known = load_facts(chosen.facts).facts if chosen.facts else None
        self.facts = first_facts(self.model, max(chosen.edits), known)
        self.folders, self.light = (chosen.model, chosen.moments), self.model.lighter(torch.bfloat16)
        self.rates = {dtype: products_per_second(self.model.device, dtype) for dtype in set(WAYS.values())}

    def easyedit(self, checkout: Path, algorithm: Algorithm, count: int) -> Measured:
        """A step of EasyEdit, or in ROME's case one an edit, and how much of it the targets take."""
        published, spent = load_published(checkout, algorithm.name), []
        name = {"rome": "compute_v", "pmet": "compute_zs"}.get(algorithm.name, "compute_z")
        compute = getattr(published.module, name)

        def watched(*given: Any, **named: Any) -> Tensor:
            begun = time.perf_counter()
            found = compute(*given, **named)
            spent.append(time.perf_counter() - begun)
            return found

        setattr(published.module, name, watched)
        settings = read_settings(algorithm=algorithm.name)
        recipe = Recipe(algorithm, settings, PROTOCOL, engine="easyedit")
        model, moments = self.folders
        with tempfile.TemporaryDirectory() as scratch, self.model.restored(recipe.layers):
            material = Material(model, REPOSITORY, self.templates, moments, Path(scratch))
            editor = Editor(self.model, recipe, self.factors(recipe))
            engine, facts = Engine(published, editor, self.facts, material), self.facts[:count]
            before = {layer: self.model.weight(layer).clone() for layer in recipe.layers}

            def step() -> None:
                for some in [[fact] for fact in facts] if algorithm.one_by_one else [facts]:
                    engine.apply(some)

            _, seconds = timed(self.model.device, step)
            for layer in recipe.layers:
                self.model.adopt_weight(layer)
            updates = {layer: self.model.weight(layer) - before[layer] for layer in before}
        setattr(published.module, name, compute)
        return Measured(count, sum(spent), seconds, updates)

    def ours(self, way: str, algorithm: Algorithm, count: int) -> Measured:
        """An iteration of ours; "bfloat16" and "fast" optimise on a copy of the model in bfloat16."""
        settings = read_settings(algorithm=algorithm.name)
        recipe = Recipe(algorithm, faster(settings) if "fast" in way else settings, PROTOCOL)
        editor = Editor(self.model, recipe, self.factors(recipe), light=None if "32" in way else self.light)
        edits = self.edits(algorithm, self.facts[:count])
        with self.model.restored(recipe.layers), FlopCounterMode(display=False) as counted:
            one_iteration(editor, edits[:16], 1, ours)
        flops = counted.get_total_flops() / len(edits[:16]) * count
        editor = Editor(self.model, recipe, editor.factors, light=editor.light)
        with self.model.restored(recipe.layers):
            begun = time.perf_counter()
            one_iteration(editor, edits, 1, ours)
            edited_perplexities(editor, edits)
            seconds = time.perf_counter() - begun
            updates = {layer: self.model.cumulative_update(layer) for layer in recipe.layers}
        products = flops / self.rates[WAYS[way]]
        return Measured(count, editor.workers.seconds.now, seconds, updates, products)

    def factors(self, recipe: Recipe) -> dict[int, Tensor]:
        """What an algorithm reads of the workflow's second moments."""
        if not reads_moments(recipe.algorithm, recipe.hyperparameters):
            return {}
        read = {layer: read_moment(self.folders[1] / f"{layer}.safetensors") for layer in recipe.layers}
        if recipe.algorithm.preserves == "null_space":
            threshold = recipe.hyperparameters["nullspace_threshold"]
            spectra = {layer: torch.linalg.eigh(c.double()) for layer, (c, _) in read.items()}
            return {layer: null_space(*found, threshold, layer) for layer, found in spectra.items()}
        return {layer: factorise(c, layer, int(told["count"])) for layer, (c, told) in read.items()}

    def edits(self, algorithm: Algorithm, facts: Sequence[Fact]) -> list[Edit]:
        spaced = algorithm.released_space(REPOSITORY)
        rows = Rows(self.model.wording, PROTOCOL, self.templates, spaced)
        return [rows.edit(fact) for fact in facts]


def products_per_second(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP per second of products of large matrices, the best of five."""
    a, b = (torch.randn(SIDE, SIDE, device=device).to(dtype) for _ in range(2))
    seconds = [timed(device, lambda: a @ b)[1] for _ in range(6)][1:]
    return 2 * SIDE**3 / min(seconds)


def difference(one: Mapping[int, Tensor], other: Mapping[int, Tensor]) -> float:
    """The largest relative difference of a layer's update from `other`'s, in Frobenius norm."""
    return max(float((one[layer] - other[layer]).norm() / other[layer].norm()) for layer in other)


def line(algorithm: Algorithm, way: str, found: Measured, theirs: Measured) -> list[str]:
    cells = [algorithm.name, way, str(found.edits), f"{found.optimization / found.edits:.3f}"]
    cells += [f"{theirs.optimization / found.optimization:.1f}", f"{found.iteration / found.edits:.3f}"]
    cells.append(f"{theirs.iteration / found.iteration:.1f}")
    if found is theirs:
        return [*cells, "", ""]
    limit = "" if found.products is None else f"{found.products / found.edits:.3f}"
    return [*cells, f"{difference(found.updates, theirs.updates):.1e}", limit]


def main() -> None:
    """Time all ways, EasyEdit's first, for each algorithm and number of edits; print a table."""
    parser = arguments(__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--edits", type=int, nargs="+", default=[16])
    parser.add_argument("--algorithms", nargs="+", default=[ALGORITHM.name], choices=sorted(ALGORITHMS))
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--facts", type=Path, help="a file of facts, by default the world facts")
    parser.add_argument("--moments", type=Path, default=Path("results/moments/smollm2-135m/wikipedia-sample"))
    chosen = parser.parse_args()
    bench, lines = Bench(chosen), []
    for algorithm in (ALGORITHMS[name] for name in chosen.algorithms):
        for count in chosen.edits:
            bench.ours("ours, float32", algorithm, 2)  # warm-up
            theirs = bench.easyedit(chosen.checkout, algorithm, count)
            lines.append(line(algorithm, "EasyEdit, float32", theirs, theirs))
            found = {way: bench.ours(way, algorithm, count) for way in chosen.ways}
            lines += [line(algorithm, way, one, theirs) for way, one in found.items()]
    print_table(COLUMNS, lines)
    print_machine(bench.model.device, "EasyEdit in float32")


if __name__ == "__main__":
    main()
