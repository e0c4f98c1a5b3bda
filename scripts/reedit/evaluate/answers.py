"""Does a generated text give an answer? Two definitions, on whole words whatever their case."""

import unicodedata

NEW_TOKENS = 20  # the most that a model is let say
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
