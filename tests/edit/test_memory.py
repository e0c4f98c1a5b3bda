"""What the steps before leave for the next one: on the CPU, whole by layer, and nothing of nothing."""

import pytest
import torch
from pretended_cuda import pretended_cuda

from reedit.edit.memory import Memory, memory_of


def keys(first: float, device: str = "cpu") -> dict[int, torch.Tensor]:
    """Two keys at each of two layers."""
    return {layer: torch.full((2, 3), first + layer, dtype=torch.float64, device=device) for layer in (1, 2)}


def remembering(*batches: tuple[int, dict[int, torch.Tensor]]) -> Memory:
    memory = Memory()
    for batch, of_batch in batches:
        memory.remember(batch, of_batch)
    return memory


@pytest.mark.parametrize("own", [False, True])
def test_the_keys_of_other_batches_are_protected_at_every_layer(own: bool) -> None:
    memory = remembering((0, keys(10)), (1, keys(20)), (2, keys(30)))
    expected = [10, 10, *([20, 20] if own else []), 30, 30]
    for layer in (1, 2):
        protected = memory.protected(1, layer, own)
        assert protected[:, 0].tolist() == [value + layer for value in expected]
        assert protected.dtype == torch.float32


def test_nothing_is_protected_before_anything_was_written() -> None:
    assert Memory().protected(0, 1, True) is None
    assert remembering((0, keys(1))).protected(0, 1, False) is None
    assert remembering((0, keys(1))).protected(1, 3, True) is None, "a layer that nobody has written"


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["the first", "a later one"])
def test_a_batch_whose_cases_were_all_lost_leaves_nothing(order: tuple[int, int]) -> None:
    """Neither a batch that says nothing of any layer, nor an end to what others protect."""
    memory = remembering(*((batch, keys(5) if batch == 0 else {}) for batch in order))
    assert memory.protected(2, 1, False)[:, 0].tolist() == [6, 6]
    memory.remember(0, {})
    assert memory.protected(2, 1, False)[:, 0].tolist() == [6, 6], "k = 1 has written"
    assert remembering((0, {})).protected(1, 1, True) is None


def test_a_copy_may_learn_what_the_original_does_not() -> None:
    memory = remembering((0, keys(1)))
    copy = memory.copy()
    copy.remember(1, keys(2))
    copy.remember(0, keys(3))
    assert memory.protected(1, 1, False)[:, 0].tolist() == [2, 2] and memory.protected(0, 1, False) is None


def test_all_of_it_is_on_the_cpu_and_comes_back_from_a_file() -> None:
    with pretended_cuda():
        targets = torch.ones(4, 3, device="cuda")
        memory = remembering((0, keys(1, "cuda")))
        memory.keep_targets(targets, [1.5, float("inf"), 2.0, 3.0])
        again = memory_of(memory.tensors())
        again.remember(1, keys(2, "cuda"))
        assert {tensor.device.type for tensor in again.tensors().values()} == {"cpu"}
        assert again.protected(2, 2, False)[:, 0].tolist() == [3, 3, 4, 4]
        assert torch.equal(again.targets, targets.cpu())
        assert again.ppl_target.tolist() == [1.5, float("inf"), 2.0, 3.0]


def test_of_more_keys_than_they_have_numbers_the_products_are_kept() -> None:
    memory, drawn = Memory(), [torch.randn(count, 4) for count in (3, 2, 1)]
    for batch, some in enumerate(drawn):
        memory.remember(batch, {1: some, 2: some[:1]}, adds=True)
        memory.fold()
        every = torch.cat(drawn[: batch + 1])
        kept = memory.protected(9, 1, own=True)
        products = memory.products.get(1, torch.zeros(4, 4))
        found = products if kept is None else products + kept.T @ kept
        torch.testing.assert_close(found, every.T @ every)
        torch.testing.assert_close(memory.product(1), every.T @ every)
    assert 1 in memory.products and 2 not in memory.products and memory.protected(9, 2, True).shape == (3, 4)
    assert memory.product(3) is None, "a layer that nobody has written"
    again = memory_of(memory.tensors())
    assert torch.equal(again.products[1], memory.products[1])


def test_folded_keys_are_counted_once_and_so_by_a_job_that_goes_on() -> None:
    batches = [{1: torch.randn(2, 3)} for _ in range(5)]
    memory = Memory()
    for number, batch in enumerate(batches):
        memory.remember(number, batch, adds=True)
        memory.fold()
    assert memory.known(1) == 10 and memory.protected(None, 1, own=True) is None
    every = torch.cat([batch[1] for batch in batches])
    assert torch.allclose(memory.product(1), every.T @ every)
    again = memory_of(memory.tensors())
    assert again.known(1) == 10 and torch.equal(again.product(1), memory.product(1))
    unfolded = remembering((0, keys(1)), (1, keys(2)))
    assert unfolded.known(1) == 4 and unfolded.known(7) == 0


def random_keys(seed: int) -> dict[int, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {layer: torch.randn(2, 3, generator=generator) for layer in (1, 2)}


def test_of_too_many_keys_the_sum_goes_on_from_batch_to_batch_to_the_last_bit_of_a_job_that_goes_on() -> None:
    """Batches 0 to 4 in two iterations, the second of which writes each anew; four keys are too many."""
    memory = Memory()
    memory.begin()
    for batch in range(5):
        memory.remember(batch, random_keys(batch))
    saved = {name: tensor.clone() for name, tensor in memory.tensors().items()}
    assert not any("totals" in name for name in saved), "they follow from the keys"
    memory.begin()
    for batch in range(3):
        memory.remember(batch, random_keys(10 + batch))
    for batch, own in ((1, False), (1, True), (4, False)):
        expected = memory.protected(batch, 2, own).double()
        keys, total = memory.stays(batch, 2, own)
        assert keys is None
        torch.testing.assert_close(total, expected.T @ expected)
    again = memory_of(saved)
    again.begin()
    for batch in range(3):
        again.remember(batch, random_keys(10 + batch))
    assert all(torch.equal(again.totals[layer], memory.totals[layer]) for layer in (1, 2))


def test_of_few_keys_each_stays_itself() -> None:
    memory = remembering((0, random_keys(0)))
    keys, total = memory.stays(1, 1, own=False)
    assert torch.equal(keys, random_keys(0)[1]) and total is None
    assert memory.stays(0, 1, own=False) == (None, None)
