"""Symmetric matrices of gigabytes, worked on by blocks of their rows, so that none is held twice."""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

BLOCKS = 8


def row_blocks(size: int) -> Iterator[slice]:
    """BLOCKS slices that cover `size` rows; some are empty where there are fewer."""
    ends = [block * size // BLOCKS for block in range(BLOCKS + 1)]
    return (slice(start, stop) for start, stop in pairwise(ends))


class SumOfProducts:
    """The sum of k k^T over keys k, fp64: of each block of rows what lies up to the diagonal block's end.

    That is 9/16 of the matrix, to hold and to compute.
    """

    def __init__(self, size: int, device: torch.device) -> None:
        double = {"dtype": torch.float64, "device": device}
        self.blocks = [torch.zeros(rows.stop - rows.start, rows.stop, **double) for rows in row_blocks(size)]

    def add(self, keys: Tensor) -> None:
        """Add the products of `keys` [tokens, key], taken in their own precision."""
        for rows, block in zip(row_blocks(keys.shape[1]), self.blocks, strict=True):
            block += keys[:, rows].T @ keys[:, : rows.stop]

    @property
    def size(self) -> int:
        return self.blocks[-1].shape[1]

    def used_up(self, count: int) -> Tensor:
        """The sum by `count`, fp32 [key, key] on the CPU; the sum itself is gone then.

        What is below the diagonal stands above it, too.
        """
        size = self.size
        mean = torch.empty(size, size)
        for rows in reversed(list(row_blocks(size))):
            found = self.blocks.pop().div_(count).float().cpu()
            square = found[:, rows.start :]
            square.copy_(square.tril() + square.tril(-1).T)
            mean[rows, : rows.stop] = found
            mean[: rows.stop, rows] = found.T
        return mean


def symmetrise(matrix: Tensor) -> None:
    """Make a matrix the mean of itself and its transpose, in place."""
    for rows in row_blocks(len(matrix)):
        mean = (matrix[rows, : rows.stop] + matrix[: rows.stop, rows].T) / 2
        matrix[rows, : rows.stop] = mean
        matrix[: rows.stop, rows] = mean.T


def asymmetry(matrix: Tensor) -> float:
    """Frobenius norm of a matrix less its transpose, by its own; NaN beyond the range of its precision."""
    difference = whole = 0.0
    for rows in row_blocks(len(matrix)):
        difference += float((matrix[rows] - matrix[:, rows].T).norm()) ** 2
        whole += float(matrix[rows].norm()) ** 2
    return (difference / max(whole, 1e-60)) ** 0.5 if difference < float("inf") else float("nan")


def is_finite(matrix: Tensor) -> bool:
    """Whether every number is."""
    return all(bool(matrix[rows].isfinite().all()) for rows in row_blocks(len(matrix)))


def inner_product(one: Tensor, other: Tensor) -> float:
    """Sum over all places of the two matrices' products, added up in fp64."""
    return sum(float((one[rows] * other[rows]).sum(dtype=torch.float64)) for rows in row_blocks(len(one)))
