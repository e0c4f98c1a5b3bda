"""Jobs know what a call of the workflow forces."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reedit.jobs.forced import FORCED, forget_if_forced, tell_forced
from reedit.jobs.job import START

OUTPUT = "results/edits/m/d/memit/trial1/targets.parquet"


def asked(**named: Any) -> SimpleNamespace:
    return SimpleNamespace(
        **{"forceall": False, "forcetargets": False, "forcerun": (), "targets": ()} | named
    )


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (asked(), False),
        (asked(targets={OUTPUT}), False),
        (asked(forceall=True), True),
        (asked(forcerun={"edit_facts"}), True),
        (asked(forcerun={"score_edits"}), False),
        (asked(forcerun={OUTPUT}), True),
        (asked(forcetargets=True, targets={OUTPUT}), True),
        (asked(forcetargets=True, targets={"tables"}), False),
    ],
)
def test_what_is_forced(
    call: SimpleNamespace, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment: dict[str, str] = {}
    tell_forced(call, environment)
    tell_forced(asked(forceall=True), environment)  # Snakemake's own call for a job, which forces it
    monkeypatch.setenv(FORCED, environment[FORCED])
    places = [tmp_path / name for name in ("finished", "state", "never there")]
    for place in places[:2]:
        place.mkdir()
    outputs = [OUTPUT, OUTPUT.replace("targets", "iterations")]
    assert forget_if_forced("edit_facts", outputs, *places) == expected
    assert [place.exists() for place in places[:2]] == [not expected] * 2


def test_what_this_call_has_made_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FORCED, "edit_facts")
    monkeypatch.setenv(START, "1000.0")
    for name, time in {"earlier": 999, "now": 1001}.items():
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time, time))
    assert forget_if_forced("edit_facts", [OUTPUT], tmp_path / "earlier", tmp_path / "now")
    assert [path.name for path in tmp_path.iterdir()] == ["now"]


def test_outside_the_workflow_nothing_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FORCED, raising=False)
    assert not forget_if_forced("edit_facts", [OUTPUT], tmp_path)
    assert tmp_path.exists()
