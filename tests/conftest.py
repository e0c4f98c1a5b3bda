"""What several tests share: tiny models, made once a session and never changed, and their facts."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tiny
import torch
from no_skips import pytest_runtest_makereport  # noqa: F401 (a hook)
from workflow import HAS_ENGINE, Experiment, copy_workflow, make_inputs, tiny_config

from reedit.jobs.warm import warm
from reedit.models.language_model import LanguageModel
from reedit.prepare.datasets import load_facts
from reedit.prepare.facts import Fact
from reedit.statistics.moments import Reading, collect_moments
from reedit.watch.call import IMPORTED

# Whatever uses one of these fixtures is for one worker of pytest-xdist alone, since making it takes long: the
# group by the first of them that applies.
GROUPS = {
    **{name: name for name in ("on_cuda", "further", "reused", "golden")},
    **dict.fromkeys(("finished", "inputs", "house"), "workflow"),
}


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        group = next((GROUPS[name] for name in GROUPS if name in getattr(item, "fixturenames", ())), None)
        if group == "workflow" and item.get_closest_marker("long"):
            group = None  # so many that every worker has a `finished` of its own
        if group:
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=6, help="how often tests/edit/test_kills.py kills a run")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny matrices gain nothing from threads, and threads that wait for each other cost much."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> list[Fact]:
    path = tmp_path_factory.mktemp("facts") / "facts.json"
    path.write_text(json.dumps(tiny.tiny_facts()))
    return list(load_facts(path).facts)


@pytest.fixture(scope="session")
def moments_of() -> Callable[[LanguageModel, list[int]], dict[int, torch.Tensor]]:
    """Second moments of a tiny model on the tiny corpus, fp32 as the files have them."""

    def collect(model: LanguageModel, layers: list[int]) -> dict[int, torch.Tensor]:
        moments, _ = collect_moments(model, tiny.tiny_corpus().splitlines()[:24], layers, Reading(40))
        return dict(moments)

    return collect


@pytest.fixture(scope="session")
def llama() -> LanguageModel:
    """A tiny random Llama in double precision; tests that edit it make their own."""
    return tiny.tiny_model("llama")


@pytest.fixture(scope="session")
def taught_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that knows every tiny fact, as a folder."""
    folder = tmp_path_factory.mktemp("models") / "taught"
    tiny.save_tiny_model(folder, taught=True)
    return folder


@pytest.fixture
def in_fp64(monkeypatch: pytest.MonkeyPatch) -> Callable[[LanguageModel], LanguageModel]:
    """Makes a model fp64 throughout: the architectures' norms and softmax go through fp32 otherwise."""

    def widen(model: LanguageModel) -> LanguageModel:
        monkeypatch.setattr(torch, "float32", torch.float64)  # what their code asks for
        return LanguageModel(model.model.double(), model.tokenizer)

    return widen


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a space in its name, which everything here lives in."""
    return tmp_path_factory.mktemp("a folder with spaces")


@pytest.fixture(scope="session")
def house(root: Path) -> Path:
    return copy_workflow(root / "the workflow")


@pytest.fixture(scope="session")
def inputs(root: Path, taught_folder: Path) -> Path:
    return make_inputs(root / "inputs", taught_folder)


@pytest.fixture(scope="session")
def warm_python(house: Path) -> Iterator[str]:
    """What stands for Python where most of a job's time would be imports; the library is the house's own."""
    with warm(IMPORTED, os.environ | {"PYTHONPATH": str(house / "scripts")}) as python:
        yield python


@pytest.fixture(scope="session")
def finished(root: Path, house: Path, inputs: Path, warm_python: str) -> Experiment:
    """The experiment of `tiny_config`, run from nothing in a working directory away from the workflow."""
    experiment = Experiment(root / "experiment", house, tiny_config(inputs), python=warm_python)
    experiment.outcome = experiment.run(*([] if HAS_ENGINE else ["tables"]))
    assert experiment.outcome.status == 0, experiment.outcome.output
    return experiment


@pytest.fixture
def again(finished: Experiment, tmp_path: Path) -> Experiment:
    """A copy of the finished experiment that a test may spoil."""
    return finished.copy(tmp_path / "experiment")
