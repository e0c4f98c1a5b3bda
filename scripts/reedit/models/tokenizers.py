"""The tokenizer of a model folder: that of its tokenizer.json, to the last token.

transformers 5 rebuilds some tokenizers from their vocabulary with a normalizer and a pre-tokenizer of its
own: Llama-2's " Paris" becomes one token, where the repository's file, and the published code with it, has
two. So a tokenizer.json is loaded as it stands, and what loads is held against it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import transformers
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from reedit.errors import InputError

FILE = "tokenizer.json"
PIECES = "tokenizer.model"
PARTS = ("normalizer", "pre_tokenizer", "decoder")  # each decides about texts that no list foresees
# What tokenizers with another model, post-processor or added tokens cut differently: spaces at the start, in
# between and at the end, digits, punctuation, accents, scripts, line breaks, bytes, names of special tokens.
TELLING = (
    "Paris", " Paris", "  Paris", "Paris ", "The  town of Osaka,  Japan", "\tand\u00a0so on", "", " ",
    "1984", " 12,345.67", "3rd", "don't", "Mr. O'Neill's (re-)election!?", "S.p.A., that", "F.C. ...",
    "São Tomé", "Sa\u0303o", "Straße", "Łódź", "ﬁne", "Москва", "東京", "서울", "القاهرة", "नई दिल्ली",
    "one\ntwo", "one\r\n\n two\n", "😀", "𐍈", "\u200b", "UPPER lower CamelCase", "internationalization",
    "<s> x </s>", "<unk>", "<|endoftext|>", "▁x", "Ġx",
)  # fmt: skip


def load_tokenizer(folder: Path | str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model's folder; see `read_tokenizer`."""
    return read_tokenizer(folder)[0]


def read_tokenizer(folder: Path | str) -> tuple[PreTrainedTokenizerBase, list[str]]:
    """The tokenizer of a model's folder, and its special tokens that the model has no embedding for.

    tokenizer.json decides about tokens; the other files of the folder add the names of special tokens, the
    longest text and the chat template. Of a vocab.json and merges.txt it is what transformers makes of them.
    Special tokens without an embedding are none here (Gemma 3 has one, for pictures): a text that holds their
    name is read as any other. Raises InputError where the tokenizer does not load, asks for code of its own,
    differs from the file once loaded, ends every text, or gives other tokens without an embedding.
    """
    tokenizer = _load(folder)
    if ended := _added(tokenizer)[1]:
        raise InputError(
            f"{folder}: the tokenizer ends every text with {tokenizer.decode(ended)!r}, so that nothing goes"
            f" on after a prompt; expected a post-processor in its {FILE} that adds nothing at the end"
        )
    return tokenizer, _leave_out(tokenizer, folder)


def _load(folder: Path | str) -> PreTrainedTokenizerBase:
    """The tokenizer as its file has it."""
    file = Path(folder) / FILE
    try:
        if not file.is_file():  # of vocab.json and merges.txt
            _refuse_unread(Path(folder))
            return transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        _refuse_code(Path(folder))
        reference = Tokenizer.from_file(str(file))
        named = _named_by_the_model(Path(folder), reference)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, trust_remote_code=False, **named)
    except InputError:
        raise
    except Exception as error:  # whatever the libraries raise on a damaged file
        told = str(error).strip().partition("\n")[0] or type(error).__name__
        raise InputError(f"{folder}: not a model that loads ({told})") from error
    if found := difference(tokenizer, reference):
        raise InputError(f"{folder}: the tokenizer that loads is not that of its {FILE}: {found}")
    return tokenizer


def added_at_start(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The special tokens that a tokenizer begins every text with."""
    return _added(tokenizer)[0]


def _added(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """What a tokenizer puts before and behind the tokens of a text; of one that it knows."""
    for text in TELLING:
        whole, bare = (_said(tokenizer.encode, text, special) for special in (True, False))
        if not bare or isinstance(bare, str) or isinstance(whole, str):
            continue
        for start in range(len(whole) - len(bare) + 1):
            if whole[start : start + len(bare)] == bare:
                return whole[:start], whole[start + len(bare) :]
    return [], []


def _leave_out(tokenizer: PreTrainedTokenizerBase, folder: Path | str) -> list[str]:
    """Make special tokens from the config.json's vocab_size on none, and name them."""
    settings = _read(Path(folder) / "config.json")
    rows = (settings if "vocab_size" in settings else settings.get("text_config") or {}).get("vocab_size")
    if not isinstance(rows, int):  # a tokenizer by itself, or a damaged file that is told of elsewhere
        return []
    beyond = {token: number for token, number in tokenizer.get_vocab().items() if number >= rows}
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    if others := sorted(beyond.keys() - special, key=beyond.__getitem__):
        raise InputError(
            f"{folder}: the tokenizer has tokens up to {max(beyond.values())}, the model {rows} embeddings,"
            f" none for {len(others)} tokens as {others[0]!r}; expected the tokenizer that the model was"
            " trained with, or embeddings for all (resize_token_embeddings)"
        )
    if beyond:
        state = json.loads(tokenizer.backend_tokenizer.to_str())
        state["added_tokens"] = [token for token in state["added_tokens"] if token["id"] < rows]
        tokenizer._tokenizer = Tokenizer.from_str(json.dumps(state))
    return sorted(beyond)


def difference(tokenizer: PreTrainedTokenizerFast, reference: Tokenizer) -> str | None:
    """In what a loaded tokenizer is another one than its file's; None where it is the same.

    Parts are compared as they are written to a file, which is exact and quick. The model is not (megabytes):
    with the post-processor and the added tokens it is compared by what it makes of telling texts, with and
    without special tokens.
    """
    loaded = tokenizer.backend_tokenizer
    for name in PARTS:
        if _written(getattr(loaded, name)) != _written(getattr(reference, name)):
            return f"another {name}"
    reference.no_truncation()  # a length that the file was saved with; transformers has its own
    reference.no_padding()
    ways = (tokenizer.encode, lambda text, **asked: reference.encode(text, **asked).ids)
    for text in TELLING:
        for special in (True, False):
            found, expected = (_said(encode, text, special) for encode in ways)
            if found != expected:
                return f"{text!r} gives {found}, by the file {expected}"
    return None


def _said(encode: Callable[..., list[int]], text: str, special: bool) -> list[int] | str:
    """Tokens, or what keeps a tokenizer from them: one without an unknown token knows some texts only."""
    try:
        return encode(text, add_special_tokens=special)
    except Exception as error:  # tokenizers raises no other kind
        return str(error)


def _written(part: Any) -> bytes | None:
    """A part of a tokenizer as its file would have it; an empty sequence of them is not none."""
    return None if part is None else part.__getstate__()


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; an empty one where there is no such file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _refuse_unread(folder: Path) -> None:
    """Raise InputError for a SentencePiece model alone: transformers rebuilds it, and nothing tells how."""
    if (folder / PIECES).is_file():
        raise InputError(
            f"{folder}: {PIECES} without a {FILE}, expected both: transformers makes other tokens of it alone"
        )


def _refuse_code(folder: Path) -> None:
    """Raise InputError for a tokenizer that is a program: its tokenizer.json may not be all that it does."""
    settings = _read(folder / "tokenizer_config.json")
    if "auto_map" in settings and not hasattr(transformers, str(settings.get("tokenizer_class"))):
        raise InputError(f"{folder}: not a model that loads (it asks for code of its own to be run)")


def _named_by_the_model(folder: Path, vocabulary: Tokenizer) -> dict[str, str]:
    """Special tokens that the tokenizer's files do not speak of, by config.json: GPT-2's are so."""
    told = _read(folder / "tokenizer_config.json") | _read(folder / "special_tokens_map.json")
    model = _read(folder / "config.json")
    ids = {name: model.get(f"{name}_id") for name in ("bos_token", "eos_token") if name not in told}
    known = {number: token for token, number in vocabulary.get_vocab().items()}
    return {name: known[i] for name, i in ids.items() if isinstance(i, int) and i in known}
