"""The tokenizer that loads is that of the folder's tokenizer.json, whatever class the folder names."""

import json
import shutil
import time
from pathlib import Path

import pytest
from tiny import save_tokenizer, tiny_config, tiny_tokenizer
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer
from workflow import REPOSITORY

from reedit.errors import InputError
from reedit.models.tokenizers import difference, load_tokenizer

REAL = REPOSITORY.parent / "shared" / "tokenizers"
real = pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared, which may not be committed")


def saved(folder: Path, kind: str = "metaspace", named: str | None = "LlamaTokenizer", **settings) -> Path:
    """A tiny tokenizer's folder, with changes of its tokenizer_config.json."""
    folder.mkdir(exist_ok=True)
    save_tokenizer(tiny_tokenizer(kind), folder, named)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return folder


def test_a_text_that_begins_with_a_space_has_the_tokens_of_the_file(tmp_path: Path) -> None:
    """transformers 5 makes one token of Llama-2's " Paris", and of this, where the file has two."""
    assert load_tokenizer(saved(tmp_path))(" Japan")["input_ids"] == [1, 44, 137]
    assert load_tokenizer(tmp_path)("Japan")["input_ids"] == [1, 137]


@pytest.mark.parametrize("kind", ["bytes", "bos", "metaspace"])
@pytest.mark.parametrize(
    "named", [None, "LlamaTokenizer", "GPT2Tokenizer", "PreTrainedTokenizerFast", "Made"]
)
def test_the_named_class_changes_no_token(kind: str, named: str | None, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(saved(tmp_path, kind, named))
    assert difference(tokenizer, Tokenizer.from_file(str(tmp_path / "tokenizer.json"))) is None
    for text in (" Japan", "Japan", "Kyoto  lies in", "New Zealand "):
        assert tokenizer(text)["input_ids"] == tiny_tokenizer(kind)(text)["input_ids"]


def test_the_other_files_add_what_the_file_does_not_say(tmp_path: Path) -> None:
    folder = saved(tmp_path, model_max_length=77, chat_template="{{ messages[0]['content'] }}!")
    tokenizer = load_tokenizer(folder)
    assert tokenizer.model_max_length == 77
    assert tokenizer.apply_chat_template([{"role": "user", "content": "Kyoto"}], tokenize=False) == "Kyoto!"
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token) == (
        "<s>",
        "<|endoftext|>",
        "<unk>",
    )
    assert tokenizer.pad_token_id == 0


def test_special_tokens_that_no_file_names_are_the_models(tmp_path: Path) -> None:
    """GPT-2's repository has only model_max_length beside its tokenizer.json."""
    folder = saved(tmp_path, "bytes")
    tiny_config("gpt2", 64).save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 1024}')
    tokenizer = load_tokenizer(folder)
    assert (tokenizer.eos_token, tokenizer.bos_token) == ("<|endoftext|>", "<|endoftext|>")
    (folder / "tokenizer_config.json").write_text('{"bos_token": null}')  # as Qwen's: said to have none
    tokenizer = load_tokenizer(folder)
    assert (tokenizer.eos_token, tokenizer.bos_token) == ("<|endoftext|>", None)


def test_a_vocabulary_with_merges_loads_without_a_tokenizer_json(tmp_path: Path) -> None:
    saved(tmp_path, "bytes", None)
    tiny_config("gpt2", 64).save_pretrained(tmp_path)
    model = json.loads((tmp_path / "tokenizer.json").read_text())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
    (tmp_path / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, model["merges"])]))
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer_config.json").write_text("{}")
    for text in (" Japan", "Kyoto lies in New Zealand"):
        assert load_tokenizer(tmp_path)(text)["input_ids"] == tiny_tokenizer("bytes")(text)["input_ids"]


def test_pieces_without_a_tokenizer_json_are_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"pieces")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(InputError, match=r"tokenizer.model without a tokenizer.json, expected both"):
        load_tokenizer(tmp_path)


def test_a_length_that_the_file_was_saved_with_is_no_difference(tmp_path: Path) -> None:
    file = Tokenizer.from_file(str(saved(tmp_path) / "tokenizer.json"))
    file.enable_truncation(2)
    file.enable_padding(length=9)
    file.save(str(tmp_path / "tokenizer.json"))
    assert (
        load_tokenizer(tmp_path)("Kyoto lies in Japan")["input_ids"]
        == tiny_tokenizer("metaspace")("Kyoto lies in Japan")["input_ids"]
    )


@pytest.mark.parametrize("content", ["{", "[]", '{"model": 3}', ""])
def test_a_damaged_tokenizer_is_one_line(content: str, tmp_path: Path) -> None:
    (saved(tmp_path) / "tokenizer.json").write_text(content)
    with pytest.raises(InputError, match=r"not a model that loads \(.+\)$"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "model",
    [models.WordLevel({"Osaka": 0, "is": 1}, unk_token="<unk>"), models.BPE({"O": 0}, [], unk_token="<unk>")],
    ids=["words", "bytes"],
)
def test_one_that_does_not_know_every_text_loads_and_knows_what_it_knew(
    model: models.Model, tmp_path: Path
) -> None:
    """Its unknown token is not in its vocabulary, so that it raises for most texts that are compared."""
    file = Tokenizer(model)
    file.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace()])
    file.normalizer = normalizers.Sequence([])  # which is not none, and no difference
    file.save(str(tmp_path / "tokenizer.json"))
    assert load_tokenizer(tmp_path)("O" if "O" in file.get_vocab() else "Osaka")["input_ids"] == [0]


@pytest.mark.parametrize("number", [-1, 10**12, None, [2]])
def test_a_special_token_that_is_in_no_vocabulary_is_none(number: object, tmp_path: Path) -> None:
    folder = saved(tmp_path, "bytes")
    (folder / "config.json").write_text(json.dumps({"eos_token_id": number}))
    (folder / "tokenizer_config.json").write_text("{}")
    assert load_tokenizer(folder).eos_token is None


# -- what differs is refused --------------------------------------------------------------------------------


def test_a_token_that_only_the_configuration_adds_is_refused(tmp_path: Path) -> None:
    added = {"content": "Paris", "lstrip": False, "rstrip": False, "normalized": True, "special": False}
    folder = saved(tmp_path, added_tokens_decoder={"320": {**added, "single_word": False}})
    with pytest.raises(InputError, match=r"that loads is not that of its tokenizer\.json: 'Paris' gives"):
        load_tokenizer(folder)


def test_a_file_for_another_release_of_transformers_is_refused(tmp_path: Path) -> None:
    """transformers would take that one in place of tokenizer.json."""
    file = Tokenizer.from_file(str(saved(tmp_path) / "tokenizer.json"))
    file.normalizer = normalizers.Sequence([normalizers.Replace(" ", "▁")])
    file.save(str(tmp_path / "tokenizer.4.0.0.json"))
    saved(tmp_path, fast_tokenizer_files=["tokenizer.4.0.0.json"])
    with pytest.raises(InputError, match="another normalizer"):
        load_tokenizer(tmp_path)


def test_each_part_and_what_it_makes_of_texts_is_compared() -> None:
    def changed(**parts) -> Tokenizer:
        copy = Tokenizer.from_str(tiny_tokenizer("metaspace").backend_tokenizer.to_str())
        for name, part in parts.items():
            setattr(copy, name, part)
        return copy

    loaded = tiny_tokenizer("metaspace")
    assert difference(loaded, changed()) is None
    assert difference(loaded, changed(normalizer=None)) == "another normalizer"
    split = pre_tokenizers.WhitespaceSplit()
    assert difference(loaded, changed(pre_tokenizer=split)) == "another pre_tokenizer"
    assert (
        difference(loaded, changed(decoder=tiny_tokenizer().backend_tokenizer.decoder)) == "another decoder"
    )
    bare = changed()
    bare.post_processor = tiny_tokenizer().backend_tokenizer.post_processor
    assert difference(loaded, bare) is not None  # no <s>
    other = tiny_tokenizer().backend_tokenizer.model
    assert difference(loaded, changed(model=other)) is not None


# -- the real vocabularies ----------------------------------------------------------------------------------

PARIS = {"gpt2-xl": [6342], "gpt-j-6b": [6342], "llama-2-7b": [1, 29871, 3681], "llama-3": [128000, 12366]}


@real
@pytest.mark.parametrize("name", PARIS)
def test_real_tokenizers_are_their_files_and_know_their_ends(name: str) -> None:
    tokenizer, usual = load_tokenizer(REAL / name), AutoTokenizer.from_pretrained(REAL / name)
    assert tokenizer(" Paris")["input_ids"] == PARIS[name]
    assert (tokenizer.eos_token_id, tokenizer.bos_token_id) == (usual.eos_token_id, usual.bos_token_id)
    assert tokenizer.pad_token_id == usual.pad_token_id
    assert tokenizer.model_max_length == usual.model_max_length
    file = Tokenizer.from_file(str(REAL / name / "tokenizer.json"))
    start = time.perf_counter()
    assert difference(tokenizer, file) is None
    assert time.perf_counter() - start < 0.5
    if name == "llama-2-7b":
        assert difference(usual, file) == "another normalizer"


@real
def test_llama_2_in_an_older_form_is_the_same(tmp_path: Path) -> None:
    """tokenizer_config.json of other repositories of it: legacy, and LlamaTokenizerFast."""
    for file in ("tokenizer.json", "config.json", "special_tokens_map.json", "tokenizer_config.json"):
        shutil.copyfile(REAL / "llama-2-7b" / file, tmp_path / file)
    path = tmp_path / "tokenizer_config.json"
    for change in ({"legacy": True}, {"tokenizer_class": "LlamaTokenizerFast"}, {"legacy": None}):
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        assert load_tokenizer(tmp_path)(" Paris")["input_ids"] == [1, 29871, 3681]
