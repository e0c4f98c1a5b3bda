"""How one run iterates: in which steps an iteration goes through its cases and layers, and when it ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reedit.methods import stopping
from reedit.methods.algorithms import Algorithm


@dataclass(frozen=True)
class Step:
    """One batch of cases at one stage of the layers."""

    number: int  # among the steps of an iteration
    batch: int
    places: list[int]  # of its cases among those of the run
    layers: list[int]
    name: str  # what a log says beside k; nothing where there is one step


@dataclass(frozen=True)
class Schedule:
    """The settings of one run's loop."""

    algorithm: Algorithm
    hyperparameters: Mapping[str, Any]
    protocol: str
    iterations: int = 1
    stop: str = "none"
    extend_to: int | None = None  # go on to here where `proposed` is not met by `iterations`
    nonfinite: str = "drop"  # what to do with a case whose numbers are not finite: drop, or stop
    batch: int | None = None  # so many cases at a time, one batch on what the others left; None: all at once
    spread_only: bool = False  # from k = 2 on, the targets of k = 1 again: no OPTIMIZATION

    @property
    def layers(self) -> list[int]:
        return self.hyperparameters["layers"]

    def steps(self, edits: int) -> list[Step]:
        """What an iteration over so many cases does, in order: batch after batch, in it stage after stage."""
        size = self.batch or max(edits, 1)
        batches = [list(range(start, min(start + size, edits))) for start in range(0, edits, size)]
        stages = self.algorithm.stages(self.layers)
        steps = []
        for batch, places in enumerate(batches):
            for layers in stages:
                name = f" batch {batch + 1} of {len(batches)}" * (len(batches) > 1)
                name += f" layer {layers[-1]}" * (len(stages) > 1)
                steps.append(Step(len(steps), batch, places, layers, name))
        return steps

    def in_turn(self, edits: int) -> bool:
        """Whether some of so many cases are edited on what others have left in the same iteration."""
        return edits > 1 and (self.algorithm.one_by_one or edits > (self.batch or edits))

    @property
    def weight(self) -> float:
        """SPREAD's lambda: what is preserved against what is written."""
        return float(self.hyperparameters.get(self.algorithm.weight, 0.0))

    @property
    def ridge(self) -> float:
        """What is added to C, so that lambda (C + ridge I) weighs the update's own norm too (ENCORE, 4.2)."""
        return float(self.hyperparameters.get("update_norm_lambda", 0.0)) / (self.weight or 1.0)

    @property
    def protects(self) -> bool:
        """Whether keys of earlier edits are kept for SPREAD to leave alone."""
        sequential = self.batch is not None or self.protects_own
        return self.algorithm.preserves == "null_space" and sequential

    @property
    def protects_own(self) -> bool:
        """Whether that holds for what the same cases were given in earlier iterations."""
        return bool(self.hyperparameters.get("protect_own_keys", False))

    @property
    def looks_ahead(self) -> bool:
        """Whether p(theta_{k+1}, h-hat) is what the next iteration's first passes say, edit by edit.

        So the published ROME has it (design, section 5); it costs one iteration more.
        """
        return self.algorithm.one_by_one and self.protocol == "released"

    def is_over(self, gaps: Sequence[float | None], changes: Sequence[float | None]) -> bool:
        """Whether to stop after the iterations whose delta_p and delta_p2 are given.

        Where a delta_p was not measured nobody knows whether `proposed` is met, and nothing is extended.
        """
        if stopping.met(self.stop, gaps, changes) is not None:
            return True
        if len(gaps) < self.iterations or self.extend_to is None or None in gaps:
            return len(gaps) >= self.iterations
        return stopping.met("proposed", gaps, changes) is not None or len(gaps) >= self.extend_to
