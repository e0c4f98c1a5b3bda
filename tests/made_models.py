"""A results/ folder with a prepared tiny model and a run that edited it, without any editing."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tiny import save_tiny_model

from reedit.models.language_model import LanguageModel
from reedit.prepare.preparation import REVISION
from reedit.storage import parquet
from reedit.storage.schemas import SCHEMAS

LAYERS = [1, 2, 3]
RUN = "tiny/facts/memit/trial1"
GAPS = [9.0, 0.5, 0.1]  # delta_p: the proposed rule stops at k = 2
MADE_BY = {
    "algorithm": "memit",
    "protocol": "corrected",
    "edits": 4,
    "seed": 0,
    "trial": 1,
    "model_revision": "sha256:1234",
    "hyperparameters": {"layers": LAYERS},
    "keep_weights": "all",
}


def make_run(results: Path, architecture: str = "llama", dtype: str = "float32") -> Path:
    """results/edits/RUN with three iterations, every update random; the model beside it."""
    base, run = results / "models/tiny", results / "edits" / RUN
    save_tiny_model(base, architecture=architecture)
    source = {"kind": "hub", "repo": "a/b", "revision": "1234"}
    (base / REVISION).write_text(json.dumps({"revision": "sha256:1234", "source": source}))
    model = LanguageModel.load(base, dtype, "cpu")
    (run / "weights").mkdir(parents=True)
    generator = torch.Generator().manual_seed(0)
    for k in (1, 2, 3):
        for layer in LAYERS:
            update = 0.1 * torch.randn(model.weight(layer).shape, generator=generator)
            model.set_cumulative_update(layer, update)
        save_file(model.export_updates(LAYERS), run / f"weights/k{k}.safetensors")
    names = SCHEMAS["iterations"].names
    rows = [dict.fromkeys(names, 1.0) | {"k": k, "delta_p": gap} for k, gap in enumerate(GAPS, start=1)]
    parquet.write(rows, run / "iterations.parquet", "iterations", MADE_BY | {"dtype": dtype})
    return run
