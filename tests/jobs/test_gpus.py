"""Which GPUs a job takes, with an nvidia-smi of our own and processes that are killed."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from configurations import REPOSITORY

from reedit.jobs import device
from reedit.jobs.gpus import CLAIMED, VISIBLE, Gpu, claim_gpus, listed_gpus, visible_gpus
from reedit.settings.overlays import read_experiment
from reedit.use.obstacles import obstacles

SCRIPTS = REPOSITORY / "scripts"
MANY = [Gpu(0, "GPU-aa11", 100, 9999), Gpu(1, "GPU-bb22", 9000, 9999), Gpu(2, "GPU-cc33", 8000, 9999)]
JOB = """
import logging, os, sys
from reedit.jobs.gpus import claim_gpus
logging.basicConfig(level="INFO", format="%(message)s")
claim_gpus(int(sys.argv[1]))
print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU is given, and locks are the test's own."""
    for name in (VISIBLE, CLAIMED):
        monkeypatch.setenv(name, "")  # so that it is taken back in the end
        monkeypatch.delenv(name)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)  # as it was found before


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes an nvidia-smi that says some lines of the GPUs asked for, and nothing else."""

    def make(lines: str) -> None:
        command = tmp_path / "bin/nvidia-smi"
        command.parent.mkdir(exist_ok=True)
        command.write_text(
            f'#!/bin/sh\ncase "$*" in *index,uuid,memory.free,memory.total*) cat <<END\n{lines}\nEND\nesac\n'
        )
        command.chmod(0o755)
        monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")

    return make


@pytest.fixture
def job() -> Iterator[Callable[..., tuple[str, subprocess.Popen]]]:
    """Starts a job that claims GPUs and keeps running: what it sees from then on, and its process."""
    started: list[subprocess.Popen] = []

    def start(count: int = 1, **environment: str) -> tuple[str, subprocess.Popen]:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        variables = os.environ | {"PYTHONPATH": str(SCRIPTS)} | environment
        process = subprocess.Popen([sys.executable, "-c", JOB, str(count)], text=True, env=variables, **pipes)
        started.append(process)
        return process.stdout.readline().strip(), process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


THREE = "\n".join(f"{gpu.index}, {gpu.uuid}, {gpu.free}, {gpu.total}" for gpu in MANY)


def test_jobs_take_different_gpus_the_emptiest_first_and_a_killed_one_gives_its_back(machine, job) -> None:
    machine(THREE)
    first, holder = job()
    assert [first, job()[0], job()[0]] == ["GPU-bb22", "GPU-cc33", "GPU-aa11"]
    holder.kill()
    holder.wait()
    assert job()[0] == "GPU-bb22"
    last, process = job()
    assert last == "GPU-bb22", "the one with most memory, where all are taken"
    process.stdin.close()
    said = process.stderr.read()
    assert "no GPU is free: another job holds GPU-bb22, too, where 9000 MiB are left" in said


def test_a_job_of_several_processes_takes_several_and_what_is_missing_of_the_fullest(machine, job) -> None:
    machine(THREE)
    assert job(2)[0] == "GPU-bb22,GPU-cc33"
    last, process = job(2)
    assert last == "GPU-aa11,GPU-bb22"
    process.stdin.close()
    said = process.stderr.read()
    assert "on GPU GPU-aa11, 100 MiB free" in said and "another job holds GPU-bb22" in said


def test_what_a_scheduler_has_given_is_obeyed_and_others_keep_away_from_it(machine, job) -> None:
    machine(THREE)
    assert job(1, CUDA_VISIBLE_DEVICES="1")[0] == "1"
    assert job(2, CUDA_VISIBLE_DEVICES="GPU-bb,GPU-cc")[0] == "GPU-bb,GPU-cc"
    assert job(1)[0] == "GPU-aa11"
    assert job(1, CUDA_VISIBLE_DEVICES="0,2")[0] == "GPU-cc33", "only of what is to be seen"


def test_a_jobs_own_processes_and_its_later_questions_keep_what_it_has(machine, job, tmp_path: Path) -> None:
    machine(THREE)
    claim_gpus(2, tmp_path / "locks")
    mine = os.environ[VISIBLE]
    assert mine == "GPU-bb22,GPU-cc33"
    claim_gpus(1, tmp_path / "locks")
    assert os.environ[VISIBLE] == mine
    assert job(1)[0] == mine


def test_without_a_gpu_nothing_happens(machine, job, tmp_path: Path) -> None:
    machine("No devices were found")
    assert listed_gpus() == [] and job()[0] == "None"
    machine(THREE)
    for nothing in ("", "-1", "NoDevFiles"):
        assert job(1, CUDA_VISIBLE_DEVICES=nothing)[0] == nothing
    assert not list((tmp_path / "temporary").iterdir())


def test_nvidia_smi_may_be_missing_fail_or_not_know_the_memory(
    machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("0, GPU-aa11, [N/A], [N/A]")
    assert listed_gpus() == [Gpu(0, "GPU-aa11", 0, 0)]
    (tmp_path / "bin/nvidia-smi").write_text(f'#!/bin/sh\necho "{THREE}"\nexit 9\n')
    assert listed_gpus() == []
    monkeypatch.setenv("PATH", "")
    assert listed_gpus() == []


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, "aa11 bb22 cc33"),
        ("", ""),
        ("2,0", "cc33 aa11"),
        ("1, 7, 0", "bb22"),  # as CUDA: nothing after a name of nothing
        ("-1", ""),
        ("GPU-cc,GPU-aa11", "cc33 aa11"),
        ("GPU-", ""),  # of more than one
        ("00", ""),
    ],
)
def test_visible_gpus_are_those_that_cuda_would_see(visible: str | None, expected: str) -> None:
    assert " ".join(gpu.uuid.removeprefix("GPU-") for gpu in visible_gpus(MANY, visible)) == expected


def test_a_part_of_a_gpu_is_taken_by_its_name(machine, job) -> None:
    machine("0, GPU-aa11, 40000, 80000")
    assert job(1, CUDA_VISIBLE_DEVICES="MIG-1f,MIG-2f")[0] == "MIG-1f"
    assert job(1, CUDA_VISIBLE_DEVICES="MIG-1f,MIG-2f")[0] == "MIG-2f"


def test_the_folder_of_the_locks_is_the_users_alone(machine, tmp_path: Path) -> None:
    machine(THREE)
    claim_gpus(1)
    (folder,) = (tmp_path / "temporary").iterdir()
    assert folder.name == f"reedit-gpus-{os.getuid()}" and folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("lines", "visible", "said"),
    [
        ("", None, []),  # SmolLM2 needs none
        ("0, GPU-aa11, 1, 2048", None, ["The largest GPU here has 2 GB"]),
        ("0, GPU-aa11, 1, 2048\n1, GPU-bb22, 1, 81559", None, []),
        ("0, GPU-aa11, 1, 2048\n1, GPU-bb22, 1, 81559", "0", ["The largest GPU here has 2 GB"]),
        ("0, GPU-aa11, [N/A], [N/A]", None, []),  # one whose memory is the machine's
    ],
    ids=["none", "small", "large", "the large one is not to be seen", "does not say"],
)
def test_make_plan_tells_of_gpus_that_are_too_small(
    lines: str, visible: str | None, said: list[str], machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(lines)
    if visible is not None:
        monkeypatch.setenv(VISIBLE, visible)
    plan = read_experiment([str(REPOSITORY / "config.yaml")], REPOSITORY)
    found = [line for line in obstacles(plan, tmp_path) if "GPU" in line]
    assert [line[: len(start)] for line, start in zip(found, said, strict=True)] == said


@pytest.mark.parametrize(
    ("build", "begun", "asked"), [("13.0", False, 3), ("13.0", True, 0), (None, False, 0)]
)
def test_a_job_claims_before_cuda_begins_and_only_where_torch_has_it(
    build: str | None, begun: bool, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims: list[int] = []
    monkeypatch.setattr(device.torch.version, "cuda", build)
    monkeypatch.setattr(device.torch.cuda, "is_initialized", lambda: begun)
    monkeypatch.setattr(device.torch.cuda, "is_available", lambda: claims.append(-1) or True)
    monkeypatch.setattr(device, "claim_gpus", claims.append)
    assert device.job_device(3) == "cuda"
    assert claims == ([asked] if asked else []) + [-1]


def test_no_other_module_asks_whether_there_is_a_gpu() -> None:
    """Memory is given back once a model is there; tests and benchmarks are no jobs."""
    asking = {p.name for p in SCRIPTS.rglob("*.py") if "torch.cuda.is_available" in p.read_text("utf-8")}
    assert asking == {"device.py", "memory.py"}


@pytest.mark.long
def test_no_module_asks_cuda_when_it_is_imported() -> None:
    modules = [
        ".".join(path.relative_to(SCRIPTS).with_suffix("").parts)
        for path in sorted((SCRIPTS / "reedit").rglob("*.py"))
        if not path.name.startswith("__")
    ]
    code = (
        "import sys, torch\n"
        "def asked(*args): raise AssertionError('CUDA is asked')\n"
        "torch.cuda.device_count = torch.cuda.is_available = torch.cuda._lazy_init = asked\n"
        f"import {', '.join(modules)}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
