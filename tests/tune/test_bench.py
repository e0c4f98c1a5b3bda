"""An attempt edits as a run does, from saved targets as from new ones, and leaves the model as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_corpus, tiny_model
from variants import edits_of

from reedit.errors import InputError
from reedit.evaluate.probes import make_probes
from reedit.methods.tunable import tunable
from reedit.prepare.facts import Fact
from reedit.tune.bench import Bench, Targets
from reedit.tune.factors import Factors

SMALL = {"v_num_grad_steps": 4, "clamp_norm_factor": 0.75}
SMALL |= {"nullspace_threshold": 0.1, "mom2_update_weight": 4, "alpha": 0.01, "num_steps": 3}


def bench(algorithm: str, facts: list[Fact], folder: Path) -> tuple[Bench, dict]:
    model, keys = tiny_model("llama"), tunable(algorithm)
    facts = facts[::8]
    layers = [2] if keys.width == 1 else [1, 2, 3]
    values = {"layers": layers, **keys.start}
    values |= {name: value for name, value in SMALL.items() if name in values}
    probes = make_probes(model, facts, {fact.case_id: fact.neighbors[:2] for fact in facts}, "corrected")
    factors = Factors(model, tiny_corpus().splitlines()[:24], 40, folder)
    return Bench(model, algorithm, "corrected", edits_of(model, facts), probes, factors), values


@contextmanager
def left_as_it_was(one: Bench) -> Iterator[None]:
    """What is done inside the block leaves the model's weights as they were."""
    before = {layer: one.model.weight(layer).clone() for layer in range(6)}
    yield
    assert all(torch.equal(one.model.weight(layer), weight) for layer, weight in before.items())


@pytest.mark.parametrize(
    "algorithm", ["memit", "pmet", "alphaedit", "rome", "blue", "memit_fe", "nse", "betaedit"]
)
def test_spread_of_saved_targets_is_the_edit_itself(
    algorithm: str, tiny_dataset: list[Fact], tmp_path: Path
) -> None:
    one, values = bench(algorithm, tiny_dataset, tmp_path)
    with left_as_it_was(one):
        targets = one.optimize(values)
        targets.write(tmp_path / "targets.safetensors")
        saved = Targets.read(tmp_path / "targets.safetensors")
        assert (
            saved.told == pytest.approx(targets.told) and 1 <= saved.passes <= 2 * SMALL["v_num_grad_steps"]
        )
        found, expected = one.spread(values, saved), one.edit(values)
        assert found.shape == (len(one.edits), 3, 2) and np.isfinite(found).all()
        if algorithm not in ("rome", "blue"):  # these find targets on what they have written
            assert np.array_equal(found, expected)


@pytest.mark.parametrize("algorithm", ["ft_m", "locft_bf", "ultraedit"])
def test_without_targets_an_attempt_is_a_whole_edit(
    algorithm: str, tiny_dataset: list[Fact], tmp_path: Path
) -> None:
    one, values = bench(algorithm, tiny_dataset, tmp_path)
    with left_as_it_was(one):
        targets = one.optimize(values)
        assert targets.told == {"passes": values.get("num_steps", 1)}
        one.prepare([[1, 2]], values)
        assert np.array_equal(one.spread(values, targets), one.edit(values)) and not list(tmp_path.iterdir())
        assert not np.array_equal(one.edit(values), one.edit({**values, "lr": 0.3}))
    with pytest.raises(InputError, match="tuning: lr: found -1"):
        one.edit({**values, "lr": -1})
