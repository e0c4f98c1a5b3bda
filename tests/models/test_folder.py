"""A folder is judged before its weights are loaded: what is refused, what is left aside, what is told."""

import json
import logging
import os
import shutil
from pathlib import Path

import pytest
import torch
from hostile_models import (
    CONFIG,
    HOSTILE,
    LFS,
    WEIGHTS,
    as_in_the_hub,
    set_json,
    set_tensors,
    set_tokenizer,
    shard,
)
from safetensors.torch import load_file, save_file
from tiny import ALL_ARCHITECTURES, save_tiny_model, tiny_config
from tokenizers import processors

from reedit.errors import InputError
from reedit.models.folder import check_folder, judge
from reedit.models.language_model import LanguageModel
from reedit.models.tokenizers import load_tokenizer
from reedit.models.weights import weights_in


@pytest.fixture
def folder(taught_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(taught_folder, tmp_path / "mine")


def told(folder: Path) -> str:
    points = judge(folder)
    assert not any(point.refused for point in points), points
    return "\n".join(f"{point.about}: {point.told}" for point in points)


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_cannot_be_edited_is_one_reason_without_the_weights_being_loaded(
    kind: str, folder: Path
) -> None:
    spoil, expected = HOSTILE[kind]
    spoil(folder)
    reasons = [point.told for point in judge(folder) if point.refused]
    if kind != "nothing":  # no config, no weights, no tokenizer
        assert len(reasons) == 1
    assert expected in "; ".join(reasons)
    with pytest.raises(InputError) as caught:
        check_folder(folder)
    assert str(caught.value).startswith(f"{folder}") and "\n" not in str(caught.value)
    assert "delete" not in str(caught.value) and "remove" not in str(caught.value)


def test_several_reasons_stand_in_one_line(folder: Path) -> None:
    set_json(folder, CONFIG, quantization_config={"quant_method": "awq"})
    (folder / WEIGHTS).write_text(LFS)
    with pytest.raises(
        InputError, match=r"mine: quantised weights \(awq\).*; model\.safetensors: a pointer of"
    ):
        check_folder(folder)


@pytest.mark.parametrize("architecture", ALL_ARCHITECTURES)
def test_every_architecture_passes(architecture: str, tmp_path: Path) -> None:
    save_tiny_model(tmp_path / "m", architecture=architecture)
    said = told(tmp_path / "m")
    assert "6 layers of width 32" in said and "320 tokens for 320 embeddings, adds nothing to a text" in said
    assert "has no chat template" in said
    config = tiny_config(architecture, 64).get_text_config()
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"]
    window = getattr(config, "sliding_window", None) if "sliding_attention" in kinds else None
    assert (f"the last {window} tokens alone (a sliding window)" in said) == (window is not None)
    cap = getattr(config, "final_logit_softcapping", None)
    assert (f"the output are capped softly at {cap}" in said) == (cap is not None)


def test_windows_numbers_templates_and_what_begins_a_text_are_told(folder: Path) -> None:
    set_tensors(folder, lambda t: t.update({name: tensor.bfloat16() for name, tensor in t.items()}))
    set_json(folder, "tokenizer_config.json", chat_template="{{ messages }}")
    begin = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    set_tokenizer(folder, lambda file: setattr(file, "post_processor", begin))
    said = told(folder)
    assert "in BF16" in said and "float16 ends at 65504" in said
    assert "has a chat template" in said and "begins every text with '<s>'" in said


# -- which weights are read ---------------------------------------------------------------------------------


def test_safetensors_go_before_a_gguf_file_which_is_named(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "mine.Q4_K_M.gguf").write_bytes(b"GGUF")
    assert [file.name for file in weights_in(folder).files] == [WEIGHTS]
    with caplog.at_level(logging.WARNING, "reedit"):
        check_folder(folder)
    assert "model.safetensors is read; mine.Q4_K_M.gguf beside is not" in caplog.text


def test_an_index_goes_before_what_its_maker_calls_otherwise(folder: Path) -> None:
    """As Mistral's repositories are."""
    shutil.copyfile(folder / WEIGHTS, folder / "consolidated.safetensors")
    shard(folder)
    weights = weights_in(folder)
    assert len(weights.files) == 2 and weights.beside == ("consolidated.safetensors",)
    assert "the 2 files of model.safetensors.index.json are read; consolidated" in told(folder)
    assert LanguageModel.load(folder, device="cpu")


def test_an_index_of_the_one_file_is_no_second_set(folder: Path) -> None:
    names = dict.fromkeys(load_file(folder / WEIGHTS), WEIGHTS)
    (folder / f"{WEIGHTS}.index.json").write_text(json.dumps({"weight_map": names}))
    assert weights_in(folder).beside == () and told(folder)


def test_weights_without_the_prefix_of_their_head_pass(tmp_path: Path) -> None:
    """As in GPT-2's repository."""
    save_tiny_model(tmp_path, architecture="gpt2")
    tensors = load_file(tmp_path / WEIGHTS)
    save_file(
        {name.removeprefix("transformer."): t for name, t in tensors.items()},
        tmp_path / WEIGHTS,
        {"format": "pt"},
    )
    assert told(tmp_path) and LanguageModel.load(tmp_path, device="cpu")


def test_code_that_a_known_architecture_offers_is_not_run_and_named(folder: Path) -> None:
    set_json(folder, CONFIG, auto_map={"AutoConfig": "own.Config"})
    assert "offers code of its own, which is not run: the model is transformers' own llama" in told(folder)


# -- tokens -------------------------------------------------------------------------------------------------


def test_special_tokens_without_an_embedding_are_read_as_text(folder: Path) -> None:
    """As Gemma 3's <image_soft_token> and the <pad> of early Llama-2 folders."""
    set_tokenizer(folder, lambda file: file.add_special_tokens(["<image>", "<pad>"]))
    set_json(folder, "tokenizer_config.json", pad_token="<pad>")
    assert "no embedding for <image>, <pad>: read as ordinary text" in told(folder)
    model = LanguageModel.load(folder, device="cpu")
    ids = model.tokenizer("Kyoto <image> <pad>")["input_ids"]
    assert max(ids) < 320 and model.tokenizer.decode(ids) == "Kyoto <image> <pad>"
    assert torch.isfinite(model.model(torch.tensor([ids])).logits).all()


def test_fewer_tokens_than_embeddings_are_as_usual(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    name = "model.embed_tokens.weight"
    tensors[name] = torch.cat([tensors[name], torch.zeros(64, 32)])
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    set_json(folder, CONFIG, vocab_size=384)
    assert "320 tokens for 384 embeddings" in told(folder)


def test_a_normalizer_that_puts_no_space_in_front_is_that_of_the_file(tmp_path: Path) -> None:
    """As Yi's: the class that its configuration names would put one."""
    from tiny import save_tokenizer, tiny_tokenizer
    from tokenizers import Tokenizer, normalizers

    save_tokenizer(tiny_tokenizer("metaspace"), tmp_path, "LlamaTokenizer")
    file = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    file.normalizer = normalizers.Replace(" ", "▁")
    file.save(str(tmp_path / "tokenizer.json"))
    for text in ("Kyoto", " Kyoto", "Kyoto  lies"):
        assert load_tokenizer(tmp_path)(text)["input_ids"] == file.encode(text).ids


# -- links --------------------------------------------------------------------------------------------------


def test_links_are_followed_wherever_they_lead(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("mine")
    assert told(tmp_path / "link") and told(tmp_path / "link/../mine/")
    snapshot = as_in_the_hub(folder, tmp_path / "cache")
    assert told(snapshot) and LanguageModel.load(snapshot, device="cpu")
    (tmp_path / "again").symlink_to(os.path.relpath(snapshot, tmp_path))
    assert told(tmp_path / "again")


@pytest.mark.parametrize("place", ["nothing", "file", "dangling", "loop"])
def test_what_is_no_folder_is_one_line(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to("gone")
    (tmp_path / "loop").symlink_to("loop")
    (reason,) = judge(tmp_path / place)
    expected = {"dangling": "a link to gone, which is not there", "loop": "a link to loop"}
    assert reason.refused and expected.get(place, "no such folder, expected a model") in reason.told
