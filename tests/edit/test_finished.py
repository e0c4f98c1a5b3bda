"""A job that has ended, asked for more iterations or fewer: what is complete is not made again."""

import errno
import json
import os
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_iteration import without_times
from tiny import save_tiny_model, tiny_model
from variants import LAYERS, SETTINGS, Moments, edits_of, factors_of, plan

from reedit.edit import iteration
from reedit.edit.editor import Editor
from reedit.edit.edits import Edit
from reedit.edit.found import Found
from reedit.edit.iteration import iterate
from reedit.edit.job.edit_run import edit_run
from reedit.edit.job.finished import begin, leave, take_up
from reedit.edit.job.settings import EditSettings
from reedit.edit.journal import Iteration, Journal
from reedit.edit.kept_weights import kept_iterations
from reedit.edit.workers import Workers
from reedit.methods.recipe import Recipe
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact, write_facts
from reedit.prepare.preparation import REVISION
from reedit.statistics.moments import read_moment, write_moment
from reedit.storage import parquet
from reedit.storage.checksums import write_sums
from reedit.storage.files import link_or_copy


class Jobs:
    """Edit jobs of one run, whose outputs Snakemake wipes before each; what each of them iterated."""

    def __init__(
        self, folder: Path, facts: list[Fact], moments_of: Moments, patch: pytest.MonkeyPatch
    ) -> None:
        self.folder, self.facts, self.moments_of, self.patch = folder, facts, moments_of, patch

    def run(self, recipe: Recipe, keep: str = "all") -> tuple[list[Iteration], list[int]]:
        model, made = tiny_model("llama", dtype=torch.float32), []
        state, finished, weights = (self.folder / name for name in ("state", "finished", "weights"))
        shutil.rmtree(weights, ignore_errors=True)
        take_up(state, finished, "f")
        journal = begin(partial(Journal, state, "f"), recipe, keep)
        once = iteration.one_iteration

        def watched(editor: Editor, edits: list[Edit], k: int, *rest: Any) -> Found:
            made.append(k)
            return once(editor, edits, k, *rest)

        factors = factors_of(self.moments_of(model, LAYERS), recipe)
        with self.patch.context() as patch:
            patch.setattr(iteration, "one_iteration", watched)
            editor = Editor(model, recipe, factors, workers=Workers(journal))
            done = iterate(editor, edits_of(model, self.facts))
        weights.mkdir()
        kept = kept_iterations([one.row for one in done], keep)
        for k in kept:
            link_or_copy(journal.weights(k), weights / f"k{k}.safetensors")
        leave(journal, finished, len(done), kept)
        assert not state.exists()
        return done, made

    def weights(self) -> dict[str, dict[str, torch.Tensor]]:
        files = {path.name: load_file(path) for path in (self.folder / "weights").iterdir()}
        return {name: {key: one.clone() for key, one in read.items()} for name, read in files.items()}


@pytest.fixture
def jobs(
    tmp_path: Path, tiny_dataset: list[Fact], moments_of: Moments, monkeypatch: pytest.MonkeyPatch
) -> Jobs:
    return Jobs(tmp_path, tiny_dataset[:3], moments_of, monkeypatch)


@pytest.mark.parametrize(
    "variant", ["memit", "memit, SPREAD only", "memit, leaving", "alphaedit in batches protecting its own"]
)
@pytest.mark.parametrize("keep", ["all", "last", "selected"])
def test_more_iterations_are_those_of_a_run_that_was_asked_for_them_at_once(
    variant: str, keep: str, jobs: Jobs, tmp_path: Path
) -> None:
    straight = Jobs(tmp_path / "at once", jobs.facts, jobs.moments_of, jobs.patch)
    straight.folder.mkdir()
    expected, _ = straight.run(plan(3, variant=variant), keep)
    assert jobs.run(plan(2, variant=variant), keep)[1] == [1, 2]
    found, made = jobs.run(plan(3, variant=variant), keep)
    assert made == [3] and without_times(found) == without_times(expected)
    weights = jobs.weights()
    assert weights.keys() == straight.weights().keys()
    for name, tensors in straight.weights().items():
        assert all(torch.equal(tensors[key], weights[name][key]) for key in tensors)


def test_fewer_iterations_and_back_make_none(jobs: Jobs) -> None:
    whole, _ = jobs.run(plan(3))
    fewer, made = jobs.run(plan(1))
    assert made == [] and fewer == whole[:1] and set(jobs.weights()) == {"k1.safetensors"}
    again, made = jobs.run(plan(3))
    assert made == [] and again == whole


def test_another_rule_to_stop_goes_on_or_ends_earlier(jobs: Jobs) -> None:
    jobs.run(plan(2))
    wanted = replace(plan(9), stop="small_change", extend_to=None)
    done, made = jobs.run(wanted)
    assert made == list(range(3, len(done) + 1))


def test_who_asks_for_the_same_again_has_it_as_it_was(jobs: Jobs) -> None:
    whole, _ = jobs.run(plan(2))
    weights = jobs.weights()
    again, made = jobs.run(plan(2))
    assert made == [] and again == whole and jobs.weights().keys() == weights.keys()


@pytest.mark.parametrize("name", ["weights.safetensors", "iteration.json"])
def test_what_was_damaged_is_made_afresh(name: str, jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    whole, _ = jobs.run(plan(2))
    weights = jobs.weights()
    damaged = jobs.folder / "finished/k1" / name
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1  # still of a size that can be read
    damaged.write_bytes(content)
    again, made = jobs.run(plan(2))
    assert made == [1, 2] and without_times(again) == without_times(whole)
    assert f"k1/{name}: sha256 is" in caplog.text and "made afresh" in caplog.text
    for file, tensors in jobs.weights().items():
        assert all(torch.equal(tensor, weights[file][key]) for key, tensor in tensors.items())


def test_weights_that_were_not_kept_are_made_again_where_they_are_asked_for(jobs: Jobs) -> None:
    jobs.run(plan(2), "last")
    assert jobs.run(plan(2), "all")[1] == [1, 2]
    assert jobs.run(plan(2), "last")[1] == []


def test_no_weights_lie_there_that_the_outputs_have_not(jobs: Jobs) -> None:
    jobs.run(plan(3), "last")
    (left,) = (jobs.folder / "finished").glob("k*/weights.safetensors")
    assert left.samefile(jobs.folder / "weights/k3.safetensors")


def test_where_there_are_no_hard_links_nothing_stays(jobs: Jobs) -> None:
    jobs.patch.setattr("os.link", lambda *_: (_ for _ in ()).throw(OSError()))
    jobs.run(plan(1))
    assert not (jobs.folder / "finished").exists()
    assert jobs.run(plan(2))[1] == [1, 2]


def test_what_is_on_another_disk_is_made_again_and_the_job_ends(
    jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    """Someone has made results/finished a link to where there is more room."""

    def rename(self: Path, target: Path) -> Path:
        if {self.name, target.name} == {"state", "finished"}:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return renamed(self, target)

    renamed = Path.rename
    jobs.run(plan(1))
    jobs.patch.setattr(Path, "rename", rename)
    assert jobs.run(plan(2))[1] == [1, 2] and "cannot be moved" in caplog.text
    assert not (jobs.folder / "finished").exists()


def test_what_a_kill_left_of_a_complete_iteration_goes(jobs: Jobs) -> None:
    jobs.run(plan(1))
    for name in ("k1.batches", "k1.optimized", "k1.tuning"):
        (jobs.folder / "finished" / name).mkdir()
    write_sums(jobs.folder / "finished")
    assert jobs.run(plan(2))[1] == [2]
    assert not list((jobs.folder / "finished").glob("k1.*"))


# -- the job: what it reads decides, not what else lies beside it -------------------------------------------


class Run:
    """edit_run on the first trial of a split, whose outputs are wiped before it."""

    def __init__(
        self, folder: Path, facts: list[Fact], moments_of: Moments, patch: pytest.MonkeyPatch
    ) -> None:
        self.facts, self.patch = facts, patch
        names = ("model", "moments", "state", "finished", "weights")
        self.paths = {name: folder / name for name in names}
        tables = ("facts", "split", "prefixes", "targets", "iterations")
        self.paths |= {name: folder / f"{name}.parquet" for name in tables}
        save_tiny_model(self.paths["model"], architecture="llama")
        (self.paths["model"] / REVISION).write_text(json.dumps({"revision": "file:0123"}))
        write_facts(facts, self.paths["facts"], {})
        self.split([[0, 1]])
        parquet.write([{"template": "So. {}"}], self.paths["prefixes"], "prefixes", {})
        for layer, moment in moments_of(LanguageModel.load(self.paths["model"]), [1, 2, 3]).items():
            self.moment(layer, moment)

    def split(self, trials: list[list[int]], **counts: Any) -> None:
        places = [
            {"trial": trial, "position": place, "case_id": self.facts[number].case_id}
            for trial, numbers in enumerate(trials, start=1)
            for place, number in enumerate(numbers)
        ]
        parquet.write(places, self.paths["split"], "split", counts)

    def moment(self, layer: int, moment: torch.Tensor) -> None:
        write_moment(moment, self.paths["moments"] / f"{layer}.safetensors", {"count": "899"})

    def made(self, **changes: Any) -> list[int]:
        """The iterations that a job makes."""
        settings = EditSettings(
            **{"algorithm": "memit", "repository": "someone/Tiny", "protocol": "corrected", "iterations": 1}
            | {"hyperparameters": SETTINGS | {"layers": [1, 2]}, "dtype": "float32", "seed": 0}
            | {"keep_weights": "all", "trial": 1, "code": "1"}
            | changes
        )
        shutil.rmtree(self.paths["weights"], ignore_errors=True)
        found, once = [], iteration.one_iteration

        def watched(editor: Editor, edits: list[Edit], k: int, *rest: Any) -> Found:
            found.append(k)
            return once(editor, edits, k, *rest)

        with self.patch.context() as patch:
            patch.setattr(iteration, "one_iteration", watched)
            used = {name: path for name, path in self.paths.items() if name != "state"}
            edit_run(used, self.paths["state"], settings)
        return found


@pytest.fixture
def run(
    tmp_path: Path, tiny_dataset: list[Fact], moments_of: Moments, monkeypatch: pytest.MonkeyPatch
) -> Run:
    return Run(tmp_path, tiny_dataset, moments_of, monkeypatch)


def test_more_trials_facts_and_layers_beside_it_repeat_no_iteration(run: Run) -> None:
    assert run.made() == [1]
    run.split([[0, 1], [2, 3]], left_out=[{"role": "conflict"}])
    run.moment(3, 2 * read_moment(run.paths["moments"] / "3.safetensors")[0])
    write_facts(run.facts[:-1], run.paths["facts"], {"malformed": [1]})
    assert run.made() == [] and run.made(iterations=2) == [2]


def test_other_cases_or_moments_of_its_own_do(run: Run) -> None:
    assert run.made() == [1]
    run.split([[1, 0], [2, 3]])
    assert run.made() == [1]
    run.moment(2, 2 * read_moment(run.paths["moments"] / "2.safetensors")[0])
    assert run.made() == [1] and run.made(code="2") == [1] and run.made(code="2") == []
