"""What the stages work on: world facts, a tokenizer trained on them, models of the paper's shapes."""

import gc
import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
import yaml
from tiny import tiny_facts, tiny_tokenizer
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTJConfig,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
)
from variants import what_is_read

from reedit.edit.edits import Edit, Rows
from reedit.evaluate.alignment import Asked, misaligned
from reedit.methods.hyperparameters import as_mapping, read_hyperparameters, reads_moments
from reedit.methods.recipe import Recipe
from reedit.models.language_model import LanguageModel
from reedit.prepare.datasets import load_facts
from reedit.prepare.facts import Fact
from reedit.statistics.moments import Reading, collect_moments
from reedit.use.costs import Shape

ROOT = Path(__file__).resolve().parents[2]
DEVICE = "cuda"
VOCABULARY = 4096  # of the tokenizer: a word is a token or two, as with the models' own
GIB = 2**30


@dataclass(frozen=True)
class Subject:
    """A model of the paper as the check makes it: its shape and hyperparameters, weights drawn at random."""

    name: str  # in experiments/paper.yaml
    config: PretrainedConfig
    tokenizer: str  # kind of tests/tiny.py's
    layers: Sequence[int] | None = None  # in place of the published ones

    def planned_shape(self) -> Shape:
        """What `make plan` knows of the model."""
        text = (ROOT / "experiments/paper.yaml").read_text(encoding="utf-8")
        return Shape(**yaml.safe_load(text)["models"][self.name]["shape"])

    def settings(self, algorithm: str) -> dict[str, Any]:
        """The published hyperparameters."""
        file = ROOT / f"resources/hyperparameters/{algorithm}-{self.name}.yaml"
        found = as_mapping(read_hyperparameters(file, algorithm, str(file)))
        return found | ({"layers": list(self.layers)} if self.layers else {})

    def build(self) -> LanguageModel:
        """The model in fp32, made on the device, with the attention that a loaded one has there."""
        torch.manual_seed(0)
        with torch.device(DEVICE):
            network = AutoModelForCausalLM.from_config(self.config, dtype=torch.float32)
        return LanguageModel(network.to(DEVICE), world_tokenizer(self.tokenizer))


def shape_of(model: LanguageModel, layer: int) -> Shape:
    """What `make plan` would have to know of the model at hand."""
    parameters = sum(parameter.numel() for parameter in model.model.parameters())
    width, keys = model.weight(layer).shape
    return Shape(
        parameters=parameters,
        layers=len(model.layers),
        width=width,
        keys=keys,
        vocabulary=len(model.head.weight),
        architecture=model.model.config.model_type,
    )


SUBJECTS = (
    Subject("gpt2-xl", GPT2Config(n_embd=1600, n_layer=48, n_head=25, n_positions=1024), "bytes"),
    Subject("gpt-j-6b", GPTJConfig(), "bytes"),
    Subject("llama-2-7b", LlamaConfig(max_position_embeddings=4096, rms_norm_eps=1e-5), "bos"),
)
_WIDER = VOCABULARY + 1000  # the models know more tokens than the tokenizer, as the large ones do
_SMALL = {"vocab_size": _WIDER, "bos_token_id": 0, "eos_token_id": 0, "n_embd": 64, "n_layer": 8, "n_head": 4}
_SMALL_LLAMA = {"vocab_size": _WIDER, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 8}
SMALL = (
    Subject("gpt2-xl", GPT2Config(**_SMALL), "bytes", (1, 2)),
    Subject("gpt-j-6b", GPTJConfig(**_SMALL, rotary_dim=8), "bytes", (1, 2)),
    Subject("llama-2-7b", LlamaConfig(**_SMALL_LLAMA, num_attention_heads=4), "bos", (1, 2)),
)


def world_facts() -> list[Fact]:
    return list(load_facts(ROOT / "resources/worldfacts.json").facts)


def small_facts() -> list[Fact]:
    """Three of tests/tiny.py's, of both its relations."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "facts.json"
        file.write_text(json.dumps(tiny_facts()))
        return list(load_facts(file).facts)[::9]


def sentences(facts: Sequence[Fact]) -> list[str]:
    return [f"{fact.prompt.replace('{}', fact.subject)} {fact.target_true}." for fact in facts]


def world_templates() -> list[str]:
    """Five prefixes of about ten tokens; what a random model samples is mostly no token of the tokenizer."""
    return [f"{' '.join(text.rstrip('.').split()[:9])}. {{}}" for text in sentences(world_facts())[::111][:5]]


def world_tokenizer(kind: str) -> PreTrainedTokenizerFast:
    """A tokenizer of tests/tiny.py's kinds for the world facts."""
    facts = world_facts()
    texts = [*sentences(facts), *(text for fact in facts for text in fact.paraphrases)]
    return tiny_tokenizer(kind, texts, VOCABULARY)


def aligned(model: LanguageModel, facts: Sequence[Fact]) -> list[Fact]:
    """Those that can be edited with the model's tokenizer."""
    left_out = {one.case_id for one in misaligned(model.wording, facts, {}, Asked(["corrected"]))}
    return [fact for fact in facts if fact.case_id not in left_out]


def plain_edits(model: LanguageModel, facts: Sequence[Fact], templates: Sequence[str]) -> list[Edit]:
    return [Rows(model.wording, "corrected", templates).edit(fact) for fact in facts]


def documents(count: int, sentences_each: int) -> list[str]:
    """Texts made of the facts' sentences, no two alike."""
    said = sentences(world_facts())
    return [
        " ".join(said[(7 * i + (2 * i + 1) * j) % len(said)] for j in range(sentences_each))
        for i in range(count)
    ]


def moments_of(
    model: LanguageModel, texts: Sequence[str], layers: Sequence[int], most: int
) -> tuple[dict[int, Tensor], int]:
    """Second moments, fp32 [key, key] on the CPU, and of how many tokens; each text cut to `most` tokens.

    A hundredth of the mean diagonal is added: full rank, however few the texts are.
    """
    found, tokens = collect_moments(model, texts, layers, Reading(most))
    moments = dict(found)
    for moment in moments.values():
        moment.diagonal().add_(0.01 * moment.diagonal().mean())
    return moments, tokens


def factors_of(
    moments: Mapping[int, Tensor], recipe: Recipe, device: torch.device | str
) -> dict[int, Tensor]:
    """What an edit job has of the moments: found on `device`, kept on the CPU; none for ROME."""
    factors = {}
    for layer in recipe.layers if reads_moments(recipe.algorithm, recipe.hyperparameters) else ():
        factors[layer] = what_is_read(moments[layer].to(device), recipe, layer).cpu()
    return factors


def relative(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference by that of what was expected."""
    expected = expected.double().cpu()
    return float((found.double().cpu() - expected).norm() / expected.norm().clamp_min(1e-30))


def quiet() -> None:
    """Leave the terminal to the report: what the libraries tell besides is not for it."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.getLogger("reedit").addHandler(logging.NullHandler())


def tidy() -> None:
    """Give memory back, and count its peak anew."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
