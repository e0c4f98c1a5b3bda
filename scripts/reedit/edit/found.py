"""What OPTIMIZATION found for some edits, and which of them are lost: their numbers are not finite."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf, isinf, nan

import torch
from torch import Tensor

NUMBERS = ("steps", "ppl_initial", "ppl_target")  # of Found, one of each an edit


@dataclass(frozen=True)
class Found:
    """The outcome of OPTIMIZATION for m edits, in the order given."""

    vectors: tuple[str, ...]  # what was optimised, see methods/algorithms.py; none where that is not told
    hidden: Tensor  # h_i, what the bare prompt has at t, [m, vectors, d]
    delta: Tensor  # [m, vectors, d]
    steps: list[int]  # updates made
    ppl_initial: list[float]
    ppl_target: list[float]  # infinite for an edit that is lost
    lost: Mapping[int, str] = field(default_factory=dict)  # edit -> where its numbers were not finite

    def target(self, vector: str) -> Tensor:
        """z_i = h_i + delta_i of one vector, [m, d]."""
        place = self.vectors.index(vector)
        return self.hidden[:, place] + self.delta[:, place]

    @property
    def unusable(self) -> list[int]:
        """The edits whose numbers are not finite: there is nothing to write for them."""
        finite = (self.hidden.isfinite() & self.delta.isfinite()).flatten(1).all(1).tolist()
        return [i for i, ppl in enumerate(self.ppl_target) if isinf(ppl) or not finite[i]]

    def losing(self, edits: Iterable[int], where: str) -> "Found":
        """The same with some more edits lost."""
        lost = {edit: where for edit in edits} | dict(self.lost)
        target = [inf if i in lost else ppl for i, ppl in enumerate(self.ppl_target)]
        return replace(self, ppl_target=target, lost=lost)

    def tensors(self) -> dict[str, Tensor]:
        """What a file keeps of it, by name, on the CPU; not what is lost: `of_tensors` has it back."""
        numbers = {name: torch.tensor(getattr(self, name), dtype=torch.float64) for name in NUMBERS}
        return {"hidden": self.hidden.cpu().contiguous(), "delta": self.delta.cpu().contiguous(), **numbers}

    @classmethod
    def of_tensors(cls, vectors: tuple[str, ...], tensors: Mapping[str, Tensor]) -> "Found":
        """What `tensors` named; KeyError where a name is missing."""
        numbers = {name: tensors[name].tolist() for name in NUMBERS}
        numbers["steps"] = [int(steps) for steps in numbers["steps"]]
        return cls(vectors, tensors["hidden"], tensors["delta"], **numbers)

    def of(self, places: Sequence[int]) -> "Found":
        """What was found for some of the edits, told by their places."""
        places = list(places)
        return Found(
            *(self.vectors, self.hidden[places], self.delta[places]),
            *([values[i] for i in places] for values in (self.steps, self.ppl_initial, self.ppl_target)),
            lost={new: self.lost[old] for new, old in enumerate(places) if old in self.lost},
        )

    def to(self, device: torch.device | str) -> "Found":
        """The same with its tensors on a device."""
        return replace(self, hidden=self.hidden.to(device), delta=self.delta.to(device))


def untold(ppl_initial: list[float]) -> Found:
    """What is known of edits whose engine tells of no vectors: where they began."""
    m = len(ppl_initial)
    nothing = torch.zeros(m, 0, 0)
    return Found((), nothing, nothing, [0] * m, ppl_initial, [nan] * m)


Part = tuple[Sequence[int], Found]  # which edits, and what was found for them


def joined(parts: Iterable[Part]) -> Found:
    """The outcome of all edits from parts of them, each edit at least once."""
    parts = list(parts)
    places = [place for edits, _ in parts for place in edits]
    where = {place: row for row, place in enumerate(places)}
    order = [where[place] for place in range(len(where))]
    steps = [value for _, part in parts for value in part.steps]
    initial = [value for _, part in parts for value in part.ppl_initial]
    target = [value for _, part in parts for value in part.ppl_target]
    return Found(
        vectors=parts[0][1].vectors,
        hidden=torch.cat([part.hidden for _, part in parts])[order],
        delta=torch.cat([part.delta for _, part in parts])[order],
        steps=[steps[row] for row in order],
        ppl_initial=[initial[row] for row in order],
        ppl_target=[target[row] for row in order],
        lost={edits[row]: told for edits, part in parts for row, told in part.lost.items()},
    )


def in_turn(stages: Sequence[Found]) -> Found:
    """The outcome of the same edits at one stage after the other: where they began, and where they ended."""
    first, last = stages[0], stages[-1]
    steps = [sum(made) for made in zip(*(stage.steps for stage in stages), strict=True)]
    found = replace(last, steps=steps, ppl_initial=first.ppl_initial)
    for stage in stages[:-1]:
        for edit, where in stage.lost.items():
            found = found.losing([edit], where)
    return found
