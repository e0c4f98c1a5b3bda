"""Power lost again and again: every rerun goes on, and the last one's tables are an uninterrupted run's.

Six kills by default, one in each stage; more with
`make test ARGS="-m long tests/edit/test_kills.py --kills 36"`.
"""

import re
import shutil
import time
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest
from safetensors import safe_open
from workflow import HAS_ENGINE, Experiment, timeless

pytestmark = pytest.mark.long
STAGES = [  # what is killed in each, in the order of the DAG
    ("fetch_source", "prepare_model", "normalise_facts"),
    ("collect_moments", "filter_neighbors", "sample_prefixes", "sample_split"),
    ("edit_facts",),  # OPTIMIZATION
    ("edit_facts",),  # and SPREAD
    ("score_edits", "check_collapse", "measure_norms"),
    ("summarise_runs", "render_table", "draw_figure", "compile_pdf", "summarise_results"),
]
MADE = [  # what each makes, in results/
    ("sources", "models", "facts"),
    ("moments", "neighbors", "prefixes", "splits", "finished/moments"),
    ("edits", "finished"),
    ("edits", "finished"),
    ("scores", "collapse", "norms", "finished/scores", "finished/collapse", "finished/norms"),
    ("summary", "tables", "figures"),
]
LONGEST = 6.0  # seconds after the first job of a stage begins
TARGETS = [] if HAS_ENGINE else ["tables"]


def begun(experiment: Experiment, rules: tuple[str, ...], since: float) -> set[str]:
    """Which of some rules have a log begun since a time."""
    root = experiment.path("logs")
    logs = [log.relative_to(root) for log in root.rglob("*.log") if written(log, since)]
    return {log.parts[0].removesuffix(".log") for log in logs} & set(rules)


def written(log: Path, since: float) -> bool:
    """Whether a log was written since a time; one that a job just now begins anew is gone for a moment."""
    try:
        return log.stat().st_mtime >= since
    except FileNotFoundError:
        return False


def a_moment(experiment: Experiment, stage: int, delay: float, since: float) -> Callable[[], bool]:
    """Whether `delay` seconds have gone by since a job of a stage, or of a later one, began."""
    rules = tuple(rule for later in STAGES[stage:] for rule in later)
    first: list[float] = []

    def reached() -> bool:
        if not first and begun(experiment, rules, since):
            first.append(time.monotonic())
        return bool(first) and time.monotonic() - first[0] >= delay

    return reached


def complete(experiment: Experiment) -> dict[str, int]:
    """The complete iterations that the state of every unfinished edit job holds."""
    found: Counter[str] = Counter()
    for folder in experiment.path("state").glob("*/*/*/*/k*"):
        if re.fullmatch(r"k\d+", folder.name):
            found[str(folder.parent.relative_to(experiment.path("state")))] += 1
    return dict(found)


def whole(experiment: Experiment) -> None:
    """Every table and every tensor under its final name can be read to its end."""
    for path in experiment.path("").rglob("*"):
        inside = path.relative_to(experiment.path("")).parts
        if any(part.startswith(".") or part.endswith(".partial") for part in inside):
            continue
        if path.suffix == ".parquet":
            pq.read_table(path)
        elif path.suffix == ".safetensors" and "sources" not in inside:
            with safe_open(path, framework="pt") as file:
                assert all(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118


def test_a_run_killed_again_and_again_ends_like_one_that_was_not(
    finished: Experiment, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    kills, random = request.config.getoption("--kills"), Random(0)
    run = Experiment(tmp_path / "experiment", finished.house, deepcopy(finished.config))
    hit: Counter[str] = Counter()
    resumed: dict[str, int] = {}
    number = 0
    while number < kills:
        before, since = complete(run), time.time()
        stage = number * len(STAGES) // kills
        killed = run.run_killed(a_moment(run, stage, random.uniform(0, LONGEST), since), *TARGETS)
        if killed.status == 0:  # it has ended before the kill: this stage again
            for place in {place for later in MADE[stage:] for place in later}:
                shutil.rmtree(run.path(place), ignore_errors=True)
            continue
        number += 1
        assert killed.status == -9, f"kill {number}:\n{killed.output}"
        assert not killed.errors, killed.errors
        whole(run)
        for rules in STAGES:
            hit.update(begun(run, rules, since))
        for path, k in before.items():
            log = run.path(f"logs/edit_facts/{path}.log")
            if not log.exists():
                continue
            if log.stat().st_mtime >= since and (
                # of an iteration whose passes had all been made, only its end is told
                begins := re.findall(r"k=(\d+)(?: OPTIMIZATION|: perplexity)", log.read_text())
            ):
                resumed[path] = k
                assert int(begins[0]) == k + 1, f"iterations are repeated after kill {number}"
        shutil.rmtree(run.folder / ".snakemake/locks", ignore_errors=True)  # as --unlock does
    print(f"{kills} kills; begun before one: {dict(hit)}; resumed: {resumed}")
    last = run.run(*TARGETS)
    assert last.status == 0, last.output
    whole(run)
    found = (path.relative_to(finished.path("")) for path in finished.path("").rglob("*.parquet"))
    tables = [place for place in found if place.parts[0] != "finished"]  # named by when the model was made
    assert len(tables) > 30
    for place in tables:
        if place.name != "table5.parquet":  # of times
            assert timeless(run.path(str(place))) == timeless(finished.path(str(place))), place
    printed, expected = (
        {name: digest for name, digest in one.contents("tables").items() if "table5" not in name}
        for one in (run, finished)
    )
    assert printed == expected
    assert not any(run.path("state").rglob("k*"))
