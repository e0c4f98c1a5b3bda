"""Rows from the subject's last token t on, ready for the layers after l_c.

Nothing before t depends on delta, nor does any layer up to l_c (of l_c itself, what follows its attention
is redone where delta enters there). So all that is run once, the keys and values of the positions before t
are kept for the layers after l_c, and a pass of OPTIMIZATION processes the positions from t on, in those
layers only: the same numbers for a fraction of the work (design, section 8). A row of which a label is
predicted before t, as `released` may have it, is processed from there on; and whole, with nothing kept,
where a layer after l_c has more to remember than keys and values (linear attention). Starts that many rows
share, as prefixes are, are run once for all of them (models/starts.py).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from reedit.edit.edits import Edit
from reedit.models.batches import by_length, halving, list_halves
from reedit.models.hooks import captured, stopped_after
from reedit.models.language_model import LanguageModel
from reedit.models.numbers import wide
from reedit.models.starts import Behind, Starts
from reedit.models.tokens import LabelledRow
from reedit.models.upper import FrozenCache


@dataclass(frozen=True)
class Bucket:
    """Rows of similar length from t on."""

    edit: Tensor  # index of the row's edit, [r]
    bare: Tensor  # whether it is the edit's bare prompt, beside which there are others, [r]
    hidden: Tensor  # output of layer l_c at s positions from t on (or from an earlier label), [r, s, d]
    subject: Tensor  # index of t among the s, mostly 0, [r]
    entering: Tensor  # input of layer l_c at t, [r, d]
    attention: Tensor  # output of its attention at t, [r, d]
    positions: Tensor  # [r, s]
    masks: tuple[Tensor, ...]  # additive, over frozen and new positions, [r, 1, s, p + s] each
    mask_of: Mapping[int, int]  # which of them a layer after l_c is given
    cache: FrozenCache | None  # none where nothing stands before
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
            bare=self.bare[rows],
            hidden=self.hidden[rows],
            subject=self.subject[rows],
            entering=self.entering[rows],
            attention=self.attention[rows],
            positions=self.positions[rows],
            masks=tuple(mask[rows] for mask in self.masks),
            cache=self.cache and self.cache.select(rows),
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
    start: int  # the first position that a pass processes
    bare: bool = False


@torch.no_grad()
def make_buckets(model: LanguageModel, edits: Sequence[Edit], layer: int, budget: int) -> list[Bucket]:
    """Run the model once over all rows and keep what the passes need.

    `layer` is l_c; `budget`: positions of one bucket.
    """
    cut = model.can_cut(layer)

    def start(row: LabelledRow) -> int:
        return min(row.position, row.predicted_from) if cut else 0

    rows = []
    for index, edit in enumerate(edits):
        bare, *prefixed = edit.rewriting
        rows += [
            _Row(index, w.row, w.loss_weight, w.perplexity_weight, start(w.row), bool(prefixed) and w is bare)
            for w in edit.labelled
        ]
        rows.append(_Row(index, edit.kl, 0.0, 0.0, start(edit.kl)))
    starts = Starts.of(model, [row.row.ids for row in rows], [row.start for row in rows])
    lower = starts.climb(layer + 1)
    kept = _Kept(starts, lower[1], lower[0].climb(len(model.layers))[1])
    batches = by_length([len(row.row.ids) - row.start for row in rows], budget)
    return list(halving(batches, lambda batch: _make_bucket(kept, rows, batch, layer), list_halves))


@dataclass(frozen=True)
class _Kept:
    """The starts that rows share, and their keys and values up to l_c and above."""

    starts: Starts
    lower: FrozenCache | None
    upper: FrozenCache | None


def _make_bucket(kept: _Kept, every: Sequence[_Row], batch: list[int], layer: int) -> Bucket:
    rows, starts, model = [every[row] for row in batch], kept.starts, kept.starts.model
    device, dtype = model.device, model.model.dtype
    shared = starts.before(batch)  # [r]
    start = torch.tensor([row.start for row in rows], device=device)  # [r]
    subject = torch.tensor([row.row.position for row in rows], device=device)  # t, [r]
    block = model.layers[layer]
    told = starts.told(batch, kept.lower, dtype)
    with (
        captured({"entering": block}, {"attention": model.attention(layer), "hidden": block}) as seen,
        stopped_after(block),
    ):
        model.upper(-1)(None, input_ids=starts.ids(batch), use_cache=False, **told)
    hidden = seen["hidden"]
    after = range(layer + 1, len(model.layers))
    own = torch.tensor([len(row.row.ids) for row in rows], device=device) - start
    behind = Behind.of(model, start, own, after, dtype)
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
        bare=torch.tensor([row.bare for row in rows], device=device),
        hidden=hidden[lines[:, None], behind.positions - shared[:, None]],
        subject=subject - start,
        entering=seen["entering"][lines, subject - shared],
        attention=seen["attention"][lines, subject - shared],
        positions=behind.positions,
        masks=behind.masks,
        mask_of=behind.mask_of,
        cache=_before(kept, batch, start, hidden, after),
        label_row=label_row,
        label_at=label_at,
        label=label,
        loss_weight=weights[label_row, 0],
        perplexity_weight=weights[label_row, 1],
        kl_row=torch.tensor(
            [line for line, row in enumerate(rows) if not row.row.labels], dtype=torch.long, device=device
        ),
    )


def _before(
    kept: _Kept, batch: list[int], start: Tensor, hidden: Tensor, layers: range
) -> FrozenCache | None:
    """Keys and values of the positions before `start` [r]; `hidden`: what leaves l_c behind shared starts."""
    if not (start.any() and layers):
        return None
    shared = kept.starts.before(batch)
    between = int((start - shared).max())
    told = kept.starts.told(batch, kept.upper, hidden.dtype, between)
    cache = told.get("past_key_values")
    if between:
        _, cache = kept.starts.model.frozen(layers, hidden[:, :between], **told)
    if not told:
        return cache
    positions = torch.arange(int(start.max()), device=start.device)  # a row's own stand behind all starts
    places = positions + (positions >= shared[:, None]) * (shared.max() - shared)[:, None]
    return cache.ordered(places.clamp(max=cache.get_seq_length() - 1))


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
        self.after = model.upper(layer)

    def __call__(self, bucket: Bucket, delta: Tensor) -> Said:
        """A pass with delta [m, vectors, d] at t of every row of its edit."""
        subjects = torch.arange(len(bucket.edit), device=bucket.edit.device), bucket.subject
        final = self.after(
            bucket.hidden.index_put(subjects, self._at_subject(bucket, delta, subjects)),
            {layer: bucket.masks[kind] for layer, kind in bucket.mask_of.items()},
            position_ids=bucket.positions,
            past_key_values=bucket.cache,
            use_cache=False,
        )  # [r, s, d]
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
