"""Machines as people have them: odd paths, no home, no passwd entry, poor terminals, foreign files."""

import json
import os
import shutil
import signal
import site
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from workflow import copy_workflow, tiny_config

ODD = 'a [b] (c) ü/o\'neill $HOME "d" & e'
FOREIGN = ("random", "h2", "torch", "yaml", "numpy", "logging", "json")
# a user without an entry in the list of users: this one, by another number
NOBODY = ["unshare", "--user", "--map-user=12345", "--map-group=12345"]


@pytest.fixture
def nobody() -> list[str]:
    """What stands before a command to have it run by a user whom the machine does not know."""
    if sys.platform != "linux" or subprocess.run([*NOBODY, "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    return NOBODY


def own_python(folder: Path) -> Path:
    """A virtual environment of the checkout's own, with the packages of this one."""
    venv.create(folder / ".venv", with_pip=False)
    (packages,) = (folder / ".venv").glob("lib/python*/site-packages")
    (packages / "these.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    return folder / ".venv/bin/python"


def strangers(folder: Path) -> None:
    """Files that Python takes for libraries where it looks in the working directory."""
    for name in FOREIGN:
        (folder / f"{name}.py").write_text(f"raise SystemExit('a foreign {name}')\n")


def run(command: list[str], folder: Path, **environment: str | None) -> subprocess.CompletedProcess:
    """A command in a folder, by a user's environment with changes; None: without that variable."""
    usual = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONSAFEPATH")
    }
    given = {name: value for name, value in (usual | environment).items() if value is not None}
    return subprocess.run(
        command, cwd=folder, env=given, encoding="utf-8", errors="replace", capture_output=True, check=False
    )


def facts(
    folder: Path, house: Path, python: Path, inputs: Path, *before: str, **environment: str | None
) -> str:
    """What snakemake says that fetches and reads the tiny facts, as a user calls it."""
    config = tiny_config(inputs)
    (folder / "overlay.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [
        *before,
        str(python),
        "-m",
        "snakemake",
        "--snakefile",
        str(house / "Snakefile"),
        "--cores",
        "2",
    ]
    command += [
        "--configfile",
        "overlay.yaml",
        "--resources",
        "mem_mb=9000",
        "--",
        "results/facts/facts.parquet",
    ]
    # as snakemake's own script is called, whose folder is not the working directory
    done = run(command, folder, PYTHONSAFEPATH="1", **environment)
    assert done.returncode == 0 and (folder / "results/facts/facts.parquet").exists(), done.stderr
    return done.stderr


def test_a_checkout_and_its_python_may_lie_at_any_path(tmp_path: Path, inputs: Path) -> None:
    """Snakemake puts the path of its Python into shell commands as it is."""
    house = copy_workflow(tmp_path / ODD)
    facts(house, house, own_python(house), inputs)


def test_a_path_that_snakemake_cannot_have_is_one_line(tmp_path: Path) -> None:
    house = copy_workflow(tmp_path / "a {b}")
    done = run([sys.executable, "-m", "snakemake", "--cores", "1"], house, PYTHONSAFEPATH="1")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.rstrip().endswith("has braces, which Snakemake takes for wildcards; expected none")


def test_a_user_unknown_to_the_machine_whose_home_may_not_be_written_to(
    tmp_path: Path, house: Path, inputs: Path, nobody: list[str]
) -> None:
    """And whose working directory holds a random.py; --resources names other things than GPUs."""
    home, folder = tmp_path / "home", tmp_path / "work"
    home.mkdir(mode=0o555)
    folder.mkdir()
    strangers(folder)
    without = dict.fromkeys(("USER", "LOGNAME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"))
    said = facts(folder, house, Path(sys.executable), inputs, *nobody, HOME=str(home), **without)
    assert "gpu" in next(line for line in said.splitlines() if line.startswith("Provided resources"))
    assert list(home.iterdir()) == []


HOMES = """
import json, os, sys
from reedit.jobs.machine import provide_home
given = dict(os.environ)
provide_home(given)
print(json.dumps(given))
"""


def provided(folder: Path, house: Path, before: list[str], **environment: str | None) -> Mapping[str, str]:
    without = dict.fromkeys(("USER", "LOGNAME", "LNAME", "USERNAME", "XDG_CACHE_HOME", "MPLCONFIGDIR"))
    given = without | {"PYTHONPATH": str(house / "scripts"), "TMPDIR": str(folder)} | environment
    done = run([*before, sys.executable, "-c", HOMES], folder, **given)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_home_that_may_be_written_to_is_left_alone(tmp_path: Path, house: Path) -> None:
    (tmp_path / "home").mkdir()
    found = provided(tmp_path, house, [], HOME=str(tmp_path / "home"))
    assert found["HOME"] == str(tmp_path / "home")
    assert not {"XDG_CACHE_HOME", "MPLCONFIGDIR", "USER"} & found.keys()


@pytest.mark.parametrize("home", [None, "/nowhere/at/all", "/proc/1/root", "/proc", ""])
def test_where_there_is_no_home_caches_go_to_the_temporary_directory(
    home: str | None, tmp_path: Path, house: Path, nobody: list[str]
) -> None:
    found = provided(tmp_path, house, nobody, HOME=home)
    spare = tmp_path / "reedit-home-12345"
    cache = Path(found.get("XDG_CACHE_HOME", Path(found["HOME"]) / ".cache"))
    assert cache.is_relative_to(spare) and Path(found["HOME"]) == (Path(home) if home == "/proc" else spare)
    assert found["USER"] == "12345"
    assert (spare.stat().st_mode & 0o777) == 0o700


def test_a_folder_that_somebody_else_has_put_there_is_not_taken(tmp_path: Path, house: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / f"reedit-home-{os.getuid()}").symlink_to(tmp_path / "theirs")
    found = provided(tmp_path, house, [], HOME="/nowhere")
    assert Path(found["HOME"]).name.startswith(f"reedit-home-{os.getuid()}-")
    assert list((tmp_path / "theirs").iterdir()) == []


def reedit(
    house: Path, folder: Path, *arguments: str, **environment: str | None
) -> subprocess.CompletedProcess:
    """The documented command, in a folder of strangers."""
    strangers(folder)
    given = {"PYTHONPATH": str(house / "scripts")} | environment
    return run([sys.executable, "-m", "reedit", *arguments], folder, **given)


def test_a_file_in_the_working_directory_stands_for_no_library(house: Path, tmp_path: Path) -> None:
    done = reedit(house, tmp_path, "edit", "nowhere", "no.json", "out")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1) and "no.json" in done.stderr


@pytest.mark.parametrize(
    "terminal",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_what_a_terminal_cannot_print_is_replaced(
    terminal: dict[str, str], tmp_path: Path, house: Path
) -> None:
    script = (
        "from reedit.jobs.machine import suit_machine; suit_machine(); print('|\\u0394p| \\u2192 \\u6771')"
    )
    given = {"PYTHONPATH": str(house / "scripts")} | terminal
    done = run([sys.executable, "-c", script], tmp_path, **given)
    assert done.returncode == 0 and done.stdout.startswith("|") and done.stdout.rstrip()[2:4] == "p|"


PUT_AWAY = """
import sys, time
from pathlib import Path
from reedit.jobs.job import exit_on_signals
from reedit.storage.files import whole_folder
exit_on_signals()
with whole_folder(Path("out")) as folder:
    (folder / "large").write_text("gigabytes")
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_a_signal_ends_is_put_away(number: signal.Signals, tmp_path: Path, house: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(house / "scripts")}
    process = subprocess.Popen(
        [sys.executable, "-c", PUT_AWAY],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # tests may run under nohup
    )
    assert process.stdout.readline() == "begun\n"
    process.send_signal(number)
    process.send_signal(number)  # as schedulers do
    assert process.wait(timeout=20) == 128 + number
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_an_edit_that_is_ended_leaves_nothing(tmp_path: Path, house: Path, inputs: Path) -> None:
    """Nor does one whose terminal is closed; a random.py stands by, and the terminal knows no signs."""
    strangers(tmp_path)
    (tmp_path / "overlay.yaml").write_text(yaml.safe_dump(tiny_config(inputs)))
    shutil.copytree(inputs / "model", tmp_path / "tiny")
    (tmp_path / "mine.json").write_text(
        json.dumps([{"prompt": "{} is a city in the country of", "subject": "Kyoto", "target_new": "Italy"}])
    )
    before = sorted(tmp_path.iterdir())
    command = [sys.executable, "-m", "reedit", "edit", "tiny", "mine.json", "out", "--config", "overlay.yaml"]
    command += ["--corpus", str(inputs / "corpus.txt"), "--iterations", "500", "--max-tokens", "32"]
    environment = os.environ | {"PYTHONPATH": str(house / "scripts"), "PYTHONIOENCODING": "ascii"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "k=1" in line:
            break
    assert len(list(tmp_path.glob(".out.*"))) == 1
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 143
    assert sorted(tmp_path.iterdir()) == before
