"""The authors' own code beside ours: the cumulative updates of two batches of two facts each.

    python benchmarks/compare_published.py --alphaedit ../AlphaEdit --encore ../encore \\
        --easyedit ../EasyEdit --locft ../LocFT

Each is your checkout of jianghoucheng/AlphaEdit, scalable-model-editing/encore, zjunlp/EasyEdit (for its
SPHERE) or ICT-STAR/LocFT, and gives the rows that it has: on SmolLM2 in float32 and world facts, after `make`,
with config.yaml's hyperparameters and the same prefixes and second moments for both. It needs the package
datasets (docs/easyedit.md). Told is the largest relative difference of a layer's update, in Frobenius norm;
and that of ours without what the row is about, since no row can see more than this.
"""

import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, nullcontext, redirect_stdout
from functools import partial
from importlib import import_module
from itertools import count
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from material import arguments, first_facts, load, read_prefix_settings, read_settings, read_world_facts
from measuring import print_machine, print_table
from time_easyedit import REPOSITORY, difference
from torch import Tensor

from reedit.edit.easyedit.checkout import commit_of
from reedit.edit.easyedit.engine import Engine, Material, load_published, module_names, tuples_between_layers
from reedit.edit.easyedit.on_cpu import OnCpu
from reedit.edit.editor import Editor
from reedit.edit.edits import Rows
from reedit.edit.fine_tuning import order
from reedit.edit.iteration import one_iteration, own_way
from reedit.edit.job.inputs import factor_of
from reedit.edit.spread.solve import null_space
from reedit.jobs.device import job_device
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.hyperparameters import reads_moments
from reedit.methods.recipe import Recipe
from reedit.models.tokenizers import load_tokenizer
from reedit.prepare.facts import Fact
from reedit.prepare.prefixes import sample_prefixes
from reedit.statistics.moments import read_moment

BATCH, BATCHES, PROTOCOL = 2, 2, "released"
COLUMNS = ["code", "commit", "rel. difference", "of ours without it", "that is"]
Apply = Callable[[Sequence[Fact]], None]  # edits a batch, in the model's parameters


class Bench:
    """The same material for both; every run begins at the unedited weights."""

    def __init__(self, chosen: Namespace) -> None:
        self.chosen, self.model = chosen, load(chosen)
        self.templates = sample_prefixes(self.model, **read_prefix_settings())
        self.tokenizer = load_tokenizer(chosen.model)
        self.tokenizer.padding_side = "right"  # labels are counted from a row's beginning
        known = read_world_facts()
        if chosen.tokens:
            counts = [len(self.tokenizer(f" {fact.target_new}")["input_ids"]) for fact in known]
            known = [fact for fact, tokens in zip(known, counts, strict=True) if tokens == chosen.tokens]
        self.facts = first_facts(self.model, BATCH * BATCHES, known)

    def recipe(self, algorithm: str, more: Mapping[str, Any] | None = None, **options: Any) -> Recipe:
        """With config.yaml's hyperparameters and `more`; `options` are the recipe's own."""
        settings = read_settings(algorithm=algorithm)
        passes = {key: self.chosen.passes for key in ("v_num_grad_steps", "num_steps") if key in settings}
        settings |= (passes if self.chosen.passes else {}) | dict(more or {})
        return Recipe(ALGORITHMS[algorithm], settings, PROTOCOL, **{"batch": BATCH, **options})

    def moments(self, recipe: Recipe) -> dict[int, tuple[Tensor, int]]:
        """Of each layer, where the algorithm reads them, and of how many tokens they are."""
        asked = reads_moments(recipe.algorithm, recipe.hyperparameters)
        layers = recipe.layers if asked else []
        read = {layer: read_moment(self.chosen.moments / f"{layer}.safetensors") for layer in layers}
        return {n: (c.to(self.model.device), int(told["count"])) for n, (c, told) in read.items()}

    def editor(self, recipe: Recipe) -> Editor:
        """With what the algorithm makes of the second moments."""
        if recipe.algorithm.preserves != "null_space":
            made = {n: factor_of(c, recipe, n, tokens) for n, (c, tokens) in self.moments(recipe).items()}
            return Editor(self.model, recipe, made)
        least, read = recipe.hyperparameters["nullspace_threshold"], self.moments(recipe)
        made = {n: null_space(*torch.linalg.eigh(c.double()), least, n) for n, (c, _) in read.items()}
        return Editor(self.model, recipe, made)

    def ours(self, recipe: Recipe) -> dict[int, Tensor]:
        """The updates that our editor makes of all facts."""
        rows = Rows(self.model.wording, PROTOCOL, self.templates)
        edits = [rows.edit(fact) for fact in self.facts]
        with self.model.restored(recipe.layers):
            one_iteration(self.editor(recipe), edits, 1, own_way(recipe))
            return {layer: self.model.cumulative_update(layer) for layer in recipe.layers}

    def theirs(self, recipe: Recipe, apply: Apply) -> dict[int, Tensor]:
        """The updates that `apply` makes of them, batch after batch."""
        with self.model.restored(recipe.layers):
            for start in range(0, len(self.facts), BATCH):
                apply(self.facts[start : start + BATCH])
            for layer in recipe.layers:
                self.model.adopt_weight(layer)
            return {layer: self.model.cumulative_update(layer) for layer in recipe.layers}

    @contextmanager
    def older(self) -> Iterator[None]:
        """Within, code written for CUDA and an older transformers runs, and what it prints goes nowhere."""
        away = nullcontext() if job_device() == "cuda" else OnCpu()
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            with tuples_between_layers(self.model), away:
                yield

    def row(self, label: str, code: Path, recipe: Recipe, apply: Apply, without: Recipe) -> list[str]:
        """A line of the table; `without`: a recipe that lacks what the row is about, named after a comma."""
        print(label, file=sys.stderr)
        theirs = self.theirs(recipe, apply)
        gaps = [difference(self.ours(one), theirs) for one in (recipe, without)]
        name, _, that = label.partition(", ")
        return [name, (commit_of(code) or "")[:7], *(f"{gap:.1e}" for gap in gaps), that]


def imported(checkout: Path, name: str) -> ModuleType:
    """A module of a checkout, whose packages do not stay among those loaded: others are named alike."""
    root, unwritten, before = str(checkout.resolve()), sys.dont_write_bytecode, set(sys.modules)
    sys.path.insert(0, root)
    sys.dont_write_bytecode = True
    try:
        with chdir(root):  # where globals.yml lies
            return import_module(name)
    finally:
        sys.path.remove(root)
        sys.dont_write_bytecode = unwritten
        for new in set(sys.modules) - before:
            if str(getattr(sys.modules[new], "__file__", None) or root).startswith(root):
                del sys.modules[new]


def memit_like(bench: Bench, module: ModuleType, function: str, recipe: Recipe, **more: Any) -> Apply:
    """`function` of a module that goes back to MEMIT's; it gets our prefixes and second moments."""
    model, read = bench.model, bench.moments(recipe)
    of_name = {model.module_name(n): SimpleNamespace(moment=lambda c=c: c) for n, (c, _) in read.items()}

    def layer_stats(model: Any, tokenizer: Any, name: str, *_: Any, **__: Any) -> Any:
        told = SimpleNamespace(mom2=of_name[name])
        return (told, None) if "encore" in module.__name__ else told  # there with keys, for distances alone

    module.layer_stats = layer_stats
    module.CONTEXT_TEMPLATES_CACHE = [["{}"], list(bench.templates)]
    known = {"fact_token": "subject_last", "mom2_dataset": "", "mom2_n_samples": 0, "mom2_dtype": "float32"}
    known |= {"v_loss_layer": len(model.layers) - 1, **module_names(model, "memit"), **recipe.hyperparameters}
    hyperparameters = SimpleNamespace(**known | more)

    def apply(facts: Sequence[Fact]) -> None:
        texts = [{"case_id": f.case_id, "prompt": f.prompt, "subject": f.subject} for f in facts]
        requests = [t | {"target_new": {"str": f.target_new}} for t, f in zip(texts, facts, strict=True)]
        with bench.older():
            getattr(module, function)(model.model, bench.tokenizer, requests, hyperparameters)

    return apply


def alphaedit_rows(bench: Bench, checkout: Path) -> Iterator[list[str]]:
    """MEMIT that leaves earlier keys alone, and RECT."""
    recipe, plain = bench.recipe("memit", protects="others"), bench.recipe("memit")
    module, keys = imported(checkout, "memit.memit_seq_main"), bench.model.widest_key(recipe.layers)
    cache = torch.zeros(len(recipe.layers), keys, keys)
    module.execute_memit = partial(module.execute_memit, cache_c=cache)  # which apply forgets to hand on
    apply = memit_like(bench, module, "apply_memit_seq_to_model", recipe)
    yield bench.row("memit_seq, protects: others", checkout, recipe, apply, plain)
    recipe = bench.recipe("memit", regularisers=[{"name": "rect", "keep": 0.4}])
    module = imported(checkout, "memit.memit_rect_main")
    apply = memit_like(bench, module, "apply_memit_rect_to_model", recipe)
    yield bench.row("rect, the regulariser", checkout, recipe, apply, plain)


def encore_rows(bench: Bench, checkout: Path) -> Iterator[list[str]]:
    """ENCORE; what its driver sets in the hyperparameters is `sequential`."""
    recipe = bench.recipe("encore")
    more = {"sequential": True, "add_prev_edits": True, "calculate_objective_value": False}
    module = imported(checkout, "encore.encore_main")
    apply = memit_like(bench, module, "apply_encore_to_model", recipe, **more)
    yield bench.row(
        "encore, protects: others", checkout, recipe, apply, bench.recipe("encore", protects="none")
    )


def sphere_rows(bench: Bench, checkout: Path) -> Iterator[list[str]]:
    """EasyEdit's SPHERE, which keeps its own sums of keys here."""
    one = {"name": "sphere", "share": 0.5, "strength": 0.5}
    more = {"cumulative_ratio": one["share"], "suppression_strength": one["strength"]}
    recipe, published = (
        bench.recipe("alphaedit", more, regularisers=[one]),
        load_published(checkout, "SPHERE"),
    )
    with tempfile.TemporaryDirectory() as scratch:
        chosen = bench.chosen
        material = Material(chosen.model, REPOSITORY, bench.templates, chosen.moments, Path(scratch))
        apply = Engine(published, bench.editor(recipe), bench.facts, material).apply
        yield bench.row("sphere, the regulariser", checkout, recipe, apply, bench.recipe("alphaedit"))


def locft_rows(bench: Bench, checkout: Path) -> Iterator[list[str]]:
    """LocFT-BF, one fact a gradient step, in the order that ours draws."""
    recipe, module = bench.recipe("locft_bf", {"batch_size": 1}), imported(checkout, "fine-tune")
    named = {"layer": recipe.layers[0], "rewrite_module": bench.model.parameter_name("{}")}
    config = SimpleNamespace(**{"device": 0, "weight_decay": 0.0, **named, **recipe.hyperparameters})
    tokenizer, steps = load_tokenizer(bench.chosen.model), iter(recipe.steps(1, len(bench.facts)))
    tokenizer.pad_token = tokenizer.unk_token  # none that is a label, as the token that ends a text is

    def apply(facts: Sequence[Fact]) -> None:
        step, epochs, first = next(steps), count(), []

        def shuffle(requests: list[Any]) -> None:
            first.extend(requests[len(first) :])
            requests[:] = [first[place] for place in order(step, next(epochs), recipe)]

        module.random = SimpleNamespace(shuffle=shuffle)
        requests = [{"prompt": fact.text, "target_new": fact.target_new} for fact in facts]
        with bench.older(), torch.enable_grad():
            module.execute_ft(bench.model.model, tokenizer, requests, config)
        bench.model.model.requires_grad_(False)

    without = bench.recipe("locft_bf", {"batch_size": 1}, seed=1)
    yield bench.row("locft_bf, the order", checkout, recipe, apply, without)


def main() -> None:
    """Run what there is a checkout of, both ways; print a table."""
    parser = arguments(__doc__)
    rows = {"alphaedit": alphaedit_rows, "encore": encore_rows, "easyedit": sphere_rows, "locft": locft_rows}
    for name in rows:
        parser.add_argument(f"--{name}", type=Path, help="a checkout")
    parser.add_argument("--moments", type=Path, default=Path("results/moments/smollm2-135m/wikipedia-sample"))
    parser.add_argument("--passes", type=int, help="v_num_grad_steps, num_steps; config.yaml's by default")
    parser.add_argument("--tokens", type=int, help="facts whose targets have so many tokens; any by default")
    chosen = parser.parse_args()
    bench = Bench(chosen)
    given = {make: path for name, make in rows.items() if (path := getattr(chosen, name))}
    print_table(COLUMNS, [line for make, checkout in given.items() for line in make(bench, checkout)])
    print_machine(bench.model.device, "float32")


if __name__ == "__main__":
    main()
