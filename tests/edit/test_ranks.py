"""One edit job in two processes (gloo, no GPU): the results of one, and a death that loses nothing."""

import json
import os
import re
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from steps import found_of
from variants import VARIANTS, edits_of
from workflow import Experiment, changed

from reedit.edit.found import Part
from reedit.edit.optimization.micro_batch import MicroBatch
from reedit.edit.ranks import Ranks
from reedit.edit.workers import Workers
from reedit.methods.algorithms import ALGORITHMS
from reedit.methods.recipe import Recipe
from reedit.models.language_model import LanguageModel
from reedit.prepare.facts import Fact

RUN = "tiny/facts/memit/trial1"
TARGET = f"results/edits/{RUN}/targets.parquet"
SHARED = {"models__tiny__processes": 2, "seed": 0}


@pytest.fixture
def shared(finished: Experiment, tmp_path: Path) -> Experiment:
    """The finished experiment without one run's edits, and with two processes for it."""
    again = finished.copy(tmp_path / "experiment")
    again.config = changed(again.config, **SHARED)
    for place in ("edits", "finished"):
        shutil.rmtree(again.path(f"{place}/{RUN}"))
    return again


def close(one: Path, other: Path) -> None:
    """Two targets tables that tell the same but for rounding."""
    for a, b in zip(pq.read_table(one).to_pylist(), pq.read_table(other).to_pylist(), strict=True):
        assert (a["k"], a["case_id"], a["steps"]) == (b["k"], b["case_id"], b["steps"])
        rest = [name for name in a if name not in ("k", "case_id", "steps")]
        assert [a[name] for name in rest] == pytest.approx([b[name] for name in rest], rel=2e-2, abs=1e-3)


@pytest.mark.long
def test_two_processes_give_what_one_gives(shared: Experiment, finished: Experiment) -> None:
    outcome = shared.run(TARGET)
    assert outcome.status == 0, outcome.output
    close(shared.path(f"edits/{RUN}/targets.parquet"), finished.path(f"edits/{RUN}/targets.parquet"))
    first, expected = (load_file(e.path(f"edits/{RUN}/weights/k1.safetensors")) for e in (shared, finished))
    for name, update in expected.items():
        assert (first[name] - update).norm() <= 1e-4 * update.norm()
    made_by = json.loads(pq.read_schema(shared.path(f"edits/{RUN}/targets.parquet")).metadata[b"reedit"])
    assert made_by["processes"] == 2
    log = shared.log(f"edit_facts/{RUN}.log")
    assert log.count("k=1: perplexity") == 1 and log.count("done in") == 1
    assert not shared.path(f"state/{RUN}").exists()


@pytest.mark.long
def test_more_processes_than_batches_leave_some_idle_and_nothing_amiss(shared: Experiment) -> None:
    shared.config = changed(shared.config, models__tiny__processes=3)
    assert shared.run(TARGET).status == 0


def ranks_of(folder: Path) -> list[int]:
    """Process ids of the ranks that work in a folder."""
    found = psutil.process_iter(["cmdline", "cwd"])
    ranks = [one for one in found if "reedit.edit.job.sharing" in (one.info["cmdline"] or ())]
    return [rank.pid for rank in ranks if rank.info["cwd"] and os.path.samefile(rank.info["cwd"], folder)]


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.long
def test_a_process_that_dies_ends_the_job_with_one_line_and_a_rerun_goes_on(
    shared: Experiment, victim: int
) -> None:
    process = shared.start(TARGET)
    state, deadline = shared.path(f"state/{RUN}"), time.monotonic() + 120
    while not (state / "k1").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    ranks = sorted(ranks_of(shared.folder))
    assert len(ranks) == 2
    os.kill(ranks[victim], signal.SIGKILL)
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    lines = set(re.findall(r"error: (process \d of 2 was ended by .*)", output))
    assert len(lines) == 1 and "SIGKILL" in lines.pop()
    assert not ranks_of(shared.folder)
    resumed = shared.run(TARGET)
    assert resumed.status == 0, resumed.output
    assert "resuming after iteration" in shared.log(f"edit_facts/{RUN}.log")


@pytest.mark.long
def test_no_process_outlives_a_kill_of_what_started_it(shared: Experiment) -> None:
    shared.run_killed((shared.path(f"state/{RUN}") / "k1").exists, TARGET)
    deadline = time.monotonic() + 20
    while ranks_of(shared.folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not ranks_of(shared.folder)


@pytest.mark.long
def test_a_bad_input_in_a_shared_job_is_one_line(shared: Experiment) -> None:
    moments = next(shared.path("moments/tiny/lines").glob("3.safetensors"))
    moments.write_bytes(b"nothing")
    outcome = shared.run(TARGET, "--rerun-triggers", "params")
    assert outcome.status != 0
    assert [
        line for line in outcome.errors if "not readable as safetensors" in line
    ] and "Traceback" not in outcome.output


def test_ranks_that_see_other_free_memory_still_share_every_edit(
    llama: LanguageModel, tiny_dataset: list[Fact]
) -> None:
    """Two ranks made one after the other: what one gathers is what the other is given."""
    edits = edits_of(llama, tiny_dataset[:7])
    algorithm, settings = ALGORITHMS["memit"], VARIANTS["memit"][1]
    sizes = [MicroBatch(512, 2), MicroBatch(512, 3)]
    found: list[list[Part]] = []

    @dataclass(frozen=True)
    class Recorded(Ranks):
        def agreed(self, value: Any) -> Any:
            return sizes[0] if isinstance(value, MicroBatch) else value

        def gathered(self, mine: list[Part]) -> list[Part]:
            found.append(mine)
            return [part for parts in found for part in parts]

    with suppress(KeyError, IndexError):  # the first one cannot know yet what the second will find
        found_of(
            llama,
            edits,
            Recipe(algorithm, settings),
            sizes[0],
            workers=Workers(ranks=Recorded(0, 2)),
        )
    both = found_of(
        llama,
        edits,
        Recipe(algorithm, settings),
        sizes[1],
        workers=Workers(ranks=Recorded(1, 2)),
    )
    assert sorted(place for parts in found for places, _ in parts for place in places) == list(range(7))
    alone = found_of(llama, edits, Recipe(algorithm, settings), sizes[0])
    assert torch.equal(both.delta, alone.delta) and both.steps == alone.steps
