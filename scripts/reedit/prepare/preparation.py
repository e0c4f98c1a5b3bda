"""A fetched model as the folder that every job loads: safetensors, tokenizer, configuration."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PretrainedConfig

from reedit.errors import InputError
from reedit.models.tokenizers import load_tokenizer
from reedit.storage.files import file_sha256, flush, folder_sha256, link_or_copy, visible_files, whole_folder
from reedit.storage.provenance import STANDS_IN

REVISION = "revision.json"  # beside the weights: where they came from
STAND_IN = "stand-in.json"  # in a folder whose weights are random: what it stands for
INDEX = "model.safetensors.index.json"  # of weights in several files
CODE = "trust_remote_code"  # in what transformers says where a model comes with code
TEXT = (".json", ".txt", ".model", ".jinja")


def prepare_model(fetched: Path, folder: Path, source: Mapping[str, Any]) -> str:
    """Make `folder` from a fetched GGUF file or from a fetched folder of safetensors; returns the revision.

    Raises InputError where there is neither, where they are damaged, and where a model asks for code of its
    own; weights in a pickle format are never read.
    """
    with whole_folder(folder) as temporary:
        revision = _fill(temporary, fetched, source)
        (temporary / REVISION).write_text(json.dumps({"revision": revision, "source": dict(source)}))
    return revision


def _fill(folder: Path, fetched: Path, source: Mapping[str, Any]) -> str:
    """Put the fetched model into `folder`; its revision."""
    quantised = sorted(fetched.glob("*.gguf"))
    if quantised:
        _dequantise(quantised[0], folder)
        return f"sha256:{file_sha256(quantised[0])}"
    if not any(fetched.glob("*.safetensors")):
        raise InputError(f"{fetched}: no *.safetensors and no *.gguf, expected a model (no pickle is read)")
    _check_shards(fetched)
    _check_texts(fetched)
    for file in visible_files(fetched):
        # not the mark of a folder made here: writing ours would write through the link
        if file.name != REVISION and file.suffix in (".safetensors", *TEXT):
            link_or_copy(file, folder / file.name)
    kind = STANDS_IN if (fetched / STAND_IN).exists() else "sha256"
    return source.get("revision") or f"{kind}:{folder_sha256(fetched)}"


def _dequantise(gguf: Path, folder: Path) -> None:
    """Save a GGUF file's weights as fp32 safetensors, with its tokenizer."""
    parent, name = gguf.parent, gguf.name
    with _refused(f"{gguf}: not a model that reads, delete {gguf.parent} and rerun"):
        model = AutoModelForCausalLM.from_pretrained(
            parent, gguf_file=name, dtype=torch.float32, trust_remote_code=False
        )
        tokenizer = AutoTokenizer.from_pretrained(parent, gguf_file=name, trust_remote_code=False)
    # the weights are no longer quantised; left in place, both refuse to be saved
    model.config.__dict__.pop("quantization_config", None)
    model.hf_quantizer = None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for written in visible_files(folder):
        flush(written)


def _check_shards(folder: Path) -> None:
    """Raise InputError if an index names more than safetensors beside it, which transformers may unpickle."""
    index = folder / INDEX
    if not index.exists():
        return
    with _refused(f"{index}: not an index of weights"):
        named = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    wrong = named - {file.name for file in visible_files(folder) if file.suffix == ".safetensors"}
    if wrong:
        raise InputError(f"{index}: names {min(map(str, wrong))}, expected *.safetensors that lie beside it")


def _check_texts(folder: Path) -> None:
    """Raise InputError if the configuration or the tokenizer does not load without code of its own."""
    checked_config(folder)
    load_tokenizer(folder)


def checked_config(folder: Path) -> PretrainedConfig:
    """What the config.json of a folder says; InputError where it does not load without code of its own."""
    with _refused(f"{folder}: not a model that loads"):
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)


@contextmanager
def _refused(what: str) -> Iterator[None]:
    """Whatever the libraries raise on hostile or damaged files, as one line that begins with `what`."""
    try:
        yield
    except Exception as error:
        told = str(error).strip()
        reason = "it asks for code of its own to be run" if CODE in told else told.partition("\n")[0]
        raise InputError(f"{what} ({reason or type(error).__name__})") from error


def model_revision(folder: Path) -> str:
    """The revision of a prepared model; InputError where its mark is missing or damaged."""
    return read_mark(folder)["revision"]


def read_mark(folder: Path) -> dict[str, Any]:
    """What a prepared model says of itself: revision and source; an exported one also how it was edited."""
    try:
        mark = json.loads((folder / REVISION).read_text())
        mark["revision"]
        return mark
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / REVISION}: no revision ({error}); delete {folder} and rerun") from error
