"""The iterations whose weights stay (`keep_weights`), and the model in each of them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from reedit.methods import stopping
from reedit.models.language_model import LanguageModel
from reedit.storage.tensors import read_tensors


def kept_iterations(rows: Sequence[Mapping[str, float | None]], keep: str) -> list[int]:
    """The k whose weights stay: all, last, or selected (by the proposed rule)."""
    if keep == "all":
        return [int(row["k"]) for row in rows]
    if keep == "last":
        return [int(rows[-1]["k"])]
    return [stopping.selected(rows)[0]]


def kept_states(model: LanguageModel, weights: Path, layers: list[int]) -> Iterator[int]:
    """Put the model into every kept state, k = 0 (unedited) first; yields k."""
    yield 0
    for path in sorted(weights.glob("k*.safetensors"), key=lambda path: int(path.stem[1:])):
        model.import_updates(read_tensors(path, str(model.device)), layers)
        yield int(path.stem[1:])
