"""Fine-tuning in the place of OPTIMIZATION and SPREAD: gradient steps on the edited weights themselves.

Breadth first: every epoch goes through all cases of a step, some at a time, by Adam on the mean over cases of
the NLL of the target's tokens after the bare prompt. FT-M is what EasyEdit's `ft` does with `target_new`
(Zhang et al. 2024); LocFT-BF ends targets with the token that ends a text, and shuffles (Yang et al. 2026).
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from reedit.edit.editor import Editor, Update
from reedit.edit.edits import Edit
from reedit.edit.found import Found, untold
from reedit.edit.lost import refuse
from reedit.edit.measured import edited_perplexities
from reedit.edit.states import bare_rows
from reedit.edit.texts import Texts
from reedit.errors import InputError
from reedit.methods.recipe import Recipe, Step
from reedit.models.batches import halving, list_halves
from reedit.models.generation import ending_tokens
from reedit.models.language_model import LanguageModel
from reedit.models.tokens import LabelledRow
from reedit.storage.checkpoint import Checkpoint
from reedit.storage.tensors import metadata_of, read_tensors

DONE = 0.01  # a mean NLL below which no step is made, and below which tuning ends (published)


def fine_tune(editor: Editor, edits: Sequence[Edit], step: Step) -> tuple[Found, Update]:
    """What fine-tuning makes of a step's layers; the model is left as it was. No target is found."""
    model, algorithm = editor.model, editor.recipe.algorithm
    begun = edited_perplexities(editor, edits)
    rows = bare_rows(edits)
    if algorithm.ends:
        rows = [ended(row, model) for row in rows]
    before = {layer: model.weight(layer) for layer in step.layers}
    with model.restored(step.layers):
        tuning = FineTuning(model, rows, step.layers, editor.recipe.hyperparameters)
        _run(tuning, editor, step)
        updates = {layer: model.weight(layer) - weight for layer, weight in before.items()}
    return untold(begun), Update(updates)


def ended(row: LabelledRow, model: LanguageModel) -> LabelledRow:
    """The row with one label more, the token that ends a text."""
    ends = ending_tokens(model)
    if not ends:
        raise InputError("locft_bf: the tokenizer has no token that ends a text; expected one, or ft_m")
    model.check_length(row.whole)
    return replace(row, ids=row.whole, labels=(*row.labels, ends[0]))


def order(step: Step, epoch: int, recipe: Recipe) -> Sequence[int]:
    """The order of a step's rows in an epoch, the same whenever it is taken."""
    rows = range(len(step.places))
    if not recipe.algorithm.shuffles:
        return rows
    return Random(f"{recipe.seed} {step.k} {step.number} {epoch}").sample(rows, len(rows))


class FineTuning:
    """Rows, the weights [d, key] that are tuned on them in fp32, and Adam's state."""

    def __init__(
        self,
        model: LanguageModel,
        rows: Sequence[LabelledRow],
        layers: Sequence[int],
        hyperparameters: Mapping[str, Any],
    ) -> None:
        """`hyperparameters`: lr, num_steps, batch_size, and weight_decay and norm_constraint where given."""
        self.model, self.rows, self.layers, self.known = model, rows, layers, hyperparameters
        self.texts = Texts.before(model, rows, layers[0])
        self.before = {layer: model.weight(layer).clone() for layer in layers}
        self.weights = {layer: weight.clone().requires_grad_() for layer, weight in self.before.items()}
        decay = hyperparameters.get("weight_decay", 0.0)
        self.adam = torch.optim.Adam(
            list(self.weights.values()), lr=hyperparameters["lr"], weight_decay=decay
        )
        self.epoch = 0  # that are made

    def run_epoch(self, order: Sequence[int]) -> float:
        """One pass through the rows, some at a time; their mean loss."""
        size, total = self.known["batch_size"], 0.0
        for start in range(0, len(order), size):
            some = list(order[start : start + size])
            total += len(some) * self._step(some)
        self.epoch += 1
        return total / len(order)

    def _step(self, some: Sequence[int]) -> float:
        """A step on the mean loss of some rows, which is given back."""
        loss, gradients = 0.0, {layer: torch.zeros_like(self.before[layer]) for layer in self.layers}
        for part, of_part in halving(self.texts.batches(some), self._passed, list_halves):
            loss += float(part) / len(some)
            for layer, gradient in of_part.items():
                gradients[layer] += gradient / len(some)
        if _teaches(loss):
            for layer, weight in self.weights.items():
                weight.grad = gradients[layer]
            self.adam.step()
        self._put(self.known.get("norm_constraint"))
        return loss

    def _passed(self, rows: list[int]) -> tuple[Tensor, dict[int, Tensor]]:
        """The sum of some rows' losses, and its gradients."""
        return self.model.gradients(self.layers, partial(self._loss, rows))

    def _loss(self, rows: list[int]) -> Tensor:
        """The sum over rows of the mean NLL of a row's labels, []."""
        nll = self.texts.nll(rows, self.texts.padded(rows))  # [n]
        counts = [len(self.rows[row].labels) for row in rows]
        shares = [1 / count for count in counts for _ in range(count)]
        return (nll * torch.tensor(shares, device=nll.device)).sum()

    @torch.no_grad()
    def _put(self, limit: float | None = None) -> None:
        """The model gets the weights, none further than `limit` from where it was."""
        for layer, weight in self.weights.items():
            if limit is not None:
                before = self.before[layer]
                weight.clamp_(before - limit, before + limit)
            self.model.set_weight(layer, weight.detach())

    def save(self, folder: Path) -> None:
        """Into an empty folder, the epochs that are made."""
        tensors = {f"weight.{layer}": weight.detach() for layer, weight in self.weights.items()}
        for layer, weight in self.weights.items():
            state = self.adam.state[weight]
            tensors |= {f"{name}.{layer}": torch.as_tensor(value) for name, value in state.items()}
        plain = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        save_file(plain, folder / "tuning.safetensors", metadata={"epoch": str(self.epoch)})

    def restore(self, folder: Path) -> None:
        """Go on from what `save` wrote; KeyError or InputError where that is not whole."""
        path = folder / "tuning.safetensors"
        tensors, epoch = read_tensors(path, str(self.model.device)), int(metadata_of(path)["epoch"])
        state, weights = {}, {}
        for layer, weight in self.weights.items():
            of_layer = {name: tensors[f"{name}.{layer}"] for name in ("exp_avg", "exp_avg_sq")}
            state[weight] = of_layer | {"step": tensors[f"step.{layer}"].cpu()}
            weights[layer] = tensors[f"weight.{layer}"]
        self.adam.state.update(state)
        self.epoch = epoch
        for layer, weight in self.weights.items():
            weight.data.copy_(weights[layer])
        self._put()


def _teaches(loss: float) -> bool:
    """Whether a mean NLL is one to go on from: a finite number, and of what is not learned yet."""
    return DONE <= loss < math.inf


def _run(tuning: FineTuning, editor: Editor, step: Step) -> None:
    """Epoch after epoch until the rows are learned; the leading rank saves how far it is.

    A loss that is no number ends it, with a line, or InputError where `nonfinite` is stop.
    """
    workers, recipe = editor.workers, editor.recipe
    kept, rows = None, len(tuning.rows)
    if workers.journal and workers.ranks.leads and not editor.ahead:
        kept = Checkpoint(workers.journal.tuning(step), step.name)
        kept.restore(tuning.restore)
    workers.made(tuning.epoch * rows)
    while tuning.epoch < recipe.passes:
        mean = tuning.run_epoch(order(step, tuning.epoch, recipe))
        workers.made(rows)
        if not math.isfinite(mean):
            told = f"{step.name}: epoch {tuning.epoch}: a loss that is no number"
            refuse(told, "keep the weights as they are then", recipe.nonfinite)
            logging.getLogger("reedit").warning("%s: the weights stay as they are now", told)
        if not _teaches(mean):
            break
        if kept:
            kept.save_when_due(tuning.save)
    workers.made((recipe.passes - tuning.epoch) * rows)
    if kept:
        kept.discard()
