"""Whether a user's model can be edited, and facts with it: `python -m reedit check MODEL --facts FILE`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from reedit.edit.editor import Editor
from reedit.edit.edits import Rows
from reedit.edit.optimization.optimize import optimize
from reedit.edit.spread.solve import factorise
from reedit.edit.spread.spread import spread
from reedit.errors import InputError
from reedit.evaluate.fitness import CaseFitness
from reedit.jobs.memory import free_bytes
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe
from reedit.models.folder import judge, window_of
from reedit.models.hooks import captured
from reedit.models.language_model import LanguageModel
from reedit.models.tokens import encode
from reedit.models.weights import weights_in
from reedit.prepare.datasets import load_facts
from reedit.prepare.facts import Fact
from reedit.prepare.preparation import prepare_model
from reedit.prepare.reading import Dataset
from reedit.prepare.settings import SplitSettings
from reedit.storage.tensors import shapes_in
from reedit.use.naive_edit import naive_edit

FACT = Fact(0, "", "Lyon", "{} is a city in the country of", "Japan", "France", (), ())
SENTENCES = (  # before the prompt, and what second moments are taken over
    "The weather was fine that day.",
    "She opened the old book and began to read about the history of the town.",
    "In 1984 the company sold more than 12,000 machines, most of them abroad.",
    "Nobody knew why the bridge had been closed, or when it would be opened again.",
)
PASSES = 4  # enough to leave the first steps, where every coordinate moves alike
LONGEST_WINDOW = 1024  # tokens; a passage that fills a longer one would take minutes
AGREED = 0.01  # relative: single precision makes some 1e-4 of it, another way of attention tenths


@dataclass(frozen=True)
class Tried:
    """One edit by the naive way and by the engine."""

    layers: list[int]
    target: float  # relative difference of z
    update: float  # largest relative difference of a layer's update
    ppl: tuple[float, float]  # of the target before, and once the engine's update is written
    longest: int  # tokens of the longest row

    @property
    def agrees(self) -> bool:
        return self.target < AGREED and self.update < AGREED


def check(folder: Path, facts: Path | None, tell: Callable[[str], None]) -> list[str]:
    """Why a model, and facts of a file with it, cannot be edited, a line each; none where all can.

    What is found on the way is told. Raises InputError where there is nothing to go on with.
    """
    points = judge(folder)
    if reasons := [f"{folder}: {point.told}" for point in points if point.refused]:
        return reasons
    with _loadable(folder) as place:
        for point in points if place == folder else [*points, *judge(place)]:
            tell(f"{point.about + ':':14}{point.told}")
        _check_room(place)
        model = LanguageModel.load(place, "float32")
    try:
        tried = try_edit(model)
    except InputError as error:
        return [f"{folder}: the edit of a small fact failed: {error}"]
    tell(f"{'edit:':14}{_in_words(tried, len(model.layers))}")
    if not tried.agrees:
        off = f"{tried.target:.2g} of the target and {tried.update:.2g} of the update differ"
        told = f"one edit by the engine is not what the naive way gives: {off}, expected below {AGREED}"
        reasons = [f"{folder}: {told}"]
    if facts:
        dataset = load_facts(facts, "drop")
        found, warnings = judge_facts(model, dataset)
        count = len(dataset.facts) + len(dataset.malformed)
        tell(f"{'facts:':14}{count - len(found)} of {count} in {facts} can be edited")
        for warning in warnings:
            tell(f"{'':14}{warning}")
        reasons += [reason if reason.startswith(f"{facts}:") else f"{facts}: {reason}" for reason in found]
    return reasons


@contextmanager
def _loadable(folder: Path) -> Iterator[Path]:
    """The folder, or what prepare_model makes of its GGUF file, for as long as the block lasts."""
    if not weights_in(folder).gguf:
        yield folder
        return
    with TemporaryDirectory(prefix="reedit-check-") as scratch:
        prepared = Path(scratch, "model")
        prepare_model(folder, prepared, {"kind": "folder", "path": str(folder)})
        yield prepared


def _check_room(folder: Path) -> None:
    """Raise InputError where the weights, in float32, do not fit into this machine's memory."""
    shapes = [shape for file in weights_in(folder).files for shape in shapes_in(file).values()]
    needed, free = 4 * sum(map(prod, shapes)) / 1e9, free_bytes(torch.device("cpu")) / 1e9
    if needed > free:
        told = f"its weights take {needed:.1f} GB in float32, and {free:.1f} GB of memory are free here"
        raise InputError(f"{folder}: {told}")


def try_edit(model: LanguageModel, fact: Fact = FACT) -> Tried:
    """Edit a fact by the naive way and by the engine at two layers in the middle; the model stays as is."""
    count = len(model.layers)
    last = min(count // 2, count - 2)
    if last < 0:
        raise InputError("a model of one layer: none above it reads what an edit writes at the subject")
    layers = list(range(max(last - 1, 0), last + 1))
    hyperparameters = {
        "layers": layers,
        "v_lr": 0.5,
        "v_num_grad_steps": PASSES,
        "clamp_norm_factor": 0.75,
        "v_weight_decay": 0.5,
        "kl_factor": 0.0625,
        "mom2_update_weight": 10,
    }
    edit = Rows(model.wording, "corrected", _templates(model)).edit(fact)
    for one in edit.rewriting:
        model.check_length(one.row.ids)
    moments = {layer: _moment(model, layer) for layer in layers}
    naive = naive_edit(model, edit, hyperparameters, moments)
    recipe = Recipe(ALGORITHMS["memit"], hyperparameters)
    factors = {layer: factorise(moment, layer, len(SENTENCES)).cpu() for layer, moment in moments.items()}
    editor = Editor(model, recipe, factors)
    (step,) = recipe.steps(1, 1)
    found, update = spread(editor, [edit], step, optimize(editor, [edit], step))
    if found.lost:
        raise InputError(
            f"a {model.model.config.model_type} model whose numbers are not finite: {found.lost[0]}"
        )
    differences = [_difference(update.deltas[layer], naive.updates[layer]) for layer in layers]
    with model.restored(layers):
        editor.write(step, update)
        after = naive_edit(model, edit, hyperparameters | {"v_num_grad_steps": 1}, moments).ppl_initial
    target = _difference(found.target("hidden")[0], naive.target)
    longest = max(len(one.row.ids) for one in edit.rewriting)
    return Tried(layers, target, max(differences), (naive.ppl_initial, after), longest)


def _templates(model: LanguageModel) -> list[str]:
    """Two prefixes; the second fills the window that layers attend to, where that is not too long."""
    window, longest = window_of(model.model.config), model.model.config.max_position_embeddings
    room = min(longest - 64, LONGEST_WINDOW)
    passage = SENTENCES[1]
    while window and window < room and len(encode(model.tokenizer, passage)) <= window:
        passage = f"{passage} {' '.join(SENTENCES)}"
    return [f"{text} {{}}" for text in (SENTENCES[0], passage)]


@torch.no_grad()
def _moment(model: LanguageModel, layer: int) -> Tensor:
    """C of the sentences' keys, and as much again of the identity, since they are few; fp64 [key, key]."""
    keys = []
    for text in SENTENCES:
        ids = torch.tensor([encode(model.tokenizer, text)], device=model.device)
        with captured({"key": model.mlp_output(layer)}, {}) as seen:
            model.model(input_ids=ids, use_cache=False)
        keys.append(seen["key"][0].double())
    every = torch.cat(keys)  # [tokens, key]
    moment = every.T @ every / len(every)
    moment.diagonal().add_(moment.diagonal().mean().clamp(min=1e-12))
    return moment


def _difference(found: Tensor, expected: Tensor) -> float:
    """Relative, by the Frobenius norm; infinite where one is not finite."""
    off = float((found.double() - expected.double()).norm() / expected.double().norm().clamp(min=1e-30))
    return off if isfinite(off) else float("inf")


def _in_words(tried: Tried, layers: int) -> str:
    places = f"layer{'s' * (len(tried.layers) > 1)} {' and '.join(map(str, tried.layers))}"
    verdict = "agrees with" if tried.agrees else "DIFFERS from"
    return (
        f"MEMIT at {places}, the middle of {layers}, on rows of up to {tried.longest} tokens {verdict}"
        f" the naive way: target to {tried.target:.1g}, update to {tried.update:.1g}; perplexity of"
        f" {FACT.target_new!r} {tried.ppl[0]:.4g} before, {tried.ppl[1]:.4g} after"
    )


def judge_facts(model: LanguageModel, dataset: Dataset) -> tuple[list[str], list[str]]:
    """Why facts cannot be edited with a model, or beside each other; and what to know of the others."""
    settings = SplitSettings(edits="all", seed=0, protocols=["corrected"])
    cases = CaseFitness(model.wording, settings, model.model.config.max_position_embeddings)
    unfit = cases.unfit(dataset.facts, {})
    return [*dataset.malformed, *(one.reason for one in unfit)], cases.warnings(dataset.facts)
