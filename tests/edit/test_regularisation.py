"""PRUNE and RECT against what their papers say, entry by entry and value by value."""

import math

import numpy as np
import pytest
import torch

from reedit.edit.spread.regularisation import REGULARISATIONS, prune, rect


def matrices(scale: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """An update [d, key] and the weight that it is for."""
    draw = torch.Generator().manual_seed(seed)
    return scale * torch.randn(6, 9, generator=draw), torch.randn(6, 9, generator=draw)


@pytest.mark.parametrize("base", [math.e, 1.2])
def test_prune_brings_singular_values_above_the_weights_largest_near_to_it(base: float) -> None:
    update, weight = matrices(2.0)
    found = prune(update, weight, base).numpy()
    left, values, right = np.linalg.svd(update.double().numpy(), full_matrices=False)
    largest = np.linalg.svd(weight.double().numpy(), compute_uv=False).max()
    assert (values > largest).any() and (values < largest).any()
    gentle = [v if v <= largest else math.log(v, base) - math.log(largest, base) + largest for v in values]
    assert np.allclose(found, left @ np.diag(gentle) @ right)


def test_prune_leaves_a_small_update_as_it_is() -> None:
    update, weight = matrices(0.01)
    assert torch.allclose(prune(update, weight), update.double())


@pytest.mark.parametrize("keep", [0.1, 0.4, 1.0])
def test_rect_keeps_the_entries_that_change_most_by_relation(keep: float) -> None:
    update, weight = matrices(0.3)
    found = rect(update, weight, keep)
    relative = sorted(((abs(u / w), u) for u, w in zip(update.flatten(), weight.flatten(), strict=True)))
    kept = [float(u) for _, u in relative[len(relative) - math.ceil(keep * len(relative)) :]]
    assert sorted(found[found != 0].tolist()) == pytest.approx(sorted(kept))


def test_rect_of_weights_and_entries_of_zero_gives_numbers() -> None:
    update, weight = torch.tensor([[0.0, 1.0, 2.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    assert rect(update, weight, 0.25).tolist() == [[0.0, 1.0, 0.0, 0.0]]  # from zero: without bound
    assert rect(update, weight, 1.0).tolist() == update.tolist()


@pytest.mark.parametrize("name", REGULARISATIONS)
def test_no_update_stays_none(name: str) -> None:
    _, weight = matrices(1.0)
    assert not REGULARISATIONS[name](torch.zeros_like(weight), weight).any()
