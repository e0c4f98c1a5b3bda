"""A fetched model as the folder that every job loads: safetensors, tokenizer, configuration."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from reedit.errors import InputError
from reedit.models.folder import check_folder
from reedit.models.older import state_for_older
from reedit.models.weights import INDEX, refused, weights_in
from reedit.storage.checksums import folder_sha256, write_sums
from reedit.storage.files import file_sha256, flush, link_or_copy, visible_files, whole_folder
from reedit.storage.provenance import STANDS_IN

REVISION = "revision.json"  # beside the weights: where they came from
STAND_IN = "stand-in.json"  # in a folder whose weights are random: what it stands for
TEXT = (".json", ".txt", ".model", ".jinja")
OURS = re.compile(rf"[0-9a-f]{{40}}|(sha256|{STANDS_IN}):[0-9a-f]+")  # how our marks tell a revision


def prepare_model(fetched: Path, folder: Path, source: Mapping[str, Any]) -> str:
    """Make `folder` from a folder with a GGUF file or with safetensors; returns the revision.

    Raises InputError where check_folder does; weights in a pickle format are never read. `fetched` is not
    written to.
    """
    check_folder(fetched)
    with whole_folder(folder) as temporary:
        revision = _fill(temporary, fetched, source)
        state_for_older(temporary)
        (temporary / REVISION).write_text(json.dumps({"revision": revision, "source": dict(source)}))
        write_sums(temporary)
    return revision


def _fill(folder: Path, fetched: Path, source: Mapping[str, Any]) -> str:
    """Put the fetched model into `folder`; its revision."""
    weights = weights_in(fetched)
    if weights.gguf:
        _dequantise(weights.gguf, folder)
        check_folder(folder)
        return f"sha256:{file_sha256(weights.gguf)}"
    for file in [*weights.files, *(file for file in visible_files(fetched) if _is_text(file))]:
        link_or_copy(file, folder / file.name)
    kind = STANDS_IN if (fetched / STAND_IN).exists() else "sha256"
    return source.get("revision") or f"{kind}:{folder_sha256(fetched)}"


def _is_text(file: Path) -> bool:
    """Whether a file speaks of the model: no mark of a folder made here, and no index of other weights."""
    other_index = file.name.endswith(".index.json") and file.name != INDEX
    return file.suffix in TEXT and file.name != REVISION and not other_index


def _dequantise(gguf: Path, folder: Path) -> None:
    """Save a GGUF file's weights as fp32 safetensors, with its tokenizer."""
    parent, name = gguf.parent, gguf.name
    transformers_logging.disable_progress_bar()  # the job's own log says what is going on
    with refused(f"{gguf}: not a model that reads"):
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


def model_revision(folder: Path) -> str:
    """The revision of a prepared model; InputError where its mark is missing or damaged."""
    return read_mark(folder)["revision"]


def read_mark(folder: Path) -> dict[str, Any]:
    """What a prepared model says of itself: revision and source; an exported one also how it was edited.

    Raises InputError where it says nothing.
    """
    try:
        mark = json.loads((folder / REVISION).read_text())
        mark["revision"]
        return mark
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder / REVISION}: no revision ({error}), expected that of prepare_model, or of an export;"
            " snakemake --forcerun prepare_model makes a prepared model anew"
        ) from error


def own_mark(folder: Path) -> dict[str, Any] | None:
    """The mark of a folder that was prepared or exported here; None for another, whatever lies in it."""
    try:
        mark = read_mark(folder)
    except InputError:
        return None
    of_ours = isinstance(mark["revision"], str) and isinstance(mark.get("source"), dict)
    return mark if of_ours and OURS.fullmatch(mark["revision"]) else None
