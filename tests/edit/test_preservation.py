"""What an update leaves as it is: null spaces, protected keys, and the spectra that they are made of."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from reedit.edit.spread.solve import Preserved, factorise, layer_update, null_space
from reedit.errors import InputError
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe
from reedit.statistics.spectra import decomposed, read_spectrum, write_spectrum

EMMET = ALGORITHMS["emmet"]


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moment_of(rank: int, size: int) -> torch.Tensor:
    """A second moment of keys that span `rank` of `size` directions."""
    keys = drawn(40, rank, seed=1) @ drawn(rank, size, seed=2)
    return keys.T @ keys / len(keys)


def test_alphaedit_changes_nothing_for_keys_outside_the_null_space() -> None:
    moment = moment_of(rank=5, size=12)
    basis = null_space(*decomposed(moment), threshold=1e-6, layer=3)
    assert basis.shape == (12, 7)
    update = layer_update(drawn(3, 12), drawn(3, 4), Preserved("null_space", basis, 0.01))
    preserved = drawn(5, 12, seed=2)  # the keys of the corpus are combinations of these
    assert update.norm() > 0.1
    assert (update @ preserved.T).abs().max() < 1e-9


def test_protected_keys_keep_their_values_and_the_others_get_theirs() -> None:
    basis = null_space(*decomposed(moment_of(rank=2, size=12)), threshold=1e-6, layer=0)
    earlier, keys, residual = drawn(4, 12, seed=5), drawn(3, 12, seed=6), drawn(3, 4, seed=7)
    free = layer_update(keys, residual, Preserved("null_space", basis, 1e-9))
    protecting = layer_update(keys, residual, Preserved("null_space", basis, 1e-9, earlier))
    assert (free @ earlier.T).norm() > 0.1
    assert (protecting @ earlier.T).norm() < 1e-6
    assert torch.allclose(protecting @ keys.T, residual.T, atol=1e-6)


@pytest.mark.parametrize("way", ["moments", "null_space"])
@pytest.mark.parametrize(("listed", "summed"), [(0, 0), (4, 0), (30, 0), (0, 30), (5, 30)])
def test_an_update_is_the_whole_systems_however_many_keys_stay(way: str, listed: int, summed: int) -> None:
    """R K^T (lambda C + K_p K_p^T + K K^T)^-1, or R K^T P (K_p K_p^T P + K K^T P + L2 I)^-1."""
    keys, residual, lam = drawn(3, 12, seed=5), drawn(3, 4, seed=6), 0.3
    stay = [drawn(count, 12, seed=7 + place) for place, count in enumerate((listed, summed))]
    moment, every = moment_of(rank=12, size=12), torch.cat([*stay, keys])
    if way == "moments":
        factor = factorise(moment, 0, 40)
        expected = residual.T @ keys @ torch.linalg.inv(lam * moment + every.T @ every)
    else:
        factor = null_space(*decomposed(moment), threshold=2.0, layer=0)
        assert 0 < factor.shape[1] < 12
        p = factor @ factor.T
        system = every.T @ every @ p + lam * torch.eye(12, dtype=p.dtype)
        expected = residual.T @ keys @ p @ torch.linalg.inv(system)
    sums = stay[1].T @ stay[1] if summed else None
    preserved = Preserved(way, factor, lam, stay[0] if listed else None, products=sums)
    assert torch.allclose(layer_update(keys, residual, preserved), expected, rtol=1e-8, atol=1e-12)


def test_emmet_writes_every_residual_exactly() -> None:
    keys, residual = drawn(3, 12), drawn(3, 4)
    factor = factorise(moment_of(rank=12, size=12), 0, 40)
    update = layer_update(keys, residual, Preserved("moments", factor))
    assert torch.allclose(update @ keys.T, residual.T, atol=1e-8)


@pytest.mark.parametrize("edits", [1, 3])
def test_a_published_file_of_emmet_is_computed_as_its_code_computes_it(edits: int) -> None:
    """(K^T C^-1 K + lambda I)^-1 K^T C^-1 with C scaled, and lambda for several keys alone."""
    said = {"mom2_update_weight": 1000, "update_norm_lambda": 20, "emmet_lambda": 0.1}
    recipe, moment = Recipe(EMMET, {"layers": [1], **said}), moment_of(rank=12, size=12)
    keys, residual = drawn(edits, 12), drawn(edits, 4)
    factor = factorise(moment, 0, 40, recipe.ridge)
    update = layer_update(keys, residual, Preserved("moments", factor, recipe.weight(edits)))
    inverse = torch.linalg.inv(1000 * moment + 20 * torch.eye(12, dtype=moment.dtype))
    system = keys @ inverse @ keys.T + 0.1 * (edits > 1) * torch.eye(edits, dtype=moment.dtype)
    assert torch.allclose(update, residual.T @ torch.linalg.inv(system) @ keys @ inverse, rtol=1e-9)


def test_a_threshold_below_every_eigenvalue_is_one_line() -> None:
    with pytest.raises(InputError, match=r"nullspace_threshold: found 1e-09, expected more than .* layer 7$"):
        null_space(*decomposed(torch.eye(4)), threshold=1e-9, layer=7)


def test_a_spectrum_survives_its_file(tmp_path: Path) -> None:
    moment, path = moment_of(rank=12, size=12), tmp_path / "spectra/3.safetensors"
    write_spectrum(decomposed(moment), path, {"count": "40"})
    values, vectors, metadata = read_spectrum(path)
    assert metadata["count"] == "40"
    assert torch.allclose(vectors.double() * values @ vectors.double().T, moment, atol=1e-4)


@pytest.mark.parametrize(
    "tensors",
    [
        {"values": torch.ones(3)},
        {"values": torch.ones(3), "vectors": torch.eye(4)},
        {"values": torch.ones(4), "vectors": torch.eye(4)},  # no count of tokens
    ],
)
def test_another_file_in_its_place_is_one_line(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file(tensors, tmp_path / "3.safetensors")
    with pytest.raises(InputError, match=r"3\.safetensors: holds .*expected values \(keys,\), vectors"):
        read_spectrum(tmp_path / "3.safetensors")
