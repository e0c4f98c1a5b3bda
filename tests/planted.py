"""Changes of the library that show on a GPU alone: mixtures of devices, and what CUDA takes all the same."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from workflow import REPOSITORY, edited

OURS = ("reedit", "tiny", "variants", "whole_path")  # what is imported anew with a copy of the library


@dataclass(frozen=True)
class Planted:
    """A change of one line of the library."""

    file: str  # in scripts/reedit/
    old: str
    new: str


MIXTURES = {
    "steps": Planted(
        "models/starts.py",
        "torch.arange(int(counts.max()), device=counts.device)",
        "torch.arange(int(counts.max()))",
    ),
    "labels": Planted(
        "edit/optimization/buckets.py", "[[]], dtype=torch.long, device=device)", "[[]], dtype=torch.long)"
    ),
    "weights": Planted("edit/optimization/buckets.py", "weights.to(device, wide", "weights.to(wide"),
    "active": Planted(
        "edit/optimization/descent.py", "dtype=torch.bool, device=hidden.device)", "dtype=torch.bool)"
    ),
    "best": Planted(
        "edit/optimization/descent.py", "dtype=torch.bool, device=delta.device)", "dtype=torch.bool)"
    ),
    "result": Planted(
        "edit/optimization/optimize.py", "at_once.edits).to(editor.model.device)", "at_once.edits)"
    ),
    "factor": Planted("edit/spread/spread.py", "factors[layer].to(means.device)", "factors[layer]"),
    "update": Planted("models/language_model.py", "update.to(self.device)", "update"),
    "drawn": Planted("prepare/prefixes.py", ".float().cpu()", ".float()"),
    "ridge": Planted("edit/spread/solve.py", "dtype=wide.dtype, device=wide.device)", "dtype=wide.dtype)"),
}
LEGAL = {
    "an index on the CPU": Planted(
        "edit/states.py",
        "torch.arange(len(self.rows), device=self.last.device)",
        "torch.arange(len(self.rows))",
    ),
    "a mask on the CPU": Planted("statistics/moments.py", "[mask.bool()]", "[mask.bool().cpu()]"),
    "a number on the CPU": Planted(
        "models/numbers.py",
        "mask.masked_fill_(~visible, torch.finfo(dtype).min)",
        "mask.masked_fill_(~visible, torch.tensor(torch.finfo(dtype).min))",
    ),
    "a copy from the CPU": Planted(
        "models/language_model.py", "_oriented(layer).copy_(weight)", "_oriented(layer).copy_(weight.cpu())"
    ),
}


@contextmanager
def planted(change: Planted, folder: Path) -> Iterator[None]:
    """Inside: what is imported of the library is a copy of it in `folder` with the change."""
    shutil.copytree(REPOSITORY / "scripts", folder, ignore=shutil.ignore_patterns("__pycache__"))
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in OURS}
    sys.path.insert(0, str(folder))
    try:
        with edited(folder / "reedit" / change.file, change.old, change.new):
            yield
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.split(".")[0] in OURS]:
            del sys.modules[name]
        sys.modules.update(kept)
