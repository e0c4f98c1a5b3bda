"""The workflow on a real Slurm, which slurm.sh starts: jobs submitted, killed, and lost with their node."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from workflow import Config, Experiment, Outcome, changed, copy_workflow, make_inputs, tiny_config

pytestmark = pytest.mark.cluster
SLURM = Path(__file__).with_name("slurm.sh")
EDIT = "tiny/facts/memit/trial1"
HAS_ENGINE = (shutil.which("latexmk") and shutil.which("pdflatex")) or shutil.which("tectonic")
ON_GPU = {"filter_neighbors", "sample_prefixes", "collect_moments"}
ON_GPU |= {"edit_facts", "score_edits", "check_collapse", "measure_norms"}
SUBMITTED = ON_GPU | {"prepare_model", "normalise_facts", "sample_split"}
SUBMITTED |= {"summarise_runs", "summarise_results"}


@dataclass(frozen=True)
class Submitted:
    """A job as Slurm knows it: squeue's columns, `rule` from the comment that the plugin gives a job."""

    id: int
    state: str
    comment: str
    cpus: str
    memory: str
    gpus: str
    node: str

    @property
    def rule(self) -> str:
        return re.sub(r"^rule_|_wildcards_.*$", "", self.comment)


def squeue() -> list[Submitted]:
    """All jobs that the cluster has seen, the finished ones too."""
    columns = ":|,".join(["JobID", "State", "Comment", "NumCPUs", "MinMemory", "tres-per-job", "NodeList"])
    command = ["squeue", "--noheader", "--states=all", "--sort=i", f"--Format={columns}"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found = [[cell.strip() for cell in line.split("|")] for line in lines]
    return [Submitted(int(first), *rest) for first, *rest in found]


def scontrol(*arguments: str) -> str:
    return subprocess.run(["scontrol", *arguments], check=True, capture_output=True, text=True).stdout


def wait_for(found: Callable[[], Submitted | None]) -> Submitted:
    """What `found` gives as soon as it gives a job."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if job := found():
            return job
        time.sleep(0.2)
    raise AssertionError(f"waited for two minutes; the jobs are {squeue()}")


def running(rule: str, after: int) -> Submitted | None:
    """The running job of a rule among those submitted after the job with that number."""
    return next((j for j in squeue() if j.id > after and j.rule == rule and j.state == "RUNNING"), None)


def last_job() -> int:
    return max((job.id for job in squeue()), default=0)


def start(experiment: Experiment, *arguments: str, config: Config | None = None) -> subprocess.Popen:
    """A call with the profile as it is shipped, but for what waits, and for a cluster without accounting.

    --cores, which the profile leaves out, would cap the threads that jobs ask for.
    """
    profile = ["--workflow-profile", str(experiment.house / "profiles/slurm"), "--latency-wait", "10"]
    profile += ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "1"]
    profile += ["--cores", "8", "--local-cores", "2"]
    return experiment.start(*profile, *arguments, config=config)


def end(process: subprocess.Popen) -> Outcome:
    output, _ = process.communicate(timeout=900)
    return Outcome(process.returncode, output)


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    try:
        subprocess.run(["sh", SLURM, "start"], check=True)
        yield
    finally:
        subprocess.run(["sh", SLURM, "stop"], check=True)


@pytest.fixture(scope="module")
def finished(cluster: None, tmp_path_factory: pytest.TempPathFactory, taught_folder: Path) -> Experiment:
    """Two methods of the tiny experiment, submitted from nothing, in a folder with a space in its name."""
    root = tmp_path_factory.mktemp("a cluster")
    config = tiny_config(make_inputs(root / "inputs", taught_folder))
    config["runs"] = config["runs"][:1]
    experiment = Experiment(root / "experiment", copy_workflow(root / "the workflow"), config)
    experiment.environment = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    experiment.outcome = end(start(experiment, *([] if HAS_ENGINE else ["tables"])))
    assert experiment.outcome.status == 0, experiment.outcome.output
    experiment.submitted = squeue()
    return experiment


@pytest.fixture
def again(finished: Experiment, tmp_path: Path) -> Experiment:
    """A copy of the finished experiment that a test may spoil."""
    return finished.copy(tmp_path / "experiment")


def test_the_whole_experiment_is_submitted_once_and_ends_with_its_tables(finished: Experiment) -> None:
    assert {job.rule for job in finished.submitted} == SUBMITTED
    assert {job.state for job in finished.submitted} == {"COMPLETED"}
    assert len(finished.submitted) == sum(n for rule, n in finished.outcome.jobs.items() if rule in SUBMITTED)
    assert finished.path("tables/table1.csv").exists()
    assert not HAS_ENGINE or (finished.folder / "reports/tables.pdf").exists()


def test_a_job_asks_for_what_its_rule_says(finished: Experiment) -> None:
    for job in finished.submitted:
        assert (job.gpus, job.node) == ("gres:gpu:1", "node2") if job.rule in ON_GPU else job.gpus == "N/A"
    moments = next(job for job in finished.submitted if job.rule == "collect_moments")
    assert moments.cpus == "8" and moments.memory == "6001M"
    assert next(job for job in finished.submitted if job.rule == "summarise_runs").memory == "4000M"


def test_a_local_call_finds_nothing_to_do_after_the_cluster(finished: Experiment) -> None:
    assert finished.dry_run(*([] if HAS_ENGINE else ["tables"])).nothing_to_do


def test_a_killed_job_is_tried_again_with_more_memory(again: Experiment) -> None:
    before = last_job()
    call = start(again, f"results/edits/{EDIT}/iterations.parquet", "--forcerun", "edit_facts")
    killed = wait_for(lambda: running("edit_facts", before))
    subprocess.run(["scancel", str(killed.id)], check=True)
    outcome = end(call)
    assert outcome.status == 0, outcome.output
    first, second = (job for job in squeue() if job.id > before)
    assert (first.state, second.state) == ("CANCELLED", "COMPLETED")
    assert int(second.memory[:-1]) == pytest.approx(2 * int(first.memory[:-1]), abs=1)


def test_slurm_puts_the_job_of_a_lost_node_back_and_the_call_goes_on(again: Experiment) -> None:
    before = last_job()
    call = start(again, f"results/edits/{EDIT}/iterations.parquet", "--forcerun", "edit_facts")
    job = wait_for(lambda: running("edit_facts", before))
    scontrol("update", f"nodename={job.node}", "state=down", "reason=test")
    wait_for(lambda: next((j for j in squeue() if j.id == job.id and j.state == "PENDING"), None))
    scontrol("update", f"nodename={job.node}", "state=resume")
    scontrol("update", f"jobid={job.id}", "starttime=now")  # Slurm by itself waits for two minutes
    outcome = end(call)
    assert outcome.status == 0, outcome.output
    assert [(j.id, j.state) for j in squeue() if j.id > before] == [(job.id, "COMPLETED")]
    assert "Restarts=1" in scontrol("show", "job", str(job.id))


def test_a_bad_input_is_told_in_one_line_and_not_worked_on_again(again: Experiment) -> None:
    before = last_job()
    unknown = json.loads(Path(again.config["sources"]["tiny-facts"]["path"]).read_text())
    for case in unknown:
        case["requested_rewrite"]["target_true"]["str"] = "Zzz"  # known to no model: its jobs find out
    facts = again.folder / "unknown.json"
    facts.write_text(json.dumps(unknown))
    wrong = changed(again.config, **{"sources__tiny-facts__path": str(facts)})
    outcome = end(start(again, f"results/edits/{EDIT}/iterations.parquet", config=wrong))
    assert outcome.status == 1 and len(outcome.errors) == 1, outcome.output
    assert "no eligible case: no case keeps enough neighbors" in outcome.errors[0]
    submitted = [job for job in squeue() if job.id > before]
    tried = [job for job in submitted if job.state != "COMPLETED"]
    assert [(job.rule, job.state) for job in tried] == [("sample_split", "FAILED")] * 3
    slurm_logs = [next(again.folder.glob(f".snakemake/slurm_logs/**/{job.id}.log")) for job in tried]
    refused = ["trying again cannot help" in log.read_text() for log in slurm_logs]
    assert refused == [False, True, True]
