"""ME-PPL: perplexity on general texts, which rises when an edited model collapses (paper, section 4.1)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reedit.errors import InputError, is_unicode
from reedit.models.language_model import LanguageModel
from reedit.models.likelihood import bounded_exp, likelihoods
from reedit.models.tokens import LabelledRow, encode
from reedit.prepare.cases import read_json_list


def read_texts(path: Path) -> list[str]:
    """The texts of a file in the form of ME-PPL-50: a JSON list of objects with the field Text."""
    texts = []
    for index, item in enumerate(read_json_list(path)):
        text = item.get("Text") if isinstance(item, dict) else None
        if not isinstance(text, str) or not text.strip() or not is_unicode(text):
            raise InputError(f"{path}: text {index}: expected an object with a non-empty string Text")
        texts.append(text)
    if not texts:
        raise InputError(f"{path}: holds no text, expected at least one")
    return texts


def check_collapse(model: LanguageModel, texts: Sequence[str], k: int) -> list[dict[str, Any]]:
    """Rows of the schema ``collapse`` for the model as it is (design, sections 3 and 5).

    Of N tokens the first cannot be predicted: `ppl` divides the NLL of the N - 1 others by N - 1 and reads
    the text as the tokenizer begins it; `ppl_released` divides by N.
    """
    rows = []
    for text in texts:
        ids = encode(model.tokenizer, text)
        if len(ids) < 2:
            raise InputError(f"text {text!r}: {len(ids)} token, expected at least two")
        rows.append(LabelledRow(tuple(ids[:-1]), tuple(ids[1:])))
    return [
        {
            "k": k,
            "text": text,
            "ppl_released": bounded_exp(-sum(said.logp) / (len(row.ids) + 1)),
            "ppl": bounded_exp(-sum(said.logp) / len(row.ids)),
            "after": None,
        }
        for text, row, said in zip(texts, rows, likelihoods(model, rows), strict=True)
    ]
