"""Prefix templates sampled from the unedited model (design, section 4, Prefixes)."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import torch

from reedit.errors import InputError, is_unicode
from reedit.models.language_model import LanguageModel
from reedit.prepare.cases import read_json_list

STARTERS = ("The", "Therefore", "Because", "I", "You")
TOP_K = 5


@torch.no_grad()
def sample_prefixes(model: LanguageModel, count: int, tokens: int | Sequence[int], seed: int) -> list[str]:
    """`count` templates ``"{text}. {}"``: count / 5 continuations of each starter, `tokens` tokens in all.

    For a list of `tokens`, so many of each length (ROME's published runs: ten of 5 and ten of 10 tokens).
    """
    generator = torch.Generator().manual_seed(seed)
    lengths = [tokens] if isinstance(tokens, int) else tokens
    limit = model.model.config.max_position_embeddings
    if max(lengths) > limit:
        raise InputError(f"prefixes: tokens is {max(lengths)}, expected at most the model's {limit}")
    return [
        template(_continued(model, starter, length, generator))
        for length in lengths
        for starter in STARTERS
        for _ in range(count // len(STARTERS))
    ]


def _continued(model: LanguageModel, starter: str, length: int, generator: torch.Generator) -> str:
    """`starter` and what is sampled after it, `length` tokens in all, without special tokens."""
    forbidden = torch.tensor(sorted(set(model.tokenizer.all_special_ids)), dtype=torch.long)
    ids = model.tokenizer(starter)["input_ids"]
    start = len(ids) - len(model.tokenizer(starter, add_special_tokens=False)["input_ids"])
    while len(ids) - start < length:
        inputs = torch.tensor([ids], device=model.device)
        hidden = model.backbone(input_ids=inputs, use_cache=False)[0]
        logits = model.logits(hidden[0, -1]).float().cpu()
        logits[forbidden] = -torch.inf
        best = logits.topk(TOP_K)
        drawn = torch.multinomial(best.values.softmax(0), 1, generator=generator)
        ids.append(int(best.indices[drawn]))
    return model.tokenizer.decode(ids[start:])


def template(text: str) -> str:
    """``"{text}. {}"`` with NFKD text in which braces and line breaks have become spaces."""
    text = unicodedata.normalize("NFKD", text)
    for character in "{}\n\r":
        text = text.replace(character, " ")
    return f"{text}. {{}}"


def read_prefixes(path: Path) -> list[str]:
    """A user's JSON list of templates, used as they stand; each must hold ``{}`` exactly once."""
    templates = read_json_list(path)
    for index, found in enumerate(templates):
        if not isinstance(found, str) or found.count("{}") != 1 or not is_unicode(found):
            raise InputError(f"{path}: template {index}: expected a string with one {{}}, found {found!r}")
    return templates
