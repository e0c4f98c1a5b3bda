"""A fetched model as the folder that every job loads: safetensors, tokenizer, configuration."""

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from reedit.errors import InputError
from reedit.files import file_sha256, flush, link_or_copy, naming, visible_files
from reedit.sources import folder_sha256

REVISION = "revision.json"  # beside the weights: where they came from
TEXT = (".json", ".txt", ".model", ".jinja")


def prepare_model(fetched: Path, folder: Path, source: Mapping[str, Any]) -> str:
    """Make `folder` from a fetched GGUF file or from a fetched folder of safetensors; returns the revision.

    Raises InputError where there is neither; weights in a pickle format are never read.
    """
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        with naming(folder, temporary):
            revision = _fill(temporary, fetched, source)
            (temporary / REVISION).write_text(json.dumps({"revision": revision, "source": dict(source)}))
            temporary.chmod(0o755)
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return revision


def _fill(folder: Path, fetched: Path, source: Mapping[str, Any]) -> str:
    """Put the fetched model into `folder`; its revision."""
    quantised = sorted(fetched.glob("*.gguf"))
    if quantised:
        _dequantise(quantised[0], folder)
        return f"sha256:{file_sha256(quantised[0])}"
    if not any(fetched.glob("*.safetensors")):
        raise InputError(f"{fetched}: no *.safetensors and no *.gguf, expected a model (no pickle is read)")
    for file in visible_files(fetched):
        # not the mark of a folder made here: writing ours would write through the link
        if file.name != REVISION and file.suffix in (".safetensors", *TEXT):
            link_or_copy(file, folder / file.name)
    return source.get("revision") or f"sha256:{folder_sha256(fetched)}"


def _dequantise(gguf: Path, folder: Path) -> None:
    """Save a GGUF file's weights as fp32 safetensors, with its tokenizer."""
    try:
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32, trust_remote_code=False
        )
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, trust_remote_code=False)
    except (OSError, ValueError, KeyError, IndexError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{gguf}: not readable as GGUF ({reason}); delete {gguf.parent} and rerun"
        ) from error
    # the weights are no longer quantised; left in place, both refuse to be saved
    model.config.__dict__.pop("quantization_config", None)
    model.hf_quantizer = None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for written in visible_files(folder):
        flush(written)


def model_revision(folder: Path) -> str:
    """The revision of a prepared model; InputError where its mark is missing or damaged."""
    try:
        return json.loads((folder / REVISION).read_text())["revision"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / REVISION}: no revision ({error}); delete {folder} and rerun") from error
