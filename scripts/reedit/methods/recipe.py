"""What one run does with its cases, as data: the steps of an iteration, and when iterating ends.

recipe = Recipe(ALGORITHMS["memit"], hyperparameters, "corrected", iterations=5, stop="proposed")
recipe.steps(1, 1000)  # what the first iteration does, in order
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, product
from typing import Any

from reedit.methods import stopping
from reedit.methods.algorithms import Algorithm
from reedit.methods.hyperparameters import PASSES
from reedit.methods.protocols import PROTOCOLS, Protocol

LEAVES = ("never", "gap")  # when an edit is done, and OPTIMIZATION leaves it alone
# what makes an update gentler (edit/spread/regularisation.py) or a target (edit/optimization/anchors.py), and
# its options
OF_TARGETS = {"nas": ("limit",)}
REGULARISERS = {"prune": ("log_base",), "rect": ("keep",), "sphere": ("share", "strength"), **OF_TARGETS}
PROTECTS = ("none", "others", "all")  # whose keys, written earlier, an update leaves alone


@dataclass(frozen=True)
class Step:
    """Some cases at one stage of the layers: OPTIMIZATION at the last of these, then SPREAD over them."""

    k: int
    number: int  # among the steps of the iteration
    batch: int
    places: tuple[int, ...]  # of its cases among those of the run
    layers: list[int]
    name: str  # what a log says of it
    held: frozenset[int] = frozenset()  # of these cases those that OPTIMIZATION leaves alone


@dataclass(frozen=True)
class Recipe:
    """The settings of one run's iterations."""

    algorithm: Algorithm
    hyperparameters: Mapping[str, Any]
    protocol: str = "corrected"
    iterations: int = 1
    stop: str = "none"
    extend_to: int | None = None  # go on to here where `proposed` is not met by `iterations`
    nonfinite: str = "drop"  # what to do with a case whose numbers are not finite: drop, or stop
    batch: int | None = None  # so many cases at a time, one batch on what the others left; None: all at once
    spread_only: bool = False  # from k = 2 on, the targets of k = 1 again: no OPTIMIZATION
    leaves: str = "never"  # or gap: from k = 2 on, OPTIMIZATION only of edits that are not done
    protects: str | None = None  # see `protected`
    regularisers: Sequence[Mapping[str, Any]] = ()  # of each update or target: name and options
    ideal_editor: float | None = None  # lambda of SimIE (edit/ideal_editor.py)
    whole: Sequence[int] = ()  # how many edits belong to each case, in order; one each where nothing is said
    checkpoints: int | None = None  # after every so many batches the weights are kept, to be scored
    seed: int = 0  # of what is drawn while editing: the order of fine-tuning's epochs
    engine: str = "reedit"  # or easyedit, which tells of no passes

    @property
    def rules(self) -> Protocol:
        """The protocol's fields."""
        return PROTOCOLS[self.protocol]

    @property
    def layers(self) -> list[int]:
        """All layers that are edited, in order."""
        return self.hyperparameters["layers"]

    def steps(self, k: int, edits: int, held: frozenset[int] = frozenset()) -> list[Step]:
        """What iteration k does with so many cases, in order; `held` of them without OPTIMIZATION.

        Batch after batch; in a batch edit after edit, where the algorithm takes them so, else all of them; of
        these stage after stage.
        """
        batches = self.batches(edits)
        stages = self.algorithm.stages(self.layers)
        steps, numbers = [], count()
        for batch, members in enumerate(batches):
            turns = [(place,) for place in members] if self.algorithm.one_by_one else [members]
            for places, layers in product(turns, stages):
                name = f"k={k}" + f" batch {batch + 1} of {len(batches)}" * (len(batches) > 1)
                name += f" layer {layers[-1]}" * (len(stages) > 1)
                few = held.intersection(places)
                steps.append(Step(k, next(numbers), batch, places, layers, name, few))
        return steps

    @property
    def of_updates(self) -> list[Mapping[str, Any]]:
        """The regularisers of each update as it is written, in their order."""
        return [one for one in self.regularisers if one["name"] not in OF_TARGETS]

    @property
    def target_regulariser(self) -> dict[str, Any] | None:
        """The options of the one that regularises targets; None without."""
        found = [one for one in self.regularisers if one["name"] in OF_TARGETS]
        return {name: value for name, value in found[0].items() if name != "name"} if found else None

    def is_checkpoint(self, batch: int) -> bool:
        """Whether the weights after the batch of this number stay, to be scored."""
        return self.checkpoints is not None and (batch + 1) % self.checkpoints == 0

    def along(self, edits: int) -> list[int]:
        """How many of so many edits are written at each checkpoint of an iteration."""
        ends = [batch[-1] + 1 for batch in self.batches(edits)]
        return ends[self.checkpoints - 1 : -1 : self.checkpoints] if self.checkpoints else []

    def batches(self, edits: int) -> list[tuple[int, ...]]:
        """The places of so many edits batch by batch; what belongs to one case is in one batch.

        Where cases have several edits a batch may have fewer than were asked for; one case's may be more.
        """
        size, batches = self.batch or max(edits, 1), []
        free, place = 0, 0
        for members in self.whole or [1] * edits:
            if members > free:
                batches.append(())
                free = size
            batches[-1] += tuple(range(place, place + members))
            free -= members
            place += members
        return batches

    def in_turn(self, edits: int) -> bool:
        """Whether some of so many cases are edited on what others have left in the same iteration."""
        return edits > 1 and (self.algorithm.one_by_one or edits > (self.batch or edits))

    @property
    def holds(self) -> bool:
        """Whether an iteration may go on writing what an earlier one has found."""
        return self.spread_only or self.leaves != "never"

    def held(self, rows: Sequence[Mapping[str, float | None]]) -> frozenset[int]:
        """The edits, by place, whose last targets SPREAD writes again in the next iteration, none found anew.

        `rows`: those of `targets` of the iteration before. With `leaves: gap` an edit is held while its own
        gap |p(theta_k, h-hat) - p(theta_{k-1}, h-bar)| is at most epsilon and its target leads. The gap alone
        would hold a hard fact as well, whose h-bar did not make the target likely either. A target leads
        where p(theta_k, h-hat) is at most 1 + epsilon = 2: it has half of the probability, on the geometric
        mean over its rows, and no other token more. So the tables of a run tell which edits were held.
        """
        if self.spread_only:
            return frozenset(range(len(rows)))
        if self.leaves == "never":
            return frozenset()
        told = [(row["ppl_edited"], row["ppl_target"]) for row in rows]
        return frozenset(
            place
            for place, (edited, target) in enumerate(told)
            if abs(edited - target) <= stopping.EPSILON and edited <= 1 + stopping.EPSILON
        )

    @property
    def leading_passes(self) -> int | None:
        """In how many passes a target has to lead before its edit is done; None where that is not asked.

        The published files of ENCORE have it as a negative prob_cutoff.
        """
        return -int(self.hyperparameters.get("prob_cutoff", -1)) if self.algorithm.leads else None

    @property
    def passes(self) -> int:
        """The most passes that OPTIMIZATION, or fine-tuning, makes of an edit at a stage."""
        return self.hyperparameters.get(PASSES.get(self.algorithm.takes, ""), 1)

    @property
    def nll_factor(self) -> float:
        """Of the NLL in the loss, where the algorithm damps it (PMET)."""
        return self.hyperparameters.get("nll_loss_factor", 1.0) if self.algorithm.damped else 1.0

    def weight(self, edits: int) -> float:
        """SPREAD's lambda with so many edits at once: what is preserved against what is written.

        EMMET's, as published, softens what several edits write, in a system of (mom2_update_weight C)^-1.
        """
        own = float(self.hyperparameters.get(self.algorithm.weight, 0.0))
        if self.algorithm.weight == "emmet_lambda":
            return own * self._scale if edits > 1 else 0.0
        return own

    @property
    def ridge(self) -> float:
        """What is added to C, which then weighs the update's own norm too (ENCORE, 4.2)."""
        return float(self.hyperparameters.get("update_norm_lambda", 0.0)) / self._scale

    @property
    def _scale(self) -> float:
        return float(self.hyperparameters.get("mom2_update_weight", 1.0))

    @property
    def protected(self) -> str:
        """Whose keys SPREAD leaves alone: none, others (of other batches), all (of earlier iterations too).

        Unless `protects` says so, those of other batches where the algorithm does; and of AlphaEdit, as it
        was published, all of them.
        """
        if self.protects is not None:
            return self.protects
        if self.algorithm.solves == "refreshed":
            return "all"
        if self.rules.accumulates and self.algorithm.preserves == "null_space":
            return "all"
        return self.algorithm.protects if self.batch else "none"

    @property
    def accumulates(self) -> bool:
        """Whether keys that stay are added up, and none takes the place of an earlier one of its case."""
        return self.rules.accumulates or self.algorithm.solves == "refreshed"

    @property
    def keeps_edited_keys(self) -> bool:
        """Whether the keys that stay are those of the model once it is edited, as published."""
        return self.rules.accumulates and not self.algorithm.keeps_solved

    @property
    def looks_ahead(self) -> bool:
        """Whether p(theta_{k+1}, h-hat) is what the next iteration's first passes say, edit by edit.

        So the published ROME has it (design, section 5); it costs one iteration more.
        """
        return self.algorithm.one_by_one and self.rules.looks_ahead and self.engine == "reedit"

    def is_over(self, rows: Sequence[Mapping[str, float | None]]) -> bool:
        """Whether to stop after iterations of these rows (delta_p, delta_p2).

        Where a delta_p was not measured nobody knows whether `proposed` is met, and nothing is extended.
        """
        gaps, changes = ([row[name] for row in rows] for name in ("delta_p", "delta_p2"))
        if not rows:
            return False
        if stopping.met(self.stop, gaps, changes) is not None:
            return True
        if len(gaps) < self.iterations or self.extend_to is None or None in gaps:
            return len(gaps) >= self.iterations
        return stopping.met("proposed", gaps, changes) is not None or len(gaps) >= self.extend_to

    def over_after(self, rows: Sequence[Mapping[str, float | None]]) -> int | None:
        """How many of the iterations of these rows are asked for; None where more are than there are."""
        return next((count for count in range(1, len(rows) + 1) if self.is_over(rows[:count])), None)
