"""Second moments against the naive average of outer products."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from naive import naive_moment
from safetensors.torch import save_file
from tiny import tiny_corpus, tiny_model

from reedit.errors import InputError
from reedit.models.language_model import LanguageModel
from reedit.models.tokens import encode
from reedit.statistics import moments
from reedit.statistics.corpora import tokens_of
from reedit.statistics.moments import Reading, read_moment, write_moment

TEXTS = tiny_corpus().splitlines()[:4]


def collect_moments(*arguments: Any, **named: Any) -> tuple[dict[int, torch.Tensor], int]:
    """All layers' at once."""
    found, count = moments.collect_moments(*arguments, **named)
    return dict(found), count


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gptj"])
@pytest.mark.parametrize("tokenizer", ["bytes", "bos"])
def test_moments_are_the_average_of_outer_products(architecture: str, tokenizer: str) -> None:
    model = tiny_model(architecture, tokenizer)
    texts = [TEXTS[0], TEXTS[1][:20], TEXTS[2][:14], "a"]
    found, count = collect_moments(model, texts, [1, 3], Reading(12))
    ids = [encode(model.tokenizer, text)[:12] for text in texts]
    assert len({len(row) for row in ids if len(row) > 6}) > 1, "rows were meant to be padded"
    for layer in (1, 3):
        expected, expected_count = naive_moment(model.model, layer, ids)
        assert count == expected_count == sum(map(len, ids))
        assert (found[layer] - expected).norm() < 1e-6 * expected.norm()


@pytest.mark.parametrize("budget", [1, 50, 10**6])
def test_the_batch_budget_and_the_order_of_texts_change_nothing(budget: int, llama: LanguageModel) -> None:
    usual, count = collect_moments(llama, TEXTS, [2], Reading(20))
    other, other_count = collect_moments(llama, TEXTS[::-1], [2], Reading(20, budget=budget))
    assert count == other_count
    assert (usual[2] - other[2]).norm() < 1e-6 * usual[2].norm()


@pytest.mark.parametrize("chunk", [1, 3, 4])
def test_texts_read_in_chunks_give_the_same_moment(chunk: int, llama: LanguageModel) -> None:
    usual, count = collect_moments(llama, TEXTS, [2], Reading(20))
    other, other_count = collect_moments(llama, iter(TEXTS), [2], Reading(20, chunk=chunk))
    assert count == other_count
    assert (usual[2] - other[2]).norm() < 1e-6 * usual[2].norm()


def test_no_more_texts_than_a_chunk_are_held(llama: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []  # texts read before each forward pass
    read = 0

    def texts() -> Iterator[str]:
        nonlocal read
        for text in TEXTS:
            read += 1
            yield text

    forward = llama.backbone.forward
    monkeypatch.setitem(
        vars(llama.backbone), "forward", lambda **inputs: [passes.append(read), forward(**inputs)][1]
    )
    collect_moments(llama, texts(), [2], Reading(20, chunk=2))
    assert set(passes) == {2, 4}


def test_progress_tells_the_documents_and_ends_at_the_last(
    llama: LanguageModel, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "reedit"):
        collect_moments(llama, TEXTS, [2], Reading(20, chunk=3))
    assert "documents for the moments: 4 of 4 (100 %)" in caplog.text


def test_texts_without_a_token_and_more_tokens_than_the_model_reads_are_refused(llama: LanguageModel) -> None:
    with pytest.raises(InputError, match="no token in the documents"):
        collect_moments(llama, ["", ""], [2], Reading(20))
    with pytest.raises(InputError, match="max_tokens is 257, expected at most the model's 256"):
        collect_moments(llama, TEXTS, [2], Reading(257))


def test_all_layers_in_one_pass_are_those_of_a_pass_each(llama: LanguageModel) -> None:
    together, _ = collect_moments(llama, TEXTS, [0, 5, 2], Reading(20))
    for layer in (0, 2, 5):
        alone, _ = collect_moments(llama, TEXTS, [layer], Reading(20))
        assert torch.equal(together[layer], alone[layer])


def test_a_moment_is_symmetric_positive_and_has_the_mean_square_as_its_trace(llama: LanguageModel) -> None:
    moment = collect_moments(llama, tiny_corpus().splitlines(), [2], Reading(40))[0][2]
    assert torch.equal(moment, moment.T)
    assert torch.linalg.eigvalsh(moment.double()).min() > 0


def test_collecting_leaves_no_hook(llama: LanguageModel) -> None:
    collect_moments(llama, TEXTS, [2], Reading(20))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in llama.model.modules())


# -- so many tokens in all ----------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [1, 33, 40, 41, 57, 60])
@pytest.mark.parametrize(("budget", "chunk"), [(1, 1000), (50, 1), (4096, 2), (4096, 1000)])
def test_a_corpus_ends_with_the_token_asked_for_however_it_is_read(
    tokens: int, budget: int, chunk: int, llama: LanguageModel
) -> None:
    """The documents in their order, the last one cut."""
    rows, left = [], tokens
    for text in TEXTS:
        rows.append(encode(llama.tokenizer, text)[: min(20, left)])
        left -= len(rows[-1])
    expected, _ = naive_moment(llama.model, 2, [row for row in rows if row])
    found, count = collect_moments(llama, TEXTS, [2], Reading(20, budget, chunk, tokens))
    assert count == tokens
    assert (found[2] - expected).norm() < 1e-6 * expected.norm()


def test_no_document_behind_the_last_token_is_read(
    llama: LanguageModel, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []
    with caplog.at_level("INFO", "reedit"):
        collect_moments(llama, (asked.append(text) or text for text in TEXTS), [2], Reading(20, tokens=40))
    assert asked == TEXTS[:2]
    assert "tokens for the moments: 40 of 40 (100 %)" in caplog.text and "ends after" not in caplog.text


def test_a_corpus_of_fewer_tokens_than_asked_for_is_told(
    llama: LanguageModel, caplog: pytest.LogCaptureFixture
) -> None:
    whole, count = collect_moments(llama, TEXTS, [2], Reading(20))
    found, told = collect_moments(llama, TEXTS, [2], Reading(20, tokens=count + 1))
    assert told == count and torch.equal(found[2], whole[2])
    assert f"the corpus ends after {count} of the {count + 1} tokens that were asked for" in caplog.text


def test_a_multiple_is_of_the_widest_key(llama: LanguageModel) -> None:
    keys = llama.widest_key([1, 3])
    assert keys == llama.mlp_output(1).in_features
    assert [tokens_of(asked, keys) for asked in (None, 7, "1x", "10x")] == [None, 7, keys, 10 * keys]


# -- its file -----------------------------------------------------------------------------------------------


def test_a_moment_survives_its_file_in_fp32(tmp_path: Path) -> None:
    moment = torch.cov(torch.rand(5, 9, dtype=torch.float64))
    write_moment(moment.T, tmp_path / "2.safetensors", {"count": "7", "corpus": "c"})
    found, metadata = read_moment(tmp_path / "2.safetensors")
    assert torch.equal(found, moment.T.float()) and found.dtype == torch.float32
    assert metadata == {"count": "7", "corpus": "c"}


def test_a_file_without_a_moment_is_named(tmp_path: Path) -> None:
    (tmp_path / "2.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=r"2\.safetensors: not readable as safetensors"):
        read_moment(tmp_path / "2.safetensors")
    with pytest.raises(InputError, match=r"3\.safetensors"):
        read_moment(tmp_path / "3.safetensors")


EYE = torch.eye(4)
SPOILED = {
    "fp64": (EYE.double(), "1", r"moment is torch\.float64 of shape \(4, 4\), expected torch\.float32"),
    "integers": (EYE.int(), "1", r"moment is torch\.int32"),
    "not square": (torch.ones(4, 5), "1", r"of shape \(4, 5\), expected torch\.float32 of \(keys, keys\)"),
    "empty": (torch.ones(0, 0), "1", r"of shape \(0, 0\)"),
    "a vector": (torch.ones(4), "1", r"of shape \(4,\)"),
    "NaN": (EYE * torch.nan, "1", "not finite"),
    "asymmetric": (EYE + torch.ones(4, 4).triu(1), "1", "not symmetric"),
    "beyond fp32": (EYE + torch.full((4, 4), 3e38).triu(1), "1", "not symmetric"),
    "negative diagonal": (-EYE, "1", "a diagonal that is not positive"),
    "count 0": (EYE, "0", "count is 0, expected a number of tokens above 0"),
    "count missing": (EYE, None, "count is missing"),
    "count text": (EYE, "many", "count is many"),
}


@pytest.mark.parametrize("wrong", SPOILED)
def test_a_spoiled_moment_is_one_line_that_says_what_is_wrong(wrong: str, tmp_path: Path) -> None:
    """Cholesky reads one triangle only: an asymmetric moment would be used in silence."""
    moment, count, message = SPOILED[wrong]
    path = tmp_path / "2.safetensors"
    save_file({"moment": moment.contiguous()}, path, metadata={"count": count} if count else {})
    with pytest.raises(InputError, match=rf"2\.safetensors: .*{message}"):
        read_moment(path)
