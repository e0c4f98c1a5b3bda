"""UltraEdit: a step in closed form from one backward pass, without a target (Gu et al., arXiv 2505.14679).

At every token that predicts one of the target's, an edited module reads a key k and the loss has a gradient g
by what it says. Both are normalised by the mean and deviation of all pairs so far (of all edited layers, as
published); then the module is to say v = -lr |k'|^2 g' more of the unnormalised k, in least squares with a
ridge of one. The subject is not asked for.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reedit.edit.editor import Editor, Update, nothing
from reedit.edit.edits import Edit
from reedit.edit.found import Found, untold
from reedit.edit.lost import refuse
from reedit.edit.measured import edited_perplexities
from reedit.edit.spread.solve import Preserved, layer_update
from reedit.edit.states import bare_rows
from reedit.edit.texts import Texts
from reedit.methods.recipe import Step
from reedit.models.batches import halving, list_halves
from reedit.models.hooks import captured
from reedit.models.numbers import wide

EPSILON = torch.finfo(torch.float32).eps  # as published, beside a deviation and a count
NAMES = ("count", "mean", "spread")  # of what an editor's memory goes on counting


def ultraedit(editor: Editor, edits: Sequence[Edit], step: Step) -> tuple[Found, Update]:
    """What the pairs of a step's edits make of its layers, all at the weights as they are.

    The loss is a mean over `batch_size` of them, the longest first, as published; else over all.
    """
    begun, model = edited_perplexities(editor, edits), editor.model
    known, running = editor.recipe.hyperparameters, editor.memory.running
    texts = Texts.before(model, bare_rows(edits), step.layers[0])
    longest = sorted(range(len(edits)), key=lambda row: -len(texts.rows[row].ids))
    counted = Counted(*(running[name] for name in NAMES)) if "count" in running else None
    size, parts = known.get("batch_size", len(edits)), []
    for start in range(0, len(edits), size):
        parts.append(finite(pairs_of(texts, longest[start : start + size], step.layers), editor, step))
        for layer in step.layers:
            both = torch.cat(parts[-1][layer], 1).cpu()  # [n, key + d]
            counted = both_counted(counted, both) if len(both) else counted
    editor.workers.made(len(edits))
    if counted is None:  # the model has collapsed
        return untold(begun), nothing(model, step.layers)
    running.update(zip(NAMES, (counted.count, counted.mean, counted.spread), strict=True))
    rate, updates = float(known["lr"]), {}
    for layer in step.layers:
        keys, gradients = (torch.cat(one) for one in zip(*(part[layer] for part in parts), strict=True))
        values = wanted(keys, gradients, counted, rate)
        identity = torch.eye(keys.shape[1], dtype=torch.float64, device=keys.device)
        delta = layer_update(keys.double(), values, Preserved("moments", identity, 1.0))
        updates[layer] = delta.to(model.weight(layer).dtype)
    return untold(begun), Update(updates)


def finite(
    pairs: dict[int, tuple[Tensor, Tensor]], editor: Editor, step: Step
) -> dict[int, tuple[Tensor, Tensor]]:
    """The pairs of tokens at which no layer's are without numbers; InputError where `nonfinite` is stop."""
    good = torch.stack([torch.cat(pair, 1).isfinite().all(1) for pair in pairs.values()]).all(0)  # [n]
    if not good.all():
        told = f"{step.name}: numbers that are not finite at {int((~good).sum())} of {len(good)} tokens"
        refuse(told, "go on without them", editor.recipe.nonfinite)
        logging.getLogger("reedit").warning("%s; dropped", told)
    return {layer: (keys[good], gradients[good]) for layer, (keys, gradients) in pairs.items()}


@dataclass(frozen=True)
class Counted:
    """What all pairs so far have in common, each number by itself, fp32 at least, on the CPU."""

    count: Tensor  # []
    mean: Tensor  # [key + d]
    spread: Tensor  # sums of squares about the mean, [key + d]

    def normalised(self, pairs: Tensor) -> Tensor:
        """Pairs [n, key + d] by mean and deviation."""
        deviation = (self.spread / (self.count - 1 + EPSILON)).sqrt()
        return (pairs - self.mean.to(pairs)) / (deviation.to(pairs) + EPSILON)


def both_counted(before: Counted | None, pairs: Tensor) -> Counted:
    """All that was counted before, and `pairs` [n, key + d].

    As published: what is added for a batch's own spread is n times its variance with n - 1 below.
    """
    n, mean = len(pairs), pairs.mean(0)
    own = n * pairs.var(0, correction=min(1, n - 1))
    if before is None:
        return Counted(torch.tensor(float(n)).to(pairs), mean, own)
    total, moved = before.count + n, mean - before.mean
    spread = before.spread + own + before.count * n * moved**2 / total
    return Counted(total, before.mean + n * moved / total, spread)


def wanted(keys: Tensor, gradients: Tensor, counted: Counted, rate: float) -> Tensor:
    """What a module is to say more of its keys [n, key], [n, d], from the loss's `gradients` [n, d]."""
    normalised = counted.normalised(torch.cat([keys, gradients], 1))
    key, gradient = normalised.split([keys.shape[1], gradients.shape[1]], 1)
    return -rate * (key**2).sum(1, keepdim=True) * gradient


def pairs_of(texts: Texts, some: Sequence[int], layers: Sequence[int]) -> dict[int, tuple[Tensor, Tensor]]:
    """By layer keys [n, key] and gradients [n, d] at what predicts the n labels of some rows.

    The loss is the mean of their NLL.
    """
    model, total = texts.model, sum(len(texts.rows[row].labels) for row in some)
    modules = {str(layer): model.mlp_output(layer) for layer in layers}

    def passed(batch: list[int]) -> dict[int, tuple[Tensor, Tensor]]:
        entering = texts.padded(batch).requires_grad_()  # so that there is something to differentiate
        line, position = texts.places(batch).unbind(1)
        with torch.enable_grad():
            with captured(modules, {}) as keys, captured({}, modules) as said:
                loss = texts.nll(batch, entering).sum() / total
            gradients = torch.autograd.grad(loss, [said[name] for name in modules])
        return {
            layer: (wide(keys[str(layer)].detach()[line, position]), wide(gradient[line, position]))
            for layer, gradient in zip(layers, gradients, strict=True)
        }

    parts = list(halving(texts.batches(some), passed, list_halves))
    return {
        layer: (torch.cat([part[layer][0] for part in parts]), torch.cat([part[layer][1] for part in parts]))
        for layer in layers
    }
