"""Rows of unequal length as right-padded tensors, in batches of similar length that fit into memory."""

import gc
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch
from accelerate.utils.memory import should_reduce_batch_size
from torch import Tensor

Piece, Result = TypeVar("Piece"), TypeVar("Result")


def by_length(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices in batches of similar length; a batch's padded size is at most `budget` positions.

    Longest first, so that the largest batch meets the memory limit at once. Rows shorter than half of the
    longest wait for a batch of their own, so that no more than half is padding; a single row longer than
    the budget is a batch of its own.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        batch = order[start : start + max(1, budget // max(longest, 1))]
        batch = [index for index in batch if 2 * lengths[index] >= longest]
        yield batch
        start += len(batch)


def halving(
    pieces: Iterable[Piece],
    run: Callable[[Piece], Result],
    halves: Callable[[Piece], Sequence[Piece]],
) -> Iterator[Result]:
    """`run` of every piece, in order; one that does not fit into memory is run in halves instead.

    `halves` gives the two halves of a piece, or nothing where it cannot be divided: only then does the
    error of the device reach the caller. `run` must leave nothing behind when it fails.
    """
    waiting = list(pieces)[::-1]
    while waiting:
        piece = waiting.pop()
        try:
            result = run(piece)
        except RuntimeError as error:
            parts = halves(piece) if should_reduce_batch_size(error) else ()
            if not parts:
                raise
            waiting += parts[::-1]
        else:
            yield result
            continue
        # outside of the handler, which keeps the failed pass's tensors alive
        logging.getLogger("reedit").warning("out of memory: going on with batches half as large")
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def list_halves(batch: list[int]) -> list[list[int]]:
    """The halves of a batch of indices, nothing for a single one."""
    middle = len(batch) // 2
    return [batch[:middle], batch[middle:]] if middle else []


def padded(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Right-padded token ids [rows, length] and their attention mask [rows, length]."""
    length = max(len(row) for row in rows)
    ids = torch.tensor([list(row) + [pad] * (length - len(row)) for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows], device=device)
    return ids, mask
