"""Texts drawn from a model's few most likely tokens, the same whatever is drawn beside them.

What a device's own generator draws depends on the batch. Here noise is added to the log-probabilities, and
the greedy generation of models/generation.py does the rest: the most likely token after Gumbel noise is one
drawn by its probability (the Gumbel-max trick: Gumbel 1954; Maddison et al. 2014). The noise is made on the
CPU, from numbers that name the text, and from the position.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from reedit.models.batches import halving, list_halves
from reedit.models.generation import greedy, speaking
from reedit.models.language_model import LanguageModel

KEPT = 5  # most likely tokens, of which one is drawn


@dataclass(frozen=True)
class Beginning:
    """A text to go on with: its tokens, how many follow, and numbers from 0 that its noise is drawn by."""

    ids: tuple[int, ...]
    new_tokens: int
    key: tuple[int, ...]


class TopGumbel(LogitsProcessor):
    """Leaves each text's KEPT most likely tokens, with noise that `seed`, its key and the position decide.

    For texts of one length alone: what pads would move positions.
    """

    def __init__(self, seed: int, keys: Sequence[tuple[int, ...]]) -> None:
        self.seed, self.keys = seed, keys

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """`scores` [texts, vocabulary] with noise, the rest minus infinity; `input_ids` [texts, length]."""
        # in the vocabulary's order: a token's noise does not hang on its rank, which rounding may change
        kept = scores.topk(KEPT).indices.sort().values  # [texts, KEPT]
        draws = [np.random.default_rng([self.seed, *key, input_ids.shape[1]]) for key in self.keys]
        noise = torch.tensor(np.stack([draw.gumbel(size=KEPT) for draw in draws]))
        values = scores.gather(1, kept) + noise.to(scores)
        return torch.full_like(scores, -torch.inf).scatter(1, kept, values)


@torch.no_grad()
def sample(
    model: LanguageModel,
    beginnings: Sequence[Beginning],
    seed: int,
    budget: int = 4096,
    report: Callable[[int], None] | None = None,
) -> list[tuple[int, ...]]:
    """The `new_tokens` tokens that follow each beginning; what ends a text is one token more, and it goes on.

    Texts of one length are read together, in batches of at most `budget` positions, the new ones included;
    `report` is called with the texts done so far. Raises InputError for a text that is longer than the model
    can read.
    """
    for one in beginnings:
        model.check_length([*one.ids, *[0] * one.new_tokens])

    def run(batch: list[int]) -> dict[int, tuple[int, ...]]:
        ids = torch.tensor([beginnings[number].ids for number in batch], device=model.device)
        noise = TopGumbel(seed, [beginnings[number].key for number in batch])
        with speaking(model.model):
            texts = model.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                generation_config=greedy(beginnings[batch[0]].new_tokens, []),
                logits_processor=LogitsProcessorList([noise]),
            )
        new = texts[:, ids.shape[1] :].tolist()
        return {number: tuple(text) for number, text in zip(batch, new, strict=True)}

    said = {number: () for number, one in enumerate(beginnings) if not one.new_tokens}
    for found in halving(_batches(beginnings, budget), run, list_halves):
        said |= found
        if report:
            report(len(said))
    return [said[number] for number in range(len(beginnings))]


def _batches(beginnings: Sequence[Beginning], budget: int) -> Iterator[list[int]]:
    """The places of those that tokens follow, alike in length and in how many follow, longest first."""
    alike: dict[tuple[int, int], list[int]] = {}
    for number, one in enumerate(beginnings):
        if one.new_tokens:
            alike.setdefault((len(one.ids), one.new_tokens), []).append(number)
    for (length, new_tokens), members in sorted(alike.items(), reverse=True):
        size = max(1, budget // (length + new_tokens))
        yield from (members[start : start + size] for start in range(0, len(members), size))
