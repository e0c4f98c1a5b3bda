"""Teacher-forced log-probabilities and argmaxes of labelled rows: one forward pass serves all measures."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reedit.models.batches import by_length, halving, list_halves
from reedit.models.language_model import LanguageModel
from reedit.models.starts import Starts
from reedit.models.tokens import LabelledRow


@dataclass(frozen=True)
class Likelihood:
    """What the model says of one row's labels, label by label."""

    logp: tuple[float, ...]  # log-probability of each label
    argmax: tuple[int, ...]  # the most likely token at each label's place

    @property
    def mean_logp(self) -> float:
        return sum(self.logp) / len(self.logp)


def bounded_exp(value: float) -> float:
    """exp of a negative log-likelihood, infinite beyond the range of floating point."""
    return math.exp(value) if value < 700 else math.inf


def covering_inputs(inputs: Sequence[tuple[int, ...]]) -> tuple[list[tuple[int, ...]], list[int]]:
    """The inputs that are not the beginning of another one, and for each input the one that covers it.

    A causal model computes the same at the positions of a beginning, so that a prompt is read once
    for all the targets that follow it.
    """
    order = sorted(set(inputs), reverse=True)
    longest: list[tuple[int, ...]] = []
    cover: dict[tuple[int, ...], int] = {}
    for ids in order:  # in this order a beginning follows directly what it is the beginning of
        if not (longest and longest[-1][: len(ids)] == ids):
            longest.append(ids)
        cover[ids] = len(longest) - 1
    return longest, [cover[ids] for ids in inputs]


@torch.no_grad()
def likelihoods(
    model: LanguageModel,
    rows: Sequence[LabelledRow],
    budget: int = 2048,
    report: Callable[[int], None] | None = None,
) -> list[Likelihood]:
    """The likelihood of every row's labels, in order.

    `budget`: padded token positions per forward pass; `report` is called with the rows done so far. Raises
    InputError for a row that is longer than the model can read.
    """
    for row in rows:
        model.check_length(row.ids, row.shift)
    # its shift leads a row: only rows that are shifted alike share what they read
    inputs, cover = covering_inputs([(row.shift, *row.ids) for row in rows])
    members: list[list[int]] = [[] for _ in inputs]
    for index, covering in enumerate(cover):
        members[covering].append(index)
    # a row's labels are predicted from what it has by itself; those that are shifted share no start
    first = [0 if row.shift else row.predicted_from for row in rows]
    texts = [ids for _, *ids in inputs]
    starts = Starts.of(model, texts, [min(first[member] for member in of_input) for of_input in members])
    _, cache = starts.climb(len(model.layers))
    lengths = [len(starts.rest(index)) for index in range(len(texts))]
    results: list[Likelihood | None] = [None] * len(rows)
    done = 0

    def run(batch: list[int]) -> int:
        told = starts.told(batch, cache, model.model.dtype)
        if any(shifts := [inputs[index][0] for index in batch]):
            own = [lengths[index] for index in batch]
            told["position_ids"] = _shifted(told.get("position_ids"), shifts, own, model.device)
        hidden = model.upper(-1)(None, input_ids=starts.ids(batch), use_cache=False, **told)
        places, labels, owners = [], [], []
        for line, index in enumerate(batch):
            for member in members[index]:
                row = rows[member]
                begin = row.predicted_from - starts.lengths[index]
                places += [(line, begin + j) for j in range(len(row.labels))]
                labels += row.labels
                owners.append(member)
        where = torch.tensor(places, device=model.device)  # [n, 2]
        logits = model.logits(hidden[where[:, 0], where[:, 1]])  # [n, vocabulary]
        label = torch.tensor(labels, device=model.device)
        logp = (logits.gather(1, label[:, None])[:, 0] - logits.logsumexp(1)).tolist()
        argmax = logits.argmax(1).tolist()
        start = 0
        for member in owners:
            end = start + len(rows[member].labels)
            results[member] = Likelihood(tuple(logp[start:end]), tuple(argmax[start:end]))
            start = end
        return len(owners)

    for finished in halving(by_length(lengths, budget), run, list_halves):
        done += finished
        if report:
            report(done)
    return results


def _shifted(
    positions: Tensor | None, shifts: Sequence[int], lengths: Sequence[int], device: torch.device
) -> Tensor:
    """Positions [rows, length] that are told, or the usual ones, each row's moved by its shift."""
    own, shift = (torch.tensor(counts, device=device)[:, None] for counts in (lengths, shifts))
    if positions is None:  # what fills a row up stays at its last position
        positions = torch.minimum(torch.arange(max(lengths), device=device), own - 1)
    return positions + shift


@torch.no_grad()
def greedy_continuations(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    lengths: Sequence[int],
    budget: int = 2048,
) -> list[tuple[int, ...]]:
    """Greedy continuations of token ids, exactly `lengths[i]` tokens each, by repeated forward passes.

    Whole rows, as the likelihoods that are compared with them read; `generate` (generation.py) is for texts.
    """
    texts = [tuple(prompt) for prompt in prompts]
    found: list[tuple[int, ...]] = [() for _ in texts]
    while waiting := [i for i in range(len(texts)) if len(found[i]) < lengths[i]]:
        # label 0 is a stand-in: only the argmax at the last position is used
        rows = [LabelledRow(texts[i] + found[i], (0,)) for i in waiting]
        for i, said in zip(waiting, likelihoods(model, rows, budget), strict=True):
            found[i] += said.argmax
    return found
