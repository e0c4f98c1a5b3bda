"""Keys, hidden states and module outputs at the subject's last token t.

Only positions up to t are read: a causal model computes the same there whatever follows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from reedit.edit.edits import Edit
from reedit.models.batches import by_length, halving, list_halves
from reedit.models.hooks import captured, stopped_after, stopped_before
from reedit.models.language_model import LanguageModel
from reedit.models.numbers import wide
from reedit.models.starts import Starts
from reedit.models.tokens import LabelledRow
from reedit.models.upper import FrozenCache


@dataclass(frozen=True)
class _Held:
    """Some of the rows up to t, right-padded, as they enter a layer; none of them sees what fills it up.

    Where rows begin alike, from where they part (models/starts.py).
    """

    rows: list[int]  # which rows these are
    entering: Tensor  # input of the layer, [b, length, d]
    last: Tensor  # index of t there, [b]

    @property
    def lines(self) -> Tensor:
        """Where each row is among these, [b]."""
        return torch.arange(len(self.rows), device=self.last.device)

    def halves(self) -> list["_Held"]:
        middle = len(self.rows) // 2
        cuts = [slice(0, middle), slice(middle, None)] if middle else []
        return [_Held(self.rows[c], self.entering[c], self.last[c]) for c in cuts]


class Walk:
    """Rows on their way up through the layers, held before one of them.

    When weights from there on change, what lies below need not run again: SPREAD updates one causal layer
    after the other and reads states further up each time.
    """

    @torch.no_grad()
    def __init__(
        self, model: LanguageModel, rows: Sequence[LabelledRow], layer: int, budget: int = 4096
    ) -> None:
        """Bring `rows` before `layer`; `budget`: padded positions per forward pass."""
        self.model, self.layer = model, layer
        heads = [row.ids[: row.position + 1] for row in rows]
        starts = Starts.of(model, heads, [row.position for row in rows])
        self.starts, cache = starts.climb(layer)

        def enter(batch: list[int]) -> _Held:
            block = model.layers[layer]
            told = starts.told(batch, cache, model.model.dtype)
            with captured({"entering": block}, {}) as seen, stopped_before(block):
                model.upper(-1)(None, input_ids=starts.ids(batch), use_cache=False, **told)
            last = torch.tensor([len(starts.rest(row)) - 1 for row in batch], device=model.device)
            return _Held(batch, seen["entering"], last)

        batches = by_length([len(starts.rest(row)) for row in range(len(rows))], budget)
        self.held = list(halving(batches, enter, list_halves))

    @torch.no_grad()
    def advance(self, layer: int) -> None:
        """Bring the rows before `layer`, at or above the one they are held before."""
        if layer == self.layer:
            return
        starts, cache = self.starts.climb(layer)

        def enter(held: _Held) -> _Held:
            block, told = self.model.layers[layer], self._told(held, cache)
            with captured({"entering": block}, {}) as seen, stopped_before(block):
                self._run(held, told)
            return _Held(held.rows, seen["entering"], held.last)

        self.held = list(halving(self.held, enter, _Held.halves))
        self.layer, self.starts = layer, starts

    def put(self, states: Tensor) -> None:
        """Have `states` [rows, d] at t of every row enter the layer that the rows are held before."""
        for held in self.held:
            held.entering[held.lines, held.last] = states[held.rows].to(held.entering)

    @torch.no_grad()
    def read(self, layer: int, names: Sequence[str]) -> dict[str, Tensor]:
        """What `layer`, at or above the one the rows are held before, has at t of every row, in order.

        Names: key (the edited module's input, [rows, key]), mlp (what the MLP adds to the residual stream),
        attention (the attention module's output), hidden (the layer's output), each [rows, d]; fp32 at least.
        """
        model = self.model
        modules = {
            "mlp": model.mlp(layer),
            "attention": model.attention(layer),
            "hidden": model.layers[layer],
        }
        inputs = {"key": model.mlp_output(layer)} if "key" in names else {}
        outputs = {name: modules[name] for name in names if name != "key"}
        end = model.layers[layer] if "hidden" in names else model.mlp(layer)
        _, cache = self.starts.climb(layer + 1)

        def look(held: _Held) -> tuple[list[int], dict[str, Tensor]]:
            told = self._told(held, cache)
            with captured(inputs, outputs) as seen, stopped_after(end):
                self._run(held, told)
            found = {name: wide(seen[name][held.lines, held.last]) for name in names}
            if "mlp" in found:
                found["mlp"] *= model.mlp_scale
            return held.rows, found

        found = list(halving(self.held, look, _Held.halves))
        back = torch.tensor([row for rows, _ in found for row in rows]).argsort()
        return {name: torch.cat([states[name] for _, states in found])[back] for name in names}

    def _told(self, held: _Held, cache: FrozenCache | None) -> dict[str, Any]:
        """What a pass is told; `cache`: of the starts, in the layers that it goes through."""
        return self.starts.told(held.rows, cache, held.entering.dtype)

    def _run(self, held: _Held, told: Mapping[str, Any]) -> None:
        """A forward pass on from the layer that the rows are held before; hooks read and end it."""
        self.model.upper(self.layer - 1)(held.entering, use_cache=False, **told)


def states_at_subject(
    model: LanguageModel,
    rows: Sequence[LabelledRow],
    layer: int,
    names: Sequence[str],
    budget: int = 4096,
) -> dict[str, Tensor]:
    """What one layer has at t of every row; see Walk.read."""
    return Walk(model, rows, layer, budget).read(layer, names)


def rewriting_rows(edits: Sequence[Edit]) -> list[LabelledRow]:
    """The rewriting rows of all edits, one after the other."""
    return [weighted.row for edit in edits for weighted in edit.rewriting]


def bare_rows(edits: Sequence[Edit]) -> list[LabelledRow]:
    """Every edit's bare prompt."""
    return [edit.rewriting[0].row for edit in edits]
