"""Rows of unequal length as right-padded tensors, in batches of similar length that fit into memory."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from reedit.jobs.memory import release_unused, says_out_of_memory, without_frames

Piece, Result = TypeVar("Piece"), TypeVar("Result")


def by_length(lengths: Sequence[int], budget: int, overhead: int = 64) -> list[list[int]]:
    """Indices in batches of similar length; a batch's padded size is at most `budget` positions.

    Of all ways to cut the rows, sorted by length, into batches the one with the fewest padded positions,
    where a batch costs `overhead` positions more. Longest first, so that the largest batch meets the memory
    limit at once; a single row longer than the budget is a batch of its own.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    best, cut = [0.0], [0]  # of the first n rows: the least cost, and where their last batch begins
    for stop in range(1, len(order) + 1):
        choices = []
        for start in range(stop - 1, -1, -1):
            size = (stop - start) * lengths[order[start]]
            if size > budget and start < stop - 1:
                break
            choices.append((best[start] + size + overhead, start))
        cost, start = min(choices)
        best.append(cost)
        cut.append(start)
    batches, stop = [], len(order)
    while stop:
        batches.append(order[cut[stop] : stop])
        stop = cut[stop]
    return batches[::-1]


def halving(
    pieces: Iterable[Piece],
    run: Callable[[Piece], Result],
    halves: Callable[[Piece], Sequence[Piece]],
) -> Iterator[Result]:
    """`run` of every piece, in order; one that does not fit into memory is run in halves instead.

    `halves` gives the two halves of a piece, or nothing where it cannot be divided: only then does the
    error of the device reach the caller. It is asked once nothing of the failed pass is left, but it should
    take no memory to speak of: views of the piece's tensors. `run` must leave nothing behind when it fails:
    it returns what it found, and the caller adds it up.
    """
    waiting = list(pieces)[::-1]
    while waiting:
        piece, failed = waiting.pop(), None
        try:
            result = run(piece)
        except Exception as error:
            if not says_out_of_memory(error):
                raise
            failed = without_frames(error)
        if failed is None:
            yield result
            del result  # it need not stay beside the next pass
            continue
        release_unused()  # outside of the handler, which keeps the failed pass's tensors alive
        parts = halves(piece)
        if not parts:
            raise failed
        logging.getLogger("reedit").warning("out of memory: going on with batches half as large")
        waiting += parts[::-1]


def list_halves(batch: list[Piece]) -> list[list[Piece]]:
    """The halves of a batch of rows, or of their indices; nothing for a single one."""
    middle = len(batch) // 2
    return [batch[:middle], batch[middle:]] if middle else []


def padded(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Right-padded token ids [rows, length], and which of them are a row's own, [rows, length].

    A causal model need not be told: no position sees what fills its row up. Told, it would have nothing to
    see where a window lies in what fills up, which is not a number in some precisions.
    """
    length = max(len(row) for row in rows)
    ids = torch.tensor([list(row) + [pad] * (length - len(row)) for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows], device=device)
    return ids, mask
