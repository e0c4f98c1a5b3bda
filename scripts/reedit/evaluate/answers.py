"""Where what a model says ends, and whether it gives an answer: on whole words whatever their case."""

import re
import unicodedata
from collections.abc import Iterable

NEW_TOKENS = 40  # the most that a model is let say, unless the configuration says otherwise
# a line break, or a sentence's end: a mark behind three letters or a digit ("St. Louis" and "D.C. is" go on)
STOP = re.compile(r"""\n|(?:(?<=\w\w\w)|(?<=\d))[.!?]["'”’)]*(?=\s)|[。！？]""")
DIVIDING = "PZC"  # categories of Unicode: punctuation, separators, control characters


def words(text: str) -> list[str]:
    """The words of a text, NFKC and case-folded; punctuation and space divide them: "O'Hara." is o, hara."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(" " if unicodedata.category(c)[0] in DIVIDING else c for c in folded).split()


def begins_with(generated: str, answer: str) -> bool:
    """Exact match: the text's first words, as many as the answer has, are the answer's.

    HELM's quasi-prefix exact match (Liang et al., 2022, "Holistic Evaluation of Language Models"), but on
    whole words, so that "Romania" does not begin with "Roman"; and articles count. An answer without a word
    is never given.
    """
    expected = words(answer)
    return bool(expected) and words(generated)[: len(expected)] == expected


def contains(generated: str, answer: str) -> bool:
    """Contains match: the answer's words stand somewhere in the text, one after the other."""
    said, expected = words(generated), words(answer)
    last = len(said) - len(expected)
    return bool(expected) and any(
        said[start : start + len(expected)] == expected for start in range(last + 1)
    )


def gives(generated: str, answers: Iterable[str]) -> bool:
    """Alias match: the text contains one of the answers."""
    return any(contains(generated, answer) for answer in answers)


def has_stopped(generated: str) -> bool:
    """Whether a text has come to a natural stop, so that nothing that follows belongs to the answer."""
    return STOP.search(generated.lstrip()) is not None


def up_to_stop(generated: str) -> str:
    """A text up to its first natural stop: the end of a sentence or of a line, without white space around."""
    text = generated.lstrip()
    found = STOP.search(text)
    return (text[: found.end()] if found else text).rstrip()
