"""Rows from the subject's last token t on, ready for the layers after l_c.

Nothing before t depends on delta, nor does any layer up to l_c (of l_c itself, what follows its attention
is redone where delta enters there). So all that is run once, the keys and values of the positions before t
are kept for the layers after l_c, and a pass of OPTIMIZATION processes the positions from t on, in those
layers only: the same numbers for a fraction of the work (design, section 8). A row of which a label is
predicted before t, as `released` may have it, is processed from there on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from reedit.edit.edits import Edit
from reedit.models.batches import by_length, halving, list_halves, padded
from reedit.models.language_model import LanguageModel, captured, stopped_after, wide
from reedit.models.tokens import LabelledRow


class FrozenCache:
    """Keys and values of earlier positions that every pass reads and none writes.

    Takes the place of transformers' cache in the attention modules: `update` returns what is kept
    followed by what is new, and stores nothing.
    """

    def __init__(self, keys: dict[int, Tensor], values: dict[int, Tensor]) -> None:
        self.keys = keys  # layer -> [rows, heads, positions, head size]
        self.values = values

    def update(self, key: Tensor, value: Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if layer_idx not in self.keys:  # nothing stands before t
            return key, value
        return torch.cat([self.keys[layer_idx], key], 2), torch.cat([self.values[layer_idx], value], 2)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return next((key.shape[2] for key in self.keys.values()), 0)

    def select(self, rows: Tensor | slice) -> "FrozenCache":
        return FrozenCache(
            {layer: key[rows] for layer, key in self.keys.items()},
            {layer: value[rows] for layer, value in self.values.items()},
        )


@dataclass(frozen=True)
class Bucket:
    """Rows of similar length from t on."""

    edit: Tensor  # index of the row's edit, [r]
    hidden: Tensor  # output of layer l_c at s positions from t on (or from an earlier label), [r, s, d]
    subject: Tensor  # index of t among the s, mostly 0, [r]
    entering: Tensor  # input of layer l_c at t, [r, d]
    attention: Tensor  # output of its attention at t, [r, d]
    positions: Tensor  # [r, s]
    mask: Tensor  # additive attention mask over frozen and new positions, [r, 1, s, p + s]
    cache: FrozenCache
    label_row: Tensor  # [n], n labels in all
    label_at: Tensor  # index of the predicting position among the s, [n]
    label: Tensor  # token, [n]
    loss_weight: Tensor  # of each label's NLL, [n]
    perplexity_weight: Tensor  # [n]
    kl_row: Tensor  # rows whose next-token distribution at t enters the KL term, [q]
    unedited: Tensor | None = None  # log p_0 there, known after the first pass, [q, vocabulary]

    def select(self, keep: Tensor) -> "Bucket":
        """Only some of the rows; `keep` is a mask over rows, [r]."""
        places = keep.cumsum(0) - 1
        labels, queries = keep[self.label_row], keep[self.kl_row]
        return self._taken(keep.nonzero()[:, 0], labels, queries, lambda rows: places[rows])

    def halves(self) -> list["Bucket"]:
        """The first and the second half of the rows, views of this one's; nothing for a single row."""
        count, middle = len(self.edit), len(self.edit) // 2
        return [self._between(0, middle), self._between(middle, count)] if middle else []

    def _between(self, start: int, stop: int) -> "Bucket":
        """Rows that stand together; so do their labels and KL rows, which are in the order of the rows."""
        labels, queries = (
            slice(int((rows < start).sum()), int((rows < stop).sum()))
            for rows in (self.label_row, self.kl_row)
        )
        return self._taken(slice(start, stop), labels, queries, lambda rows: rows - start)

    def _taken(
        self,
        rows: Tensor | slice,
        labels: Tensor | slice,
        queries: Tensor | slice,
        places: Callable[[Tensor], Tensor],
    ) -> "Bucket":
        """Some rows with their labels and KL rows; `places`: from a row's place here to its place there."""
        return replace(
            self,
            edit=self.edit[rows],
            hidden=self.hidden[rows],
            subject=self.subject[rows],
            entering=self.entering[rows],
            attention=self.attention[rows],
            positions=self.positions[rows],
            mask=self.mask[rows],
            cache=self.cache.select(rows),
            label_row=places(self.label_row[labels]),
            label_at=self.label_at[labels],
            label=self.label[labels],
            loss_weight=self.loss_weight[labels],
            perplexity_weight=self.perplexity_weight[labels],
            kl_row=places(self.kl_row[queries]),
            unedited=None if self.unedited is None else self.unedited[queries],
        )


@dataclass(frozen=True)
class _Row:
    edit: int
    row: LabelledRow
    loss_weight: float
    perplexity_weight: float

    @property
    def start(self) -> int:
        """The first position that a pass processes."""
        return min(self.row.position, self.row.predicted_from)


@torch.no_grad()
def make_buckets(model: LanguageModel, edits: Sequence[Edit], layer: int, budget: int) -> list[Bucket]:
    """Run the model once over all rows and keep what the passes need.

    `layer` is l_c; `budget`: positions of one bucket.
    """
    rows = []
    for index, edit in enumerate(edits):
        rows += [_Row(index, w.row, w.loss_weight, w.perplexity_weight) for w in edit.labelled]
        rows.append(_Row(index, edit.kl, 0.0, 0.0))
    lengths = [len(row.row.ids) - row.start for row in rows]
    batches = by_length(lengths, budget)
    make = halving(batches, lambda batch: _make_bucket(model, [rows[i] for i in batch], layer), list_halves)
    return list(make)


def _make_bucket(model: LanguageModel, rows: Sequence[_Row], layer: int) -> Bucket:
    device = model.device
    ids, attention_mask = padded([row.row.ids for row in rows], 0, device)
    start = torch.tensor([row.start for row in rows], device=device)  # [r]
    subject = torch.tensor([row.row.position for row in rows], device=device)  # t, [r]
    block = model.layers[layer]
    with (
        captured({"entering": block}, {"attention": model.attention(layer), "hidden": block}) as seen,
        stopped_after(block),
    ):
        model.backbone(input_ids=ids, attention_mask=attention_mask, use_cache=False)
    hidden = seen["hidden"]
    frozen = int(start.max())  # p: positions before the first, of the row where they are most
    before = torch.arange(frozen, device=device) < start[:, None]  # [r, p]
    size = max(len(row.row.ids) - row.start for row in rows)  # s
    steps = torch.arange(size, device=device)
    where = (start[:, None] + steps).clamp(max=ids.shape[1] - 1)  # [r, s]
    causal = steps[None, :] <= steps[:, None]  # [s, s]
    visible = torch.cat(
        [before[:, None, :].expand(-1, size, -1), causal[None].expand(len(rows), -1, -1)], dim=2
    )
    mask = torch.zeros(visible.shape, dtype=hidden.dtype, device=device)
    mask.masked_fill_(~visible, torch.finfo(hidden.dtype).min)
    lines = torch.arange(len(rows), device=device)
    labels = [
        (line, row.row.predicted_from + j - row.start, label)
        for line, row in enumerate(rows)
        for j, label in enumerate(row.row.labels)
    ]
    label_row, label_at, label = (
        torch.tensor(labels or [[]], dtype=torch.long, device=device).reshape(-1, 3).T
    )
    weights = torch.tensor([[row.loss_weight, row.perplexity_weight] for row in rows], dtype=torch.float64)
    weights = weights.to(device, wide(hidden).dtype)  # [r, 2]
    return Bucket(
        edit=torch.tensor([row.edit for row in rows], device=device),
        hidden=hidden.gather(1, where[:, :, None].expand(-1, -1, hidden.shape[2])),
        subject=subject - start,
        entering=seen["entering"][lines, subject],
        attention=seen["attention"][lines, subject],
        positions=start[:, None] + steps,
        mask=mask[:, None],
        cache=_frozen_cache(model, layer, hidden[:, :frozen]),
        label_row=label_row,
        label_at=label_at,
        label=label,
        loss_weight=weights[label_row, 0],
        perplexity_weight=weights[label_row, 1],
        kl_row=torch.tensor(
            [line for line, row in enumerate(rows) if not row.row.labels], dtype=torch.long, device=device
        ),
    )


def _frozen_cache(model: LanguageModel, layer: int, hidden: Tensor) -> FrozenCache:
    """Keys and values of the layers after `layer`, whose output at the first p positions is `hidden`.

    A row's own positions are its first ones, which see nothing of what fills it up: no mask is needed.
    """
    after = range(layer + 1, len(model.layers))
    if not hidden.shape[1] or not after:
        return FrozenCache({}, {})
    cache = DynamicCache()
    with stopped_after(model.layers[-1]):
        model.tail(layer)(inputs_embeds=hidden, past_key_values=cache, use_cache=True)
    return FrozenCache({i: cache.layers[i].keys for i in after}, {i: cache.layers[i].values for i in after})


@dataclass(frozen=True)
class Said:
    """What the model says of one bucket's rows."""

    nll: Tensor  # of every label, [n]
    best: Tensor  # whether the label is the argmax, [n]
    log_p: Tensor  # next-token log-probabilities at t of the KL rows, [q, vocabulary]


class Tail:
    """The model from where delta enters on, at the positions that a bucket keeps."""

    def __init__(self, model: LanguageModel, layer: int, vectors: Sequence[str]) -> None:
        """`layer` is l_c; `vectors` names what each delta of an edit is added to (see algorithms.py)."""
        self.model, self.layer, self.vectors = model, layer, vectors
        self.after = model.tail(layer)

    def __call__(self, bucket: Bucket, delta: Tensor) -> Said:
        """A pass with delta [m, vectors, d] at t of every row of its edit."""
        subjects = torch.arange(len(bucket.edit), device=bucket.edit.device), bucket.subject
        final = self.after(
            inputs_embeds=bucket.hidden.index_put(subjects, self._at_subject(bucket, delta, subjects)),
            attention_mask=bucket.mask,
            position_ids=bucket.positions,
            past_key_values=bucket.cache,
            use_cache=False,
        )[0]  # [r, s, d]
        logits = self.model.logits(final[bucket.label_row, bucket.label_at])  # [n, vocabulary]
        nll = torch.nn.functional.cross_entropy(logits, bucket.label, reduction="none")
        scores = logits.detach()
        best = scores.gather(1, bucket.label[:, None])[:, 0] >= scores.amax(1)
        asked = final[bucket.kl_row, bucket.subject[bucket.kl_row]]
        return Said(nll, best, self.model.logits(asked).log_softmax(1))

    def _at_subject(self, bucket: Bucket, delta: Tensor, subjects: tuple[Tensor, Tensor]) -> Tensor:
        """Output of layer l_c at t, [r, d]; `subjects`: row and index of each t."""
        added = dict(zip(self.vectors, delta[bucket.edit].to(bucket.hidden.dtype).unbind(1), strict=True))
        if "attention" in added:
            output = self.model.after_attention(
                self.layer, bucket.entering[:, None], (bucket.attention + added.pop("attention"))[:, None]
            )[:, 0]
        else:
            output = bucket.hidden[subjects]
        return output + sum(added.values())  # mlp or hidden: both end in the layer's output
