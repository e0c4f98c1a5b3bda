"""Keys and hidden states at the subject's last token t.

Only positions up to t are read: a causal model computes the same there whatever follows.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from reedit.batches import by_length, padded
from reedit.edits import Edit
from reedit.language_model import LanguageModel, captured, stopped_after
from reedit.tokens import LabelledRow


@torch.no_grad()
def states_at_subject(
    model: LanguageModel,
    rows: Sequence[LabelledRow],
    *,
    keys_of: int | None = None,
    outputs_of: int | None = None,
    budget: int = 4096,
) -> Tensor:
    """At t of every row: the key of layer `keys_of`, or the output of layer `outputs_of`; fp32, [rows, .]."""
    layer = keys_of if keys_of is not None else outputs_of
    inputs = {"state": model.mlp_output(layer)} if keys_of is not None else {}
    outputs = {} if keys_of is not None else {"state": model.layers[layer]}
    heads = [row.ids[: row.position + 1] for row in rows]
    states: list[Tensor | None] = [None] * len(rows)
    for batch in by_length([len(head) for head in heads], budget):
        ids, mask = padded([heads[i] for i in batch], 0, model.device)
        with captured(inputs, outputs) as seen, stopped_after(model.layers[layer]):
            model.backbone(input_ids=ids, attention_mask=mask, use_cache=False)
        for line, index in enumerate(batch):
            states[index] = seen["state"][line, len(heads[index]) - 1].float()
    return torch.stack(states)


def edit_keys(model: LanguageModel, edits: Sequence[Edit], layer: int) -> Tensor:
    """Half the bare prompt's key plus half the mean of the prefixed keys, fp64, [m, key]."""
    rows = [weighted.row for edit in edits for weighted in edit.rewriting]
    states = states_at_subject(model, rows, keys_of=layer).double()
    keys, start = [], 0
    for edit in edits:
        own = states[start : start + len(edit.rewriting)]  # [1 + n, key]
        keys.append((own[0] + own[1:].mean(0)) / 2 if len(own) > 1 else own[0])
        start += len(own)
    return torch.stack(keys)


def bare_outputs(model: LanguageModel, edits: Sequence[Edit], layer: int) -> Tensor:
    """Output of `layer` at t for every edit's bare prompt, fp32, [m, d]."""
    return states_at_subject(model, [edit.rewriting[0].row for edit in edits], outputs_of=layer)
