"""A model's folder, judged before a weight of it is loaded: what is refused in it, and what is merely told.

    for point in judge(folder):
        print(point.about, point.told, point.refused)

Whoever is handed a folder calls `check_folder` first: prepare_model, edit, compare, check and make plan. So
what cannot be edited is one line at the start, and not a traceback, or wrong numbers, hours later.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import transformers

from reedit.errors import InputError
from reedit.models.layouts import LAYERS, LAYOUTS, layout_of_kind
from reedit.models.tokenizers import added_at_start, read_tokenizer
from reedit.models.weights import INDEX, Weights, check_fetched, headers, json_object, refused, weights_in

if TYPE_CHECKING:  # it would import torch, which make plan does without
    from transformers import PretrainedConfig

CONFIG = "config.json"
ADAPTER = "adapter_config.json"  # of PEFT
# the texts that a model and a tokenizer are loaded from
TEXTS = (
    CONFIG,
    "generation_config.json",
    INDEX,
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
)
TEXTS += ("special_tokens_map.json", "vocab.json", "merges.txt")
FLOATS = ("F64", "F32", "F16", "BF16")  # how safetensors calls the number formats that can be edited
EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "embed_in.weight")
DEEPEST = 10_000  # layers
CODE_ASKED = "not a model that loads (it asks for code of its own to be run)"


@dataclass(frozen=True)
class Point:
    """One line of the judgement, without the folder's name."""

    about: str  # folder, architecture, weights, tokenizer, attention, numbers, chat
    told: str
    refused: bool = False
    noted: bool = False  # told wherever the model is used: something in the folder is left aside


def check_folder(folder: Path) -> None:
    """Raise InputError, one line with every reason, for a folder whose model cannot be edited.

    What is left aside in it is logged.
    """
    points = judge(folder)
    if reasons := [point.told for point in points if point.refused]:
        raise InputError(f"{folder}: {'; '.join(reasons)}")
    for point in points:
        if point.noted:
            logging.getLogger("reedit").warning("%s: %s", folder, point.told)


def judge(folder: Path) -> list[Point]:
    """All that can be said of a model's folder without loading its weights, in the order of reading it."""
    folder, points = Path(folder), []

    def look(about: str, judgement: Callable[[], Iterable[Point]]) -> None:
        try:
            points.extend(judgement())
        except InputError as error:
            points.append(Point(about, str(error).removeprefix(f"{folder}: "), refused=True))

    look("folder", lambda: _check_place(folder))
    if points:
        return points
    if gguf := _only_gguf(folder):
        look("weights", lambda: _judge_gguf(gguf))
        return points
    settings = _Settings(folder)
    look("architecture", settings.judge)
    look("weights", lambda: _judge_weights(folder, settings))
    if settings.readable:  # else the same fault would be told twice
        look("tokenizer", lambda: _judge_tokenizer(folder, settings))
    if not any(point.refused for point in points):
        look("attention", settings.judge_attention)
    return points


def checked_config(folder: Path) -> "PretrainedConfig":
    """What the config.json of a folder says; InputError where it does not load without code of its own."""
    written = json_object(folder / CONFIG)
    for part in (written, written.get("text_config")):
        for name in LAYERS if isinstance(part, dict) else ():
            depth = part.get(name)
            if isinstance(depth, int) and depth > DEEPEST:  # lists as long would be made of it
                raise InputError(f"{folder}: {CONFIG}: {name} is {depth}, expected at most {DEEPEST}")
    with refused(f"{folder}: not a model that loads"):
        return transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)


def window_of(config: "PretrainedConfig") -> int | None:
    """How many tokens the layers that do not see all of a text attend to; None where every layer sees it."""
    window, kinds = getattr(config, "sliding_window", None), getattr(config, "layer_types", None)
    sliding = "sliding_attention" in kinds if kinds else getattr(config, "use_sliding_window", True)
    return window if window and sliding else None


def _check_place(folder: Path) -> list[Point]:
    """Raise InputError where there is no folder, or one with links to nothing, or not of a model."""
    if folder.is_symlink() and not folder.exists():
        raise InputError(f"{folder}: a link to {folder.readlink()}, which is not there")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected a model that transformers loads")
    snapshots = sorted((folder / "snapshots").glob(f"*/{CONFIG}"))
    if snapshots and not (folder / CONFIG).exists():
        raise InputError(f"{folder}: the hub's cache of a model, expected a snapshot: {snapshots[0].parent}")
    for path in sorted(folder.iterdir()):
        if path.is_symlink() and not path.exists():
            raise InputError(f"{folder}: {path.name}: a link to {path.readlink()}, which is not there")
    if (folder / ADAPTER).is_file():
        base = json_object(folder / ADAPTER).get("base_model_name_or_path") or "another model"
        raise InputError(
            f"{folder}: {ADAPTER}: an adapter for {base}; expected whole weights: merge it into them first"
            " (PEFT's merge_and_unload), and save what comes of it as a folder"
        )
    for name in TEXTS:
        if (folder / name).is_file():
            check_fetched(folder / name)
    return []


def _only_gguf(folder: Path) -> Weights | None:
    """The weights of a folder whose model is a GGUF file; None where it is another, or faulty."""
    try:
        weights = weights_in(folder)
    except InputError:
        return None
    return weights if weights.gguf else None


def _judge_gguf(weights: Weights) -> Iterator[Point]:
    check_fetched(weights.files[0])
    yield Point("weights", f"{weights.files[0].name}, made float32 when it is prepared")


class _Settings:
    """The config.json of a folder, as it is written and as transformers has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def written(self) -> Mapping[str, Any]:
        if not (self.folder / CONFIG).is_file():
            raise InputError(f"{self.folder}: no {CONFIG}, expected a model that transformers loads")
        return json_object(self.folder / CONFIG)

    @property
    def readable(self) -> bool:
        try:
            return bool(self.written)
        except InputError:
            return False

    @cached_property
    def config(self) -> "PretrainedConfig | None":
        """None for what cannot be edited, whatever else is right in the folder."""
        try:
            known = str(self.written.get("model_type")) in LAYOUTS
            return checked_config(self.folder).get_text_config() if known else None
        except InputError:
            return None

    def judge(self) -> Iterator[Point]:
        written, folder = self.written, self.folder
        kind = written.get("model_type")
        if not isinstance(kind, str):
            raise InputError(
                f"{folder}: {CONFIG}: found model_type {kind!r}, expected an architecture's name"
            )
        if kind not in LAYOUTS:
            if "auto_map" in written:
                raise InputError(f"{folder}: {CODE_ASKED}")
            if parts := [
                name for name in ("text_config", "vision_config", "audio_config") if name in written
            ]:
                raise InputError(
                    f"{folder}: a multimodal model ({kind!r}, {CONFIG} has {' and '.join(parts)});"
                    " expected a language model by itself"
                )
            layout_of_kind(kind)
        if quantised := written.get("quantization_config") or written.get("compression_config"):
            raise InputError(f"{folder}: {_quantised(quantised)}")
        config = checked_config(folder).get_text_config()
        layers = config.num_hidden_layers
        place = layout_of_kind(kind).mlp_output
        yield Point(
            "architecture", f"{kind}, {layers} layers of width {config.hidden_size}, edited at {place}"
        )
        if "auto_map" in written:
            told = f"{CONFIG} offers code of its own, which is not run: the model is transformers' own {kind}"
            yield Point("architecture", told, noted=True)

    def judge_attention(self) -> Iterator[Point]:
        config, kinds = self.config, getattr(self.config, "layer_types", None) or ()
        if window := window_of(config):
            sliding = sum(kind == "sliding_attention" for kind in kinds)
            where = f"{sliding} of {len(kinds)} layers attend" if kinds else "every layer attends"
            yield Point("attention", f"{where} to the last {window} tokens alone (a sliding window)")
        for name, of in (("attn_logit_softcapping", "attention"), ("final_logit_softcapping", "the output")):
            if cap := getattr(config, name, None):
                yield Point("attention", f"logits of {of} are capped softly at {cap}")
        if longest := getattr(config, "max_position_embeddings", None):
            yield Point("attention", f"texts of up to {longest} tokens")


def _judge_weights(folder: Path, settings: _Settings) -> Iterator[Point]:
    weights = weights_in(folder)
    found = headers(folder, weights)
    config = settings.config
    if config is not None and not settings.written.get("quantization_config"):
        _check_tensors(folder, found, config)
    formats = sorted({kind for kind, shape in found.values() if len(shape) > 1})
    size = sum(file.stat().st_size for file in weights.files) / 1e9
    files = f"{len(weights.files)} file{'s' * (len(weights.files) > 1)}"
    told = f"{len(found)} tensors in {files} of {size:.2f} GB, in {' and '.join(formats)}"
    yield Point("weights", told)
    if formats == ["BF16"]:
        yield Point("numbers", "stored in bfloat16: float16 ends at 65504 and may overflow, float32 does not")
    yield from _aside(weights)


def _check_tensors(
    folder: Path, found: Mapping[str, tuple[str, list[int]]], config: "PretrainedConfig"
) -> None:
    """Raise InputError where edited weights are missing or no floats, or rows of embeddings are."""
    layout = layout_of_kind(config.model_type)
    names = [f"{layout.layers}.{i}.{layout.mlp_output}.weight" for i in range(config.num_hidden_layers)]
    ends = [(f".{key}", key) for key in found if key.endswith(f"{layout.mlp_output}.weight")]
    edited = {name: next((key for end, key in ends if end.endswith(f".{name}")), None) for name in names}
    if missing := [name for name, key in edited.items() if key is None]:
        raise InputError(
            f"{folder}: {len(missing)} of {len(names)} layers lack the weight that is edited: {missing[0]}"
        )
    if odd := [key for key in edited.values() if found[key][0] not in FLOATS]:
        is_in = f"{odd[0]} is in {found[odd[0]][0]}"
        raise InputError(f"{folder}: quantised weights: {is_in}, expected float32, float16 or bfloat16")
    wide = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None)
    expected = sorted([config.hidden_size, wide or 4 * config.hidden_size])
    if odd := [key for key in edited.values() if sorted(found[key][1]) != expected]:
        shape = found[odd[0]][1]
        raise InputError(
            f"{folder}: {odd[0]} is of shape {shape}, but {CONFIG} has {expected[0]} and {expected[1]}"
        )
    rows = next((shape[0] for key, (_, shape) in found.items() if key.endswith(EMBEDDINGS)), None)
    if rows not in (None, config.vocab_size):
        raise InputError(
            f"{folder}: {rows} rows of embeddings, but {CONFIG} has vocab_size {config.vocab_size}"
        )


def _judge_tokenizer(folder: Path, settings: _Settings) -> Iterator[Point]:
    tokenizer, left = read_tokenizer(folder)
    started = added_at_start(tokenizer)
    begins = (
        f", begins every text with {tokenizer.decode(started)!r}" if started else ", adds nothing to a text"
    )
    size = settings.config.vocab_size if settings.config else "an unknown number of"
    yield Point("tokenizer", f"{len(tokenizer)} tokens for {size} embeddings{begins}")
    if left:
        told = f"the model has no embedding for {', '.join(left)}: read as ordinary text"
        yield Point("tokenizer", told, noted=True)
    told = "has a chat template" if tokenizer.chat_template else "has no chat template"
    yield Point("chat", told)


def _aside(weights: Weights) -> list[Point]:
    """What lies beside the weights that are read."""
    if not weights.beside:
        return []
    one = len(weights.files) == 1
    read = f"{weights.files[0].name} is" if one else f"the {len(weights.files)} files of {INDEX} are"
    return [Point("weights", f"{read} read; {', '.join(weights.beside)} beside is not", noted=True)]


def _quantised(settings: Any) -> str:
    """What a config.json's quantization_config says, in words."""
    said = settings if isinstance(settings, Mapping) else {}
    bits = next((f", {n} bits" for n in (4, 8) if said.get(f"load_in_{n}bit")), "")
    bits = bits or (f", {said['bits']} bits" if "bits" in said else "")
    method = said.get("quant_method", "by a method that is not named")
    return (
        f"quantised weights ({method}{bits}), expected float32, float16 or bfloat16:"
        " the model before it was quantised, or a GGUF file, which is made float32"
    )
