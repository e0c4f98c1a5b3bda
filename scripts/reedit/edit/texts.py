"""Whole rows held before the first edited layer, and the NLL of their labels by what lies above.

For steps that differentiate by the weights or by what a layer says, whatever the subject is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reedit.models.batches import by_length, halving, list_halves, padded
from reedit.models.hooks import captured, stopped_before
from reedit.models.language_model import LanguageModel
from reedit.models.tokens import LabelledRow

POSITIONS = 4096  # of one pass


@dataclass(frozen=True)
class Texts:
    """Rows, and what enters a layer at each, which nothing that is edited changes."""

    model: LanguageModel
    rows: Sequence[LabelledRow]
    layer: int
    entering: Sequence[Tensor]  # [length, d] of each row

    @classmethod
    @torch.no_grad()
    def before(cls, model: LanguageModel, rows: Sequence[LabelledRow], layer: int) -> "Texts":
        """Rows before `layer`."""

        def enter(batch: list[int]) -> dict[int, Tensor]:
            ids, _ = padded([rows[row].ids for row in batch], 0, model.device)
            block = model.layers[layer]
            with captured({"entering": block}, {}) as seen, stopped_before(block):
                model.upper(-1)(None, input_ids=ids, use_cache=False)
            states = zip(batch, seen["entering"], strict=True)
            return {row: state[: len(rows[row].ids)] for row, state in states}

        found: dict[int, Tensor] = {}
        batches = by_length([len(row.ids) for row in rows], POSITIONS)
        for entered in halving(batches, enter, list_halves):
            found |= entered
        return cls(model, rows, layer, [found[row] for row in range(len(rows))])

    def batches(self, some: Sequence[int]) -> list[list[int]]:
        """Some rows, told by their places, in batches for one pass each."""
        found = by_length([len(self.rows[row].ids) for row in some], POSITIONS)
        return [[some[place] for place in batch] for batch in found]

    def padded(self, batch: Sequence[int]) -> Tensor:
        """What enters the layer at a batch of rows, right-padded, [r, s, d]."""
        states = [self.entering[row] for row in batch]
        found = states[0].new_zeros(len(batch), max(map(len, states)), states[0].shape[1])
        for line, own in enumerate(states):
            found[line, : len(own)] = own
        return found

    def places(self, batch: Sequence[int]) -> Tensor:
        """Line and position of what predicts each label of a batch, [n, 2]."""
        own = enumerate(self.rows[row] for row in batch)
        found = [(line, row.predicted_from + j) for line, row in own for j in range(len(row.labels))]
        return torch.tensor(found, device=self.model.device)

    def nll(self, batch: Sequence[int], entering: Tensor) -> Tensor:
        """The NLL of each label of a batch that enters the layer so, [n]."""
        hidden = self.model.upper(self.layer - 1)(entering, use_cache=False)  # [r, s, d]
        line, position = self.places(batch).unbind(1)
        logits = self.model.logits(hidden[line, position])  # [n, vocabulary]
        labels = [label for row in batch for label in self.rows[row].labels]
        label = torch.tensor(labels, device=hidden.device)
        return logits.logsumexp(1) - logits.gather(1, label[:, None])[:, 0]
