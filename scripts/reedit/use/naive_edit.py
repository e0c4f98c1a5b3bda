"""One edit by MEMIT, slowly and plainly: what `python -m reedit check` holds the engine to on a user's model.

One row at a time through the whole model, delta added by a hook, a dense system solved; none of the engine's
cut-off passes, kept keys and factorisations. tests/naive.py says so much of every algorithm.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from reedit.edit.edits import Edit
from reedit.edit.spread.post_norm import before_norm
from reedit.models.hooks import captured
from reedit.models.language_model import LanguageModel
from reedit.models.numbers import wide
from reedit.models.tokens import LabelledRow


@dataclass(frozen=True)
class NaiveEdit:
    """The outcome of an edit of one fact."""

    target: Tensor  # z, [d]
    ppl_initial: float
    ppl_target: float
    updates: dict[int, Tensor]  # by layer, [d, key]


def naive_edit(
    model: LanguageModel, edit: Edit, hyperparameters: Mapping[str, Any], moments: Mapping[int, Tensor]
) -> NaiveEdit:
    """OPTIMIZATION and SPREAD of one edit under `corrected` (design, section 4); the model stays as it is.

    `hyperparameters`: those of MEMIT; `moments`: by layer C, fp64 [key, key].
    """
    last = hyperparameters["layers"][-1]
    hidden = _state(model, edit.rewriting[0].row, last, "hidden")
    delta, perplexities = _optimize(model, edit, hyperparameters, hidden)
    updates = _spread(model, edit, hidden + delta, hyperparameters, moments)
    return NaiveEdit(hidden + delta, perplexities[0], perplexities[-1], updates)


def _optimize(
    model: LanguageModel, edit: Edit, hyperparameters: Mapping[str, Any], hidden: Tensor
) -> tuple[Tensor, list[float]]:
    """delta [d], and the perplexity at every pass; `hidden` h of the bare prompt, [d]."""
    last, passes = hyperparameters["layers"][-1], hyperparameters["v_num_grad_steps"]
    delta = torch.zeros_like(hidden, requires_grad=True)
    adam = torch.optim.Adam([delta], lr=hyperparameters["v_lr"])
    with torch.no_grad():
        unedited = _log_p(model, edit.kl)[-1]  # [vocabulary]
    perplexities = []
    for number in range(passes):
        parts = [_nll(model, one.row, _added(model, last, one.row, delta)) for one in edit.rewriting]
        nll = sum(parts) / len(parts)
        log_p = _log_p(model, edit.kl, _added(model, last, edit.kl, delta))[-1]
        kl = (log_p.exp() * (log_p - unedited)).sum()
        loss = nll + hyperparameters["kl_factor"] * kl
        loss = loss + hyperparameters["v_weight_decay"] * delta.norm() / hidden.norm() ** 2
        perplexities.append(float(nll.detach().double().exp()))
        if loss < 0.05 or number == passes - 1:
            break
        (delta.grad,) = torch.autograd.grad(loss, delta)
        adam.step()
        with torch.no_grad():
            radius = hyperparameters["clamp_norm_factor"] * hidden.norm()
            delta *= (radius / delta.norm()).clamp(max=1.0)
    return delta.detach(), perplexities


def _spread(
    model: LanguageModel,
    edit: Edit,
    target: Tensor,
    hyperparameters: Mapping[str, Any],
    moments: Mapping[int, Tensor],
) -> dict[int, Tensor]:
    """The update of every layer, [d, key], each on what the ones before have left."""
    layers, weight, updates = hyperparameters["layers"], hyperparameters["mom2_update_weight"], {}
    bare, *prefixed = [one.row for one in edit.rewriting]
    with model.restored(layers), torch.no_grad():
        for i, layer in enumerate(layers):
            own = _state(model, bare, layer, "key")
            others = [_state(model, row, layer, "key") for row in prefixed]
            key = ((own + sum(others) / len(others)) / 2 if others else own).double()  # [key]
            missing = (target - _state(model, bare, layers[-1], "hidden")) / (len(layers) - i)  # [d]
            missing = before_norm(model, layer, own.double()[None], missing[None])[0].double()
            system = weight * moments[layer] + torch.outer(key, key)
            updates[layer] = torch.outer(missing, torch.linalg.solve(system, key))
            model.set_weight(layer, model.weight(layer) + updates[layer].to(model.weight(layer)))
    return updates


def _state(model: LanguageModel, row: LabelledRow, layer: int, name: str) -> Tensor:
    """What a layer has at t: its output, [d], or with name "key" the input of the edited module, [key]."""
    inputs = {"key": model.mlp_output(layer)} if name == "key" else {}
    outputs = {} if inputs else {"hidden": model.layers[layer]}
    with captured(inputs, outputs) as seen, torch.no_grad():
        _log_p(model, row)
    return seen[name][0, row.position].clone()


def _added(model: LanguageModel, layer: int, row: LabelledRow, delta: Tensor) -> AbstractContextManager:
    """Until the block is left delta is added to a layer's output at t of a row."""

    def add(module: object, args: object, output: Any) -> Any:
        changed = (output[0] if isinstance(output, tuple) else output).clone()
        changed[:, row.position] += delta
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    return model.layers[layer].register_forward_hook(add)


def _log_p(model: LanguageModel, row: LabelledRow, hook: AbstractContextManager | None = None) -> Tensor:
    """What the model says after each of a row's tokens, [length, vocabulary]."""
    ids = torch.tensor([row.ids], device=model.device)
    with hook or nullcontext():
        return wide(model.model(input_ids=ids, use_cache=False).logits[0]).log_softmax(-1)


def _nll(model: LanguageModel, row: LabelledRow, hook: AbstractContextManager | None = None) -> Tensor:
    """The mean NLL of a row's labels."""
    log_p, start = _log_p(model, row, hook), row.predicted_from
    return -sum(log_p[start + j, label] for j, label in enumerate(row.labels)) / len(row.labels)
