"""Rows that begin alike: what they share is read once, and its keys and values stand before each of them.

A causal model computes the same at a row's first positions whatever follows. Starts are found by the tokens
themselves: template and text may share one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from typing import Any

import torch
from torch import Tensor

from reedit.models.batches import padded
from reedit.models.language_model import LanguageModel
from reedit.models.numbers import added
from reedit.models.upper import FrozenCache

PRICE = 8  # of a start, in positions: below that, keeping it apart costs more than it saves
AT_MOST = 512  # positions whose keys and values are held

Ids = Sequence[int]


def shared_starts(rows: Sequence[Ids], most: Sequence[int], at_most: int = AT_MOST) -> list[int]:
    """How many of each row's first tokens, at most `most` of them, are a start that it shares; often 0.

    A start of p tokens that n rows have saves (n - 1) p positions. All starts together are `at_most` long.
    """
    heads = [tuple(row[:length]) for row, length in zip(rows, most, strict=True)]
    order = sorted(range(len(heads)), key=heads.__getitem__)
    common = [_common(heads[one], heads[other]) for one, other in pairwise(order)] + [0]
    price = PRICE
    while True:
        lengths = _worthwhile(common[: len(order)], price)
        starts = {heads[row][:length] for row, length in zip(order, lengths, strict=True)}
        if sum(map(len, starts)) <= at_most:
            return [length for _, length in sorted(zip(order, lengths, strict=True))]
        price *= 2


def _common(one: Ids, other: Ids) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _worthwhile(common: Sequence[int], price: int) -> list[int]:
    """The starts of rows in order, of which each has `common` tokens with the next one.

    Rows that have a longer start among them stay with it where that saves more.
    """
    lengths = [0] * len(common)
    open_: list[tuple[int, int, int]] = []  # of nested starts: length, first row, what is saved within
    for row, length in enumerate(common):
        first, saved = row, 0
        while open_ and open_[-1][0] > length:
            inner, first, within = open_.pop()
            saved = _close(lengths, range(first, row + 1), inner, within + saved, price)
        if open_ and open_[-1][0] == length:
            saved, first = saved + open_[-1][2], open_.pop()[1]
        if length:
            open_.append((length, first, saved))
    return lengths


def _close(lengths: list[int], rows: range, length: int, within: int, price: int) -> int:
    """Give rows with `length` tokens in common this start, all or those without one; what is saved in all."""
    without = [row for row in rows if not lengths[row]]
    together = (len(rows) - 1) * length - price
    beside = (len(without) - 1) * length - price
    if together > within + max(0, beside):
        without, beside, within = list(rows), together, 0
    if beside <= 0:
        return within
    for row in without:
        lengths[row] = length
    return within + beside


@dataclass(frozen=True)
class Behind:
    """Where positions stand that follow kept ones, and what they see."""

    positions: Tensor  # [r, s]
    masks: tuple[Tensor, ...]  # additive, over kept and new positions, [r, 1, s, p + s] each
    mask_of: Mapping[int, int]  # which of them a layer is given

    @classmethod
    def of(
        cls, model: LanguageModel, before: Tensor, own: Tensor, layers: Iterable[int], dtype: torch.dtype
    ) -> "Behind":
        """Rows of `own` positions [r] after their first `before` [r], the first of as many as are kept.

        `layers`: that are to be told. What fills a row up stays at its last position.
        """
        kept, steps = _upto(before), _upto(own)
        where = before[:, None] + torch.minimum(steps, own[:, None] - 1)  # [r, s]
        read = torch.cat([kept.expand(len(own), -1), where], 1)  # [r, p + s]
        hold = torch.cat([kept < before[:, None], steps < own[:, None]], 1)
        itself = torch.arange(read.shape[1], device=own.device) == len(kept) + steps[:, None]
        visible, wanted = model.visible(int((before + own).max())), set(layers)
        sees = {layer: seen for layer, seen in visible.items() if layer in wanted}
        kinds = {seen: kind for kind, seen in enumerate(dict.fromkeys(sees.values()))}
        masks = tuple(
            added((seen[where[:, :, None], read[:, None]] & hold[:, None] | itself)[:, None], dtype)
            for seen in kinds
        )
        return cls(where, masks, {layer: kinds[seen] for layer, seen in sees.items()})

    @property
    def told(self) -> dict[str, Any]:
        """For a pass (Upper)."""
        masks = {layer: self.masks[kind] for layer, kind in self.mask_of.items()}
        return {"masks": masks, "position_ids": self.positions}


def _upto(counts: Tensor) -> Tensor:
    return torch.arange(int(counts.max()), device=counts.device)


@dataclass(frozen=True)
class Starts:
    """The starts that rows share, on their way up through the layers; where rows share none, of no effect.

    starts = Starts.of(model, rows, most)
    above, cache = starts.climb(9)  # of layers 0 to 8
    model.upper(-1)(None, input_ids=starts.ids(batch), **starts.told(batch, cache))
    """

    model: LanguageModel
    rows: Sequence[Ids]
    lengths: Sequence[int]  # of each row's start
    places: Sequence[int]  # which start that is
    texts: Sequence[Ids]
    layer: int = 0  # that they are held before
    entering: Tensor | None = None  # its input at them, [starts, p, d]; None: they are not read yet

    @classmethod
    def of(cls, model: LanguageModel, rows: Sequence[Ids], most: Sequence[int]) -> "Starts":
        """Of `rows`, of which each runs by itself from its token `most` on at the latest."""
        most = [min(length, len(row) - 1) for length, row in zip(most, rows, strict=True)]
        lengths = shared_starts(rows, most) if model.can_cut(-1) else [0] * len(rows)
        heads = [tuple(row[:length]) for row, length in zip(rows, lengths, strict=True)]
        texts = {head: place for place, head in enumerate(dict.fromkeys(filter(None, heads)))}
        return cls(model, rows, lengths, [texts.get(head, 0) for head in heads], list(texts))

    def rest(self, row: int) -> Ids:
        """What a row has behind its start."""
        return self.rows[row][self.lengths[row] :]

    def ids(self, batch: Sequence[int]) -> Tensor:
        """The rests of some rows, right-padded, [rows, length]."""
        return padded([self.rest(row) for row in batch], 0, self.model.device)[0]

    def before(self, batch: Sequence[int]) -> Tensor:
        """How long the starts of some rows are, [rows]."""
        return torch.tensor([self.lengths[row] for row in batch], device=self.model.device)

    def climb(self, layer: int) -> "tuple[Starts, FrozenCache | None]":
        """The starts before `layer`, and their keys and values in those from where they are held up to it."""
        if not self.texts or layer == self.layer:
            return replace(self, layer=layer), None
        given = {}
        if self.entering is None:
            given["input_ids"] = padded(self.texts, 0, self.model.device)[0]
        above, cache = self.model.frozen(range(self.layer, layer), self.entering, **given)
        return replace(self, layer=layer, entering=above), cache

    def told(
        self, batch: Sequence[int], cache: FrozenCache | None, dtype: torch.dtype, first: int | None = None
    ) -> dict[str, Any]:
        """For a pass over some rows' rests, or the `first` positions of these, through the layers of `cache`.

        Nothing where none of them has a start.
        """
        before = self.before(batch)
        if cache is None or not before.any():
            return {}
        own = torch.tensor([len(self.rest(row)[:first]) for row in batch], device=self.model.device)
        places = torch.tensor([self.places[row] for row in batch], device=self.model.device)
        kept = cache.select(places, int(before.max()))
        return Behind.of(self.model, before, own, cache.keys, dtype).told | {"past_key_values": kept}
