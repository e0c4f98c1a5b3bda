"""What a model says before and after an edit, side by side: continuations, and how likely a target is."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from reedit.errors import InputError
from reedit.models.generation import generate
from reedit.models.language_model import LanguageModel
from reedit.models.likelihood import Likelihood, bounded_exp, likelihoods
from reedit.models.tokens import LabelledRow
from reedit.report.words import perplexity, plain

TOKENS = 20  # of a continuation
GAP = "  "  # between columns
NARROWEST = 20  # characters of a column


@dataclass(frozen=True)
class Question:
    """A prompt, and the targets whose likelihood is told beside its continuation."""

    prompt: str
    targets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Likely:
    """How likely a target is after a prompt."""

    probability: float  # of all its tokens
    perplexity: float  # exp of their mean negative log-probability
    said: bool  # whether each of its tokens is the most likely one


@dataclass(frozen=True)
class Answer:
    """What one model says to a question."""

    continuation: str
    targets: tuple[Likely, ...]


def ask(model: LanguageModel, questions: Sequence[Question], tokens: int = TOKENS) -> list[Answer]:
    """The answers of a model; a continuation is of `tokens` tokens, fewer where the text ends.

    Raises InputError for an empty prompt or target, for a target whose tokens do not follow the prompt's, and
    for a text that is longer than the model can read.
    """
    tokenizer = model.tokenizer
    prompts = [model.wording.encode(question.prompt) for question in questions]
    for question, prompt in zip(questions, prompts, strict=True):
        if not question.prompt.strip() or not prompt:
            raise InputError(f"prompt {question.prompt!r}: expected a text")
        if not all(target.strip() for target in question.targets):
            raise InputError(f"target {question.targets[-1]!r}: expected a text")
    rows = [
        [model.wording.joint(question.prompt, target, "target") for target in question.targets]
        for question in questions
    ]
    continuations = generate(model, prompts, tokens)
    said = iter(likelihoods(model, [row for targets in rows for row in targets]))
    return [
        Answer(
            _text(tokenizer, prompt, continuation),
            tuple(_likely(next(said), row) for row in targets),
        )
        for prompt, continuation, targets in zip(prompts, continuations, rows, strict=True)
    ]


def _likely(found: Likelihood, row: LabelledRow) -> Likely:
    probability = math.exp(sum(found.logp))
    return Likely(probability, bounded_exp(-found.mean_logp), found.argmax == row.labels)


def _text(tokenizer: PreTrainedTokenizerBase, prompt: Sequence[int], found: Sequence[int]) -> str:
    """What `found` adds to the text of a prompt; decoded together, as some vocabularies need it."""
    start = tokenizer.decode(list(prompt), skip_special_tokens=True)
    return tokenizer.decode([*prompt, *found], skip_special_tokens=True)[len(start) :]


def heading(width: int) -> list[str]:
    """The first two lines of what `side_by_side` goes on with."""
    return [*_columns("", "before", "after", width), GAP.join("-" * each for each in _widths(width))]


def side_by_side(
    questions: Iterable[Question], before: Iterable[Answer], after: Iterable[Answer], width: int
) -> list[str]:
    """Lines of at most `width` characters: prompt, before, after; and for each target, its likelihood."""
    lines = []
    for question, one, other in zip(questions, before, after, strict=True):
        lines += _columns(question.prompt, one.continuation, other.continuation, width)
        for target, first, second in zip(question.targets, one.targets, other.targets, strict=True):
            numbers = f"{first.probability:.3g}", f"{second.probability:.3g}"
            lines += _columns(f"  p({target})", *numbers, width)
            numbers = perplexity(first.perplexity), perplexity(second.perplexity)
            lines += _columns("  perplexity", *numbers, width)
        lines.append("")
    return lines


def _columns(first: str, second: str, third: str, width: int) -> list[str]:
    """Three texts beside each other, each wrapped within its column."""
    cells = []
    for text, each in zip((first, second, third), _widths(width), strict=True):
        indent = text[: len(text) - len(text.lstrip(" "))] if text is first else ""
        cells.append(textwrap.wrap(indent + plain(text), each, subsequent_indent=indent or "") or [""])
    height = max(map(len, cells))
    padded = [column + [""] * (height - len(column)) for column in cells]
    rows = zip(*padded, strict=True)
    return [
        GAP.join(cell.ljust(each) for cell, each in zip(row, _widths(width), strict=True)).rstrip()
        for row in rows
    ]


def _widths(width: int) -> tuple[int, int, int]:
    """Of the columns: prompts take three parts in eleven, continuations four each."""
    left = width - 2 * len(GAP)
    side = max(NARROWEST, 4 * left // 11)
    return max(NARROWEST, left - 2 * side), side, side
