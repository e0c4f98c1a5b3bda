"""SimIE: batches that are edited at the unedited weights one by one join as if edited all at once.

An ideal editor would find, of all batches, the W that says of their keys what each batch's own edited weights
W* say. Recursive least squares follow it: W_t = W + (W* - W) K K^T (lambda I + sum K K^T)^-1, with K the keys
of every token of its prompts and targets, and the sum over all batches so far. So EasyEdit has it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from reedit.edit.editor import Editor, Update
from reedit.edit.edits import Edit
from reedit.edit.found import Found
from reedit.edit.optimization.optimize import from_now
from reedit.edit.states import bare_rows
from reedit.edit.texts import POSITIONS
from reedit.errors import InputError
from reedit.methods.recipe import Step
from reedit.models.batches import by_length, halving, list_halves, padded
from reedit.models.hooks import captured, stopped_after
from reedit.models.language_model import LanguageModel
from reedit.models.numbers import wide

# what a step finds and makes of the weights; the model is left as it was
Take = Callable[[Editor, Sequence[Edit], Step], tuple[Found, Update]]


def joining(take: Take, strength: float) -> Take:
    """`take` at the unedited weights; its update as the one that joins those before. `strength`: lambda."""

    def joined(editor: Editor, edits: Sequence[Edit], step: Step) -> tuple[Found, Update]:
        model, running = editor.model, editor.memory.running
        now = {layer: model.weight(layer) for layer in step.layers}
        with model.unedited(step.layers):
            read = every_key(model, edits, step.layers)
            products = {n: keys.double().T @ keys.double() for n, keys in read.items()}
            found, update = take(editor, edits, step)
            edited = {layer: model.weight(layer) + delta for layer, delta in update.deltas.items()}
        found = from_now(editor, edits, step, found)
        if not all(one.isfinite().all() for one in (*products.values(), *edited.values())):
            # no numbers, which are not written: nor do they go on being counted
            return found, Update({layer: torch.full_like(now[layer], torch.nan) for layer in now})
        deltas = {}
        for layer, product in products.items():
            name = f"ideal.{layer}"
            total = product if name not in running else running[name].to(product) + product
            running[name] = total.float().cpu()
            deltas[layer] = joined_update(edited[layer] - now[layer], product, total, strength)
        update = replace(update, deltas={n: delta.to(now[n].dtype) for n, delta in deltas.items()})
        return found, update

    return joined


def joined_update(change: Tensor, product: Tensor, total: Tensor, strength: float) -> Tensor:
    """(W* - W) K K^T (lambda I + sum K K^T)^-1 in double precision, [d, key].

    `change` W* - W [d, key]; `product` K K^T of the batch, and `total` of all so far, [key, key] each.
    """
    system = total.double().clone()
    system.diagonal().add_(strength)
    lower, failed = torch.linalg.cholesky_ex(system)
    if failed:
        raise InputError(f"ideal_editor: found {strength}, too small for these keys; expected more, as 10000")
    wanted = product.double() @ change.double().T  # [key, d]
    return torch.cholesky_solve(wanted, lower).T


@torch.no_grad()
def every_key(model: LanguageModel, edits: Sequence[Edit], layers: Sequence[int]) -> dict[int, Tensor]:
    """What the edited module of each layer reads at every token of the prompts and targets, [n, key]."""
    texts = [row.whole for row in bare_rows(edits)]
    modules = {str(layer): model.mlp_output(layer) for layer in layers}

    def read(batch: list[int]) -> dict[int, Tensor]:
        ids, own = padded([texts[text] for text in batch], 0, model.device)
        with captured(modules, {}) as seen, stopped_after(model.layers[layers[-1]]):
            model.upper(-1)(None, input_ids=ids, use_cache=False)
        return {layer: wide(seen[str(layer)])[own.bool()] for layer in layers}

    parts = list(halving(by_length([len(text) for text in texts], POSITIONS), read, list_halves))
    return {layer: torch.cat([part[layer] for part in parts]) for layer in layers}
