"""Prefix templates: how many, how long, from the model's own likely words."""

import json
from pathlib import Path

import pytest
import torch
from naive import log_probabilities
from tiny import tiny_model

from reedit.errors import InputError
from reedit.models.language_model import LanguageModel
from reedit.prepare.prefixes import STARTERS, read_prefixes, sample_prefixes, template


def test_each_starter_is_continued_as_often_and_each_template_has_one_place(llama: LanguageModel) -> None:
    found = sample_prefixes(llama, 10, 9, 0)
    assert len(found) == 10
    assert [t.startswith(starter) for t, starter in zip(found[::2], STARTERS, strict=True)] == [True] * 5
    assert all(
        t.endswith(". {}") and t.count("{}") == 1 and t.count("{") == 1 and "\n" not in t for t in found
    )


def test_no_prefix_is_asked_for_none_is_made(llama: LanguageModel) -> None:
    assert sample_prefixes(llama, 0, 10, 0) == []


def test_a_list_of_lengths_gives_as_many_of_each(llama: LanguageModel) -> None:
    """ROME's published runs use ten of 5 and ten of 10 tokens."""
    found = sample_prefixes(llama, 10, [5, 9], 0)
    assert len(found) == 20 and found[:10] == sample_prefixes(llama, 10, 5, 0)
    assert sum(map(len, found[10:])) > sum(map(len, found[:10]))


def test_the_seed_decides(llama: LanguageModel) -> None:
    assert sample_prefixes(llama, 5, 8, 1) == sample_prefixes(llama, 5, 8, 1)
    assert sample_prefixes(llama, 5, 8, 1) != sample_prefixes(llama, 5, 8, 2)


@pytest.mark.parametrize("tokenizer", ["bytes", "bos"])
def test_every_token_is_among_the_five_likeliest_and_there_are_as_many_as_asked(
    tokenizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model("llama", tokenizer)
    decoded: list[list[int]] = []
    plain = type(model.tokenizer).decode
    monkeypatch.setattr(
        type(model.tokenizer),
        "decode",
        lambda self, ids, **how: decoded.append(list(ids)) or plain(self, ids, **how),
    )
    sample_prefixes(model, 5, 9, 0)
    special = set(model.tokenizer.all_special_ids)
    before = [1] if tokenizer == "bos" else []
    assert len(decoded) == 5
    for ids, starter in zip(decoded, STARTERS, strict=True):
        own = model.tokenizer(starter, add_special_tokens=False)["input_ids"]
        assert len(ids) == 9 and ids[: len(own)] == own and not special & set(ids)
        with torch.no_grad():
            log_p = log_probabilities(model.model, before + ids)[len(before) :]
        log_p[:, sorted(special)] = -torch.inf
        for place in range(len(own), 9):
            assert ids[place] in log_p[place - 1].topk(5).indices.tolist()


def test_text_is_normalised_and_loses_braces_and_line_breaks() -> None:
    assert template("a{b}c\nd\r\ne") == "a b c d  e. {}"
    assert template("\u00e9\u2026\ufb01") == "e\u0301...fi. {}"


def test_a_users_templates_are_used_as_they_stand(tmp_path: Path) -> None:
    templates = ["The end. {}", "  {} odd\n"]
    (tmp_path / "p.json").write_text(json.dumps(templates))
    assert read_prefixes(tmp_path / "p.json") == templates


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "not JSON"),
        ('{"a": 1}', "expected a JSON list"),
        ('["a {}", "b"]', "template 1: expected a string with one {}, found 'b'"),
        ('["{} {}"]', "template 0"),
        ("[3]", "template 0"),
        ('["\\ud800 {}"]', "template 0"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_a_users_faulty_templates_are_named(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read_prefixes(tmp_path / "p.json")


def test_more_tokens_than_the_model_has_positions_are_refused(llama: LanguageModel) -> None:
    with pytest.raises(InputError, match="prefixes: tokens is 257, expected at most the model's 256"):
        sample_prefixes(llama, 5, [4, 257], 0)
