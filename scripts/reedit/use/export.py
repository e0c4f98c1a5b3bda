"""An edited model as an ordinary transformers folder, which needs nothing of this project to be loaded."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reedit.models.language_model import LanguageModel
from reedit.models.older import state_for_older
from reedit.prepare.preparation import REVISION, TEXT, read_mark
from reedit.storage.checksums import folder_sha256
from reedit.storage.files import flush, visible_files, whole_folder

CARD = "README.md"
OWN = ("config.json", REVISION)  # the texts that are not the base model's
CARD_TEXT = """\
# {model}, edited

**The edited facts are false on purpose.** They were put in to study how facts in a language model can be
changed; this model is not for use where its answers should be true.

| | |
|---|---|
| base model | {model}, {revision} |
| facts | {facts}: {edits} edited |
| method | {method} ({algorithm}, protocol {protocol}) |
| iteration | k = {k} |
| seed, trial | {seed}, {trial} |
| number format | {dtype} |

    AutoModelForCausalLM.from_pretrained("this folder")

loads the very weights that were evaluated, bit for bit, in {stored}. So its logits are those of the
evaluation where attention is computed alike: with `attn_implementation="eager"` on a CPU, by default on a
GPU; other attention rounds otherwise. `{mark}` has the hyperparameters. The licence is the base model's.
"""


def export_model(model: LanguageModel, base: Path, folder: Path, edited: Mapping[str, Any]) -> None:
    """Write `model` as it is now, in the number format that it computes in, as a folder of safetensors.

    `base`: the prepared model that it was loaded from, whose tokenizer it gets; `edited`: what was done to it
    (facts, edits, method, algorithm, protocol, k, seed, trial, dtype). Whole or not at all.
    """
    mark = read_mark(base)
    name = mark.get("model", base.name)
    with whole_folder(folder) as temporary:
        model.model.save_pretrained(temporary)
        for file in visible_files(base):
            if file.suffix in TEXT and file.name not in OWN and ".safetensors." not in file.name:
                shutil.copyfile(file, temporary / file.name)
        state_for_older(temporary)
        made = {"revision": f"sha256:{folder_sha256(temporary)}", "source": mark.get("source", {})}
        made |= {"model": name, "base_revision": mark["revision"], "edited": dict(edited)}
        (temporary / REVISION).write_text(json.dumps(made, indent=1))
        stored = str(model.model.dtype).removeprefix("torch.")
        known = edited | {"model": name, "revision": mark["revision"], "stored": stored, "mark": REVISION}
        (temporary / CARD).write_text(CARD_TEXT.format(**known), encoding="utf-8")
        for written in visible_files(temporary):
            flush(written)
