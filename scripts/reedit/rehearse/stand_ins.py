"""Stand-ins for models: architecture, number of layers and tokenizer are real, the weights are not.

What a model is called in the configuration, its width is as small as its architecture allows, so that 7
billion parameters become some millions; random weights say nothing, and all that is made of them is marked.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from reedit.errors import InputError
from reedit.models.folder import checked_config
from reedit.models.layouts import LAYERS, layout_of_kind
from reedit.models.tokenizers import load_tokenizer
from reedit.models.weights import INDEX
from reedit.prepare.preparation import REVISION, STAND_IN, TEXT
from reedit.storage.files import file_sha256, visible_files, whole_folder

# what makes a model wide, by the names that the architectures have for it; heads of 8, as many as 4
NARROW = {
    "hidden_size": 32,
    "n_embd": 32,
    "intermediate_size": 64,
    "n_inner": 64,
    "num_attention_heads": 4,
    "n_head": 4,
    "head_dim": 8,
    "rotary_dim": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "query_pre_attn_scalar": 8,
}
SPREAD = 0.2  # standard deviation of the weights: large enough that every part of a pass matters
CONFIG = "config.json"
OF_MODEL = (CONFIG, "generation_config.json", INDEX, REVISION)


def make_stand_in(tokenizer: Path, folder: Path, shape: Mapping[str, Any]) -> dict[str, int]:
    """Make `folder` a model that loads, from a folder with the real tokenizer; its shape, as for make plan.

    The architecture is that of the config.json beside the tokenizer, or else what `shape` names; the number
    of layers is that of `shape` where it has one. A stand-in of the same is left as it is. Raises
    InputError where there is no tokenizer, or nothing says what the architecture is.
    """
    config = _narrow(_config_of(tokenizer, shape), shape)
    vocabulary = len(load_tokenizer(tokenizer))
    config.vocab_size = max(config.vocab_size, vocabulary)
    texts = {file.name: file_sha256(file) for file in _texts(tokenizer)}
    made = json.dumps({"config": config.to_dict(), "from": texts}, sort_keys=True, default=str)
    mark = folder / STAND_IN
    if not (mark.is_file() and mark.read_text() == made):
        with whole_folder(folder) as temporary:
            _random(config).save_pretrained(temporary)
            for file in _texts(tokenizer):
                shutil.copyfile(file, temporary / file.name)
            (temporary / STAND_IN).write_text(made)
    return _shape_of(folder, config)


def _texts(tokenizer: Path) -> list[Path]:
    """The files of a tokenizer: every text but what speaks of the model itself."""
    return [f for f in visible_files(tokenizer) if f.suffix in TEXT and f.name not in (*OF_MODEL, STAND_IN)]


def _config_of(tokenizer: Path, shape: Mapping[str, Any]) -> PretrainedConfig:
    """What the model is, before it is made narrow."""
    if (tokenizer / CONFIG).is_file():
        return checked_config(tokenizer).get_text_config()
    if "architecture" not in shape:
        raise InputError(
            f"{tokenizer}: no {CONFIG}, expected one that tells the architecture,"
            " or models.*.shape.architecture"
        )
    return AutoConfig.for_model(shape["architecture"], vocab_size=shape["vocabulary"])


def _narrow(config: PretrainedConfig, shape: Mapping[str, Any]) -> PretrainedConfig:
    """The same with the least width; grouped attention stays grouped."""
    layout_of_kind(config.model_type)  # refused where it is not known
    values = config.to_dict()
    grouped = values.get("num_key_value_heads") not in (None, values.get("num_attention_heads"))
    changed = {name: value for name, value in NARROW.items() if name in values}
    if values.get("num_key_value_heads") is not None:
        changed["num_key_value_heads"] = 2 if grouped else 4
    if "layers" in shape:
        changed |= {name: shape["layers"] for name in LAYERS if name in values}
        if values.get("layer_types"):  # by place how a layer attends
            kinds = values["layer_types"]
            changed["layer_types"] = [kinds[i % len(kinds)] for i in range(shape["layers"])]
    return type(config).from_dict(
        values | changed | {"initializer_range": SPREAD, "quantization_config": None}
    )


def _random(config: PretrainedConfig) -> nn.Module:
    """A network of random weights, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


def _shape_of(folder: Path, config: PretrainedConfig) -> dict[str, int]:
    """The stand-in's own shape."""
    values = config.to_dict()
    width = values.get("hidden_size") or values["n_embd"]
    file_size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return {
        "parameters": file_size // 4,
        "layers": next(values[name] for name in LAYERS if name in values),
        "width": width,
        "keys": values.get("intermediate_size") or values.get("n_inner") or 4 * width,
        "vocabulary": config.vocab_size,
    }
