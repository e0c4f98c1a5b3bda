"""What the second moments take of memory and disk, against the plan and against holding them twice."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from storages import Storages
from tiny import tiny_model
from torch import Tensor

from reedit.statistics import fingerprint
from reedit.statistics.fingerprint import Sample
from reedit.statistics.moments import Reading, Sums, collect_moments, read_moment, write_moment
from reedit.statistics.npz_statistics import read_statistics
from reedit.statistics.spectra import decompose_moments
from reedit.statistics.symmetric import SumOfProducts, asymmetry, inner_product, symmetrise
from reedit.use.costs import GB, WORKSPACE, Shape, moment_cost

KEYS = 1024
MATRIX = KEYS**2 * 4  # bytes in single precision
TEXTS = ["The old town of Osaka lies in Japan", "Glenn Gould plays the piano"]


def weights(model: torch.nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in model.parameters())


@pytest.mark.parametrize(
    ("keys", "layers"), [(1024, [2]), (1024, [0, 3, 5]), (1600, [1, 2, 3, 4, 5])], ids=str
)
def test_the_peak_of_collecting_moments_is_the_planned_one(
    keys: int, layers: list[int], tmp_path: Path
) -> None:
    model = tiny_model("llama", dtype=torch.float32, keys=keys)
    config = model.model.config
    parameters = weights(model.model) / 4
    shape = Shape(
        parameters=parameters,
        layers=config.num_hidden_layers,
        width=config.hidden_size,
        keys=keys,
        vocabulary=config.vocab_size,
    )
    with Storages() as seen:
        moments, count = collect_moments(model, TEXTS, layers, Reading(40))
        for layer, moment in moments:
            write_moment(moment, tmp_path / f"{layer}.safetensors", {"count": str(count)})
            del moment
    cost = moment_cost(shape, layers, 80)
    assert weights(model.model) + seen.peak == pytest.approx(cost.host * GB, rel=0.1)
    assert cost.gpu * GB == pytest.approx(cost.host * GB - 4 * keys**2 + WORKSPACE * GB)
    assert seen.live() < 0.01 * seen.peak, "nothing is left"


def test_what_is_kept_for_a_kill_is_the_planned_disk(tmp_path: Path) -> None:
    layers, sums = [0, 3, 5], Sums()
    sums.add({layer: torch.randn(7, KEYS) for layer in layers})
    sums.write(tmp_path)
    kept = sum(path.stat().st_size for path in tmp_path.iterdir())
    cost = moment_cost(Shape(parameters=1e5, layers=6, width=32, keys=KEYS, vocabulary=320), layers, 80)
    assert 2 * kept + len(layers) * MATRIX == pytest.approx(cost.disk * GB, rel=0.01)
    with Storages() as seen:
        sums.write(tmp_path)
    assert seen.peak == 0, "no copy is made"
    with Storages() as seen:
        Sums.read(tmp_path, torch.device("cpu"))
    assert seen.peak < 3 * 8 * KEYS**2 * 9 / 16 + 8 * KEYS**2 / 7


def random_moment() -> Tensor:
    total = SumOfProducts(KEYS, torch.device("cpu"))
    total.add(torch.randn(2 * KEYS, KEYS, generator=torch.Generator().manual_seed(0)))
    return total.used_up(2 * KEYS)


@pytest.mark.parametrize(
    ("work", "most"),
    [
        (lambda path: read_moment(path), 1.5),
        (
            lambda path: asymmetry(random_moment()),
            4.6,
        ),  # its sum, in double precision, and keys twice as long
        (lambda path: decompose_moments(path.parent, path.parent / "spectra", [1, 2, 3]), 7.5),
    ],
    ids=["read", "held to symmetry", "decomposed"],
)
def test_no_step_holds_a_moment_more_often_than_it_has_to(
    work: Callable[[Path], object], most: float, tmp_path: Path
) -> None:
    """In moments of single precision."""
    for layer in (1, 2, 3):
        write_moment(random_moment(), tmp_path / f"{layer}.safetensors", {"count": "2048"})
    with Storages() as seen:
        work(tmp_path / "1.safetensors")
    assert seen.peak / MATRIX < most


def test_a_released_moment_is_read_without_a_copy(tmp_path: Path) -> None:
    content = {"mom2.count": 9, "mom2.mom2": random_moment().numpy() * 9, "sample_size": 3}
    np.savez(tmp_path / "a.npz", **content)
    with Storages() as seen:
        found = read_statistics(tmp_path / "a.npz", KEYS)
    assert found.moment.shape == (KEYS, KEYS)
    assert seen.peak / MATRIX < 0.6  # the moment itself is the array that numpy read


def test_the_sample_holds_one_layers_moment_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "SAMPLE_TOKENS", 20)
    model = tiny_model("llama", dtype=torch.float32, keys=KEYS)
    with Storages() as seen:
        sample = Sample(model, TEXTS, [0, 1, 2, 3, 4], 40)
        for layer in range(5):
            sample.moment(layer)
    assert seen.peak / MATRIX < 2.5  # of one layer the sum in double precision, the moment, and the keys


# -- the blocks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 5, 8, 21, 64])
def test_blocks_add_up_to_the_whole(size: int) -> None:
    keys = torch.randn(40, size, dtype=torch.float64, generator=torch.Generator().manual_seed(size))
    total = SumOfProducts(size, torch.device("cpu"))
    for some in keys.split(7):
        total.add(some)
    found, expected = total.used_up(40), keys.T @ keys / 40
    assert torch.equal(found, found.T) and found.dtype == torch.float32
    assert (found - expected).norm() < 1e-6 * expected.norm()


@pytest.mark.parametrize("size", [1, 5, 8, 21])
def test_symmetry_by_blocks_is_that_of_the_whole(size: int) -> None:
    torch.manual_seed(size)
    matrix, other = torch.randn(size, size), torch.randn(size, size)
    whole = float((matrix - matrix.T).norm() / matrix.norm())
    assert asymmetry(matrix) == pytest.approx(whole, rel=1e-5)
    assert inner_product(matrix, other) == pytest.approx(float((matrix * other).sum()), rel=1e-4, abs=1e-5)
    mean = (matrix + matrix.T) / 2
    symmetrise(matrix)
    assert torch.equal(matrix, mean) and asymmetry(matrix) == 0
