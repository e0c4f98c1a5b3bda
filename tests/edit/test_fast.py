"""speed: fast: what it makes of a run's settings, and OPTIMIZATION on a lighter copy that follows theta."""

from pathlib import Path
from typing import Any

import pytest
import torch
from configurations import configuration, entry
from tiny import tiny_model
from variants import edits_of, factors_of, plan

from reedit.edit.editor import Editor
from reedit.edit.iteration import one_iteration, ours
from reedit.edit.job.edit_run import light_copy
from reedit.edit.job.settings import EditSettings
from reedit.edit.states import bare_rows, states_at_subject
from reedit.errors import InputError
from reedit.jobs.device import computes_in_bfloat16
from reedit.prepare.facts import Fact
from reedit.settings.experiment import Experiment

HERE = Path()


def fast(**changes: Any) -> dict[str, EditSettings]:
    """The settings of a fast run's methods."""
    made = Experiment(configuration() | {"runs": [entry(speed="fast", **changes)]}, house=HERE)
    return {run.method.name: made.edit_settings(run) for run in made.runs.values()}


def test_a_fast_run_takes_straight_steps_and_lets_edits_leave_where_they_can() -> None:
    settings = fast()["memit"]
    assert (settings.speed, settings.leaves, settings.hyperparameters["step_length"]) == ("fast", "gap", 0.2)
    assert settings.recipe.leaves == "gap"
    exact = Experiment(configuration(), HERE)
    (run,) = exact.runs.values()
    plain = exact.edit_settings(run)
    assert plain.speed == "exact" and plain.leaves == "never" and "step_length" not in plain.hyperparameters


def test_what_the_published_code_computes_is_never_fast() -> None:
    with pytest.raises(InputError, match=r"runs\[0\]\.speed: fast: not with memit_released under released"):
        fast(methods=["memit_released"])


def test_a_light_copy_finds_targets_of_the_model_that_is_edited(tiny_dataset: list[Fact], moments_of) -> None:
    """The copy follows the weights; z is h of the model in its own precision, and delta."""
    model, recipe = tiny_model("llama"), plan(2)
    edits = edits_of(model, tiny_dataset[::9])
    factors = factors_of(moments_of(model, recipe.layers), recipe)
    editor = Editor(model, recipe, factors, light=model.lighter(torch.bfloat16))
    assert editor.light.model.dtype is torch.bfloat16 and model.model.dtype is torch.float64
    exact = one_iteration(Editor(tiny_model("llama"), recipe, factors), edits, 1, ours)
    before = states_at_subject(model, bare_rows(edits), recipe.layers[-1], ["hidden"])["hidden"]
    found = one_iteration(editor, edits, 1, ours)
    assert torch.equal(found.hidden[:, 0], before)
    assert (found.delta - exact.delta).norm() < 0.2 * exact.delta.norm() and not torch.equal(
        found.delta, exact.delta
    )
    for layer in recipe.layers:
        assert torch.equal(
            editor.optimizes_on.weight(layer), model.weight(layer).to(editor.light.weight(layer))
        )
        assert torch.equal(
            editor.light.mlp_output(layer).weight, model.mlp_output(layer).weight.to(torch.bfloat16)
        )


def test_without_the_machines_help_nothing_is_lighter(monkeypatch: pytest.MonkeyPatch) -> None:
    model, settings = tiny_model("llama"), fast()["memit"]
    for able in (True, False):
        monkeypatch.setattr("reedit.edit.job.edit_run.computes_in_bfloat16", lambda device, able=able: able)
        assert (light_copy(model, settings) is not None) == able
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert computes_in_bfloat16(torch.device("cpu"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    assert not computes_in_bfloat16(torch.device("cpu"))
