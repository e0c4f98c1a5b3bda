"""What the benchmarks share in material: SmolLM2, edits of world facts, texts, and the calls of ours.

A change of the library's interface is followed here, in `optimize_edits` and `iterate_edits`.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from measuring import timed
from torch import Tensor

from reedit.edit.editor import Editor
from reedit.edit.edits import Edit, Rows
from reedit.edit.found import Found
from reedit.edit.iteration import one_iteration, ours
from reedit.edit.measured import edited_perplexities
from reedit.edit.optimization.optimize import optimize
from reedit.edit.spread.solve import factorise
from reedit.evaluate.alignment import Asked, misaligned
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe
from reedit.models.language_model import LanguageModel
from reedit.prepare.datasets import load_facts
from reedit.prepare.facts import Fact
from reedit.prepare.prefixes import sample_prefixes
from reedit.statistics.moments import Reading, collect_moments

ROOT = Path(__file__).resolve().parents[1]
NAME = "smollm2-135m"  # in config.yaml
ALGORITHM, PROTOCOL = ALGORITHMS["memit"], "corrected"


def arguments(description: str) -> argparse.ArgumentParser:
    """A parser with the options of every benchmark."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--model", type=Path, default=Path("results/models") / NAME, help="prepared model")
    parser.add_argument("--device", help="cpu or cuda; CUDA where there is one by default")
    return parser


def load(chosen: argparse.Namespace, dtype: str = "float32") -> LanguageModel:
    return LanguageModel.load(chosen.model, dtype, chosen.device)


def read_settings(passes: int | None = None, algorithm: str = ALGORITHM.name) -> dict[str, Any]:
    """An algorithm's hyperparameters of config.yaml, with another number of passes where one is given."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    settings = dict(config["hyperparameters"][algorithm][NAME])
    return settings | ({"v_num_grad_steps": passes} if passes else {})


def read_prefix_settings() -> dict[str, int]:
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    return config["models"][NAME]["prefixes"]


def read_world_facts() -> list[Fact]:
    return list(load_facts(ROOT / "resources/worldfacts.json").facts)


def first_facts(model: LanguageModel, count: int, known: Sequence[Fact] | None = None) -> list[Fact]:
    """The first of the `known` facts, by default the world facts, whose tokens align."""
    known = known or read_world_facts()
    wrong = {one.case_id for one in misaligned(model.wording, known, {}, Asked([PROTOCOL]))}
    facts = [fact for fact in known if fact.case_id not in wrong]
    if len(facts) < count:
        raise SystemExit(f"{count} edits asked for, {len(facts)} there are")
    return facts[:count]


def make_edits(model: LanguageModel, facts: Sequence[Fact], assisting: int = 0) -> list[Edit]:
    """The edits of facts, with config.yaml's prefixes and the first `assisting` neighbors.

    `model` samples the prefixes: where results are compared, make the edits once, with one model.
    """
    templates = sample_prefixes(model, **read_prefix_settings())
    return [Rows(model.wording, PROTOCOL, templates).edit(fact, fact.neighbors[:assisting]) for fact in facts]


def joined_documents(model: LanguageModel, count: int, tokens: int = 250) -> list[str]:
    """Documents of about `tokens` tokens: world facts as sentences, in another order each time."""
    generator = torch.Generator().manual_seed(0)
    sentences = [f"{f.prompt.replace('{}', f.subject)} {f.target_true}." for f in read_world_facts()]
    lengths = [len(ids) for ids in model.tokenizer(sentences)["input_ids"]]
    documents = []
    for _ in range(count):
        said, length = [], 0
        for i in torch.randperm(len(sentences), generator=generator).tolist():
            if length + lengths[i] > tokens:
                break
            said.append(sentences[i])
            length += lengths[i]
        documents.append(" ".join(said))
    return documents


def small_factors(model: LanguageModel, layers: Sequence[int], count: int) -> dict[int, Tensor]:
    """Factors of second moments over a few documents.

    A hundredth of the mean diagonal is added, so that they are of full rank however few the documents.
    """
    collected, tokens = collect_moments(model, joined_documents(model, count), layers, Reading(256))
    moments = dict(collected)
    for moment in moments.values():
        moment.diagonal().add_(0.01 * moment.diagonal().mean())
    return {layer: factorise(moment, layer, tokens) for layer, moment in moments.items()}


def optimize_edits(model: LanguageModel, edits: Sequence[Edit], settings: Mapping[str, Any]) -> Found:
    """OPTIMIZATION as this library does it."""
    recipe = Recipe(ALGORITHM, settings, PROTOCOL)
    editor = Editor(model, recipe)
    (found,) = (
        optimize(editor, edits, step) for step in editor.workers.begin(recipe.steps(1, len(edits)), recipe)
    )
    return found


def iterate_edits(
    model: LanguageModel, edits: Sequence[Edit], factors: Mapping[int, Tensor], settings: Mapping[str, Any]
) -> dict[str, float]:
    """Seconds of one iteration's stages as this library does them; the model is left unedited."""
    editor = Editor(model, Recipe(ALGORITHM, settings, PROTOCOL), factors)
    with model.restored(editor.recipe.layers):
        one_iteration(editor, edits, 1, ours)
        seconds = editor.workers.seconds
        _, perplexities = timed(model.device, lambda: edited_perplexities(editor, edits))
    return {"OPTIMIZATION": seconds.now, "SPREAD": seconds.spread, "perplexities": perplexities}
