"""The authors' own code beside ours: the cumulative updates of two batches of two facts each.

    python benchmarks/compare_published.py --alphaedit AE --encore ENCORE --easyedit EASYEDIT --locft LOCFT

Each is your checkout of jianghoucheng/AlphaEdit, scalable-model-editing/encore, zjunlp/EasyEdit (SPHERE) or
ICT-STAR/LocFT, and gives its rows: SmolLM2 in float32, world facts, protocol released, config.yaml's values,
the same prefixes and moments; after `make`, with the package datasets (docs/easyedit.md). Told is the largest
relative difference of a layer's update, and that of ours without what the row is about.
"""

import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, nullcontext, redirect_stdout
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from material import arguments, first_facts, load, read_prefix_settings, read_settings, read_world_facts
from measuring import print_machine, print_table
from time_easyedit import PROTOCOL, REPOSITORY, difference
from torch import Tensor

from reedit.edit.easyedit.checkout import commit_of
from reedit.edit.easyedit.engine import Engine, Material, load_published, module_names, tuples_between_layers
from reedit.edit.easyedit.on_cpu import OnCpu
from reedit.edit.editor import Editor
from reedit.edit.edits import Rows
from reedit.edit.iteration import one_iteration, own_way
from reedit.edit.job.inputs import factor_of
from reedit.edit.spread.solve import null_space
from reedit.jobs.device import job_device
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe
from reedit.models.tokenizers import load_tokenizer
from reedit.prepare.facts import Fact
from reedit.prepare.prefixes import sample_prefixes
from reedit.statistics.moments import read_moment

BATCH, FACTS = 2, 4
COLUMNS = ["code", "commit", "rel. difference", "without", "what is left out of ours then"]
Apply = Callable[[Sequence[Fact]], None]  # edits a batch, in the model's parameters


class Bench:
    """The same material for both; every run begins at the unedited weights."""

    def __init__(self, chosen: Namespace) -> None:
        self.chosen, self.model, self.tokenizer = chosen, load(chosen), load_tokenizer(chosen.model)
        self.tokenizer.padding_side = "right"  # they count labels from a row's beginning
        self.templates = sample_prefixes(self.model, **read_prefix_settings())
        said = self.tokenizer([f" {fact.target_new}" for fact in read_world_facts()])["input_ids"]
        each = zip(read_world_facts(), map(len, said), strict=True)
        known = [fact for fact, tokens in each if chosen.tokens in (None, tokens)]
        self.facts = first_facts(self.model, FACTS, known)
        self.edits = [Rows(self.model.wording, PROTOCOL, self.templates).edit(fact) for fact in self.facts]

    def recipe(self, algorithm: str, more: Mapping[str, Any] | None = None, **options: Any) -> Recipe:
        """With config.yaml's hyperparameters and `more`; `options` are the recipe's own."""
        settings = read_settings(self.chosen.passes, algorithm) | dict(more or {})
        return Recipe(ALGORITHMS[algorithm], settings, PROTOCOL, batch=BATCH, **options)

    def moments(self, recipe: Recipe) -> dict[int, tuple[Tensor, dict[str, str]]]:
        """Of each layer, and their metadata."""
        return {layer: read_moment(self.chosen.moments / f"{layer}.safetensors") for layer in recipe.layers}

    def editor(self, recipe: Recipe) -> Editor:
        """With what the algorithm makes of the second moments."""
        read = self.moments(recipe).items() if recipe.algorithm.finds_targets else ()
        if least := recipe.hyperparameters.get("nullspace_threshold"):
            factors = {n: null_space(*torch.linalg.eigh(c.double()), least, n) for n, (c, _) in read}
        else:
            factors = {n: factor_of(c, recipe, n, int(told["count"])) for n, (c, told) in read}
        return Editor(self.model, recipe, factors)

    def updates(self, recipe: Recipe, apply: Apply | None = None) -> dict[int, Tensor]:
        """What our editor, or `apply` batch after batch, makes of the weights."""
        with self.model.restored(recipe.layers):
            if apply is None:
                one_iteration(self.editor(recipe), self.edits, 1, own_way(recipe))
            for start in range(0, FACTS, BATCH) if apply else ():
                apply(self.facts[start : start + BATCH])
            for layer in recipe.layers:
                self.model.adopt_weight(layer)
            return {layer: self.model.cumulative_update(layer) for layer in recipe.layers}

    def row(self, name: str, code: Path, recipe: Recipe, apply: Apply, less: Recipe, left: str) -> list[str]:
        """A line of the table; `less`: a recipe without what is `left` out."""
        theirs, at = self.updates(recipe, apply), commit_of(code) or ""
        gaps = [difference(self.updates(one), theirs) for one in (recipe, less)]
        return [name, at[:7] + at[40:], *(f"{gap:.1e}" for gap in gaps), left]

    @contextmanager
    def older(self) -> Iterator[None]:
        """Within, code for CUDA and an older transformers runs, and what it prints goes nowhere."""
        away = nullcontext() if job_device() == "cuda" else OnCpu()
        with open(os.devnull, "w") as no, redirect_stdout(no), tuples_between_layers(self.model), away:
            yield


def imported(checkout: Path, name: str) -> ModuleType:
    """A module of a checkout, with the packages beside it: other checkouts have some of the same names."""
    for known in [known for known in sys.modules if known.partition(".")[0] in ("memit", "rome", "util")]:
        del sys.modules[known]
    with patch.object(sys, "path", [str(checkout.resolve()), *sys.path]), chdir(checkout):  # for globals.yml
        return import_module(name)


def memit_like(bench: Bench, module: ModuleType, recipe: Recipe, **more: Any) -> Apply:
    """What a module that goes back to MEMIT's applies, with our prefixes and second moments."""
    model, read, name = bench.model, bench.moments(recipe), module.__name__.rpartition(".")[2]
    keys_too = name == "encore_main"  # there statistics come with keys, for distances that are not asked for
    stats = {n: SimpleNamespace(mom2=SimpleNamespace(moment=lambda c=c: c)) for n, (c, _) in read.items()}
    told = {model.module_name(n): (one, None) if keys_too else one for n, one in stats.items()}
    module.layer_stats = lambda model, tokenizer, of, *_, **__: told[of]
    module.CONTEXT_TEMPLATES_CACHE = [["{}"], list(bench.templates)]
    known = {"fact_token": "subject_last", "mom2_dataset": "", "mom2_n_samples": 0, "mom2_dtype": "float32"}
    known |= {"v_loss_layer": len(model.layers) - 1, **module_names(model, "memit"), **recipe.hyperparameters}
    hyperparameters = SimpleNamespace(**known | more)
    function = getattr(module, f"apply_{name.removesuffix('_main')}_to_model")

    def apply(facts: Sequence[Fact]) -> None:
        requests = [vars(fact) | {"target_new": {"str": fact.target_new}} for fact in facts]
        with bench.older():
            function(model.model, bench.tokenizer, requests, hyperparameters)

    return apply


def alphaedit_rows(bench: Bench, checkout: Path) -> Iterator[list[str]]:
    """MEMIT that leaves earlier keys alone, and RECT."""
    recipe, plain = bench.recipe("memit", protects="others"), bench.recipe("memit")
    module, keys = imported(checkout, "memit.memit_seq_main"), bench.model.widest_key(recipe.layers)
    cache = torch.zeros(len(recipe.layers), keys, keys)
    module.execute_memit = partial(module.execute_memit, cache_c=cache)  # which apply forgets to hand on
    apply = memit_like(bench, module, recipe)
    yield bench.row("memit_seq", checkout, recipe, apply, plain, "earlier keys")
    recipe = bench.recipe("memit", regularisers=[{"name": "rect", "keep": 0.4}])
    apply = memit_like(bench, imported(checkout, "memit.memit_rect_main"), recipe)
    yield bench.row("rect", checkout, recipe, apply, plain, "RECT")


def encore_rows(bench: Bench, checkout: Path) -> Iterator[list[str]]:
    """ENCORE; its driver sets `sequential` among the hyperparameters."""
    recipe, less = bench.recipe("encore"), bench.recipe("encore", protects="none")
    own = {"sequential": True, "add_prev_edits": True, "calculate_objective_value": False}
    apply = memit_like(bench, imported(checkout, "encore.encore_main"), recipe, **own)
    yield bench.row("encore", checkout, recipe, apply, less, "earlier keys")


def sphere_rows(bench: Bench, checkout: Path) -> Iterator[list[str]]:
    """EasyEdit's SPHERE, on AlphaEdit; it adds up keys by itself here."""
    halves = {"cumulative_ratio": 0.5, "suppression_strength": 0.5}  # as ours has them by default
    recipe = bench.recipe("alphaedit", halves, regularisers=[{"name": "sphere"}])
    with tempfile.TemporaryDirectory() as own:
        material = Material(bench.chosen.model, REPOSITORY, bench.templates, bench.chosen.moments, Path(own))
        apply = Engine(load_published(checkout, "SPHERE"), bench.editor(recipe), bench.facts, material).apply
        yield bench.row("sphere", checkout, recipe, apply, bench.recipe("alphaedit"), "SPHERE")


def locft_rows(bench: Bench, checkout: Path) -> Iterator[list[str]]:
    """LocFT-BF, both facts in one gradient step: whatever order is drawn."""
    recipe, less = bench.recipe("locft_bf"), bench.recipe("ft_m")
    config = SimpleNamespace(device=0, layer=recipe.layers[0], weight_decay=0.0, **recipe.hyperparameters)
    config.rewrite_module = bench.model.parameter_name(config.layer)
    module, tokenizer = imported(checkout, "fine-tune"), load_tokenizer(bench.chosen.model)
    tokenizer.pad_token = tokenizer.unk_token  # not one that is a label, as the token that ends a text is

    def apply(facts: Sequence[Fact]) -> None:
        requests = [vars(fact) | {"prompt": fact.text} for fact in facts]
        with bench.older(), torch.enable_grad():
            module.execute_ft(bench.model.model, tokenizer, requests, config)
        bench.model.model.requires_grad_(False)

    yield bench.row("locft_bf", checkout, recipe, apply, less, "the end of a text")


def main() -> None:
    """Run what there is a checkout of, both ways; print a table."""
    parser = arguments(__doc__)
    rows = {"alphaedit": alphaedit_rows, "encore": encore_rows, "easyedit": sphere_rows, "locft": locft_rows}
    for name in rows:
        parser.add_argument(f"--{name}", type=Path, help="a checkout")
    parser.add_argument("--moments", type=Path, default=Path("results/moments/smollm2-135m/wikipedia-sample"))
    parser.add_argument("--passes", type=int, help="v_num_grad_steps; config.yaml's by default")
    parser.add_argument("--tokens", type=int, help="of the target of each fact; any number by default")
    chosen, sys.dont_write_bytecode = parser.parse_args(), True  # nothing into a checkout
    bench, given = Bench(chosen), [name for name in rows if getattr(chosen, name)]
    print_table(COLUMNS, [line for name in given for line in rows[name](bench, getattr(chosen, name))])
    print_machine(bench.model.device, "float32")


if __name__ == "__main__":
    main()
