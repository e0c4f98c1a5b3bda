"""The iterations whose weights stay (`keep_weights`), and the model in each of them."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from reedit.methods import stopping
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact
from reedit.storage.tensors import read_tensors


def kept_iterations(rows: Sequence[Mapping[str, float | None]], keep: str) -> list[int]:
    """The k whose weights stay: all, last, or selected (by the proposed rule)."""
    if keep == "all":
        return [int(row["k"]) for row in rows]
    if keep == "last":
        return [int(rows[-1]["k"])]
    return [stopping.selected(rows)[0]]


class OfCase(Protocol):
    """Something of one case."""

    @property
    def case_id(self) -> int:
        """The case."""


Case = TypeVar("Case", bound=OfCase)


@dataclass(frozen=True)
class State:
    """A model in iteration k: once it was complete, or `after` so many of its edits."""

    k: int
    after: int | None = None

    def of_edited(self, items: Sequence[Case], facts: Sequence[Fact]) -> list[Case]:
        """Those of some `items` whose case is edited by then; `facts` in the order of editing."""
        edited = {fact.case_id for fact in facts[: self.after]}
        return [item for item in items if item.case_id in edited]

    def told(self, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows of results with the column `after`."""
        return [row | {"after": self.after} for row in rows]

    @property
    def file(self) -> str:
        """The name of its weights."""
        return f"k{self.k}" + (f".after{self.after}" if self.after else "") + ".safetensors"


UNEDITED = State(0)


def edits_written(path: Path) -> int:
    """The n of ...after{n}.safetensors."""
    return int(path.stem.rpartition("after")[2])


def kept_states(model: LanguageModel, weights: Path, layers: list[int]) -> Iterator[State]:
    """Put the model into every kept state in the order of editing, the unedited one first."""
    yield UNEDITED
    found = {}
    for path in weights.glob("k*.safetensors"):
        k, _, after = path.stem.removeprefix("k").partition(".after")
        found[int(k), int(after) if after else math.inf] = State(int(k), int(after) if after else None), path
    for state, path in (found[place] for place in sorted(found)):
        model.import_updates(read_tensors(path, str(model.device)), layers)
        yield state
