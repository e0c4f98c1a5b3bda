"""What OPTIMIZATION found."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf, isinf

import torch
from torch import Tensor


@dataclass(frozen=True)
class Optimized:
    """The outcome of OPTIMIZATION for m edits, in the order given."""

    vectors: tuple[str, ...]  # what was optimised, see algorithms.py
    hidden: Tensor  # h_i, what the bare prompt has at t, [m, vectors, d]
    delta: Tensor  # [m, vectors, d]
    steps: list[int]  # updates made
    ppl_initial: list[float]
    ppl_target: list[float]  # infinite where OPTIMIZATION or SPREAD met numbers that are not finite

    def target(self, vector: str) -> Tensor:
        """z_i = h_i + delta_i of one vector, [m, d]."""
        place = self.vectors.index(vector)
        return self.hidden[:, place] + self.delta[:, place]

    @property
    def dropped(self) -> list[int]:
        """The edits whose numbers are not finite: there is nothing to write for them."""
        finite = (self.hidden.isfinite() & self.delta.isfinite()).flatten(1).all(1).tolist()
        return [i for i, ppl in enumerate(self.ppl_target) if isinf(ppl) or not finite[i]]

    def dropping(self, edits: Iterable[int]) -> "Optimized":
        """The same with some more edits dropped."""
        target = list(self.ppl_target)
        for edit in edits:
            target[edit] = inf
        return replace(self, ppl_target=target)

    def to(self, device: torch.device | str) -> "Optimized":
        """The same with its tensors on a device."""
        return replace(self, hidden=self.hidden.to(device), delta=self.delta.to(device))


Part = tuple[Sequence[int], Optimized]  # which edits, and what was found for them


def joined(parts: Iterable[Part]) -> Optimized:
    """The outcome of all edits from parts of them, each edit at least once."""
    parts = list(parts)
    places = [place for edits, _ in parts for place in edits]
    where = {place: row for row, place in enumerate(places)}
    order = [where[place] for place in range(len(where))]
    steps = [value for _, part in parts for value in part.steps]
    initial = [value for _, part in parts for value in part.ppl_initial]
    target = [value for _, part in parts for value in part.ppl_target]
    return Optimized(
        vectors=parts[0][1].vectors,
        hidden=torch.cat([part.hidden for _, part in parts])[order],
        delta=torch.cat([part.delta for _, part in parts])[order],
        steps=[steps[row] for row in order],
        ppl_initial=[initial[row] for row in order],
        ppl_target=[target[row] for row in order],
    )


def in_turn(stages: Sequence[Optimized]) -> Optimized:
    """The outcome of the same edits at one stage after the other: where they began, and where they ended."""
    first, last = stages[0], stages[-1]
    lost = {edit for stage in stages for edit in stage.dropped}
    steps = [sum(made) for made in zip(*(stage.steps for stage in stages), strict=True)]
    return replace(last, steps=steps, ppl_initial=first.ppl_initial).dropping(lost)
