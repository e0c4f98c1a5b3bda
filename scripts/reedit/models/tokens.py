"""How a prompt and its target become tokens, and the position of the subject's last token.

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
    def whole(self) -> tuple[int, ...]:
        """What the model reads with the last label behind it: prompt and target to their end."""
        return (*self.ids, self.labels[-1])

    @property
    def predicted_from(self) -> int:
        """The position that predicts the first label; under `released` it may stand before the subject's."""
        return len(self.ids) - len(self.labels)


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a plain text with the special tokens that the tokenizer adds by default."""
    return tokenizer(text)["input_ids"]


@dataclass(frozen=True)
class Wording:
    """How prompts and targets are put to a model, as one text and as its tokens.

        Wording(tokenizer).joint("The capital of France is", "Paris", "case 1")

    `separator` stands between a prompt and its target; `before` and `behind` are what a chat template puts
    around a prompt, and `special` says whether the tokenizer adds its own special tokens (a template has
    them). Errors are InputErrors that name `where`.
    """

    tokenizer: PreTrainedTokenizerBase
    separator: str = " "
    before: str = ""
    behind: str = ""
    special: bool = True

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase, separator: str = " ", chat: bool = False) -> "Wording":
        """That of a dataset (`separator`) and a model (`chat`: through the tokenizer's chat template).

        Where a template ends in white space, as with a line break, nothing else stands before the target.
        Raises InputError for a tokenizer without a template, and for a template that changes what is said.
        """
        if not chat:
            return cls(tokenizer, separator)
        before, behind = _around(tokenizer)
        return cls(tokenizer, "" if behind[-1:].isspace() else separator, before, behind, special=False)

    def encode(self, prompt: str) -> list[int]:
        """Token ids of a prompt by itself, as the model reads it."""
        return self._ids(f"{self.before}{prompt}{self.behind}")

    def joint(self, prompt: str, target: str, where: str) -> LabelledRow:
        """Labels from one tokenisation of prompt and target (the corrected protocol; all scores).

        Raises InputError if that tokenisation does not begin with the prompt's tokens, or if the target has
        characters that the vocabulary lacks.
        """
        start, whole, text = self._joined(prompt, target)
        if not start or whole[: len(start)] != start or len(whole) <= len(start):
            raise InputError(
                f"{where}: the tokens of {prompt!r} are not the beginning of those of {text!r};"
                " expected a target that starts a new token"
            )
        labels = tuple(whole[len(start) :])
        if self.tokenizer.unk_token_id in labels and self.tokenizer.unk_token not in target:
            raise InputError(
                f"{where}: the target {target!r} has characters that the model's vocabulary lacks"
            )
        return LabelledRow(tuple(whole[:-1]), labels)

    def loose(self, prompt: str, target: str, where: str) -> LabelledRow:
        """As `joint`, but the labels are what follows as many tokens as the prompt has, aligned or not.

        So the published code scores pieces of words (design, section 5, ZsRE). Raises InputError where
        nothing precedes or nothing follows.
        """
        start, whole, _ = self._joined(prompt, target)
        labels = tuple(whole[len(start) :])
        if not start or not labels:
            raise InputError(f"{where}: {target!r} adds no token to {prompt!r}, expected at least one")
        return LabelledRow(tuple(whole[:-1]), labels)

    def released(self, prompt: str, target: str, where: str) -> LabelledRow:
        """Labels as the published implementation makes them (design, section 5).

        `target`, with its leading space where the algorithm gives it one, is tokenised on its own without
        special tokens; all but its last token is decoded and appended to the prompt, and the whole is
        tokenised anew. Nothing makes sure that the labels stand where they are read: that is the point.
        """
        labels = self.tokenizer(target, add_special_tokens=False)["input_ids"]
        head = self.tokenizer.decode(labels[:-1])
        ids = self._ids(f"{self.before}{prompt}{self.behind}{head}")
        if not labels or len(ids) < len(labels):
            raise InputError(f"{where}: {target!r} has {len(labels)} tokens, more than the input {prompt!r}")
        return LabelledRow(tuple(ids), tuple(labels))

    def up_to(self, prompt: str, end: int) -> list[int]:
        """Token ids of a prompt's text up to character `end` by itself, with what stands before it."""
        return self._ids(f"{self.before}{prompt[:end]}")

    def position(self, ids: Sequence[int], prompt: str, end: int, where: str) -> int:
        """Index in `ids` of the subject's last token, where the subject ends at character `end` of a prompt.

        Raises InputError if the text up to there is not tokenised as `ids` begins.
        """
        head = self.up_to(prompt, end)
        if not head or list(ids[: len(head)]) != head:
            raise InputError(
                f"{where}: a token crosses the end of the subject in {prompt!r};"
                f" expected the tokens of {prompt[:end]!r} to stand at its beginning"
            )
        return len(head) - 1

    def published_position(self, ids: Sequence[int], prompt: str, end: int, where: str) -> int:
        """As `position`, by the text up to `end` alone, whatever stands there in `ids`.

        So the published code has it (get_words_idxs_in_templates: the length of prefix and subject, less
        one). Raises InputError if `ids` has no such position.
        """
        position = len(self.up_to(prompt, end)) - 1
        if not 0 <= position < len(ids):
            raise InputError(
                f"{where}: {prompt[:end]!r} has {position + 1} tokens by itself, expected at least one and no"
                f" more than the {len(ids)} of the input"
            )
        return position

    def check_length(self, ids: Sequence[int], longest: int, where: str = "", shift: int = 0) -> None:
        """Raise InputError for a text that, from position `shift` on, ends beyond `longest` tokens."""
        if (length := shift + len(ids)) > longest:
            start = self.tokenizer.decode(list(ids[:20]))
            raise InputError(
                f"{where}{': ' * bool(where)}a text of {length} tokens, {start!r}...,"
                f" expected at most the model's {longest}"
            )

    def first_token(self, prompt: str, start: int) -> int:
        """Index of the first token of what stands at character `start` of a prompt."""
        text = f"{self.before}{prompt}{self.behind}"
        spans = self.tokenizer(text, add_special_tokens=self.special, return_offsets_mapping=True)
        start += len(self.before)
        return next(i for i, (begin, end) in enumerate(spans["offset_mapping"]) if end > max(begin, start))

    def _joined(self, prompt: str, target: str) -> tuple[list[int], list[int], str]:
        """Tokens of a prompt, those of prompt and target as one text, and that text without a template."""
        whole = self._ids(f"{self.before}{prompt}{self.behind}{self.separator}{target}")
        return self.encode(prompt), whole, f"{prompt}{self.separator}{target}"

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=self.special)["input_ids"]


SLOT = "The place of what is asked"  # stands for a prompt: its words are nothing to any template
CHAT = {"add_generation_prompt": True, "enable_thinking": False, "date_string": "26 Jul 2024"}


def _around(tokenizer: PreTrainedTokenizerBase) -> tuple[str, str]:
    """What a chat template puts before and behind what a user asks, up to where the answer begins.

    Templates that think aloud are asked not to, and those that tell a date are given one: the same every day.
    """
    if not tokenizer.chat_template:
        raise InputError("chat: true, but the model's tokenizer has no chat template")
    try:
        said = tokenizer.apply_chat_template([{"role": "user", "content": SLOT}], tokenize=False, **CHAT)
    except Exception as error:  # whatever the template or its engine raises
        told = str(error).strip().partition("\n")[0] or type(error).__name__
        raise InputError(f"chat: true, but the model's chat template fails ({told})") from error
    before, found, behind = said.partition(SLOT)
    if not found or SLOT in behind:
        raise InputError(
            "chat: true, but the model's chat template does not say once what it is asked to say"
        )
    return before, behind
