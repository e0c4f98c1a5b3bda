"""The whole path on a pretended CUDA device: the same numbers as on the CPU, and no mixture of devices."""

import json
from collections.abc import Callable
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from optimizing import MEMIT, SETTINGS, edits_of, relative
from planted import LEGAL, MIXTURES, planted
from pretended_cuda import pretended_cuda
from steps import found_of
from tiers import long_but
from variants import VARIANTS, plan
from whole_path import check_alike, edited, facts_of, told, whole_path

from reedit.edit.job.sharing import share_edit_run
from reedit.edit.optimization.buckets import Tail, make_buckets
from reedit.edit.optimization.micro_batch import MicroBatch
from reedit.errors import InputError
from reedit.methods.recipe import Recipe
from reedit.models.language_model import LanguageModel
from reedit.models.likelihood import likelihoods
from reedit.prepare.facts import Fact

TOLERANCE = 2e-3  # after two iterations; the first difference is of attention's rounding
AMPLIFIED = 1e-2  # likewise, where hardly anything bounds an update: AlphaEdit's by a small L2
TEMPLATES = ["The old town of. {}"]
EVERY = [
    *product(["llama"], VARIANTS, ["corrected", "released"]),
    *product(["gpt2"], VARIANTS, ["corrected"]),
]


@pytest.fixture(scope="session")
def facts_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("facts") / "facts.json"
    path.write_text(json.dumps(tiny.tiny_facts()))
    return path


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A tiny model of the architecture that the test's parameter names."""
    tiny.save_tiny_model(tmp_path / "model", architecture=request.param)
    return tmp_path / "model"


@pytest.mark.parametrize(
    "folder", long_but(tiny.ALL_ARCHITECTURES, {"llama", "gpt2", "gemma3_text"}.__contains__), indirect=True
)
def test_every_architecture_loads_and_its_tail_is_the_whole_model(
    folder: Path, tiny_dataset: list[Fact], request: pytest.FixtureRequest
) -> None:
    """With the attention that a GPU gets: sdpa, but for GPT-J, for which transformers has none, and Gemma 2,
    which caps attention's logits, as none can."""
    architecture = request.node.callspec.params["folder"]
    there = LanguageModel.load(folder, device="cpu")
    edits = edits_of(there, tiny_dataset[:6], 2)
    said = likelihoods(there, [weighted.row for edit in edits for weighted in edit.labelled])
    with pretended_cuda():
        model = LanguageModel.load(folder)
        assert model.device == torch.device("cuda", 0)
        eager = architecture in ("gptj", "gemma2")
        assert model.model.config._attn_implementation == ("eager" if eager else "sdpa")
        tail = Tail(model, 3, ["hidden"])
        delta = torch.zeros(len(edits), 1, tiny.WIDTH, device=model.device)
        found = [x for b in make_buckets(model, edits, 3, 100) for x in tail(b, delta).nll.tolist()]
    expected = [-logp for likelihood in said for logp in likelihood.logp]
    assert sorted(found) == pytest.approx(sorted(expected), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(
    "folder",
    long_but(["llama", "gpt2", "gptj", "gemma3_text", "qwen3_5_text"], {"llama", "gpt2"}.__contains__),
    indirect=True,
)
def test_the_whole_path_gives_the_cpus_numbers(folder: Path, facts_file: Path, tmp_path: Path) -> None:
    expected = whole_path(folder, facts_file, tmp_path / "cpu")
    with pretended_cuda() as memory:
        found = whole_path(folder, facts_file, tmp_path / "cuda")
    assert memory.kernels > 10_000
    check_alike(found, expected, TOLERANCE)


@pytest.mark.parametrize("folder", ["llama"], indirect=True)
def test_what_does_not_fit_is_halved_with_the_same_outcome(
    folder: Path, tiny_dataset: list[Fact], caplog: pytest.LogCaptureFixture
) -> None:
    """Where the failed pass's memory, and that of halves made beside it, is counted."""

    def run(total: int) -> tuple[torch.Tensor, int, int]:
        caplog.clear()
        with pretended_cuda(total) as memory:
            model = LanguageModel.load(folder)
            found = found_of(
                model,
                edits_of(model, tiny_dataset[:6], 1),
                Recipe(MEMIT, SETTINGS),
                MicroBatch(16384, 256),
            )
            delta, needed = found.delta.cpu(), memory.peak
        return delta, needed, sum("out of memory" in record.message for record in caplog.records)

    usual, needed, halved = run(2**40)
    assert halved == 0
    for share in (0.8, 0.5):
        delta, _, halved = run(int(share * needed))
        assert halved > 0 and relative(delta, usual) < 1e-4


def test_keys_of_a_state_and_new_ones_protect_together(facts_file: Path, tmp_path: Path) -> None:
    """AlphaEdit in batches: the second job has the first one's keys from a file."""
    tiny.save_tiny_model(tmp_path / "model")
    run = variant_run(tmp_path, facts_file, "alphaedit in batches", "corrected")
    expected = run("cpu")
    with pretended_cuda():
        found = run("cuda")
    check_alike(found, expected, AMPLIFIED)


def test_more_processes_than_gpus_are_one_line(tmp_path: Path) -> None:
    refused = pytest.raises(InputError, match="processes is 2, expected at most the 1 GPUs here")
    with pretended_cuda(), refused:
        share_edit_run(2, tmp_path / "log", {}, tmp_path / "state", {})


def variant_run(folder: Path, file: Path, variant: str, protocol: str) -> Callable[[str], dict[str, Any]]:
    """Two iterations by one of test_iteration's variants, the second one from a state of some name."""
    facts = facts_of(file)

    def run(name: str) -> dict[str, Any]:
        return told(
            *edited(
                *(folder / "model", facts, folder / name),
                lambda iterations: plan(iterations, variant=variant, protocol=protocol),
                TEMPLATES,
            )
        )

    return run


@pytest.mark.long
@pytest.mark.parametrize(("folder", "variant", "protocol"), EVERY, indirect=["folder"])
def test_every_algorithm_and_protocol_gives_the_cpus_numbers(
    folder: Path, variant: str, protocol: str, facts_file: Path
) -> None:
    run = variant_run(folder.parent, facts_file, variant, protocol)
    expected = run("cpu")
    with pretended_cuda():
        found = run("cuda")
    check_alike(found, expected, AMPLIFIED)


def copys_path(folder: Path, facts_file: Path, tmp_path: Path) -> dict[str, Any]:
    """The whole path of the library that is imported now, by ENCORE, whose ridge no other one has."""
    return import_module("whole_path").whole_path(folder, facts_file, tmp_path / "state", "encore")


@pytest.mark.long
@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("folder", ["llama"], indirect=True)
def test_a_planted_mixture_of_devices_is_caught(
    folder: Path, name: str, facts_file: Path, tmp_path: Path
) -> None:
    caught = pytest.raises(RuntimeError, match=r"cuda.*\(pretended")
    with planted(MIXTURES[name], tmp_path / "scripts"), pretended_cuda(), caught:
        copys_path(folder, facts_file, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("folder", ["llama"], indirect=True)
def test_what_cuda_takes_of_the_cpu_is_no_false_alarm(folder: Path, facts_file: Path, tmp_path: Path) -> None:
    with pretended_cuda():
        expected = whole_path(folder, facts_file, tmp_path / "expected", "encore")
    for name, change in LEGAL.items():
        place = tmp_path / name
        with planted(change, place / "scripts"), pretended_cuda():
            check_alike(copys_path(folder, facts_file, place), expected, 1e-6)
