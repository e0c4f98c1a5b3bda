"""What an edit is made with, and the one place where theta moves."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from reedit.edit.found import Found
from reedit.edit.journal import Iteration
from reedit.edit.lost import refuse
from reedit.edit.memory import Memory
from reedit.edit.spread.regularisation import gentler
from reedit.edit.workers import Workers
from reedit.edit.written import Batch
from reedit.methods.recipe import Recipe, Step
from reedit.models.language_model import LanguageModel
from reedit.models.numbers import wide
from reedit.storage.tensors import read_tensors


@dataclass(frozen=True)
class Update:
    """What a step makes of the weights: by layer Delta [d, key], and the keys it was solved for [m, key]."""

    deltas: dict[int, Tensor]
    keys: dict[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Editor:
    """A model at theta_k, what is asked, and what is known beside it.

    `factors`: by layer, what the algorithm reads of the second moments (spread/solve.py), on the CPU; none
    for ROME without mom2_adjustment.
    """

    model: LanguageModel
    recipe: Recipe
    factors: Mapping[int, Tensor] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    workers: Workers = field(default_factory=Workers)
    light: LanguageModel | None = None  # a copy for OPTIMIZATION alone, in a smaller number format
    ahead: bool = False  # looking ahead: what is written does not stay

    @property
    def optimizes_on(self) -> LanguageModel:
        """The model that OPTIMIZATION runs, at theta_k."""
        if self.light is None:
            return self.model
        for layer in self.recipe.layers:
            self.light.set_weight(layer, self.model.weight(layer))
        return self.light

    def write(self, step: Step, update: Update) -> Mapping[int, Tensor]:
        """theta moves by what the leading rank's update says, to the last bit; memory keeps the keys.

        Those are given back. The update of a collapsed model can be no numbers: it is left out, with a line,
        or InputError says so where `nonfinite` is stop.
        """
        self.workers.ranks.align(list(update.deltas.values()))
        if not all(delta.isfinite().all() for delta in update.deltas.values()):
            told = f"{step.name}: the model has collapsed: its update"
            refuse(f"{told} is no numbers", "go on without it", self.recipe.nonfinite)
            logging.getLogger("reedit").warning("%s is left out", told)
            return {}
        for layer, delta in update.deltas.items():
            weight = self.model.weight(layer)
            self.model.set_weight(layer, weight + gentler(wide(delta), weight, self.recipe.of_updates))
        self._remember(step.batch, update.keys)
        return update.keys

    def _remember(self, batch: int, keys: Mapping[int, Tensor]) -> None:
        """The keys [cases, key] by layer that a batch has written, where an update leaves some alone."""
        if self.recipe.protected == "none":
            return
        self.memory.remember(batch, keys, self.recipe.accumulates)
        if self.recipe.protected == "all" and self.recipe.accumulates:  # none is ever replaced
            self.memory.fold()

    def reached(self, k: int) -> list[Batch]:
        """The batches of iteration k that the journal holds; theta and memory are as after them then."""
        journal = self.workers.journal
        if journal is None or self.ahead:
            return []
        done, updates, running = journal.written(k).batches(self.recipe.algorithm.optimises)
        if done:
            logging.getLogger("reedit").info("resuming k=%d after batch %d", k, len(done))
            self.model.import_updates(updates, self.recipe.layers)
        for number, batch in enumerate(done):
            self._remember(number, batch.keys)
        if done:
            self.memory.running = running
        return done

    def reach(self, k: int, number: int, batch: Batch) -> None:
        """A batch is written, and others follow: the journal holds it.

        The model takes its updates as they are saved, to the last bit.
        """
        if self.ahead:
            return
        updates = self.model.export_updates(self.recipe.layers)
        self.model.import_updates(updates, self.recipe.layers)
        self.workers.wrote(k, number, batch, updates, self.recipe.is_checkpoint(number), self.memory.running)

    def settled(self, found: Found) -> dict[str, Tensor]:
        """The cumulative updates after an iteration that `found` this.

        The model takes them as they are saved, to the last bit: a resumed run goes on alike.
        """
        if self.recipe.holds:
            self.memory.keep_targets(found.target(self.recipe.algorithm.spreads), found.ppl_target)
        updates = self.model.export_updates(self.recipe.layers)
        self.model.import_updates(updates, self.recipe.layers)
        return updates

    def completed(self, iteration: Iteration, updates: Mapping[str, Tensor]) -> Iteration:
        """The iteration as the leading rank has it, which puts it into the journal."""
        iteration = self.workers.completed(iteration, updates, self.memory)
        self.begin_after(iteration.targets)
        return iteration

    def begin_after(self, rows: Sequence[Mapping[str, float | None]]) -> None:
        """What the next iteration knows by the rows of `targets` of the one before."""
        self.memory.ppl_now = [row["ppl_edited"] for row in rows]
        self.memory.held = self.recipe.held(rows)

    def resumed(self) -> "tuple[Editor, list[Iteration]]":
        """The editor after the last complete iteration of the journal that is asked for, and all up to it."""
        journal = self.workers.journal
        done = [journal.load(k) for k in range(1, journal.completed() + 1)]
        done = done[: self.recipe.over_after([iteration.row for iteration in done])]
        if not done:
            return self, done
        logging.getLogger("reedit").info("resuming after iteration %d", len(done))
        updates = read_tensors(journal.weights(len(done)), str(self.model.device))
        self.model.import_updates(updates, self.recipe.layers)
        editor = replace(self, memory=journal.memory(len(done)))
        editor.begin_after(done[-1].targets)
        return editor, done


def nothing(model: LanguageModel, layers: list[int]) -> Update:
    """The update that leaves the layers as they are."""
    return Update({layer: torch.zeros_like(model.weight(layer)) for layer in layers})
