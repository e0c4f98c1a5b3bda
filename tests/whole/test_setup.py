"""Where `make setup` takes torch from, with a pip that only notes what it is asked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import web_server
from workflow import REPOSITORY

# a Python whose pip notes what it is asked, whose venvs are itself, and which knows no installed package
PYTHON = """\
#!/bin/sh
case "$*" in
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo "$PWD/$3" >"$3/bin/activate" ;;
    "-m pip --version") ;;
    "-m pip "*) echo "$*" >>asked; case "$*" in *broken*) exit 1 ;; esac ;;
    *) exec {python} -I -S "$@" ;;
esac
"""
GPU = "#!/bin/sh\necho 'GPU 0: NVIDIA H100 (UUID: GPU-1)'\n"
NO_GPU = "#!/bin/sh\necho 'NVIDIA-SMI has failed: no driver' >&2\nexit 9\n"
PIP = "-m pip --disable-pip-version-check install --constraint constraints.txt -qq"
PLAIN, FROM = f"{PIP} torch==9.1", f"{PIP} --no-deps torch==9.1 --index-url"


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A checkout of the setup alone."""
    (tmp_path / "envs").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "envs/setup.sh").write_text((REPOSITORY / "envs/setup.sh").read_text())
    (tmp_path / "constraints.txt").write_text("torch==9.1\n")
    (tmp_path / "pyproject.toml").touch()
    for name, text in {"python": PYTHON.format(python=sys.executable), "nvidia-smi": NO_GPU}.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def torch_of(house: Path, **environment: str) -> tuple[list[str], list[str]]:
    """How pip is asked for torch, and what the setup says about it."""
    given = os.environ | {"PYTHON": str(house / "bin/python"), "PATH": f"{house}/bin:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "envs/setup.sh"],
        cwd=house,
        env=given | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    asked = [line for line in (house / "asked").read_text().splitlines() if "torch==" in line]
    return asked, [line for line in done.stdout.splitlines() if "torch" in line]


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="on Linux alone is torch a CUDA build")


@on_linux
def test_without_a_gpu_the_build_for_cpus_is_taken(house: Path) -> None:
    with web_server.running() as site:
        site.says("/cpu/torch/", web_server.content(b"<html>"))
        asked, said = torch_of(house, TORCH_CPU_INDEX=f"{site.address}/cpu")
        assert asked == [f"{FROM} {site.address}/cpu"]
        assert said == [f"setup: installing torch 9.1, the build for CPUs, from {site.address}/cpu"]


@on_linux
@pytest.mark.parametrize("answer", [web_server.silence, web_server.status(403), web_server.nothing])
def test_where_its_index_does_not_answer_pip_finds_torch_and_a_line_says_so(
    house: Path, answer: web_server.Answer
) -> None:
    with web_server.running() as site:
        site.says("/cpu/torch/", answer)
        asked, said = torch_of(house, TORCH_CPU_INDEX=f"{site.address}/cpu")
    line = (
        f"setup: {site.address}/cpu does not give torch 9.1; taking what pip finds, perhaps a CUDA build of "
    )
    assert asked == [PLAIN] and said == [f"{line}several GB", "setup: installing torch 9.1"]


@on_linux
def test_an_index_that_answers_and_does_not_give_torch_is_no_end(house: Path) -> None:
    with web_server.running() as site:
        site.says("/broken/torch/", web_server.content(b"<html>"))
        asked, said = torch_of(house, TORCH_CPU_INDEX=f"{site.address}/broken")
        assert asked == [f"{FROM} {site.address}/broken", PLAIN] and len(said) == 3


def test_with_a_gpu_and_where_an_index_is_named_that_of_builds_for_cpus_is_not_asked(house: Path) -> None:
    with web_server.running() as site:
        index = f"{site.address}/cpu"
        asked, said = torch_of(house, TORCH_CPU_INDEX=index, TORCH_INDEX="https://example.org/cu130")
        assert asked == [f"{FROM} https://example.org/cu130"] and len(said) == 1
        for file in ("asked", ".venv/.installed"):
            (house / file).unlink()
        (house / "bin/nvidia-smi").write_text(GPU)
        asked, said = torch_of(house, TORCH_CPU_INDEX=index)
        assert asked == [PLAIN] and said == ["setup: installing torch 9.1"]
        assert not site.asked


def test_where_no_index_of_builds_for_cpus_is_named_pip_finds_torch(house: Path) -> None:
    """As for jobs that run on other machines than the one that is set up."""
    asked, said = torch_of(house, TORCH_CPU_INDEX="")
    assert asked == [PLAIN] and said == ["setup: installing torch 9.1"]


@pytest.mark.parametrize("name", ["a:b", "a {b}"])
def test_a_path_that_cannot_be_is_said_before_anything_is_installed(house: Path, name: str) -> None:
    place = house.parent / name
    house.rename(place)
    done = subprocess.run(["sh", "envs/setup.sh"], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and not (place / ".venv").exists()
    assert (
        done.stderr.count("\n") == 1
        and f"{place}: the path of this checkout has a colon or braces" in done.stderr
    )
