"""The whole path on a pretended CUDA device: the same numbers as on the CPU, and no mixture of devices."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest
import tiny
import torch
from pretended_cuda import pretended_cuda
from test_optimization import MEMIT, SETTINGS, edits_of, relative
from whole_path import check_alike, whole_path

from reedit.edit.buckets import Tail, make_buckets
from reedit.edit.micro_batch import MicroBatch
from reedit.edit.optimization import optimize
from reedit.models.language_model import LanguageModel
from reedit.models.likelihood import likelihoods
from reedit.prepare.facts import Fact

TOLERANCE = 2e-3  # of perplexities after two iterations; the first difference is of attention's rounding


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


@pytest.mark.parametrize("folder", tiny.ALL_ARCHITECTURES, indirect=True)
def test_every_architecture_loads_and_its_tail_is_the_whole_model(
    folder: Path, tiny_dataset: list[Fact], request: pytest.FixtureRequest
) -> None:
    """With the attention that a GPU gets: sdpa, but for GPT-J, for which transformers has none."""
    architecture = request.node.callspec.params["folder"]
    there = LanguageModel.load(folder, device="cpu")
    edits = edits_of(there, tiny_dataset[:6], 2)
    said = likelihoods(there, [weighted.row for edit in edits for weighted in edit.labelled])
    with pretended_cuda():
        model = LanguageModel.load(folder)
        assert model.device == torch.device("cuda", 0)
        assert model.model.config._attn_implementation == ("eager" if architecture == "gptj" else "sdpa")
        tail = Tail(model, 3, ["hidden"])
        delta = torch.zeros(len(edits), 1, tiny.WIDTH, device=model.device)
        found = [x for b in make_buckets(model, edits, 3, 100) for x in tail(b, delta).nll.tolist()]
    expected = [-logp for likelihood in said for logp in likelihood.logp]
    assert sorted(found) == pytest.approx(sorted(expected), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("folder", ["llama", "gpt2", "gptj", "gemma3_text"], indirect=True)
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
            found = optimize(
                model, edits_of(model, tiny_dataset[:12], 1), MEMIT, SETTINGS, at_once=MicroBatch(16384, 256)
            )
            delta, needed = found.delta.cpu(), memory.peak
        return delta, needed, sum("out of memory" in record.message for record in caplog.records)

    usual, needed, halved = run(2**40)
    assert halved == 0
    for share in (0.9, 0.7, 0.5):
        delta, _, halved = run(int(share * needed))
        assert halved > 0 and relative(delta, usual) < 1e-4
