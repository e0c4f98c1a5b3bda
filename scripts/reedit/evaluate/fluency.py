"""Fluency: how little the text repeats itself that a model goes on with.

Generation entropy as Meng et al. have it (2022, "Locating and Editing Factual Associations in GPT"), after
Zhang et al. (2018): an edited model that has broken says the same again and again. docs/measures.md says
where the published code's words are others.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reedit.evaluate.consistency import ReferenceTexts
from reedit.jobs.progress import progress
from reedit.models.language_model import LanguageModel
from reedit.models.sampling import Beginning, sample
from reedit.models.tokens import encode
from reedit.prepare.facts import Fact, GenerationPrompts
from reedit.prepare.reference_texts import Key

TOKENS = 100  # of a text, its prompt included
WEIGHTS = {2: 2 / 3, 3: 4 / 3}  # of the entropies of pairs and of triples of words
WORD = re.compile(
    r"\w+(?=n't\b)|n't\b|'(?:s|m|d|re|ve|ll)\b"  # a contraction's two parts
    r"|\w+(?:[-.,:/]\w+)*"  # a word, with what joins two of its parts
    r"|[^\w\s]"  # a mark
)


@dataclass(frozen=True)
class Opening:
    """A case's prompts, and the relation and target whose reference texts it has, if its target is named."""

    case_id: int
    prompts: tuple[str, ...]
    key: Key | None


def make_openings(facts: Sequence[Fact], prompts: Mapping[int, GenerationPrompts]) -> list[Opening]:
    """What a model goes on from in each case, in the order of `facts`; `prompts` by case_id."""
    openings = []
    for fact in facts:
        case = prompts[fact.case_id]
        key = None if case.target_id is None else (fact.relation, case.target_id)
        openings.append(Opening(fact.case_id, case.prompts, key))
    return openings


def tell(
    model: LanguageModel, openings: Sequence[Opening], k: int, seed: int, references: ReferenceTexts
) -> list[dict[str, Any]]:
    """Rows of the schema ``texts`` for the model as it is, one an opening, in order.

    A text's draws depend on `seed`, its case and its place there alone: they are the same at every k. Raises
    InputError for a prompt that the model cannot read to its end.
    """
    asked = [(one, place, prompt) for one in openings for place, prompt in enumerate(one.prompts)]
    beginnings = [_beginning(model, one.case_id, place, prompt) for one, place, prompt in asked]
    report = progress(f"k={k} texts, prompts", len(asked))
    drawn = sample(model, beginnings, seed, report=report)
    texts: dict[int, list[str]] = {one.case_id: [] for one in openings}
    for (one, _, prompt), beginning, new in zip(asked, beginnings, drawn, strict=True):
        texts[one.case_id].append(_text(model, prompt, beginning, new))
    return [
        {
            "k": k,
            "case_id": one.case_id,
            "texts": texts[one.case_id],
            "fluency": float(np.mean([fluency(text) for text in texts[one.case_id]])),
            "consistency": references.consistency(one.key, texts[one.case_id]),
            "after": None,
        }
        for one in openings
    ]


def _beginning(model: LanguageModel, case_id: int, place: int, prompt: str) -> Beginning:
    """A prompt as the model reads it, with what its text lacks of TOKENS; a template's words do not count."""
    new_tokens = max(0, TOKENS - len(encode(model.tokenizer, prompt)))
    beginning = Beginning(tuple(model.wording.encode(prompt)), new_tokens, (case_id, place))
    where = f"case {case_id}: generation prompt {place + 1}"
    model.check_length([*beginning.ids, *[0] * new_tokens], where=where)
    return beginning


def _text(model: LanguageModel, prompt: str, beginning: Beginning, new: Sequence[int]) -> str:
    """The whole text without special tokens; of a chat template's the prompt and the answer alone."""
    if model.wording.before or model.wording.behind:
        return f"{prompt} {model.tokenizer.decode(new, skip_special_tokens=True).strip()}"
    return model.tokenizer.decode([*beginning.ids, *new], skip_special_tokens=True)


def fluency(text: str) -> float:
    """(2/3 H2 + 4/3 H3) / 2 in bits, H2 and H3 the entropies of a text's pairs and triples of words."""
    found = words(text)
    return sum(weight * ngram_entropy(found, n) for n, weight in WEIGHTS.items()) / len(WEIGHTS)


def ngram_entropy(words: Sequence[str], n: int) -> float:
    """The entropy, in bits, of how often each run of `n` words occurs; 0 where there are fewer words."""
    runs = Counter(zip(*(words[start:] for start in range(n)), strict=False))
    counts = np.array(list(runs.values()), dtype=float)  # [different runs]
    return float(counts @ np.log2(counts.sum() / counts) / counts.sum()) if len(counts) else 0.0


def words(text: str) -> list[str]:
    """A text's words and punctuation marks in their order: "It isn't 3.5." is It, is, n't, 3.5 and a mark.

    Nearly those of nltk.word_tokenize, which the published code takes, without the data that it fetches.
    """
    return WORD.findall(text)
