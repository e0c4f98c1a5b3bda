"""OPTIMIZATION: the hidden state at the last causal layer that makes the target likely (paper, section 2).

Many edits are optimised in one batch. Nothing before the subject's last token t depends on delta, nor
does any layer up to l_c: they are run once, the keys and values of the positions before t are kept for
the layers after l_c, and a step processes the positions from t on, in those layers only (exact; design,
section 8).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from reedit.batches import by_length, padded
from reedit.edits import Edit
from reedit.language_model import LanguageModel, captured
from reedit.states import bare_outputs

STOP_LOSS = 0.05  # an edit stops before its update once its loss is below (design, section 4)


@dataclass(frozen=True)
class Optimized:
    """The outcome of OPTIMIZATION for m edits, in the order given."""

    hidden: Tensor  # h_i, the bare prompt's hidden state at t, [m, d]
    delta: Tensor  # [m, d]
    steps: list[int]  # updates made
    ppl_initial: list[float]
    ppl_target: list[float]

    @property
    def target(self) -> Tensor:
        """z_i = h_i + delta_i, [m, d]."""
        return self.hidden + self.delta


class FrozenCache:
    """Keys and values of earlier positions that every step reads and none writes.

    Takes the place of transformers' cache in the attention modules: `update` returns what is kept
    followed by what is new, and stores nothing.
    """

    def __init__(self, keys: dict[int, Tensor], values: dict[int, Tensor]) -> None:
        self.keys = keys  # layer -> [rows, heads, positions, head size]
        self.values = values

    def update(self, key: Tensor, value: Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        return torch.cat([self.keys[layer_idx], key], 2), torch.cat([self.values[layer_idx], value], 2)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return next(iter(self.keys.values())).shape[2]

    def select(self, rows: Tensor) -> "FrozenCache":
        return FrozenCache(
            {layer: key[rows] for layer, key in self.keys.items()},
            {layer: value[rows] for layer, value in self.values.items()},
        )


@dataclass(frozen=True)
class Bucket:
    """Rows of similar length, from the subject's last token on, ready for the layers after l_c."""

    edit: Tensor  # index of the row's edit, [r]
    hidden: Tensor  # output of layer l_c at positions t, t + 1, ..., [r, s, d]
    positions: Tensor  # [r, s]
    mask: Tensor  # additive attention mask over frozen and new positions, [r, 1, s, p + s]
    cache: FrozenCache
    label_row: Tensor  # [n], n labels in all
    label_at: Tensor  # index of the predicting position among the s, [n]
    label: Tensor  # token, [n]
    loss_weight: Tensor  # of each label's NLL, [n]
    perplexity_weight: Tensor  # [n]
    kl_row: Tensor  # rows whose next-token distribution at t enters the KL term, [q]

    def select(self, active: Tensor) -> "Bucket":
        """Only the rows of active edits; `active` is a mask over edits, [m]."""
        keep = active[self.edit]
        rows = keep.nonzero()[:, 0]
        renumber = keep.cumsum(0) - 1
        labels = keep[self.label_row]
        return replace(
            self,
            edit=self.edit[rows],
            hidden=self.hidden[rows],
            positions=self.positions[rows],
            mask=self.mask[rows],
            cache=self.cache.select(rows),
            label_row=renumber[self.label_row[labels]],
            label_at=self.label_at[labels],
            label=self.label[labels],
            loss_weight=self.loss_weight[labels],
            perplexity_weight=self.perplexity_weight[labels],
            kl_row=renumber[self.kl_row[keep[self.kl_row]]],
        )


@torch.no_grad()
def make_buckets(model: LanguageModel, edits: Sequence[Edit], layer: int, budget: int) -> list[Bucket]:
    """Run the model once over all rows and keep what the steps need; `budget`: positions per step's pass."""
    rows = []  # (index of the edit, labelled row, loss weight, perplexity weight)
    for index, edit in enumerate(edits):
        rows += [(index, w.row, w.loss_weight, w.perplexity_weight) for w in edit.labelled]
        rows.append((index, edit.kl, 0.0, 0.0))
    lengths = [len(row.ids) - row.position for _, row, _, _ in rows]
    return [_make_bucket(model, [rows[i] for i in batch], layer) for batch in by_length(lengths, budget)]


def _make_bucket(model: LanguageModel, rows: Sequence[tuple], layer: int) -> Bucket:
    device = model.device
    ids, attention = padded([row.ids for _, row, _, _ in rows], 0, device)
    start = torch.tensor([row.position for _, row, _, _ in rows], device=device)  # t, [r]
    cache = DynamicCache()
    with captured({}, {"hidden": model.layers[layer]}) as seen:
        model.backbone(input_ids=ids, attention_mask=attention, past_key_values=cache, use_cache=True)
    frozen = int(start.max())  # p: positions before t, of the row where they are most
    size = max(len(row.ids) - row.position for _, row, _, _ in rows)  # s
    steps = torch.arange(size, device=device)
    where = (start[:, None] + steps).clamp(max=ids.shape[1] - 1)  # [r, s]
    before = torch.arange(frozen, device=device) < start[:, None]  # [r, p]
    causal = steps[None, :] <= steps[:, None]  # [s, s]
    visible = torch.cat(
        [before[:, None, :].expand(-1, size, -1), causal[None].expand(len(rows), -1, -1)], dim=2
    )
    hidden = seen["hidden"]
    mask = torch.zeros(visible.shape, dtype=hidden.dtype, device=device)
    mask.masked_fill_(~visible, torch.finfo(hidden.dtype).min)
    after = range(layer + 1, len(model.layers))
    labels = [
        (line, len(row.ids) - len(row.labels) + j - row.position, label, loss_weight, perplexity_weight)
        for line, (_, row, loss_weight, perplexity_weight) in enumerate(rows)
        for j, label in enumerate(row.labels)
    ]
    columns = list(zip(*labels, strict=True)) or [()] * 5

    def integers(values: Sequence[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=device)

    return Bucket(
        edit=integers([index for index, *_ in rows]),
        hidden=hidden.gather(1, where[:, :, None].expand(-1, -1, hidden.shape[2])),
        positions=start[:, None] + steps,
        mask=mask[:, None],
        cache=FrozenCache(
            {i: cache.layers[i].keys[:, :, :frozen].clone() for i in after},
            {i: cache.layers[i].values[:, :, :frozen].clone() for i in after},
        ),
        label_row=integers(columns[0]),
        label_at=integers(columns[1]),
        label=integers(columns[2]),
        loss_weight=torch.tensor(columns[3], dtype=torch.float32, device=device),
        perplexity_weight=torch.tensor(columns[4], dtype=torch.float32, device=device),
        kl_row=integers([line for line, (_, row, _, _) in enumerate(rows) if not row.labels]),
    )


def evaluate(
    model: LanguageModel, tail: torch.nn.Module, bucket: Bucket, delta: Tensor
) -> tuple[Tensor, Tensor]:
    """NLL of every label, [n], and next-token log-probabilities of the KL rows, [q, vocabulary].

    `delta` [m, d] is added to the hidden state at t of every row of its edit.
    """
    shifted = bucket.hidden[:, :1] + delta[bucket.edit][:, None].to(bucket.hidden.dtype)
    final = tail(
        inputs_embeds=torch.cat([shifted, bucket.hidden[:, 1:]], 1),
        attention_mask=bucket.mask,
        position_ids=bucket.positions,
        past_key_values=bucket.cache,
        use_cache=False,
    )[0]  # [r, s, d]
    logits = model.head(final[bucket.label_row, bucket.label_at]).float()  # [n, vocabulary]
    nll = torch.nn.functional.cross_entropy(logits, bucket.label, reduction="none")
    return nll, model.head(final[bucket.kl_row, 0]).float().log_softmax(1)


def optimize(
    model: LanguageModel,
    edits: Sequence[Edit],
    layer: int,
    hyperparameters: dict[str, Any],
    budget: int | None = None,
    edits_at_once: int = 64,
    report: Callable[[int], None] | None = None,
) -> Optimized:
    """Find delta for every edit (design, section 4, OPTIMIZATION (MEMIT)).

    `layer` is l_c; hyperparameters used: v_lr, v_num_grad_steps, clamp_norm_factor, v_weight_decay,
    kl_factor. `edits_at_once` bounds memory, `budget` the positions of one forward pass (default by
    device); `report` is called with the passes done so far, of v_num_grad_steps for every edit (an edit
    that stops has done all).
    """
    if budget is None:  # small batches have less padding, and 512 positions fill two cores' matrix units
        budget = 512 if model.device.type == "cpu" else 16384
    # similar edits together, so that a batch ends together and padding is small
    order = sorted(range(len(edits)), key=lambda i: len(edits[i].rewriting[0].row.ids))
    parts: list[tuple[list[int], Optimized]] = []
    done = 0
    for start in range(0, len(order), edits_at_once):
        chosen = order[start : start + edits_at_once]
        batch = [edits[i] for i in chosen]

        def step_report(passes: int, before: int = done) -> None:
            if report:
                report(before + passes)

        parts.append((chosen, _optimize_batch(model, batch, layer, hyperparameters, budget, step_report)))
        done += len(batch) * hyperparameters["v_num_grad_steps"]
    back = torch.tensor([i for chosen, _ in parts for i in chosen]).argsort()
    steps = [s for _, part in parts for s in part.steps]
    initial = [p for _, part in parts for p in part.ppl_initial]
    target = [p for _, part in parts for p in part.ppl_target]
    return Optimized(
        hidden=torch.cat([part.hidden for _, part in parts])[back],
        delta=torch.cat([part.delta for _, part in parts])[back],
        steps=[steps[i] for i in back],
        ppl_initial=[initial[i] for i in back],
        ppl_target=[target[i] for i in back],
    )


def _optimize_batch(
    model: LanguageModel,
    edits: Sequence[Edit],
    layer: int,
    hyperparameters: dict[str, Any],
    budget: int,
    report: Callable[[int], None],
) -> Optimized:
    passes = hyperparameters["v_num_grad_steps"]
    kl_factor = hyperparameters["kl_factor"]
    hidden = bare_outputs(model, edits, layer)  # [m, d]
    norm = hidden.norm(dim=1)  # [m]
    radius = hyperparameters["clamp_norm_factor"] * norm
    tail = model.tail(layer)
    buckets = make_buckets(model, edits, layer, budget)
    m = len(edits)
    unedited: list[Tensor] = []  # log p_0 of each bucket's KL rows
    delta = torch.zeros_like(hidden, requires_grad=True)
    adam = torch.optim.Adam([delta], lr=hyperparameters["v_lr"])
    found = torch.zeros_like(hidden)
    active = torch.ones(m, dtype=torch.bool, device=hidden.device)
    steps, ppl_initial, ppl_target = [0] * m, [0.0] * m, [0.0] * m
    for number in range(passes):
        last = number == passes - 1
        adam.zero_grad()
        loss, log_ppl = hidden.new_zeros(m), hidden.new_zeros(m)
        with torch.set_grad_enabled(not last):
            for place, bucket in enumerate(buckets):
                nll, log_p = evaluate(model, tail, bucket, delta)
                if number == 0:
                    unedited.append(log_p.detach())
                kl = (log_p.exp() * (log_p - unedited[place])).sum(1)  # KL(p_delta || p_0), [q]
                part = hidden.new_zeros(m)
                part = part.index_add(0, bucket.edit[bucket.label_row], nll * bucket.loss_weight)
                part = part.index_add(0, bucket.edit[bucket.kl_row], kl_factor * kl)
                if not last:
                    part.sum().backward()
                loss += part.detach()
                log_ppl.index_add_(0, bucket.edit[bucket.label_row], nll.detach() * bucket.perplexity_weight)
            decay = hyperparameters["v_weight_decay"] * delta.norm(dim=1) / norm**2  # [m]
            if not last:
                decay.sum().backward()
            loss += decay.detach()
        ppl = log_ppl.double().exp().tolist()
        finished = active & ((loss < STOP_LOSS) | last)
        for i in active.nonzero()[:, 0].tolist():
            ppl_target[i] = ppl[i]
            if number == 0:
                ppl_initial[i] = ppl[i]
        found[finished] = delta.detach()[finished]
        active &= ~finished
        remaining = int(active.sum())
        report(m * passes - remaining * (passes - number - 1))
        if not active.any():
            break
        adam.step()
        for i in active.nonzero()[:, 0].tolist():
            steps[i] += 1
        with torch.no_grad():
            delta.mul_((radius / delta.norm(dim=1).clamp(min=1e-30)).clamp(max=1.0)[:, None])
        if finished.any():
            unedited = [
                log_p[active[bucket.edit[bucket.kl_row]]]
                for log_p, bucket in zip(unedited, buckets, strict=True)
            ]
            buckets = [bucket.select(active) for bucket in buckets]
            kept = [place for place, bucket in enumerate(buckets) if len(bucket.edit)]
            unedited, buckets = [unedited[i] for i in kept], [buckets[i] for i in kept]
    return Optimized(hidden, found, steps, ppl_initial, ppl_target)
