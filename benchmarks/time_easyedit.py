"""MEMIT of your checkout of EasyEdit beside ours, on the same facts, prefixes and second moments.

    python benchmarks/time_easyedit.py /home/me/EasyEdit --edits 16 100

One iteration of config.yaml's MEMIT on SmolLM2 and world facts, after `make`; the released protocol, which
is what EasyEdit computes. It needs the package datasets (docs/easyedit.md). OPTIMIZATION is what compute_z
takes there; a whole iteration of ours measures the perplexities as well, which EasyEdit does not. The last
column is what an iteration's matrix products would take at the rate that the machine reaches on large ones.
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
from reedit.edit.spread.solve import factorise
from reedit.methods.recipe import Recipe
from reedit.methods.speed import faster
from reedit.prepare.facts import Fact
from reedit.prepare.prefixes import sample_prefixes
from reedit.statistics.moments import read_moment

PROTOCOL, REPOSITORY = "released", "SmolLM2-135M-Instruct"
WAYS = {"ours, float32": torch.float32, "ours, bfloat16": torch.bfloat16, "ours, speed: fast": torch.bfloat16}
SIDE = 2048  # of the matrices whose product tells the machine's rate
COLUMNS = ["way", "edits", "OPTIMIZATION, s per edit", "EasyEdit / it", "iteration, s per edit"]
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
        self.model, self.settings = load(chosen), read_settings()
        self.templates = sample_prefixes(self.model, **read_prefix_settings())
        self.facts = first_facts(self.model, max(chosen.edits))
        self.folders, self.light = (chosen.model, chosen.moments), self.model.lighter(torch.bfloat16)
        self.rates = {dtype: products_per_second(self.model.device, dtype) for dtype in set(WAYS.values())}

    def easyedit(self, checkout: Path, count: int) -> Measured:
        """A step of EasyEdit, and how much of it compute_z takes."""
        published, spent = load_published(checkout, ALGORITHM.name), []
        compute_z = published.module.compute_z

        def watched(*given: Any, **named: Any) -> Tensor:
            begun = time.perf_counter()
            found = compute_z(*given, **named)
            spent.append(time.perf_counter() - begun)
            return found

        published.module.compute_z = watched
        recipe = Recipe(ALGORITHM, self.settings, PROTOCOL, engine="easyedit")
        model, moments = self.folders
        with tempfile.TemporaryDirectory() as scratch, self.model.restored(recipe.layers):
            material = Material(model, REPOSITORY, self.templates, moments, Path(scratch))
            engine = Engine(published, Editor(self.model, recipe), self.facts, material)
            before = {layer: self.model.weight(layer).clone() for layer in recipe.layers}
            _, seconds = timed(self.model.device, lambda: engine.apply(self.facts[:count]))
            for layer in recipe.layers:
                self.model.adopt_weight(layer)
            updates = {layer: self.model.weight(layer) - before[layer] for layer in before}
        published.module.compute_z = compute_z
        return Measured(count, sum(spent), seconds, updates)

    def ours(self, way: str, count: int) -> Measured:
        """An iteration of ours; "bfloat16" and "fast" optimise on a copy of the model in bfloat16."""
        settings = faster(self.settings) if "fast" in way else self.settings
        recipe = Recipe(ALGORITHM, settings, PROTOCOL)
        editor = Editor(self.model, recipe, self.factors(recipe), light=None if "32" in way else self.light)
        edits = self.edits(self.facts[:count])
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
        """The factors of the workflow's second moments."""
        read = {layer: read_moment(self.folders[1] / f"{layer}.safetensors") for layer in recipe.layers}
        return {layer: factorise(c, layer, int(told["count"])) for layer, (c, told) in read.items()}

    def edits(self, facts: Sequence[Fact]) -> list[Edit]:
        spaced = ALGORITHM.released_space(REPOSITORY)
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


def line(way: str, found: Measured, theirs: Measured) -> list[str]:
    cells = [way, str(found.edits), f"{found.optimization / found.edits:.3f}"]
    cells += [f"{theirs.optimization / found.optimization:.1f}", f"{found.iteration / found.edits:.3f}"]
    cells.append(f"{theirs.iteration / found.iteration:.1f}")
    if found is theirs:
        return [*cells, "", ""]
    limit = "" if found.products is None else f"{found.products / found.edits:.3f}"
    return [*cells, f"{difference(found.updates, theirs.updates):.1e}", limit]


def main() -> None:
    """Time all ways, EasyEdit's first, for each number of edits; print a table."""
    parser = arguments(__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--edits", type=int, nargs="+", default=[16])
    parser.add_argument("--moments", type=Path, default=Path("results/moments/smollm2-135m/wikipedia-sample"))
    chosen = parser.parse_args()
    bench, lines = Bench(chosen), []
    for count in chosen.edits:
        bench.ours("ours, float32", 2)  # warm-up
        theirs = bench.easyedit(chosen.checkout, count)
        lines.append(line("EasyEdit, float32", theirs, theirs))
        lines += [line(way, bench.ours(way, count), theirs) for way in WAYS]
    print_table(COLUMNS, lines)
    print_machine(bench.model.device, "EasyEdit in float32")


if __name__ == "__main__":
    main()
