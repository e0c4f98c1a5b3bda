"""Stand-ins: tokenizer, architecture and depth are real, width and weights are not, and they say so."""

import json
import shutil
from pathlib import Path

import pytest
import tiny
import torch

from reedit.errors import InputError
from reedit.models.language_model import LanguageModel
from reedit.models.tokenizers import load_tokenizer
from reedit.prepare.preparation import model_revision, prepare_model
from reedit.rehearse.stand_ins import make_stand_in
from reedit.storage.provenance import is_stand_in


def original(folder: Path, architecture: str) -> Path:
    """A folder with the tokenizer and the config.json of a model, wider than its stand-in."""
    folder.mkdir()
    tiny.tiny_tokenizer().save_pretrained(folder)
    tiny.tiny_config(architecture, keys=96).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("architecture", tiny.ALL_ARCHITECTURES)
def test_a_stand_in_has_what_tells_models_apart_but_width(tmp_path: Path, architecture: str) -> None:
    real = original(tmp_path / "real", architecture)
    shape = make_stand_in(real, tmp_path / "stand-in", {})
    prepare_model(tmp_path / "stand-in", tmp_path / "model", {"kind": "folder"})
    model = LanguageModel.load(tmp_path / "model", device="cpu")
    config, wide = model.model.config, tiny.tiny_config(architecture, keys=96)
    assert (config.model_type, len(model.layers)) == (wide.model_type, tiny.LAYERS)
    assert tuple(model.weight(0).shape) == (shape["width"], shape["keys"]) == (32, 64)
    assert shape["vocabulary"] == tiny.VOCABULARY and shape["layers"] == tiny.LAYERS
    assert getattr(config, "layer_types", None) == getattr(wide, "layer_types", None)
    assert config.tie_word_embeddings == wide.tie_word_embeddings
    grouped = getattr(wide, "num_key_value_heads", wide.num_attention_heads) != wide.num_attention_heads
    assert (getattr(config, "num_key_value_heads", 4) != config.num_attention_heads) == grouped
    assert load_tokenizer(real)("Kyoto plays")["input_ids"] == model.tokenizer("Kyoto plays")["input_ids"]
    assert model.model(torch.tensor([[1, 2, 3]])).logits.isfinite().all()
    assert is_stand_in(model_revision(tmp_path / "model"))


def test_depth_and_architecture_may_come_from_the_shape(tmp_path: Path) -> None:
    real = original(tmp_path / "real", "gpt2")
    (real / "config.json").unlink()
    with pytest.raises(InputError, match=r"no config.json, expected one .* or models.*shape.architecture"):
        make_stand_in(real, tmp_path / "stand-in", {"layers": 9})
    given = {"parameters": 7e9, "layers": 9, "width": 4096, "keys": 11008, "vocabulary": tiny.VOCABULARY}
    made = make_stand_in(real, tmp_path / "stand-in", given | {"architecture": "gptj"})
    assert LanguageModel.load(tmp_path / "stand-in", device="cpu").model.config.model_type == "gptj"
    assert made["layers"] == 9 and made["parameters"] < 1e6


def test_layers_that_attend_by_their_place_are_as_many_as_asked_for(tmp_path: Path) -> None:
    real = original(tmp_path / "real", "gemma3_text")
    make_stand_in(real, tmp_path / "stand-in", {"layers": 9})
    config = json.loads((tmp_path / "stand-in/config.json").read_text())
    assert len(config["layer_types"]) == 9 and config["layer_types"][:2] == [
        "sliding_attention",
        "full_attention",
    ]


def test_a_stand_in_is_made_once_and_anew_where_its_tokenizer_changes(tmp_path: Path) -> None:
    real = original(tmp_path / "real", "llama")
    weights = tmp_path / "stand-in/model.safetensors"
    make_stand_in(real, tmp_path / "stand-in", {})
    first, content = weights.stat().st_mtime_ns, weights.read_bytes()
    make_stand_in(real, tmp_path / "stand-in", {})
    assert weights.stat().st_mtime_ns == first
    (real / "more.json").write_text("1")
    make_stand_in(real, tmp_path / "stand-in", {})
    first = weights.stat().st_mtime_ns
    (real / "more.json").write_text("2")  # as long as it was
    make_stand_in(real, tmp_path / "stand-in", {})
    assert weights.stat().st_mtime_ns != first
    first = weights.stat().st_mtime_ns
    shutil.rmtree(real)
    original(real, "llama")
    tiny.tiny_tokenizer("bos").save_pretrained(real)
    make_stand_in(real, tmp_path / "stand-in", {})
    assert weights.stat().st_mtime_ns != first and weights.read_bytes() == content  # the same random numbers


def test_an_architecture_without_a_layout_is_one_line(tmp_path: Path) -> None:
    real = original(tmp_path / "real", "llama")
    config = json.loads((real / "config.json").read_text())
    (real / "config.json").write_text(json.dumps(config | {"model_type": "opt"}))
    with pytest.raises(InputError, match="no layout for the architecture 'opt'"):
        make_stand_in(real, tmp_path / "stand-in", {})
