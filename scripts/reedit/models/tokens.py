"""Joint tokenisation of prompt and target, and the position of the subject's last token.

Design, section 4 (Tokens) and section 5 (the released protocol's target tokens).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from reedit.errors import InputError


@dataclass(frozen=True)
class LabelledRow:
    """One row of a batch: what the model reads and what it should say at the end of it.

    `labels[j]` is the token to be predicted at input position `len(ids) - len(labels) + j`;
    `position` is that of the subject's last token, None where a row has no subject. `shift` moves the
    positions that a model with learned ones is told.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    position: int | None = None
    shift: int = 0

    @property
    def predicted_from(self) -> int:
        """The position that predicts the first label; under `released` it may stand before the subject's."""
        return len(self.ids) - len(self.labels)


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of `text` with the special tokens that the tokenizer adds by default."""
    return tokenizer(text)["input_ids"]


def joint_row(tokenizer: PreTrainedTokenizerBase, prompt: str, target: str, where: str) -> LabelledRow:
    """Labels from one tokenisation of ``prompt + " " + target`` (the corrected protocol; all scores).

    Raises InputError, naming `where`, if that tokenisation does not begin with the prompt's tokens, or if the
    target has characters that the vocabulary lacks.
    """
    start, whole = encode(tokenizer, prompt), encode(tokenizer, f"{prompt} {target}")
    if not start or whole[: len(start)] != start or len(whole) <= len(start):
        raise InputError(
            f"{where}: the tokens of {prompt!r} are not the beginning of those of {prompt + ' ' + target!r};"
            " expected a target that starts a new token"
        )
    labels = tuple(whole[len(start) :])
    if tokenizer.unk_token_id in labels and tokenizer.unk_token not in target:
        raise InputError(f"{where}: the target {target!r} has characters that the model's vocabulary lacks")
    return LabelledRow(tuple(whole[:-1]), labels)


def loose_row(tokenizer: PreTrainedTokenizerBase, prompt: str, target: str, where: str) -> LabelledRow:
    """As joint_row, but the labels are what follows as many tokens as the prompt has, aligned or not.

    So the published code scores pieces of words (design, section 5, ZsRE). Raises InputError, naming `where`,
    where nothing precedes or nothing follows.
    """
    start, whole = encode(tokenizer, prompt), encode(tokenizer, f"{prompt} {target}")
    labels = tuple(whole[len(start) :])
    if not start or not labels:
        raise InputError(f"{where}: {target!r} adds no token to {prompt!r}, expected at least one")
    return LabelledRow(tuple(whole[:-1]), labels)


def released_row(tokenizer: PreTrainedTokenizerBase, prompt: str, target: str, where: str) -> LabelledRow:
    """Labels as the published implementation makes them (design, section 5).

    `target`, with its leading space where the algorithm gives it one, is tokenised on its own without
    special tokens; all but its last token is decoded and appended to the prompt, and the whole is tokenised
    anew. Nothing makes sure that the labels stand where the model reads them: that is the point.
    """
    labels = tokenizer(target, add_special_tokens=False)["input_ids"]
    ids = encode(tokenizer, prompt + tokenizer.decode(labels[:-1]))
    if not labels or len(ids) < len(labels):
        raise InputError(f"{where}: {target!r} has {len(labels)} tokens, more than the input {prompt!r}")
    return LabelledRow(tuple(ids), tuple(labels))


def subject_position(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], text: str, end: int, where: str
) -> int:
    """Index in `ids` of the subject's last token, where the subject ends at character `end` of `text`.

    corrected: raises InputError, naming `where`, if the text up to `end` is not tokenised as `ids` begins.
    """
    head = encode(tokenizer, text[:end])
    if not head or list(ids[: len(head)]) != head:
        raise InputError(
            f"{where}: a token crosses the end of the subject in {text!r};"
            f" expected the tokens of {text[:end]!r} to stand at its beginning"
        )
    return len(head) - 1


def released_position(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], text: str, end: int, where: str
) -> int:
    """As subject_position, for `released`: the text up to `end` by itself, whatever stands there in `ids`.

    So the published code has it (get_words_idxs_in_templates: the length of prefix and subject, less one).
    Raises InputError, naming `where`, if `ids` has no such position.
    """
    position = len(encode(tokenizer, text[:end])) - 1
    if not 0 <= position < len(ids):
        raise InputError(
            f"{where}: {text[:end]!r} has {position + 1} tokens by itself, expected at least one and no more"
            f" than the {len(ids)} of the input"
        )
    return position
