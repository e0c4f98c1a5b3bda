"""The naive way: what the published implementation does, one edit and one prompt at a time.

OPTIMIZATION follows compute_z of ROME, MEMIT and EasyEdit: for each edit by itself all rows padded into one
batch, through all layers and to logits at all positions in every pass. It reads the same rows as ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from reedit.edit.edits import Edit
from reedit.evaluate.scoring import Probe
from reedit.models.batches import padded
from reedit.models.language_model import LanguageModel
from reedit.models.tokens import LabelledRow, encode
from reedit.prepare.facts import Fact

STOP_LOSS = 0.05


@dataclass(frozen=True)
class Found:
    """The outcome of OPTIMIZATION for one edit."""

    hidden: Tensor  # [d]
    delta: Tensor  # [d]
    steps: int
    ppl_initial: float
    ppl_target: float


def compute_z(model: LanguageModel, fact: Fact, edit: Edit, settings: Mapping[str, Any]) -> Found:
    """MEMIT's target of one edit: full forward passes with delta added by a hook on layer l_c."""
    network, device = model.model, model.device
    rows = [weighted.row for weighted in edit.labelled]
    essence = encode(model.tokenizer, f"{fact.subject} is a")
    ids, attention = padded([*(row.ids for row in rows), essence], 0, device)
    places = [*(row.position for row in rows), edit.kl.position]
    label = torch.full((len(rows), ids.shape[1]), -100)
    loss_weight, ppl_weight = torch.zeros(label.shape), torch.zeros(label.shape)
    for line, weighted in enumerate(edit.labelled):
        row = weighted.row
        labelled = slice(len(row.ids) - len(row.labels), len(row.ids))
        label[line, labelled] = torch.tensor(row.labels)
        loss_weight[line, labelled] = weighted.loss_weight
        ppl_weight[line, labelled] = weighted.perplexity_weight
    label, loss_weight, ppl_weight = label.to(device), loss_weight.to(device), ppl_weight.to(device)
    delta = torch.zeros(network.config.hidden_size, device=device, requires_grad=True)
    hidden: Tensor | None = None

    def add_delta(module: torch.nn.Module, args: Any, output: Any) -> Any:
        nonlocal hidden
        states = output[0] if isinstance(output, tuple) else output
        if hidden is None:
            hidden = states[0, places[0]].detach().clone()
        for line, place in enumerate(places):
            states[line, place] += delta
        return output

    adam = torch.optim.Adam([delta], lr=settings["v_lr"])
    unedited: Tensor | None = None
    perplexities: list[float] = []
    handle = model.layers[settings["layers"][-1]].register_forward_hook(add_delta)
    try:
        for number in range(settings["v_num_grad_steps"]):
            adam.zero_grad()
            logits = network(input_ids=ids, attention_mask=attention).logits  # [rows + 1, length, vocabulary]
            log_p = logits.log_softmax(dim=2)
            own = log_p[-1, places[-1]]
            unedited = own.detach().clone() if unedited is None else unedited
            nll = -log_p[:-1].gather(2, label.clamp(min=0)[:, :, None])[:, :, 0]  # [rows, length]
            kl = torch.nn.functional.kl_div(unedited, own, log_target=True, reduction="sum")
            decay = settings["v_weight_decay"] * delta.norm() / hidden.norm() ** 2
            loss = (nll * loss_weight).sum() + settings["kl_factor"] * kl + decay
            perplexities.append((nll * ppl_weight).sum().exp().item())
            if loss.item() < STOP_LOSS or number == settings["v_num_grad_steps"] - 1:
                break
            loss.backward()
            adam.step()
            radius = settings["clamp_norm_factor"] * hidden.norm()
            if delta.norm() > radius:
                with torch.no_grad():
                    delta.mul_(radius / delta.norm())
    finally:
        handle.remove()
    return Found(hidden, delta.detach(), len(perplexities) - 1, perplexities[0], perplexities[-1])


@torch.no_grad()
def read_row(model: LanguageModel, row: LabelledRow) -> tuple[float, tuple[int, ...]]:
    """Mean log-probability of a row's labels and the argmax at their places: one row, logits everywhere."""
    ids, attention = padded([row.ids], 0, model.device)
    logits = model.model(input_ids=ids, attention_mask=attention).logits
    log_p = logits.log_softmax(dim=2)[0, -len(row.labels) :]  # [labels, vocabulary]
    label = torch.tensor(row.labels, device=model.device)
    return log_p.gather(1, label[:, None]).mean().item(), tuple(log_p.argmax(1).tolist())


def score_probe(model: LanguageModel, probe: Probe) -> dict[str, float]:
    """One prompt's scores, one target after the other."""
    logp_new, said_new = read_row(model, probe.new)
    logp_true, said_true = read_row(model, probe.reference)
    neighbor = probe.metric == "specificity"
    said, expected = (said_true, probe.unedited) if neighbor else (said_new, probe.new.labels)
    success = logp_true > logp_new if neighbor else logp_new > logp_true
    accuracy = sum(a == b for a, b in zip(said, expected, strict=True)) / len(expected)
    return {
        "accuracy": accuracy,
        "success": float(success),
        "logp_new": logp_new,
        "logp_true": logp_true,
    }
