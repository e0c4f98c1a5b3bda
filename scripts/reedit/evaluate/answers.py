"""Where what a model says ends, and whether it gives an answer: on whole words whatever their case."""

import re
import unicodedata
from collections.abc import Iterable

NEW_TOKENS = 40  # the most that a model is let say, unless the configuration says otherwise
# a line break, or a sentence's end: a mark behind three letters or a digit ("St. Louis" and "D.C. is" go on)
STOP = re.compile(r"""\n|(?:(?<=\w\w\w)|(?<=\d))[.!?]["'”’)]*(?=\s)|[。！？]""")
# behind which a mark ends nothing: the number of an item in a list, and these
LISTED = re.compile(r"(?:^|\n)\s*\d+$")
SHORT = re.compile(r"\b(?:Capt|Corp|Gen|Gov|Hon|Inc|Ltd|Mrs|Prof|Rev|Sen|Sgt|vol|approx)$", re.IGNORECASE)
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
    return _stop(generated.lstrip()) is not None


def up_to_stop(generated: str) -> str:
    """A text up to its first natural stop: the end of a sentence or of a line, without white space around."""
    text = generated.lstrip()
    return text[: _stop(text)].rstrip()


def _stop(text: str) -> int | None:
    """The character behind the first natural stop; None where there is none."""
    for found in STOP.finditer(text):
        before = text[: found.start()]
        if not (found[0].startswith(".") and (LISTED.search(before) or SHORT.search(before))):
            return found.end()
    return None
