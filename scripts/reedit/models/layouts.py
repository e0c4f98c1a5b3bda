"""What the algorithms know of an architecture; a new one is one entry in LAYOUTS. Needs no torch."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reedit.errors import InputError


@dataclass(frozen=True)
class Layout:
    """Where an architecture keeps what the algorithms touch (module names)."""

    backbone: str  # of the model: from embeddings to the final hidden states, the last norm included
    layers: str  # of the backbone: the list of transformer layers
    attention: str  # of a layer, its own child: the attention module
    mlp_output: str  # of a layer: the linear map whose weight is edited (the paper's W^l)
    positions: str | None = None  # of the backbone: learned position embeddings added to the input
    mlp_norm: str | None = None  # of a layer: between that map and the residual stream (post_norm.py)
    mlp_scale: str | None = None  # of the configuration: the part of the MLP's output that the stream gets
    recurrent: str | None = None  # of a layer without attention: what stands in its place (linear attention)

    def module_name(self, layer: int | str) -> str:
        """The edited module of a layer, by its name in the model; "{}" for that of any layer."""
        return f"{self.backbone}.{self.layers}.{layer}.{self.mlp_output}"


LLAMA = Layout("model", "layers", "self_attn", "mlp.down_proj")
NORMED = replace(LLAMA, mlp_norm="post_feedforward_layernorm")
DELTA = replace(LLAMA, recurrent="linear_attn")
LAYOUTS: Mapping[str, Layout] = {  # by the model_type of the configuration
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": LLAMA,
    "qwen3": LLAMA,
    "qwen3_5_text": DELTA,
    "qwen3_5": DELTA,  # with its eyes, which are not loaded
    "phi3": LLAMA,
    "smollm3": LLAMA,
    "gemma": LLAMA,
    "gemma2": NORMED,
    "gemma3_text": NORMED,
    "olmo": LLAMA,
    "olmo2": NORMED,
    "olmo3": NORMED,
    "gpt2": Layout("transformer", "h", "attn", "mlp.c_proj", positions="wpe"),
    "gptj": Layout("transformer", "h", "attn", "mlp.fc_out"),
    "gpt_neox": Layout("gpt_neox", "layers", "attention", "mlp.dense_4h_to_h"),
    "gpt_bigcode": Layout("transformer", "h", "attn", "mlp.c_proj", positions="wpe"),
    "phi": replace(LLAMA, mlp_output="mlp.fc2"),
    "starcoder2": replace(LLAMA, mlp_output="mlp.c_proj"),
    "granite": replace(LLAMA, mlp_scale="residual_multiplier"),
    "glm4": replace(LLAMA, mlp_norm="post_mlp_layernorm"),
    "exaone4": NORMED,
    **dict.fromkeys(("ministral", "ministral3", "cohere", "cohere2", "stablelm", "glm", "helium"), LLAMA),
    **dict.fromkeys(("arcee", "apertus", "ernie4_5", "hunyuan_v1_dense", "nemotron", "seed_oss"), LLAMA),
}


# what a config.json says, by the names that architectures have for it
LAYERS = ("num_hidden_layers", "n_layer")
POSITIONS = ("max_position_embeddings", "n_positions")


def number_in(told: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    """A whole number that a config.json says, of its text part where it has one; None where it says none."""
    inner = told.get("text_config")
    both = {**told, **(inner if isinstance(inner, dict) else {})}
    return next((both[name] for name in names if type(both.get(name)) is int), None)


def layout_of_kind(kind: str) -> Layout:
    """The layout of a configuration's model_type. Raises InputError for one that is not known."""
    if kind not in LAYOUTS:
        raise InputError(f"no layout for the architecture {kind!r}; known: {', '.join(LAYOUTS)}")
    return LAYOUTS[kind]


def layout_of(folder: Path | str) -> Layout:
    """The layout of a prepared model folder, whose weights are not read."""
    return layout_of_kind(
        json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))["model_type"]
    )
