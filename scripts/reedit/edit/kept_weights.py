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


@dataclass(frozen=True)
class KeptStates:
    """The unedited model and every state whose weights are kept in a folder, in the order of editing.

    Whoever goes through them has the model in each: ``for state in KeptStates(model, weights, [4, 5])``.
    """

    model: LanguageModel
    weights: Path
    layers: list[int]

    def __iter__(self) -> Iterator[State]:
        for state in self.found():
            self.enter(state)
            yield state

    def found(self) -> list[State]:
        """Which they are, by their files."""
        states = [UNEDITED]
        for path in self.weights.glob("k*.safetensors"):
            k, _, after = path.stem.removeprefix("k").partition(".after")
            states.append(State(int(k), int(after) if after else None))
        return sorted(states, key=lambda state: (state.k, state.after or math.inf))

    def file(self, state: State) -> Path | None:
        """The weights of a state; of the unedited one there are none."""
        return None if state == UNEDITED else self.weights / state.file

    def enter(self, state: State) -> None:
        """Put the model, which was loaded unedited, into a state that is not before the one it is in."""
        if file := self.file(state):
            self.model.import_updates(read_tensors(file, str(self.model.device)), self.layers)
