"""ME-PPL of each text by both divisions."""

import json
import math
from pathlib import Path

import pytest
import torch
from naive import log_probabilities
from tiny import tiny_model

from reedit.errors import InputError
from reedit.evaluate.collapse import check_collapse, read_texts
from reedit.storage import parquet

TEXTS = ["Kyoto is a city in the country of Japan.", "Glenn Gould plays the piano", "ab"]


@pytest.mark.parametrize("tokenizer", ["bytes", "bos"])
def test_perplexities_are_those_of_the_definitions(tokenizer: str, tmp_path: Path) -> None:
    model = tiny_model("llama", tokenizer)
    rows = check_collapse(model, TEXTS, 3)
    parquet.write(rows, tmp_path / "collapse.parquet", "collapse", {})
    for row, text in zip(rows, TEXTS, strict=True):
        ids = model.tokenizer(text)["input_ids"]
        with torch.no_grad():
            log_p = log_probabilities(model.model, ids)
        nll = -sum(float(log_p[i, ids[i + 1]]) for i in range(len(ids) - 1))
        assert (row["k"], row["text"]) == (3, text)
        assert row["ppl"] == pytest.approx(math.exp(nll / (len(ids) - 1)), rel=1e-5)
        assert row["ppl_released"] == pytest.approx(math.exp(nll / len(ids)), rel=1e-5)


def test_a_uniform_model_has_the_vocabulary_as_its_perplexity() -> None:
    model = tiny_model("llama")
    model.model.model.norm.weight.zero_()
    (row,) = check_collapse(model, TEXTS[:1], 0)
    assert row["ppl"] == pytest.approx(model.model.config.vocab_size, rel=1e-6)


def test_a_collapsed_model_has_an_infinite_perplexity_not_an_error() -> None:
    model = tiny_model("llama")
    model.model.model.norm.weight.mul_(1e6)
    assert math.isinf(check_collapse(model, TEXTS[:1], 0)[0]["ppl"])


def test_a_text_of_one_token_cannot_be_judged() -> None:
    with pytest.raises(InputError, match="'a': 1 token, expected at least two"):
        check_collapse(tiny_model("llama"), ["a"], 0)


def test_texts_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps([{"Text": "b", "Id": 1}, {"Text": "a"}]))
    assert read_texts(tmp_path / "t.json") == ["b", "a"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds no text"),
        ("{}", "expected a JSON list"),
        ("[", "not JSON"),
        ('[{"Text": "a"}, {"text": "b"}]', "text 1: expected an object with a non-empty string Text"),
        ('[{"Text": " "}]', "text 0"),
        ('["a"]', "text 0"),
    ],
)
def test_faulty_texts_are_named(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(InputError, match=rf"t\.json: .*{message}"):
        read_texts(tmp_path / "t.json")
