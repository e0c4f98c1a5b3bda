"""Model folders that cannot be edited, each spoiled in one way as people meet it, and what has to be said."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, processors
from tokenizers import normalizers as norm

Spoil = Callable[[Path], None]
WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
INDEX = f"{WEIGHTS}.index.json"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 2200119864\n"
KEY = "model.layers.3.mlp.down_proj.weight"


def set_json(folder: Path, name: str, **changes: Any) -> None:
    """Change or, with ..., take out keys of a JSON file, which may not be there yet."""
    path = folder / name
    value = (json.loads(path.read_text()) if path.exists() else {}) | changes
    path.write_text(json.dumps({key: each for key, each in value.items() if each is not ...}))


def set_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})


def set_tokenizer(folder: Path, change: Callable[[Tokenizer], Any]) -> None:
    file = Tokenizer.from_file(str(folder / TOKENIZER))
    change(file)
    file.save(str(folder / TOKENIZER))


def shard(folder: Path, **listed: str) -> None:
    """Two files and their index, in which tensors may be `listed` elsewhere."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    names = sorted(tensors)
    where = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file, {"format": "pt"})
        where |= dict.fromkeys(part, file)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where | listed}))


def config(**changes: Any) -> Spoil:
    return lambda folder: set_json(folder, CONFIG, **changes)


def text(name: str, content: str | bytes) -> Spoil:
    content = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(content) and None


def cut(name: str, share: float) -> Spoil:
    def spoil(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * share)])

    return spoil


def pickled(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    torch.save({}, folder / "pytorch_model.bin")


def several_gguf(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    for name in ("model-Q4_K_M.gguf", "model-Q8_0.gguf"):
        (folder / name).write_bytes(b"GGUF")


def two_sets(folder: Path) -> None:
    shutil.copyfile(folder / WEIGHTS, folder / "kept")
    shard(folder)
    (folder / "kept").rename(folder / WEIGHTS)


def of_its_maker(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "consolidated.safetensors")


def lost_shard(folder: Path) -> None:
    shard(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def no_index(folder: Path) -> None:
    shard(folder)
    (folder / INDEX).unlink()


def empty_shard(folder: Path) -> None:
    shard(folder)
    (folder / "model-00001-of-00002.safetensors").write_bytes(b"")


def pointer_shard(folder: Path) -> None:
    shard(folder)
    (folder / "model-00002-of-00002.safetensors").write_text(LFS)


def adapter(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name.startswith(("model", "config")):
            path.unlink()
    save_file({"base_model.model.lora_A": torch.ones(2, 2)}, folder / "adapter_model.safetensors")
    set_json(folder, "adapter_config.json", peft_type="LORA", base_model_name_or_path="some/base")


def adapter_beside(folder: Path) -> None:
    set_json(folder, "adapter_config.json", peft_type="IA3", base_model_name_or_path="other/base")


def more_tokens(folder: Path) -> None:
    set_tokenizer(folder, lambda file: (file.add_tokens([f"word{i}" for i in range(400)]), None))
    set_tokenizer(folder, lambda file: file.add_special_tokens(["<pad>"]))


def larger_vocabulary(folder: Path) -> None:
    """A vocabulary of another model of its family, none of it added."""

    def change(file: Tokenizer) -> None:
        state = json.loads(file.to_str())["model"]
        vocabulary = state["vocab"] | {"zzzz": 320, "qqqq": 321}
        file.model = models.BPE(vocabulary, [tuple(pair) for pair in state["merges"]])

    set_tokenizer(folder, change)


def ends_texts(single: str) -> Spoil:
    def change(file: Tokenizer) -> None:
        ends = [("<|endoftext|>", 0), ("<s>", 1)]
        file.post_processor = processors.TemplateProcessing(single=single, special_tokens=ends)

    return lambda folder: set_tokenizer(folder, change)


def another_file(folder: Path) -> None:
    """A tokenizer file for other releases, which transformers takes in place of tokenizer.json."""
    file = Tokenizer.from_file(str(folder / TOKENIZER))
    file.normalizer = norm.Lowercase()
    file.save(str(folder / "tokenizer.4.0.0.json"))
    set_json(folder, "tokenizer_config.json", fast_tokenizer_files=["tokenizer.4.0.0.json"])


def pieces_alone(folder: Path) -> None:
    (folder / TOKENIZER).unlink()
    (folder / "tokenizer.model").write_bytes(b"\x0a\x09pieces")


def no_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def linked_to_nothing(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(f"../../blobs/{name}")

    return spoil


def hub_cache(folder: Path) -> None:
    """The folder of a model in the hub's cache, in place of a snapshot in it."""
    inside = folder / "snapshots/0123abcd"
    inside.mkdir(parents=True)
    for path in [path for path in folder.iterdir() if path.is_file()]:
        path.rename(inside / path.name)


def as_in_the_hub(folder: Path, cache: Path) -> Path:
    """The same model as a snapshot in the hub's cache: links to blobs by their checksums."""
    snapshot = cache / "models--some--tiny/snapshots/0123abcd"
    snapshot.mkdir(parents=True)
    (cache / "models--some--tiny/blobs").mkdir()
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(cache / f"models--some--tiny/blobs/{number:040x}")
        (snapshot / path.name).symlink_to(f"../../blobs/{number:040x}")
    return snapshot


def quantised(**settings: Any) -> Spoil:
    return config(quantization_config=settings)


HOSTILE: Mapping[str, tuple[Spoil, str]] = {
    # what cannot be edited
    "bert": (config(model_type="bert", architectures=["BertModel"]), "no layout for the architecture 'bert'"),
    "unknown architecture": (config(model_type="brand-new"), "no layout for the architecture 'brand-new'"),
    "no architecture": (config(model_type=...), "found model_type None, expected an architecture's name"),
    "odd architecture": (config(model_type=["llama"]), "found model_type ['llama']"),
    "multimodal": (
        config(model_type="llava", text_config={"model_type": "llama"}, vision_config={}),
        "a multimodal model ('llava', config.json has text_config and vision_config)",
    ),
    "code of its own": (
        config(model_type="own", auto_map={"AutoModelForCausalLM": "own.Model"}),
        "it asks for code of its own to be run",
    ),
    "adapter": (adapter, "adapter_config.json: an adapter for some/base; expected whole weights"),
    "adapter beside a model": (adapter_beside, "an adapter for other/base"),
    # quantised and pickled weights
    "bitsandbytes": (
        quantised(quant_method="bitsandbytes", load_in_4bit=True),
        "quantised weights (bitsandbytes, 4 bits)",
    ),
    "gptq": (quantised(quant_method="gptq", bits=4, group_size=128), "quantised weights (gptq, 4 bits)"),
    "awq": (quantised(quant_method="awq", bits=4), "quantised weights (awq, 4 bits)"),
    "fp8": (quantised(quant_method="fp8", activation_scheme="dynamic"), "quantised weights (fp8)"),
    "compressed": (quantised(quant_method="compressed-tensors"), "quantised weights (compressed-tensors)"),
    "quantised somehow": (config(quantization_config=["?"]), "quantised weights (by a method that is not"),
    "eight bits in the file": (
        lambda folder: set_tensors(folder, lambda t: t.update({KEY: t[KEY].to(torch.float8_e4m3fn)})),
        f"quantised weights: {KEY} is in F8_E4M3",
    ),
    "whole numbers": (
        lambda folder: set_tensors(folder, lambda t: t.update({KEY: t[KEY].to(torch.int8)})),
        f"quantised weights: {KEY} is in I8",
    ),
    "pickle": (
        pickled,
        "no *.safetensors and no *.gguf, expected a model (no pickle is read), found pytorch_m",
    ),
    "pickle by another name": (
        text(WEIGHTS, b"PK\x03\x04" + b"\0" * 99),
        "model.safetensors: not a model that loads: damaged or cut off",
    ),
    # several sets of weights
    "several gguf": (several_gguf, "several models, model-Q4_K_M.gguf, model-Q8_0.gguf; expected one"),
    "whole and in shards": (
        two_sets,
        "two sets of weights, model.safetensors and those that model.safetensors",
    ),
    "of its maker alone": (of_its_maker, "consolidated.safetensors, but no model.safetensors and no"),
    # what is not whole
    "nothing": (
        lambda folder: [path.unlink() for path in folder.iterdir()] and None,
        "expected a model",
    ),
    "no config": (lambda folder: (folder / CONFIG).unlink(), "no config.json"),
    "no tokenizer": (no_tokenizer, "not a model that loads"),
    "pieces alone": (pieces_alone, "tokenizer.model without a tokenizer.json"),
    "config is no JSON": (text(CONFIG, '{"model_type": "llama",'), "not a model that loads"),
    "config is a list": (text(CONFIG, "[]"), "not a model that loads: config.json (found list, expected an"),
    "config is binary": (text(CONFIG, b"\x00\xff{"), "not a model that loads"),
    "config is nested": (text(CONFIG, "[" * 9999 + "]" * 9999), "not a model that loads: config.json"),
    "empty config": (text(CONFIG, ""), "config.json: not a model that reads: the file is empty"),
    "odd number of layers": (config(num_hidden_layers="six"), "not a model that loads"),
    "no heads": (config(num_attention_heads=0), "not a model that loads"),
    "tokenizer is cut off": (cut(TOKENIZER, 0.7), "not a model that loads"),
    "tokenizer is empty": (text(TOKENIZER, ""), "tokenizer.json: not a model that reads: the file is empty"),
    "weights are cut off": (
        cut(WEIGHTS, 0.9),
        "model.safetensors: not a model that loads: damaged or cut off",
    ),
    "header is cut off": (
        cut(WEIGHTS, 0.001),
        "model.safetensors: not a model that loads: damaged or cut off",
    ),
    "weights are empty": (text(WEIGHTS, ""), "model.safetensors: not a model that reads: the file is empty"),
    "weights are a pointer": (
        text(WEIGHTS, LFS),
        "model.safetensors: a pointer of Git LFS, expected the file",
    ),
    "tokenizer is a pointer": (text(TOKENIZER, LFS), "tokenizer.json: a pointer of Git LFS"),
    "a shard is a pointer": (pointer_shard, "model-00002-of-00002.safetensors: a pointer of Git LFS"),
    "a shard is missing": (
        lost_shard,
        "names model-00002-of-00002.safetensors, expected *.safetensors that lie",
    ),
    "a shard is empty": (empty_shard, "model-00001-of-00002.safetensors: not a model that reads"),
    "shards without an index": (no_index, "but no model.safetensors and no model.safetensors.index.json"),
    "a tensor that no shard has": (
        lambda folder: shard(folder, **{"model.layers.9.x": "model-00001-of-00002.safetensors"}),
        "1 tensors are in no file: model.layers.9.x",
    ),
    "layers are missing": (
        lambda folder: set_tensors(folder, lambda t: t.pop(KEY)),
        "1 of 6 layers lack the weight that is edited: layers.3.mlp.down_proj.weight",
    ),
    "another vocab_size": (
        config(vocab_size=400),
        "320 rows of embeddings, but config.json has vocab_size 400",
    ),
    # tokens
    "more tokens than embeddings": (
        more_tokens,
        "the tokenizer has tokens up to 720, the model 320 embeddings",
    ),
    "a larger vocabulary": (larger_vocabulary, "none for 2 tokens as 'zzzz'"),
    "ends texts": (ends_texts("$A <|endoftext|>"), "the tokenizer ends every text with '<|endoftext|>'"),
    "begins and ends texts": (ends_texts("<s> $A <|endoftext|>"), "ends every text with '<|endoftext|>'"),
    "another tokenizer file": (another_file, "the tokenizer that loads is not that of its tokenizer.json"),
    # links
    "weights lead to nothing": (linked_to_nothing(WEIGHTS), "a link to ../../blobs/model.safetensors, which"),
    "config leads to nothing": (linked_to_nothing(CONFIG), "config.json: a link to ../../blobs/config.json"),
    "the hub's cache": (hub_cache, "the hub's cache of a model, expected a snapshot: "),
}
