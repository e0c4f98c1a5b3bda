"""Rows of unequal length as right-padded tensors, in batches of similar length."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor


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


def padded(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Right-padded token ids [rows, length] and their attention mask [rows, length]."""
    length = max(len(row) for row in rows)
    ids = torch.tensor([list(row) + [pad] * (length - len(row)) for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows], device=device)
    return ids, mask
