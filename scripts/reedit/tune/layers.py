"""Which layers may be worth an edit: by causal tracing, by one gradient pass, and evenly over the depth."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from reedit.edit.edits import Edit
from reedit.models.hooks import captured
from reedit.models.language_model import LanguageModel
from reedit.models.numbers import wide
from reedit.prepare.facts import Fact
from reedit.prepare.tracing import trace_facts


def by_gradient(model: LanguageModel, edits: Sequence[Edit]) -> list[float]:
    """Layer by layer ||dNLL / dm|| ||m|| of what its MLP says at t, m [d], the mean over the bare prompts.

    To first order, how far changing m by a part of its norm can change the NLL of target_new: a layer's
    gradient attribution (*Golden layers*, 2602.20207). One pass forward and back a prompt.
    """
    modules = {str(layer): model.mlp(layer) for layer in range(len(model.layers))}
    embeddings = model.model.get_input_embeddings()
    total = torch.zeros(len(modules), dtype=torch.float64)
    for edit in edits:
        row = edit.rewriting[0].row
        ids, labels = (torch.tensor(part, device=model.device) for part in (row.ids, row.labels))
        # weights have no gradient here: the graph has to begin somewhere
        begins = embeddings.register_forward_hook(lambda module, args, out: out.detach().requires_grad_())
        with begins, captured({}, modules) as said, torch.enable_grad():
            final = model.backbone(input_ids=ids[None], use_cache=False)[0]  # [1, s, d]
            nll = cross_entropy(model.logits(final[0, -len(labels) :]), labels)
            gradients = torch.autograd.grad(nll, list(said.values()))
        places = zip(said, said.values(), gradients, strict=True)
        for name, output, gradient in places:
            change = wide(gradient[0, row.position]).norm() * wide(output[0, row.position].detach()).norm()
            total[int(name)] += change.item() * model.mlp_scale
    return (total / len(edits)).tolist()


def by_tracing(model: LanguageModel, facts: Sequence[Fact], settings: Mapping[str, Any]) -> dict[int, float]:
    """The average indirect effect of restoring the MLPs of each window of layers, by its first layer.

    `settings` as of prepare/tracing.py. Raises InputError where the model knows none of the facts.
    """
    found: dict[int, list[float]] = {}
    for row in trace_facts(model, facts, {**settings, "kinds": ["mlp"]}):
        found.setdefault(row["layer"], []).append(row["p_restored"] - row["p_corrupted"])
    return {layer: sum(gained) / len(gained) for layer, gained in found.items()}


def windows(layers: int, width: int) -> list[list[int]]:
    """All that could be edited: neighboring layers, one below and one above them where there are as many."""
    width = min(width, max(1, layers // 2))
    every = [list(range(first, first + width)) for first in range(layers - width + 1)]
    return every[1:-1] or every


def candidates(
    every: Sequence[list[int]], traced: Mapping[int, float], gradient: Sequence[float], count: int
) -> list[list[int]]:
    """At most `count` of the windows `every`, the most promising first.

    In turn the best by tracing, the best by gradient, and evenly spaced ones. No two overlap by more than
    half: their edits would hardly differ.
    """
    by_effect = sorted(every, key=lambda layers: -traced.get(layers[0], 0.0))
    by_change = sorted(every, key=lambda layers: -sum(gradient[layer] for layer in layers))
    evenly = every[:: max(1, len(every) // (2 * count))]
    apart = max(1, (len(every[0]) + 1) // 2)
    chosen: list[list[int]] = []
    for layers in _each_once(chain.from_iterable(zip_longest(by_effect, by_change, evenly))):
        if len(chosen) < count and all(abs(layers[0] - other[0]) >= apart for other in chosen):
            chosen.append(layers)
    return chosen


def _each_once(windows: Iterable[list[int] | None]) -> list[list[int]]:
    return [list(layers) for layers in dict.fromkeys(tuple(one) for one in windows if one)]
