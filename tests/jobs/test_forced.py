"""Jobs know what a call of the workflow forces."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reedit.jobs.forced import FORCED, forget_if_forced, tell_forced

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
    (tmp_path / "finished").mkdir()
    forget_if_forced(tmp_path / "finished", "edit_facts", [OUTPUT, OUTPUT.replace("targets", "iterations")])
    assert (tmp_path / "finished").exists() is not expected


def test_outside_the_workflow_nothing_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FORCED, raising=False)
    forget_if_forced(tmp_path, "edit_facts", [OUTPUT])
    assert tmp_path.exists()
