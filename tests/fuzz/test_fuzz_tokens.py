"""Odd words through three kinds of tokenizers: what is labelled is what was asked for, or it is refused."""

from contextlib import suppress

import pytest
from hostile import UNICODE, Refused, one_line_if_refused
from hypothesis import assume, given
from hypothesis import strategies as st
from tiny import tiny_tokenizer

from reedit.edit.edits import Rows
from reedit.models.tokens import LabelledRow, Wording, encode
from reedit.prepare.facts import Fact, Neighbor
from reedit.prepare.prefixes import template

TOKENIZERS = {kind: tiny_tokenizer(kind) for kind in ("bytes", "bos", "metaspace")}
SPECIAL = ("<s>", "<unk>", "<|endoftext|>", "▁")  # written in a text, they are what they stand for
WORDS = UNICODE.map(str.strip).filter(bool)


def text_of(kind: str, ids: tuple[int, ...]) -> str:
    """What token ids say, without what the tokenizer adds at the beginning."""
    tokenizer = TOKENIZERS[kind]
    return tokenizer.decode(ids[kind != "bytes" :])


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(prompt=UNICODE, target=WORDS)
def test_labels_say_the_target_after_the_prompt_or_are_refused(kind: str, prompt: str, target: str) -> None:
    tokenizer = TOKENIZERS[kind]
    with suppress(Refused):
        with one_line_if_refused():
            row = Wording(tokenizer).joint(prompt, target, "case 1")
        whole = (*row.ids, row.labels[-1])
        assert (
            list(whole) == encode(tokenizer, f"{prompt} {target}") and whole[-len(row.labels) :] == row.labels
        )
        assert list(whole[: -len(row.labels)]) == encode(tokenizer, prompt)
        if not any(special in f"{prompt} {target}" for special in SPECIAL):
            assert tokenizer.decode(row.labels).strip() == target.strip()
            if kind != "metaspace":  # of another prompt's unknown characters nothing is left to compare
                assert text_of(kind, whole) == f"{prompt} {target}"


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(before=UNICODE, subject=WORDS, after=UNICODE)
def test_the_subjects_last_token_ends_where_the_subject_ends_or_is_refused(
    kind: str, before: str, subject: str, after: str
) -> None:
    tokenizer, text = TOKENIZERS[kind], f"{before}{subject}{after}"
    ids = encode(tokenizer, text)
    with suppress(Refused):
        with one_line_if_refused():
            position = Wording(tokenizer).position(ids, text, len(before) + len(subject), "case 1")
        assert ids[: position + 1] == encode(tokenizer, before + subject)
        assert kind == "metaspace" or text_of(kind, tuple(ids[: position + 1])) == before + subject


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(prompt=UNICODE, target=UNICODE)
def test_the_published_codes_rows_are_made_or_refused(kind: str, prompt: str, target: str) -> None:
    wording = Wording(TOKENIZERS[kind])
    for make in (wording.released, wording.loose):
        with suppress(Refused):
            with one_line_if_refused():
                row = make(prompt, target, "case 1")
            assert isinstance(row, LabelledRow) and 0 < len(row.labels) <= max(len(row.ids), 1)


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(
    subject=WORDS,
    around=st.tuples(UNICODE, UNICODE),
    target=WORDS,
    prefix=UNICODE,
    other=st.tuples(WORDS, UNICODE, WORDS),
    protocol=st.sampled_from(["corrected", "released"]),
)
def test_an_edit_in_any_words_is_aligned_in_every_row_or_refused(
    kind: str,
    subject: str,
    around: tuple[str, str],
    target: str,
    prefix: str,
    other: tuple[str, str, str],
    protocol: str,
) -> None:
    before, after = (part.replace("{}", "") for part in around)
    assume("{}" not in f"{before}.{after}" and f"{before}{{}}{after}".count("{}") == 1)
    prompt = f"{before}{{}}{after}"
    neighbor = Neighbor.of("{}" + other[1], other[0], other[2])
    fact = Fact(1, "r", subject, prompt, target, "x", (), (neighbor,))
    tokenizer, start = TOKENIZERS[kind], template(prefix)
    with suppress(Refused):
        with one_line_if_refused():
            edit = Rows(Wording(tokenizer), protocol, [start]).edit(fact, [neighbor], True)
        asked = prompt.replace("{}", subject)
        for weighted, text in zip(edit.rewriting, [asked, start.replace("{}", asked)], strict=True):
            end = len(text) - len(asked) + prompt.index("{}") + len(subject)
            assert weighted.row.position == len(encode(tokenizer, text[:end])) - 1
            if protocol == "corrected":
                assert list(weighted.row.ids[: weighted.row.position + 1]) == encode(tokenizer, text[:end])
                whole = (*weighted.row.ids, weighted.row.labels[-1])
                assert list(whole) == encode(tokenizer, f"{text} {target}")
        assert len(edit.kl.ids) == len(encode(tokenizer, subject))
        assert protocol == "released" or list(edit.kl.ids) == encode(tokenizer, subject)
