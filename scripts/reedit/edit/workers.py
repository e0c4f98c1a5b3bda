"""Who does OPTIMIZATION: the ranks that share a job, in pieces, and never what is in the journal already."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from reedit.edit.edits import Edit
from reedit.edit.found import Found, joined
from reedit.edit.journal import Iteration, Journal
from reedit.edit.memory import Memory
from reedit.edit.ranks import ALONE, Ranks
from reedit.edit.written import Batch
from reedit.jobs.progress import progress
from reedit.methods.recipe import Recipe, Step

Report = Callable[[int], None]  # called with the passes made so far
Work = Callable[[Sequence[Edit], Report], Found]


@dataclass
class Seconds:
    """How long an iteration's OPTIMIZATION and SPREAD took."""

    now: float = 0.0
    spread: float = 0.0  # all else in it
    kept: float = 0.0  # for what was done before: looking ahead, or by a job that was interrupted
    earlier: float = 0.0  # of these, by a job that was interrupted


@dataclass
class Workers:
    """The processes of a job and what they have on disk; `journal` None: nothing is kept.

    `seconds` are those of the iteration that has begun last.
    """

    journal: Journal | None = None
    ranks: Ranks = ALONE
    seconds: Seconds = field(default_factory=Seconds)
    _report: Report = field(default=lambda passes: None)
    _passes: int = 0  # that all steps before this one may have made
    _start: float = 0.0

    def begin(self, steps: Sequence[Step], recipe: Recipe, done: Sequence[Batch] = ()) -> Iterator[Step]:
        """The steps of an iteration that are left, one by one; `done`: by a job that was interrupted."""
        self._passes, self._start = 0, time.monotonic()
        optimization, spread = (done[-1].optimization, done[-1].spread) if done else (0.0, 0.0)
        self.seconds = Seconds(spread=spread, kept=optimization, earlier=optimization + spread)
        most = recipe.passes * sum(len(step.places) - len(step.held) for step in steps)
        self._report = progress(f"k={steps[0].k} OPTIMIZATION, passes", most)
        yield from steps
        self.seconds.spread += time.monotonic() - self._start - self.seconds.now

    def wrote(
        self,
        k: int,
        number: int,
        batch: Batch,
        updates: Mapping[str, Tensor],
        checkpoint: bool,
        running: Mapping[str, Tensor],
    ) -> None:
        """A batch of iteration k is written; the leading rank puts it into the journal."""
        if self.journal and self.ranks.leads:
            now, spent = self.seconds.now, time.monotonic() - self._start
            told = replace(
                batch, optimization=now + self.seconds.kept, spread=self.seconds.spread + spent - now
            )
            self.journal.written(k).add(number, told, updates, checkpoint, running)

    def map(self, work: Work, edits: Sequence[Edit], step: Step, recipe: Recipe, at_once: int) -> Found:
        """`work` of all `edits`, `at_once` at a time: the same on all ranks, to the last bit, on the CPU.

        An edit that stops has made all its passes; of other ranks as many are assumed as of this one.
        """
        start, passes = time.monotonic(), recipe.passes
        pieces = self.journal.pieces(step, recipe.algorithm.optimises) if self.journal else []
        parts = [(piece.places, piece.found) for piece in pieces]
        done = self.ranks.agreed({place for places, _ in parts for place in places})
        # similar edits together, so that a batch ends together and padding is small
        order = sorted(range(len(edits)), key=lambda i: len(edits[i].rewriting[0].row.ids))
        batches = [order[first : first + at_once] for first in range(0, len(order), at_once)]
        left = [rest for batch in batches if (rest := [place for place in batch if place not in done])]
        finished = 0  # edits of this rank
        for places in self.ranks.share(left):

            def report(made: int, before: int = finished * passes) -> None:
                here = len(done) * passes + self.ranks.count * (before + made)
                self._report(self._passes + min(here, len(edits) * passes))

            begun = time.monotonic()
            found = work([edits[place] for place in places], report).to("cpu")
            finished += len(places)
            parts.append((places, found))
            if self.journal:
                self.journal.keep(step, places, found, time.monotonic() - begun)
        everywhere = joined(self.ranks.gathered(parts))
        self._passes += len(edits) * passes
        self.seconds.now += time.monotonic() - start
        self.seconds.kept += sum(piece.seconds for piece in pieces) / self.ranks.count
        self.seconds.earlier += sum(piece.seconds for piece in pieces if piece.earlier) / self.ranks.count
        return everywhere

    def made(self, passes: int) -> None:
        """So many passes more, which all ranks make alike."""
        self._passes += passes
        self._report(self._passes)

    def completed(self, iteration: Iteration, updates: Mapping[str, Tensor], memory: Memory) -> Iteration:
        """The leading rank's iteration, which it writes into the journal."""
        if self.ranks.leads:
            self.journal.complete(int(iteration.row["k"]), iteration, updates, memory)
        return self.ranks.agreed(iteration)
