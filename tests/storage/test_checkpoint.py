"""What long jobs go on from after a kill: whole or not there, of the same inputs, gone once a job is done."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from configurations import REPOSITORY
from tiny import tiny_corpus

from reedit.models.language_model import LanguageModel
from reedit.prepare import neighbors
from reedit.prepare.facts import Fact, write_facts
from reedit.prepare.neighbors import filter_neighbors
from reedit.prepare.preparation import REVISION
from reedit.statistics.moments import Place, Reading, Sums, collect_moments
from reedit.storage import parquet
from reedit.storage.checkpoint import Checkpoint, fingerprint
from reedit.storage.tensors import read_tensors

TEXTS = tiny_corpus().splitlines()


class Killed(BaseException):
    """As a kill: nothing of the job's own code runs after it."""


def number(folder: Path) -> int:
    return int((folder / "number").read_text())


def writing(value: int) -> Callable[[Path], None]:
    return lambda folder: (folder / "number").write_text(str(value)) and None


# -- the folder ---------------------------------------------------------------------------------------------


def test_what_was_saved_last_comes_back_and_what_was_before_is_gone(tmp_path: Path) -> None:
    saved = Checkpoint(tmp_path / "state", "a", every=0)
    assert saved.restore(number) is None
    for value in range(12):
        saved.save_when_due(writing(value))
    assert Checkpoint(tmp_path / "state", "a").restore(number) == 11
    assert sorted(os.listdir(tmp_path / "state")) == ["fingerprint", "saved12"]
    saved.discard()
    assert not (tmp_path / "state").exists()
    assert Checkpoint(tmp_path / "state", "a").restore(number) is None


def test_it_is_saved_once_in_so_many_seconds(tmp_path: Path) -> None:
    now = 0.0
    saved = Checkpoint(tmp_path / "state", "a", every=600, clock=lambda: now)
    found = []
    for now in (1.0, 599.0, 600.0, 700.0, 1199.0, 1200.0):
        saved.save_when_due(writing(int(now)))
        found.append(saved.restore(number))
    assert found == [None, None, 600, 600, 600, 1200]


def test_a_save_that_is_cut_off_leaves_the_one_before(tmp_path: Path) -> None:
    saved = Checkpoint(tmp_path / "state", "a", every=0)
    saved.save_when_due(writing(1))

    def dies(folder: Path) -> None:
        writing(2)(folder)
        raise Killed

    with pytest.raises(Killed):
        saved.save_when_due(dies)
    (tmp_path / "state/saved2.partial").mkdir()  # as after a kill that lets nothing run
    writing(3)(tmp_path / "state/saved2.partial")
    again = Checkpoint(tmp_path / "state", "a", every=0)
    assert again.restore(number) == 1
    again.save_when_due(writing(4))
    assert again.restore(number) == 4
    assert sorted(os.listdir(tmp_path / "state")) == ["fingerprint", "saved2"]


def test_a_full_disk_is_told_by_the_name_of_the_save(tmp_path: Path) -> None:
    saved = Checkpoint(tmp_path / "state", "a", every=0)

    def full(folder: Path) -> None:
        raise OSError(28, "No space left on device", str(folder / "number"))

    with pytest.raises(OSError, match="No space left") as caught:
        saved.save_when_due(full)
    assert caught.value.filename == str(tmp_path / "state/saved1")


def test_one_of_other_settings_or_inputs_is_discarded_and_a_damaged_one_begins_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "input").write_text("one")
    inputs = {"input": tmp_path / "input"}
    one = fingerprint({"layers": [1, 2]}, inputs)
    assert one == fingerprint({"layers": [1, 2]}, inputs) != fingerprint({"layers": [1, 3]}, inputs)
    (tmp_path / "input").write_text("other")
    assert one != fingerprint({"layers": [1, 2]}, inputs)
    Checkpoint(tmp_path / "state", "a", every=0).save_when_due(writing(1))
    assert Checkpoint(tmp_path / "state", "b").restore(number) is None
    saved = Checkpoint(tmp_path / "state", "b", every=0)
    saved.save_when_due(writing(1))
    (tmp_path / "state/saved1/number").write_text("nothing")
    assert saved.restore(number) is None
    assert "saved1: invalid literal" in caplog.text and "begins anew" in caplog.text


# -- moments ------------------------------------------------------------------------------------------------


def test_sums_come_back_to_the_last_bit(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sums = Sums(place=Place(40, 3))
    sums.add({2: torch.randn(9, 21), 5: torch.randn(9, 5)})
    sums.write(tmp_path)
    found = Sums.read(tmp_path, torch.device("cpu"))
    assert (found.tokens, found.place) == (9, Place(40, 3))
    for layer, total in sums.layers.items():
        assert all(map(torch.equal, found.layers[layer].blocks, total.blocks))


READING = Reading(30, budget=90, chunk=10)


def interrupted(model: LanguageModel, folder: Path, after: int, reading: Reading = READING) -> list[int]:
    """The tokens of the passes that a job makes, killed with so many batches saved."""
    read: list[int] = []
    forward, saves = model.backbone.forward, 0
    write = Sums.write

    def dies(self: Sums, place: Path) -> None:
        nonlocal saves
        write(self, place)
        saves += 1

    def watched(**inputs: Any) -> Any:
        if saves == after:
            raise Killed
        read.append(int((inputs["input_ids"] != 0).sum()))
        return forward(**inputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vars(model.backbone), "forward", watched)  # undone, nothing stays in it
        patch.setattr(Sums, "write", dies)
        saved = Checkpoint(folder, "a", every=0)
        with pytest.raises(Killed):
            collect_moments(model, TEXTS, [1, 3], reading, saved=saved)
    return read


@pytest.mark.parametrize("limit", [None, 1000])
@pytest.mark.parametrize("kills", [[1], [3], [4, 2], [2, 2, 2, 2]], ids=str)
def test_moments_after_kills_are_those_of_an_uninterrupted_job_to_the_last_bit(
    kills: list[int], limit: int | None, llama: LanguageModel, tmp_path: Path
) -> None:
    reading = replace(READING, tokens=limit)
    expected, count = collect_moments(llama, TEXTS, [1, 3], reading)
    usual = dict(expected)
    assert limit in (None, count)
    begun = [tokens for after in kills for tokens in interrupted(llama, tmp_path / "state", after, reading)]
    saved = Checkpoint(tmp_path / "state", "a")
    passes: list[int] = []
    forward = llama.backbone.forward
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            vars(llama.backbone),
            "forward",
            lambda **inputs: [passes.append(int((inputs["input_ids"] != 0).sum())), forward(**inputs)][1],
        )
        found, tokens = collect_moments(llama, TEXTS, [1, 3], reading, saved=saved)
    assert tokens == count == sum(begun) + sum(passes), "no document is read twice"
    for layer, moment in found:
        assert torch.equal(moment, usual[layer])


def test_a_damaged_save_costs_the_work_and_no_more(
    llama: LanguageModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    interrupted(llama, tmp_path / "state", 3)
    (tmp_path / "state/saved3/1.7.safetensors").write_bytes(b"cut off")
    expected, count = collect_moments(llama, TEXTS, [1, 3], READING)
    saved = Checkpoint(tmp_path / "state", "a")
    found, tokens = collect_moments(llama, TEXTS, [1, 3], READING, saved=saved)
    assert tokens == count and all(map(torch.equal, dict(found).values(), dict(expected).values()))
    assert "begins anew" in caplog.text


# -- the filter ---------------------------------------------------------------------------------------------


@pytest.fixture
def taught(taught_folder: Path) -> LanguageModel:
    return LanguageModel.load(taught_folder, device="cpu")


def test_the_filter_goes_on_with_the_neighbors_that_are_left(
    taught: LanguageModel, tiny_dataset: list[Fact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbors, "PIECE", 5)
    expected, answers = filter_neighbors(taught, tiny_dataset, False, 0), neighbors._answers
    asked: list[int] = []

    def counted(model: LanguageModel, pairs: list, rows: list) -> list:
        if len(asked) == 3:
            raise Killed
        asked.append(len(pairs))
        return answers(model, pairs, rows)

    monkeypatch.setattr(neighbors, "_answers", counted)
    with pytest.raises(Killed):
        filter_neighbors(taught, tiny_dataset, False, 0, Checkpoint(tmp_path / "state", "a", every=0))
    asked.append(0)
    saved = Checkpoint(tmp_path / "state", "a", every=0)
    assert filter_neighbors(taught, tiny_dataset, False, 0, saved) == expected
    distinct = {(n.prompt, n.object) for fact in tiny_dataset for n in fact.neighbors}
    assert sum(asked) == len(distinct) > 15


# -- the jobs, killed ---------------------------------------------------------------------------------------

# a script of a rule as Snakemake runs it, whose passes take a while
SCRIPT = """
import json, runpy, sys, time
from functools import partial
from types import SimpleNamespace
from transformers import LlamaModel

told = json.loads(sys.argv[1])
forward = LlamaModel.forward

def slow(*arguments, **named):
    time.sleep(told["pause"])
    return forward(*arguments, **named)

LlamaModel.forward = slow
from reedit.prepare import neighbors
from reedit.statistics import moments
from reedit.storage import provenance
if told["release"]:
    provenance.version = lambda name: told["release"]
neighbors.PIECE = 5
moments.Reading = partial(moments.Reading, budget=90, chunk=10)
class Names(SimpleNamespace):
    items = lambda self: vars(self).items()
parts = {name: Names(**part) if isinstance(part, dict) else part for name, part in told["snakemake"].items()}
runpy.run_path(sys.argv[2], init_globals={"snakemake": SimpleNamespace(**parts)})
"""


@pytest.fixture
def jobs(taught_folder: Path, tiny_dataset: list[Fact], tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts the script of a rule in a process, with a pause in each pass and an output of the name given."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "texts.txt").write_text(tiny_corpus())
    shutil.copytree(taught_folder, tmp_path / "model")
    (tmp_path / "model" / REVISION).write_text(json.dumps({"revision": "0"}))
    write_facts(tiny_dataset, tmp_path / "facts.parquet", {"fixed_roles": False})
    started: list[subprocess.Popen] = []

    def start(rule: str, output: str, pause: float, release: str = "") -> subprocess.Popen:
        settings = {"dtype": "float32", "layers": [1, 3], "format": "lines", "samples": 99, "max_tokens": 30}
        settings |= {"in_file_order": False, "seed": 0}
        inputs = {"model": tmp_path / "model"}
        inputs |= {"source": source} if rule == "collect_moments" else {"facts": tmp_path / "facts.parquet"}
        state = {"folder": tmp_path / "state" / output, "every": 0}
        described = {
            "rule": rule,
            "log": [(tmp_path / output).with_suffix(".log")],
            "input": inputs,
            "output": [tmp_path / output],
            "params": {
                "settings": settings,
                "state": state,
                "finished": tmp_path / "finished" / output,
                "code": {"code": "1"},
            },
            "wildcards": {"corpus": "lines"},
        }
        told = {"snakemake": described, "pause": pause, "release": release}
        told = json.dumps(told, default=str)
        command = [sys.executable, "-c", SCRIPT, told, str(REPOSITORY / f"scripts/{rule}.py")]
        variables = os.environ | {"PYTHONPATH": str(REPOSITORY / "scripts"), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, env=variables, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def kill_saved(job: subprocess.Popen, state: Path) -> None:
    """Kill a job once it has saved what it has for the second time."""
    end = time.monotonic() + 120
    while not (state / "saved2").exists():
        assert job.poll() is None and time.monotonic() < end, job.stderr.read()
        time.sleep(0.05)
    job.send_signal(signal.SIGKILL)
    job.wait()


@pytest.mark.long
@pytest.mark.parametrize("rule", ["collect_moments", "filter_neighbors"])
def test_a_state_of_other_packages_is_of_no_use(rule: str, jobs: Callable[..., Any], tmp_path: Path) -> None:
    """A tokenizer or a kernel of another release must not end what the one before began."""
    kill_saved(jobs(rule, "output.parquet", pause=0.5), tmp_path / "state/output.parquet")
    rerun = jobs(rule, "output.parquet", pause=0, release="9.9")
    assert rerun.wait() == 0, rerun.stderr.read()
    assert "going on from" not in (tmp_path / "output.log").read_text()


@pytest.mark.long
@pytest.mark.parametrize(
    ("rule", "output"), [("collect_moments", "moments"), ("filter_neighbors", "neighbors.parquet")]
)
def test_a_killed_job_goes_on_and_ends_with_the_same_bits(
    rule: str, output: str, jobs: Callable[..., Any], tmp_path: Path
) -> None:
    state = tmp_path / "state" / output
    kill_saved(jobs(rule, output, pause=0.5), state)
    assert not (tmp_path / output).exists()
    rerun, usual = jobs(rule, output, pause=0), jobs(rule, f"other-{output}", pause=0)
    for process in (rerun, usual):
        assert process.wait() == 0, process.stderr.read()
    assert not state.exists(), "a job that is asked for again begins anew"
    assert f"going on from {state}/saved" in (tmp_path / output).with_suffix(".log").read_text()
    if rule == "collect_moments":
        for layer in (1, 3):
            found, expected = (
                read_tensors(tmp_path / name / f"{layer}.safetensors")["moment"]
                for name in (output, f"other-{output}")
            )
            assert torch.equal(found, expected)
    else:
        found, expected = (parquet.read(tmp_path / name, "neighbors") for name in (output, f"other-{output}"))
        assert found == expected
