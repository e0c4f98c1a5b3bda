"""Second moments in the .npz files of ROME, MEMIT and EasyEdit: published ones are read, ours are written.

A file holds one layer: `mom2.mom2`, the sum of k k^T over all tokens, [key, key]; `mom2.count`, how many
tokens; `sample_size`, of how many documents. Its place is {model}/{corpus}_stats/; its name is that of the
edited module, then _float32_mom2_, the number of documents and .npz.
Facts from the published code: util/runningstats.py and rome/layer_stats.py of ROME.
"""

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reedit.errors import InputError
from reedit.statistics.moments import check_moment
from reedit.statistics.symmetric import symmetrise
from reedit.storage.files import atomic, visible_tree

SUM, COUNT, SAMPLES = "mom2.mom2", "mom2.count", "sample_size"
PRECISIONS = (np.dtype("float32"), np.dtype("float64"))


@dataclass(frozen=True)
class Statistics:
    """A second moment E[k k^T], fp32 [key, key], over `count` tokens of `samples` documents."""

    moment: Tensor
    count: int
    samples: int | None  # None where the file does not say


def file_name(module: str, samples: int) -> str:
    """The name under which ROME and EasyEdit look for the statistics of a module."""
    return f"{module}_float32_mom2_{samples}.npz"


def find_statistics(folder: Path, module: str, names: Sequence[str]) -> Path:
    """The one file under `folder` that is named for the edited `module`.

    Where it lies in a folder of a model ({model}/{corpus}_stats/), that has to be one of the model's `names`,
    signs and case aside: llama-2-7b is of meta-llama/Llama-2-7b-hf. Raises InputError.
    """
    pattern = re.compile(rf"{re.escape(module)}_float\d+_([a-z_]+-)?mom2.*\.npz")
    files = [path.relative_to(folder) for path in visible_tree(folder)]
    found = [path for path in files if pattern.fullmatch(path.name)]
    if len(found) != 1:
        listed = ", ".join(map(str, (found or files)[:4])) or "nothing"
        expected = f"expected one {file_name(module, 100000)} or alike"
        raise InputError(f"{folder}: {len(found)} files of statistics of {module} in {listed}; {expected}")
    (path,) = found
    if len(path.parts) > 2 and path.parts[-2].endswith("_stats"):
        owner, known = _plain(path.parts[-3]), [_plain(name) for name in names]
        if not any(owner in name or name in owner for name in known):
            raise InputError(f"{folder / path}: statistics of {path.parts[-3]}, expected of {names[0]}")
    return folder / path


def _plain(name: str) -> str:
    """The letters and digits of the last part of a model's name."""
    return re.sub(r"[^a-z0-9]", "", name.rpartition("/")[2].lower())


def read_statistics(path: Path, keys: int) -> Statistics:
    """One layer's statistics, checked: keys, shape [keys, keys], finite, symmetric, positive diagonal, count.

    No pickle is read. Raises InputError.
    """
    expected = f"expected statistics with {COUNT} and {SUM}"
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: not an .npz file, {expected}")
    try:
        with np.load(path, allow_pickle=False) as file:
            held = list(file)
            found = {key: np.asanyarray(file[key]) for key in (COUNT, SUM, SAMPLES) if key in file}
    except Exception as error:  # numpy and zipfile raise nearly every type on damaged bytes
        raise InputError(f"{path}: not readable without pickle ({error}), {expected}") from error
    missing = [key for key in (COUNT, SUM) if key not in found]
    if missing:
        raise InputError(f"{path}: no {missing[0]} in it, {expected}; found {', '.join(held)}")
    count, total = found[COUNT], found.pop(SUM)
    samples = _whole(found[SAMPLES]) if SAMPLES in found else None
    tokens = _whole(count)
    if not tokens:
        raise InputError(f"{path}: {COUNT} is {str(count)[:40]}, expected a number of tokens above 0")
    if total.shape != (keys, keys) or total.dtype not in PRECISIONS:
        kind = f"{SUM} is {total.dtype} of shape {total.shape}"
        raise InputError(f"{path}: {kind}, expected fp32 or fp64 of ({keys}, {keys}) for this model")
    total /= tokens
    moment = torch.from_numpy(total).float()
    check_moment(moment, f"{path}: {SUM}")
    symmetrise(moment)
    return Statistics(moment, tokens, samples)


def _whole(number: np.ndarray) -> int | None:
    """A whole number above 0, None for anything else (ROME writes NaN where all documents were taken)."""
    if number.size != 1 or number.dtype.kind not in "iuf" or not float(number.item()).is_integer():
        return None
    return int(number.item()) if 0 < number.item() < 2**63 else None


def write_statistics(statistics: Statistics, path: Path) -> None:
    """Write what the published readers expect; `sample_size` has to be the one that they are asked for."""
    content = {
        "mom2.constructor": "util.runningstats.SecondMoment()",
        COUNT: statistics.count,
        SUM: statistics.moment.double().mul_(statistics.count).float().numpy(),
        SAMPLES: statistics.samples,
    }
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **content)
