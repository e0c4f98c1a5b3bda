"""What an iteration leaves for the next one: on the CPU, whole by layer, and nothing of nothing."""

import pytest
import torch
from pretended_cuda import pretended_cuda


def keys(first: float, device: str = "cpu") -> dict[int, torch.Tensor]:
    """Two keys at each of two layers."""
    return {layer: torch.full((2, 3), first + layer, dtype=torch.float64, device=device) for layer in (1, 2)}


@pytest.mark.parametrize("own", [False, True])
def test_the_keys_of_other_batches_are_protected_at_every_layer(own: bool) -> None:
    carried = Carried().with_keys(0, keys(10)).with_keys(1, keys(20)).with_keys(2, keys(30))
    found = carried.protected(1, own)
    assert found.keys() == {1, 2}
    expected = [10, 10, *([20, 20] if own else []), 30, 30]
    for layer, protected in found.items():
        assert protected[:, 0].tolist() == [value + layer for value in expected]
        assert protected.dtype == torch.float32


def test_nothing_is_protected_before_anything_was_written() -> None:
    assert Carried().protected(0, True) is None
    assert Carried().with_keys(0, keys(1)).protected(0, False) is None


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["the first", "a later one"])
def test_a_batch_whose_cases_were_all_dropped_leaves_nothing(order: tuple[int, int]) -> None:
    """Neither a batch that says nothing of any layer, nor an end to what others protect."""
    carried = Carried()
    for batch in order:
        carried = carried.with_keys(batch, keys(5) if batch == 0 else {})
    assert carried.protected(2, False)[1][:, 0].tolist() == [6, 6]
    assert carried.with_keys(0, {}).protected(2, False)[1][:, 0].tolist() == [6, 6], "k = 1 has written"
    assert Carried().with_keys(0, {}).protected(1, True) is None


def test_all_of_it_is_on_the_cpu_and_comes_back_from_a_file() -> None:
    with pretended_cuda():
        targets = torch.ones(4, 3, device="cuda")
        carried = Carried().with_keys(0, keys(1, "cuda")).with_targets(targets)
        again = carried_of(carried.tensors()).with_keys(1, keys(2, "cuda"))
        assert {tensor.device.type for tensor in again.tensors().values()} == {"cpu"}
        assert again.protected(2, False)[2][:, 0].tolist() == [3, 3, 4, 4]
        assert torch.equal(again.targets, targets.cpu())
