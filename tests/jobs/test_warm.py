"""Scripts in forks of a process that has imported what they need."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from workflow import REPOSITORY

from reedit.jobs.warm import warm

ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY / "scripts")}


@pytest.fixture(scope="module")
def python() -> Iterator[str]:
    with warm(["numpy"], ENVIRONMENT) as command:
        yield command


def run(python: str, script: Path, *arguments: str, **given: object) -> subprocess.CompletedProcess:
    command = f"{python} '{script}' {' '.join(arguments)}"
    return subprocess.run(command, shell=True, capture_output=True, text=True, check=False, **given)


def test_a_script_runs_as_with_a_python_of_its_own(python: str, tmp_path: Path) -> None:
    script = tmp_path / "a script.py"
    script.write_text(
        "import os, sys\n"
        "assert 'numpy' in sys.modules\n"
        "print(__name__, sys.argv[1:], os.getcwd(), os.environ['GIVEN'], sys.stdin.read())\n"
        "print('told', file=sys.stderr)\n"
        "sys.exit(7)\n"
    )
    done = run(
        python, script, "one", "'two three'", cwd=tmp_path, env={**ENVIRONMENT, "GIVEN": "x"}, input="in"
    )
    assert done.returncode == 7
    assert done.stdout == f"__main__ ['one', 'two three'] {tmp_path} x in\n"
    assert done.stderr == "told\n"


def test_the_temporary_directory_may_have_a_long_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket's address has room for some 100 bytes."""
    (tmp_path / "script.py").write_text(
        "import sys\nprint('json' in sys.modules, 'snakemake' in sys.modules)\n"
    )
    long = tmp_path / ("l" * 60) / ("ü" * 60)
    long.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with warm(["json"], ENVIRONMENT) as python:
        assert "warm-" in python
        assert run(python, tmp_path / "script.py", cwd=tmp_path).stdout == "True False\n"


def test_what_a_script_changes_is_gone_for_the_next_one(python: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import numpy\nprint(getattr(numpy, 'spoilt', 0))\nnumpy.spoilt = 1\n")
    assert [run(python, script, cwd=tmp_path).stdout for _ in range(2)] == ["0\n", "0\n"]


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("raise ValueError('wrong')", 1, "ValueError: wrong"),
        ("raise SystemExit('a sentence')", 1, "a sentence"),
        ("import sys; sys.exit()", 0, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137, ""),
    ],
)
def test_how_a_script_ends_is_told(python: str, tmp_path: Path, code: str, status: int, told: str) -> None:
    (tmp_path / "script.py").write_text(code)
    done = run(python, tmp_path / "script.py", cwd=tmp_path)
    assert done.returncode == status and told in done.stderr


def test_scripts_run_side_by_side_and_die_with_who_asked(python: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import os, sys, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    command = [*python.split(), str(script)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path) for _ in range(2)]
    numbers = [int(process.stdout.readline()) for process in processes]  # both have begun
    for process in processes:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) != 0
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{n}").exists() for n in numbers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{number}").exists() for number in numbers)


def test_nothing_is_left_of_a_process_that_was_killed(tmp_path: Path) -> None:
    """The one that holds the block loses its life; the warm one and its scripts go with it."""
    code = (
        "import subprocess, sys\nfrom reedit.jobs.warm import warm\n"
        "with warm(['json']) as command:\n    subprocess.run(f'{command} {sys.argv[1]}', shell=True)\n"
    )
    script = tmp_path / "script.py"
    script.write_text("import os, time\nprint(os.getpid(), os.getppid(), flush=True)\ntime.sleep(60)\n")
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(script)], stdout=subprocess.PIPE, env=ENVIRONMENT, cwd=tmp_path
    )
    numbers = [int(word) for word in holder.stdout.readline().split()]
    holder.kill()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{n}").exists() for n in numbers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{number}").exists() for number in numbers)


def test_where_a_module_is_missing_a_script_runs_as_ever(tmp_path: Path) -> None:
    """It says itself what is missing, if it is; and the process that could not begin has said it, too."""
    script, errors = tmp_path / "script.py", tmp_path / "errors"
    script.write_text("import sys\nprint('json' in sys.modules, sys.argv[1:])\nsys.exit(3)\n")
    with errors.open("w") as told, warm(["json", "no_such_module"], ENVIRONMENT, errors=told) as command:
        for _ in range(2):  # while it tries to import, and when it has ended
            done = run(command, script, "one", cwd=tmp_path)
            assert (done.returncode, done.stdout, done.stderr) == (3, "False ['one']\n", "")
    assert "No module named 'no_such_module'" in errors.read_text()


def test_options_are_for_an_ordinary_python(python: str) -> None:
    """As Snakemake starts itself for what it does not run in its own process."""
    code = "import sys; print('numpy' in sys.modules)"
    done = subprocess.run([*python.split(), "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_signal_that_comes_while_modules_are_imported_reaches_the_script(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(3)\n")
    script = tmp_path / "script.py"
    script.write_text("import time\ntime.sleep(60)\n")
    with warm(["slow"], ENVIRONMENT | {"PYTHONPATH": f"{REPOSITORY / 'scripts'}:{tmp_path}"}) as command:
        process = subprocess.Popen([*command.split(), str(script)], cwd=tmp_path)
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) not in (0, None)


def test_a_script_computes_with_as_many_threads_as_it_is_given(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import torch\nprint(torch.get_num_threads())\n")
    with warm(["torch"], ENVIRONMENT, threads=2) as command:
        for count in (1, 2, 3):
            environment = ENVIRONMENT | {"OMP_NUM_THREADS": str(count)}
            assert run(command, script, env=environment).stdout == f"{count}\n"
